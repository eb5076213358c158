//! Health and metrics. They hold no data of accounts, so they need no token.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::metrics::OPEN_METRICS;
use crate::serve::answer::Problem;
use crate::serve::metrics::ObservedServe;

type Process = State<Arc<ObservedServe>>;

/// `/livez`, `/readyz` and `/metrics`.
pub fn routes(process: ObservedServe) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(process))
}

async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "live": true }))
}

async fn ready(State(process): Process) -> Response {
    let progress = process.view.progress();
    let (code, why) = match process.not_ready(&progress) {
        None => (StatusCode::OK, "it is close to the ends of the bus"),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let body = json!({ "ready": code == StatusCode::OK, "why": why, "behind_records": progress.behind() });
    answer(code, &body)
}

async fn metrics(State(process): Process) -> Response {
    match process.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        // Writing to memory does not fail, so a family and its samples disagree.
        Err(error) => Problem::internal(&format!("the metrics cannot be written: {error}")).into_response(),
    }
}

fn answer(code: StatusCode, body: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (code, kind, format!("{body}\n")).into_response()
}
