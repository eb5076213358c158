//! The paths of the endpoint.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;

use crate::core::values::credentials::without_credentials;
use crate::core::values::printable::escape_json;
use crate::metrics::OPEN_METRICS;
use crate::monitor::health::readiness;
use crate::monitor::holdings::holdings;
use crate::monitor::metrics;
use crate::monitor::monitored::Monitored;
use crate::monitor::status::status;

const JSON: &str = "application/json";

type Process = State<Arc<Monitored>>;

/// The paths of the endpoint. Each other path is status 404, and each method but GET and HEAD is status 405.
pub(super) fn routes(process: Arc<Monitored>) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/status", get(show_status))
        .route("/holdings", get(holdings))
        .fallback(nowhere)
        .with_state(process)
}

async fn scrape(State(process): Process) -> Response {
    match metrics::text(&process) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        // Writing to memory does not fail, so a family and its samples disagree.
        Err(error) => answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "error": format!("the metrics cannot be written: {error}") }),
        ),
    }
}

/// The process lives if it answers. Tasks that are held up by a broker or a disk do not work better after a restart.
async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "live": true }))
}

async fn ready(State(process): Process) -> Response {
    let readiness = readiness(&process);
    let code = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    answer(code, &readiness)
}

async fn show_status(State(process): Process) -> Response {
    answer(StatusCode::OK, &status(&process))
}

async fn nowhere() -> Response {
    let error = "there is no such path; there are /metrics, /livez, /readyz, /status and, with a token, /holdings";
    answer(StatusCode::NOT_FOUND, &json!({ "error": error }))
}

/// Error texts may quote what comes from outside, so they are escaped like everything that people read.
fn answer(code: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => {
            let text = escape_json(&without_credentials(&text)).into_owned() + "\n";
            (code, [(header::CONTENT_TYPE, JSON)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
