//! Health and metrics. They hold no data of accounts, so they need no token.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::serve::view::{View, ViewProgress};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A view that is further behind is not ready.
const READY_WITHIN: u64 = 10_000;

/// A view that has not seen the ends for longer is not ready: what it says of them is old.
const LOOKED_WITHIN: Duration = Duration::from_secs(60);

/// `/livez`, `/readyz` and `/metrics`.
pub fn routes(view: Arc<View>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(view)
}

async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "live": true }))
}

async fn ready(State(view): State<Arc<View>>) -> Response {
    let progress = view.progress();
    let ready = is_ready(&progress);
    let why = match progress.looked_ago {
        None => "it has not reached the bus yet",
        Some(ago) if ago > LOOKED_WITHIN => "the bus has not been reached for a minute",
        Some(_) if ready => "it is close to the ends of the bus",
        Some(_) => "it catches up with the bus",
    };
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": ready, "why": why, "behind_records": progress.behind() });
    answer(code, &body)
}

/// Whether it has looked at the ends lately, and is close to them.
fn is_ready(progress: &ViewProgress) -> bool {
    progress.looked_ago.is_some_and(|ago| ago <= LOOKED_WITHIN) && progress.behind() <= READY_WITHIN
}

async fn metrics(State(view): State<Arc<View>>) -> Response {
    let progress = view.progress();
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: Vec<(String, u64)>| {
        text.push_str(&format!("# TYPE {name} gauge\n# HELP {name} {help}\n"));
        for (labels, value) in samples {
            text.push_str(&format!("{name}{labels} {value}\n"));
        }
    };
    let one = |value| vec![(String::new(), value)];
    family(
        "softstake_view_ready",
        "Whether /readyz says that the view is ready: 1 or 0.",
        one(u64::from(is_ready(&progress))),
    );
    let lags = progress.partitions.iter().map(|one| {
        let partition = one.partition;
        let labels = format!(
            "{{topic=\"{}\",partition=\"{}\"}}",
            partition.topic, partition.partition
        );
        (labels, one.end.get().saturating_sub(one.offset.get()))
    });
    family(
        "softstake_view_lag_records",
        "Records of a published partition that the view has not read.",
        lags.collect(),
    );
    family(
        "softstake_view_unreadable_records",
        "Records of the published topics that no Softstake wrote. The view leaves them out.",
        one(view.unreadable()),
    );
    text.push_str("# EOF\n");
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}

fn answer(code: StatusCode, body: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (code, kind, format!("{body}\n")).into_response()
}
