//! The endpoint for monitoring: its metrics, its health and its status, clients that mean no good, and the alerts and dashboards about it.

mod deployed;
pub mod endpoint;
mod holdings;
mod hostile;
pub mod open_metrics;
pub mod table;
mod top;
mod traces;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use softstake::generate::Synthetic;
use softstake::monitor::families::FAMILIES;

use self::endpoint::Watched;
use self::table::{as_rows, check_families, documented_in};
use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::files::files_below;
use crate::common::process::until;
use crate::common::{Place, fail, succeed};

/// The seconds of an epoch.
const EPOCH: u32 = 100;

const DEPOSITS: (&str, &str) = ("topic", "exchange.deposits");

/// A bus with ATOM listed under a programme.
fn listed(programme: &Value) -> Place {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, EPOCH, programme)]);
    place
}

/// A bus with a listing and a deposit in epoch 0.
fn begun(programme: &Value) -> Place {
    let place = listed(programme);
    place.append("exchange.deposits", 0, [deposit("d1", 1_000, "ann", "ATOM", "10")]);
    place
}

/// A source record for each outcome, and their number.
fn source_records() -> (Vec<String>, usize) {
    let records = vec![
        deposit("d1", 1_000, "ann", "ATOM", "10"),
        deposit("d2", 2_000, "ben", "ATOM", "30"),
        // A copy, a posting before the anchor, one of an asset that is not listed, and a blank line.
        deposit("d2", 2_000, "ben", "ATOM", "30"),
        deposit("d3", -1_000, "ben", "ATOM", "30"),
        deposit("d4", 3_000, "ben", "SOL", "1"),
        String::new(),
        // Three dead letters.
        deposit("d5", 1_000, "ann", "ATOM", "0"),
        "{".into(),
        "[]".into(),
        deposit("d6", 4_000, "eve", "ATOM", "1"),
    ];
    let number = records.len();
    (records, number)
}

#[test]
fn counters_after_a_known_history_are_exact() {
    let place = listed(&pool());
    let (records, number) = source_records();
    place.append("exchange.deposits", 0, records);
    let watched = Watched::start(&place, &["--partitions", "2"]);
    let applied = [DEPOSITS, ("outcome", "applied")];
    watched.until_metric("softstake_source_records_total", &applied, 3.0);
    let early = json!({"asset": "ATOM", "epoch": 0, "reward_pool": "1"});
    let early = event("early", "softstake.epoch_close.v1", 5_000, &early);
    place.append(
        "softstake.control",
        0,
        [early, close("ATOM", 0, EPOCH, "4"), close("ATOM", 0, EPOCH, "4")],
    );
    watched.until_metric("softstake_seals_total", &[], 1.0);
    place.append("exchange.deposits", 0, [deposit("late", 6_000, "ann", "ATOM", "5")]);
    watched.until_metric("softstake_late_postings_total", &[DEPOSITS], 1.0);
    watched.until_metric("softstake_control_records_total", &[("outcome", "duplicate")], 1.0);
    watched.until_metric("softstake_accrued_postings_total", &[], 4.0);
    watched.until_metric("softstake_input_lag_records", &[DEPOSITS, ("partition", "0")], 0.0);

    let metrics = watched.metrics();
    let get =
        |name: &str, labels: &[(&str, &str)]| metrics.get(name, labels).unwrap_or_else(|| panic!("{name} {labels:?}"));
    let outcomes = [("applied", 4.0), ("duplicate", 1.0), ("ignored", 2.0), ("blank", 1.0)];
    let mut all = 0.0;
    for (outcome, expected) in outcomes.into_iter().chain([("dead_letter", 3.0)]) {
        let value = get("softstake_source_records_total", &[DEPOSITS, ("outcome", outcome)]);
        assert_eq!(value, expected, "{outcome}");
        all += value;
    }
    assert_eq!(all, (number + 1) as f64, "every record has one outcome");
    for (outcome, expected) in [("applied", 4.0), ("unlisted", 1.0), ("before_anchor", 1.0)] {
        assert_eq!(
            get("softstake_postings_total", &[DEPOSITS, ("outcome", outcome)]),
            expected
        );
    }
    let control = ("topic", "softstake.control");
    for (topic, code, expected) in [
        (DEPOSITS, "invalid_json", 1.0),
        (DEPOSITS, "invalid_amount", 1.0),
        (DEPOSITS, "invalid_event", 1.0),
        (DEPOSITS, "too_old", 0.0),
        (control, "epoch_not_over", 1.0),
        (("topic", "exchange.trades"), "invalid_json", 0.0),
    ] {
        let value = get("softstake_dead_letters_total", &[topic, ("code", code)]);
        assert_eq!(value, expected, "{topic:?} {code}");
    }
    for (outcome, expected) in [("accepted", 2.0), ("dead_letter", 1.0)] {
        assert_eq!(
            get("softstake_control_records_total", &[("outcome", outcome)]),
            expected
        );
    }
    assert_eq!(get("softstake_distributions_total", &[]), 3.0);
    assert_eq!(get("softstake_epoch_length_seconds", &[("asset", "ATOM")]), 100.0);
    for (kind, tasks) in [("ingest", 1.0), ("accrue", 2.0), ("coordinate", 1.0), ("sequence", 1.0)] {
        assert_eq!(get("softstake_tasks", &[("task", kind), ("state", "working")]), tasks);
    }
    for name in ["softstake_batch_seconds_count", "softstake_transaction_seconds_count"] {
        assert!(get(name, &[("task", "ingest")]) >= 2.0, "{name}");
    }
    check_totals(&watched);
    assert_eq!(watched.process.stop(), Some(0));
    // What a restart reads again is not counted again.
    fs::remove_dir_all(place.state()).expect("the stores");
    let again = Watched::start(&place, &[]);
    again.until_ready();
    assert_eq!(again.metric("softstake_source_records_total", &applied), Some(0.0));
    assert_eq!(
        again.metric("softstake_dead_letters_total", &[DEPOSITS, ("code", "invalid_json")]),
        Some(0.0)
    );
    check_totals(&again);
}

