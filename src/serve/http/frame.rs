//! The frame around all paths.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use crate::listener::ClientAddress;
use crate::serve::answer::Problem;
use crate::serve::auth::{AccessCheck, AskedFrom};
use crate::serve::http::entity_tag::{know_plain, tag_compressed};
use crate::serve::http::guard::Guard;
use crate::serve::http::hardening::harden;
use crate::serve::http::requests::{RequestCounts, count};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What the frame must know.
#[derive(Debug, Clone)]
pub struct Frame {
    pub access: Arc<AccessCheck>,
    pub requests: Arc<RequestCounts>,
    /// Whether this process listens on an address of this machine alone.
    pub is_local: bool,
    pub is_behind_proxy: bool,
    /// Whether clients use TLS, to this process or to its proxy.
    pub is_encrypted: bool,
}

impl Frame {
    fn guard(&self) -> Guard {
        Guard {
            is_local: self.is_local,
            is_open: !self.access.asks_for_tokens(),
            is_behind_proxy: self.is_behind_proxy,
        }
    }
}

/// Joins the paths. Those of `guarded` are for callers who are known; a handler takes a [`Caller`](crate::serve::auth::Caller). Those of `open` are
/// for everybody: pages, which hold no data, and probes.
pub fn framed(frame: &Frame, guarded: Router, open: Router) -> Router {
    let guarded = guarded.route_layer(from_fn_with_state(frame.clone(), identify));
    guarded
        .merge(open)
        .fallback(nowhere)
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn_with_state(frame.clone(), pass))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(frame.is_encrypted, finish))
        .layer(from_fn_with_state(Arc::clone(&frame.requests), count))
}

async fn nowhere() -> Problem {
    Problem::not_found("There is no such path. /v1/openapi.json describes those of the API.")
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal("its handler panicked").into_response()
}

async fn pass(State(frame): State<Frame>, request: Request, next: Next) -> Response {
    if let Err(problem) = frame.guard().check(&request) {
        return problem.into_response();
    }
    match tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("The answer took too long; ask for less, or later.", 10).into_response(),
    }
}

async fn finish(State(is_encrypted): State<bool>, mut request: Request, next: Next) -> Response {
    know_plain(request.headers_mut());
    let mut response = next.run(request).await;
    tag_compressed(response.headers_mut());
    harden(response.headers_mut(), is_encrypted);
    response
}

async fn identify(State(frame): State<Frame>, mut request: Request, next: Next) -> Response {
    let Some(ClientAddress(peer)) = request.extensions().get().copied() else {
        return Problem::internal("the address of the client is not known").into_response();
    };
    let route = request.extensions().get::<MatchedPath>();
    let asked = AskedFrom {
        address: frame.guard().address(request.headers(), peer).to_string(),
        route: route.map(|route| route.as_str().to_owned()).unwrap_or_default(),
    };
    match frame.access.identify(request.headers(), asked).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}
