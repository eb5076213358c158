//! How many requests came, how they ended, and how long they took, by route.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::metrics::histogram::Histogram;

/// The upper bounds of the histogram's buckets, in seconds.
const BOUNDS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The route of requests to a path that there is not.
const NO_ROUTE: &str = "none";

/// The requests of a route.
#[derive(Debug, Clone)]
pub struct RouteFigures {
    /// By the class of the status, in the order of [`RouteFigures::CLASSES`].
    pub by_class: [u64; Self::CLASSES.len()],
    pub seconds: Histogram,
}

impl RouteFigures {
    pub const CLASSES: [&'static str; 4] = ["2xx", "3xx", "4xx", "5xx"];

    fn new() -> Self {
        Self {
            by_class: [0; Self::CLASSES.len()],
            seconds: Histogram::new(BOUNDS),
        }
    }

    fn note(&mut self, status: StatusCode, took: Duration) {
        // Nothing here answers with 1xx.
        let class = usize::from(status.as_u16() / 100).saturating_sub(2);
        if let Some(count) = self.by_class.get_mut(class) {
            *count = count.saturating_add(1);
        }
        self.seconds.observe(took.as_secs_f64());
    }
}

/// The requests that were answered. A route is a template, such as `/v1/assets/{asset}`, so their number is that of the paths of this program.
#[derive(Debug, Default)]
pub struct RequestCounts(Mutex<BTreeMap<String, RouteFigures>>);

impl RequestCounts {
    /// The figures of each route that was asked for.
    #[must_use]
    pub fn by_route(&self) -> BTreeMap<String, RouteFigures> {
        self.routes().clone()
    }

    fn note(&self, route: &str, status: StatusCode, took: Duration) {
        let mut routes = self.routes();
        match routes.get_mut(route) {
            Some(figures) => figures.note(status, took),
            None => routes
                .entry(route.to_owned())
                .or_insert_with(RouteFigures::new)
                .note(status, took),
        }
    }

    fn routes(&self) -> MutexGuard<'_, BTreeMap<String, RouteFigures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes a request when it is answered.
pub(super) async fn count(State(counts): State<Arc<RequestCounts>>, request: Request, next: Next) -> Response {
    let (began, route) = (Instant::now(), request.extensions().get::<MatchedPath>().cloned());
    let response = next.run(request).await;
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    counts.note(route, response.status(), began.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_class() {
        let counts = RequestCounts::default();
        for status in [200, 206, 304, 404, 429, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            counts.note("/v1/assets/{asset}", status, Duration::from_millis(3));
        }
        counts.note(NO_ROUTE, StatusCode::NOT_FOUND, Duration::ZERO);
        let routes = counts.by_route();
        assert_eq!(routes["/v1/assets/{asset}"].by_class, [2, 1, 2, 1]);
        assert_eq!(routes[NO_ROUTE].by_class, [0, 0, 1, 0]);
    }
}