/// The totals of [`counters_after_a_known_history_are_exact`], and where its tasks are.
fn check_totals(watched: &Watched) {
    until("the totals are there", || {
        let (_, status) = watched.json("/status");
        let is_sealed = status["coordinator"]["seals"][0]["epoch"] == 0;
        status["totals"]["applied"] == 4 && status["totals"]["control_accepted"] == 2 && is_sealed
    });
    let (code, status) = watched.json("/status");
    assert_eq!(code, 200);
    let totals = &status["totals"];
    assert_eq!(
        totals["dead_letters"],
        json!({"invalid_json": 1, "invalid_amount": 1, "invalid_event": 1, "epoch_not_over": 1})
    );
    assert_eq!(
        (&totals["late_postings"], &totals["duplicates"]),
        (&json!(1), &json!(1))
    );
    let partitions = status["partitions"].as_array().expect("partitions");
    let deposits = partitions.iter().find(|one| one["topic"] == "exchange.deposits");
    assert_eq!(deposits.expect("deposits")["offset"], 11);
    let seal = &status["coordinator"]["seals"][0];
    assert_eq!((&seal["asset"], &seal["epoch"]), (&json!("ATOM"), &json!(0)));
    assert_eq!(seal["epoch_end"], "2026-11-01T00:01:40.000Z");
    assert_eq!((&status["ready"], &status["troubles"]), (&json!(true), &json!([])));
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_recovering_process_is_not_ready_and_says_why() {
    let place = Place::new();
    place.bring_all(&Synthetic {
        events: 150_000,
        accounts: 1_000,
        assets: 3,
        epochs: 2,
        ..Synthetic::default()
    });
    place.run(Some(2));
    fs::remove_dir_all(place.state()).expect("the stores");
    let watched = Watched::start(&place, &["--threads", "1"]);
    let mut reasons = BTreeSet::new();
    until("it is ready", || {
        let (code, ready) = watched.json("/readyz");
        assert_eq!(ready["ready"], code == 200);
        let why = ready["reasons"].as_array().expect("reasons");
        assert_eq!(why.is_empty(), code == 200, "{ready}");
        reasons.extend(why.iter().map(|why| why.as_str().expect("a sentence").to_owned()));
        code == 200
    });
    let recovers = |why: &String| why.contains(" is recovering: ") && why.contains(" is read to offset ");
    assert!(reasons.iter().any(recovers), "{reasons:?}");
    assert_eq!(watched.json("/livez"), (200, json!({"live": true})));
    assert_eq!(watched.metric("softstake_ready", &[]), Some(1.0));
    assert_eq!(watched.process.stop(), Some(0));
}

/// The folder of the snapshots of a source topic's store.
pub fn folder_of(snapshots: &Path, topic: &str) -> PathBuf {
    let manifest = files_below(snapshots).into_iter().find(|path| {
        let parent = path.parent().expect("a folder");
        parent.ends_with("snapshots") && parent.to_string_lossy().contains(topic)
    });
    manifest.expect("a snapshot").parent().expect("its folder").to_owned()
}

/// A run in which a store is lost whose snapshots cannot be read. So its task restarts again and again, and a close waits for it.
pub fn troubled(store: &str) -> (Place, Watched) {
    let place = begun(&pool());
    let snapshots = place.bus().with_file_name("places");
    let flags = ["--snapshots-place", snapshots.to_str().expect("a path")];
    succeed(place.command(Some(2)).args(flags));
    fs::remove_dir_all(place.state().join(store)).expect("its store");
    let kept = folder_of(&snapshots, store);
    fs::rename(&kept, kept.with_file_name("aside")).expect("moved");
    std::os::unix::fs::symlink("snapshots", &kept).expect("a link to itself");
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "1")]);
    let watched = Watched::start(&place, &flags);
    until("the task restarts and the close waits", || {
        let (_, status) = watched.json("/status");
        let mut partitions = status["partitions"].as_array().expect("partitions").iter();
        let is_lag_known = partitions.any(|one| one["lag_records"] == 0);
        is_lag_known && status["troubles"][0].is_string() && status["coordinator"]["epochs"][0].is_object()
    });
    (place, watched)
}

