//! Why a request is refused: problem details of RFC 9457.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::core::values::credentials::without_credentials;
use crate::core::values::printable::escape_json;

/// The kinds of problems. Each has a name for programs, a title and a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A parameter is wrong; `field` names it.
    Parameter,
    /// The request is no valid HTTP, or its host is not ours.
    Request,
    /// There is no token, or it is not valid.
    Token,
    Forbidden,
    NotFound,
    Method,
    TooMany,
    /// What is asked for cannot be answered now.
    Unavailable,
    /// What is kept contradicts itself: a proof does not lead to its seal's root.
    Inconsistent,
    Internal,
}

impl ProblemKind {
    const fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Parameter => ("parameter", "A parameter is wrong", StatusCode::BAD_REQUEST),
            Self::Request => ("request", "The request is wrong", StatusCode::BAD_REQUEST),
            Self::Token => ("token", "A valid token is needed", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "The token does not allow this", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", "Not found", StatusCode::NOT_FOUND),
            Self::Method => ("method", "Only GET and HEAD", StatusCode::METHOD_NOT_ALLOWED),
            Self::TooMany => ("too-many-requests", "Too many requests", StatusCode::TOO_MANY_REQUESTS),
            Self::Unavailable => ("unavailable", "Not available now", StatusCode::SERVICE_UNAVAILABLE),
            Self::Inconsistent => (
                "inconsistent",
                "What is kept contradicts itself",
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
            Self::Internal => ("internal", "An internal error", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// Why a request is refused. It is an answer.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of a problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody<'a> {
    /// `urn:softstake:problem:` and the name of the kind. `about:blank` is never used.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'a str,
    pub status: u16,
    /// What is wrong, where, and what to do.
    pub detail: &'a str,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
}

impl Problem {
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
            headers: Vec::new(),
        }
    }

    /// A parameter of the path or the query is wrong. `detail` says what it must be.
    #[must_use]
    pub fn parameter(field: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(ProblemKind::Parameter, detail)
        }
    }

    /// `what` is not there; a sentence.
    #[must_use]
    pub fn not_found(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProblemKind::NotFound, what)
    }

    #[must_use]
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, retry_after_seconds: u64) -> Self {
        Self::new(ProblemKind::Unavailable, detail).retry_after(retry_after_seconds)
    }

    /// An error of this process. The log has it; the client learns only that there was one.
    #[must_use]
    pub fn internal(what: &str) -> Self {
        tracing::error!("a request failed: {what}");
        Self::new(
            ProblemKind::Internal,
            "This process could not answer. Its log says why; tell the operator the time of the request.",
        )
    }

    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.kind.parts().2
    }

    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (name, title, status) = self.kind.parts();
        let body = ProblemBody {
            kind: format!("urn:softstake:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        // Strings and a number: this does not fail.
        let text = serde_json::to_string(&body).unwrap_or_default();
        // A detail may quote what comes from outside.
        let text = escape_json(&without_credentials(&text)).into_owned() + "\n";
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], text).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_an_answer() {
        let problem = Problem::parameter("limit", "`limit` must be a whole number from 1 to 500, not \"x\"");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let response = Problem::unavailable("It is not there yet.", 2).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
