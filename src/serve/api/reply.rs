//! Answers that succeed: JSON or CSV, with a tag of their content.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::serve::answer::Problem;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;

/// How far the view was behind the bus when it answered.
pub const BEHIND: HeaderName = HeaderName::from_static("softstake-behind-records");

/// The answer as JSON.
pub(super) fn json(api: &Api, request: &ApiRequest, body: &impl Serialize) -> Result<Response, Problem> {
    let mut text = serde_json::to_vec(body).map_err(|error| Problem::internal(&error.to_string()))?;
    text.push(b'\n');
    Ok(tagged(api, request, "application/json", text))
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