/// The store of a source partition is lost, and its snapshots cannot be read: its task restarts again and again, and a close waits for it.
#[test]
fn a_task_that_restarts_and_the_close_that_waits_for_it_are_seen() {
    let place = begun(&pool());
    let snapshots = place.bus().with_file_name("places");
    let flags = ["--snapshots-place", snapshots.to_str().expect("a path")];
    succeed(place.command(Some(2)).args(flags));
    fs::remove_dir_all(place.state().join("ingest/exchange.deposits/0")).expect("its store");
    let kept = folder_of(&snapshots, "exchange.deposits");
    let aside = kept.with_file_name("aside");
    fs::rename(&kept, &aside).expect("moved");
    std::os::unix::fs::symlink("snapshots", &kept).expect("a link to itself");
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "1")]);
    let watched = Watched::start(&place, &flags);
    let waits = [("asset", "ATOM"), ("waits_for", "answers")];
    watched.until_metric("softstake_epochs_under_way", &waits, 1.0);
    let restarting = [("task", "ingest"), ("state", "restarting")];
    watched.until_metric("softstake_tasks", &restarting, 1.0);
    until("it has waited for a while", || {
        watched.metric("softstake_longest_wait_seconds", &[]) > Some(0.5)
    });
    assert!(watched.metric("softstake_task_restarts_total", &[("reason", "snapshot")]) >= Some(1.0));
    let (code, ready) = watched.json("/readyz");
    let why = ready["reasons"][0].as_str().expect("a reason");
    assert!(
        code == 503 && why.starts_with("ingest exchange.deposits:0 restarts again and again: "),
        "{ready}"
    );
    assert_eq!(watched.json("/livez").0, 200);
    let (_, status) = watched.json("/status");
    assert_eq!(status["troubles"][0], why);
    let epoch = &status["coordinator"]["epochs"][0];
    assert_eq!(
        (&epoch["asset"], &epoch["epoch"], &epoch["waits_for"]),
        (&json!("ATOM"), &json!(0), &json!("answers"))
    );
    assert_eq!(epoch["missing"], "the answers of exchange.deposits:0");
    let missing = json!([{"topic": "exchange.deposits", "partition": 0}]);
    assert_eq!((&epoch["missing_partitions"], &epoch["cut"]), (&missing, &Value::Null));
    // What kept it away is mended.
    fs::remove_file(&kept).expect("the link");
    fs::rename(&aside, &kept).expect("moved back");
    watched.until_metric("softstake_seals_total", &[], 1.0);
    watched.until_ready();
    assert_eq!(watched.metric("softstake_epochs_under_way", &waits), None);
    assert_eq!(watched.metric("softstake_tasks", &restarting), Some(0.0));
    assert!(watched.metric("softstake_snapshot_age_seconds", &[]).is_some());
    assert_eq!(watched.metric("softstake_snapshot_interval_seconds", &[]), Some(600.0));
    assert_eq!(watched.process.stop(), Some(0));
}

