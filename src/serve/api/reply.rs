//! Answers that succeed: JSON or CSV, with a tag of their content.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::serve::answer::Problem;
use crate::serve::api::answers::ListAnswer;
use crate::serve::api::request::{ApiRequest, PageRequest};
use crate::serve::api::shared::Api;
use crate::serve::view::{View, ViewPage};

/// How far the view was behind the bus when it answered.
pub const BEHIND: HeaderName = HeaderName::from_static("softstake-behind-records");

/// The answer as JSON.
pub(super) fn json(api: &Api, request: &ApiRequest, body: &impl Serialize) -> Result<Response, Problem> {
    let mut text = serde_json::to_vec(body).map_err(|error| Problem::internal(&error.to_string()))?;
    text.push(b'\n');
    Ok(tagged(api, request, "application/json", text))
}

/// The page of a list that is asked for, as JSON: `read` reads its items, and each becomes an `A`.
pub(super) async fn list<A: From<T> + Serialize, T: Send + 'static>(
    api: &Api,
    request: &ApiRequest,
    read: impl FnOnce(&View, &PageRequest) -> Result<ViewPage<T>, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let page = request.page()?;
    let ViewPage { items, next } = api.read(move |view| read(view, &page)).await?;
    let answer = ListAnswer {
        next: request.next(next.as_deref()),
        items: items.into_iter().map(A::from).collect(),
    };
    json(api, request, &answer)
}

/// A page of a list that is in memory, in the order of the keys of its items.
pub(super) fn part<T>(all: impl Iterator<Item = T>, key: impl Fn(&T) -> Vec<u8>, page: &PageRequest) -> ViewPage<T> {
    let mut rest = all.filter(|item| page.after.as_ref().is_none_or(|after| key(item) > *after));
    let items: Vec<T> = rest.by_ref().take(page.limit).collect();
    let has_more = rest.next().is_some();
    let next = items.last().filter(|_| has_more).map(&key);
    ViewPage { items, next }
}

/// The answer as CSV, in a file of this name.
pub(super) fn csv(api: &Api, request: &ApiRequest, name: &str, text: Vec<u8>) -> Response {
    let mut response = tagged(api, request, "text/csv; charset=utf-8", text);
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

fn tagged(api: &Api, request: &ApiRequest, content_type: &'static str, body: Vec<u8>) -> Response {
    let tag = format!("\"{:032x}\"", xxh3_128(&body));
    let known = request.if_none_match.as_deref().unwrap_or_default();
    let is_known = known.split(',').any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, content_type)], body).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(BEHIND, HeaderValue::from(api.view.progress().behind()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_memory_is_read_in_parts() {
        let page = |after: Option<u8>, limit| PageRequest {
            limit,
            after: after.map(|after| vec![after]),
        };
        let part = |after, limit| {
            let part = part([1_u8, 2, 3].into_iter(), |item| vec![*item], &page(after, limit));
            (part.items, part.next)
        };
        assert_eq!(part(None, 2), (vec![1, 2], Some(vec![2])));
        assert_eq!(part(Some(2), 2), (vec![3], None));
        assert_eq!(part(None, 3), (vec![1, 2, 3], None), "nothing comes after it");
        assert_eq!(part(Some(3), 3), (vec![], None));
    }
}
