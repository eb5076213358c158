//! The metrics of a process that serves: the table in `docs/serve.md`, and what known requests leave.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use softstake::metrics::BUILD;
use softstake::serve::metrics::SERVE_FAMILIES;

use super::access::flags;
use super::outages::{credit, paid};
use super::served::{Desk, Served};
use super::starting::issuer;
use crate::common::process::until;
use crate::deployment::monitor::open_metrics::Scrape;
use crate::deployment::monitor::table::{as_rows, check_families, documented_in};

impl Served {
    /// The metrics, which must be valid.
    fn metrics(&self) -> Scrape {
        let reply = self.read("/metrics");
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
        );
        Scrape::read(&reply.body).unwrap_or_else(|what| panic!("{what}\n{}", reply.body))
    }

    /// The value of a sample that is there.
    #[track_caller]
    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let value = self.metrics().get(name, labels);
        value.unwrap_or_else(|| panic!("{name} {labels:?}"))
    }
}

#[test]
fn the_table_of_the_read_side_is_what_its_endpoint_has() {
    assert_eq!(documented_in("docs/serve.md"), as_rows(&SERVE_FAMILIES));
    let (place, desk) = (paid(), Desk::new());
    credit(&place, 0);
    let set = desk.key_set("first").to_string();
    let (address, _) = issuer(move || set.clone());
    let audit = desk.path("reads.jsonl").display().to_string();
    let more = [
        "--token-jwks-url",
        &address,
        "--audit-log",
        &audit,
        "--executions",
        "payout.executions",
    ];
    let served = Served::start(&place, &flags(&more));
    until("it is ready", || served.read("/readyz").status == 200);
    until("the disk was looked at", || {
        served.metrics().get("softstake_view_size_bytes", &[]) > Some(0.0)
    });
    let metrics = served.metrics();
    check_families(&metrics, &SERVE_FAMILIES);
    // With all that can be set, each family has a sample.
    for family in &metrics.families {
        assert!(!family.samples.is_empty(), "{}", family.name);
    }
    let get = |name: &str| metrics.get(name, &[]).unwrap_or_else(|| panic!("{name}"));
    let labels = [("version", env!("CARGO_PKG_VERSION"))];
    let build = metrics
        .families
        .iter()
        .find(|family| family.name == BUILD.name)
        .expect("it");
    assert_eq!(build.samples[0].labels[labels[0].0], labels[0].1);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        .as_secs_f64();
    let age = now - get("softstake_process_start_time_seconds");
    assert!((0.0..120.0).contains(&age), "{age}");
    assert!(get("softstake_process_resident_bytes") > 1e6);
    assert!((5.0..get("softstake_process_max_open_files")).contains(&get("softstake_process_open_files")));
    assert!(get("softstake_view_disk_free_bytes") > get("softstake_view_size_bytes"));
    for age in ["look", "executions"] {
        assert!(get(&format!("softstake_view_{age}_age_seconds")) < 60.0, "{age}");
    }
    for (topic, records) in [("distributions", 1.0), ("epochs", 1.0)] {
        let topic = format!("softstake.{topic}");
        let value = metrics.get("softstake_view_records_total", &[("topic", &topic)]);
        assert_eq!(value, Some(records), "{topic}");
    }
    assert!(get("softstake_serve_keys_age_seconds") < 60.0);
    assert_eq!(
        served.metric("softstake_serve_key_fetches_total", &[("outcome", "fetched")]),
        1.0
    );
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn requests_refusals_and_the_audit_log_are_counted() {
    let (place, desk) = (paid(), Desk::new());
    let limits = flags(&["--requests-per-minute", "4", "--refusals-per-minute", "4"]);
    let served = Served::start(&place, &[desk.flags(), limits].concat());
    let support = desk.role("support");
    let account = "/v1/accounts/ann/distributions";
    for _ in 0..2 {
        assert_eq!(served.get(account, &support).status, 200);
    }
    served.get("/v1/finance", &support).problem(403);
    served.get("/v1/assets/NONE", &support).problem(404);
    served.get(account, &support).problem(429);
    served.ask("GET", account, &[]).problem(401);
    served.get(account, "a.b.c").problem(401);
    served.get(account, &desk.token(&json!({ "exp": 5 }))).problem(401);
    served.get(account, &desk.token_of("second", &json!({}))).problem(401);
    served.get(account, &support).problem(429);
    served.ask("GET", "/v1/nothing/ann", &[]).problem(404);
    let of_route = |route: &str, status: &str| {
        served.metric(
            "softstake_serve_requests_total",
            &[("route", route), ("status", status)],
        )
    };
    let template = "/v1/accounts/{account}/distributions";
    for (route, status, requests) in [
        (template, "2xx", 2.0),
        (template, "4xx", 6.0),
        (template, "5xx", 0.0),
        ("/v1/finance", "4xx", 1.0),
        ("/v1/assets/{asset}", "4xx", 1.0),
        ("none", "4xx", 1.0),
    ] {
        assert_eq!(of_route(route, status), requests, "{route} {status}");
    }
    let observed = served.metric("softstake_serve_request_seconds_count", &[("route", template)]);
    assert_eq!(observed, 8.0);
    for (reason, refused) in [
        ("missing", 1.0),
        ("malformed", 1.0),
        ("ended", 1.0),
        ("unknown_key", 1.0),
        ("issuer", 0.0),
    ] {
        let value = served.metric("softstake_serve_refused_tokens_total", &[("reason", reason)]);
        assert_eq!(value, refused, "{reason}");
    }
    for (limit, refused) in [("subject", 1.0), ("address", 1.0), ("reads", 0.0)] {
        let value = served.metric("softstake_serve_limited_requests_total", &[("limit", limit)]);
        assert_eq!(value, refused, "{limit}");
    }
    for (outcome, lines) in [("written", 2.0), ("failed", 0.0)] {
        let value = served.metric("softstake_serve_audit_lines_total", &[("outcome", outcome)]);
        assert_eq!(value, lines, "{outcome}");
    }
    // Nothing of a request becomes a label, but its route.
    let text = served.read("/metrics").body;
    assert!(
        !text.contains("ann/") && !text.contains("NONE") && !text.contains("nothing"),
        "{text}"
    );
    assert_eq!(served.process.stop(), Some(0));
}