#[test]
fn a_held_epoch_is_seen_until_it_is_released() {
    let place = begun(&json!({"from_epoch": 0, "mode": "pool", "gate": "always"}));
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "1")]);
    let watched = Watched::start(&place, &[]);
    let held = [("asset", "ATOM"), ("state", "held")];
    watched.until_metric("softstake_held_epochs", &held, 1.0);
    let (code, status) = watched.json("/status");
    let expected = json!([{"asset": "ATOM", "epoch": 0, "state": "held"}]);
    assert_eq!((code, &status["coordinator"]["held"]), (200, &expected));
    let data = json!({"asset": "ATOM", "epoch": 0, "by": "treasury", "reason": "checked"});
    let release = event("release", "softstake.epoch_release.v1", 200_000, &data);
    let before = watched.metric("softstake_last_seal_age_seconds", &[("asset", "ATOM")]);
    place.append("softstake.control", 0, [release]);
    watched.until_metric("softstake_seals_total", &[], 1.0);
    until("it is held no more", || {
        watched.metric("softstake_held_epochs", &held).is_none()
    });
    until("the seal is in the status", || {
        watched.json("/status").1["coordinator"]["seals"][0]["epoch"] == 0
    });
    // The seal is of the end of epoch 0, which is 100 s after the anchor.
    let after = watched.metric("softstake_last_seal_age_seconds", &[("asset", "ATOM")]);
    let younger = before.expect("an age") - after.expect("an age");
    assert!((70.0..=100.0).contains(&younger), "{younger}");
    assert_eq!(watched.process.stop(), Some(0));
}

#[test]
fn an_address_that_cannot_be_used_is_an_error_of_the_configuration() {
    let place = begun(&pool());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let occupied = listener.local_addr().expect("its address").to_string();
    for (listen, expected) in [
        (
            occupied.as_str(),
            "another process listens on that port: name a free port",
        ),
        (
            "192.0.2.1:9464",
            "which is no address of this machine: name one that it has",
        ),
        ("localhost:9464", "must be IP:PORT, such as 127.0.0.1:9464"),
        ("127.0.0.1", "must be IP:PORT"),
        ("127.0.0.1:99999", "must be IP:PORT"),
        ("", "must be IP:PORT"),
    ] {
        let error = fail(place.command(None).args(["--monitor-listen", listen]), 2);
        assert!(error.contains("--monitor-listen: `monitor.listen` "), "{error}");
        assert!(error.contains(expected), "{listen}\n{error}");
        let error = fail(place.command(None).env("SOFTSTAKE_MONITOR__LISTEN", listen), 2);
        assert!(
            error.contains("SOFTSTAKE_MONITOR__LISTEN: `monitor.listen` "),
            "{error}"
        );
    }
    assert!(!place.state().exists(), "nothing was begun");
}

#[test]
fn the_table_of_metrics_is_what_the_endpoint_has() {
    assert_eq!(documented_in("docs/metrics.md"), as_rows(&FAMILIES));
    let place = begun(&pool());
    let watched = Watched::start(&place, &[]);
    watched.until_ready();
    check_families(&watched.metrics(), &FAMILIES);
}
