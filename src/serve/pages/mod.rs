//! The pages, which are part of the program. They hold no data: they ask the API, with the token of their user.

mod files;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use xxhash_rust::xxh3::xxh3_128;

use crate::serve::answer::Problem;
use crate::serve::pages::files::{FILES, PAGES, PageFile};

/// A page loads what this process serves, and nothing else. No code in the page itself is run.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The paths of the pages, and of what they load.
pub fn routes() -> Router {
    let mut routes = Router::new().route("/assets/{*name}", get(asset));
    for (path, name) in PAGES {
        routes = routes.route(
            path,
            get(move |headers: HeaderMap| async move { named(name, &headers) }),
        );
    }
    routes
}

async fn asset(request: Request) -> Response {
    let name = request.uri().path().trim_start_matches("/assets/");
    named(name, request.headers())
}

fn named(name: &str, headers: &HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => show(file, headers),
        None => Problem::not_found("This program has no such file.").into_response(),
    }
}

fn show(file: &PageFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{:032x}\"", xxh3_128(file.bytes));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known
            .split(',')
            .any(|one| one.trim().trim_start_matches("W/") == tag.as_str())
    });
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, file.content_type)], file.bytes).into_response()
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    // The next version of the program has other files under the same names.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_file_of_the_folder_is_served_as_it_is() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/pages/assets");
        let there: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(there, served);
        assert_eq!(served.len(), FILES.len(), "a name is there twice");
        for file in FILES {
            assert_eq!(fs::read(format!("{folder}/{}", file.name)).unwrap(), file.bytes);
        }
        for (path, name) in PAGES {
            assert!(served.contains(name), "{path}");
        }
    }

    #[test]
    fn a_page_names_only_files_that_are_served() {
        for file in FILES {
            let text = str::from_utf8(file.bytes).unwrap();
            for (at, start) in text.match_indices("/assets/") {
                let name: String = text[at + start.len()..]
                    .chars()
                    .take_while(|one| one.is_ascii_alphanumeric() || matches!(one, '.' | '-' | '_'))
                    .collect();
                assert!(
                    FILES.iter().any(|known| known.name == name),
                    "{} names {name}",
                    file.name
                );
            }
            assert!(
                !text.contains("<script>") && !text.contains(" style=\""),
                "{}",
                file.name
            );
        }
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        let mut headers = HeaderMap::new();
        let first = named("base.css", &headers);
        assert_eq!(first.status(), StatusCode::OK);
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(named("base.css", &headers).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(named("api.js", &headers).status(), StatusCode::OK);
        assert_eq!(named("../mod.rs", &headers).status(), StatusCode::NOT_FOUND);
    }
}
