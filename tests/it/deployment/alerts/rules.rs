//! The rules that Prometheus gets in the tests: the committed ones, in which the times are short.

use std::collections::BTreeSet;
use std::fs;

/// What is replaced: times only. Numbers of records, bytes, files and epochs stay.
const SHORTER: [(&str, &str); 26] = [
    ("interval: 30s", "interval: 1s"),
    // How long a state lasts before its alert fires. What takes ten minutes is longer than any start or takeover of the tests.
    ("for: 1m\n", "for: 1s\n"),
    ("for: 3m\n", "for: 8s\n"),
    ("for: 5m\n", "for: 3s\n"),
    ("for: 10m\n", "for: 15s\n"),
    ("for: 15m\n", "for: 16s\n"),
    ("for: 30m\n", "for: 16s\n"),
    ("for: 1h\n", "for: 6s\n"),
    ("for: 6h\n", "for: 6s\n"),
    // How far back a rule looks.
    ("_seconds_bucket[10m]", "_seconds_bucket[30s]"),
    ("[5m]", "[10s]"),
    ("[10m]", "[10s]"),
    ("[30m]", "[60s]"),
    ("[1h]", "[60s]"),
    ("[2h]", "[10s]"),
    ("[6h]", "[30s]"),
    ("[1d] offset 1h", "[120s] offset 60s"),
    ("offset 10m", "offset 5s"),
    // How far ahead a rule looks.
    ("24 * 3600", "240"),
    // Thresholds.
    (
        "(softstake_event_time_delay_seconds) > 900",
        "(softstake_event_time_delay_seconds) > 9",
    ),
    ("softstake_lag_age_seconds > 30", "softstake_lag_age_seconds > 10"),
    (
        "(softstake_longest_wait_seconds) > 300",
        "(softstake_longest_wait_seconds) > 3",
    ),
    (
        "softstake_snapshot_age_seconds > 3 * softstake_snapshot_interval_seconds",
        "softstake_snapshot_age_seconds > 18 * softstake_snapshot_interval_seconds",
    ),
    (
        "softstake_serve_keys_age_seconds > 3600",
        "softstake_serve_keys_age_seconds > 10",
    ),
    (
        "softstake_view_executions_age_seconds > 900",
        "softstake_view_executions_age_seconds > 10",
    ),
    (
        "softstake:persist_seconds:p99_10m > 5",
        "softstake:persist_seconds:p99_10m > 1",
    ),
];

/// The committed rules.
pub fn committed() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yml");
    fs::read_to_string(path).expect("the rules")
}

/// The names of the alerts.
pub fn alerts(rules: &str) -> BTreeSet<String> {
    let names = rules
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// The committed rules with short times, which are so many times as long on a busy machine.
pub fn shortened(times: u32) -> String {
    let mut rules = committed();
    for (long, short) in SHORTER {
        assert!(rules.contains(long), "no rule has {long:?} any more: correct the table");
        rules = rules.replace(long, short);
    }
    let left = times_in(&rules, &['m', 'h', 'd']);
    assert!(left.is_empty(), "the table does not shorten {left:?}");
    let short: BTreeSet<String> = times_in(&rules, &['s']).into_iter().map(str::to_owned).collect();
    // In another unit, so that nothing is replaced twice.
    for time in &short {
        let (start, seconds) = time.split_at(time.find(|c: char| c.is_ascii_digit()).expect("a number"));
        let seconds: u32 = seconds.trim_end_matches('s').parse().expect("a number");
        rules = rules.replace(time, &format!("{start}{}000ms", seconds * times));
    }
    rules
}

/// The times that a rule waits or looks back, in these units.
fn times_in<'a>(rules: &'a str, units: &[char]) -> Vec<&'a str> {
    let before = ["for: ", "offset ", "interval: ", "["];
    let mut found = Vec::new();
    for start in before {
        for (at, _) in rules.match_indices(start) {
            let time = &rules[at + start.len()..];
            let digits = time.bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 && time[digits..].starts_with(units) {
                found.push(&rules[at..at + start.len() + digits + 1]);
            }
        }
    }
    found
}

#[test]
fn a_long_time_is_found() {
    let rules = "for: 5m\nfor: 5s\na[1d] offset 1h\np99_10m\ninterval: 30s [5x]";
    assert_eq!(times_in(rules, &['m', 'h', 'd']), ["for: 5m", "offset 1h", "[1d"]);
    assert_eq!(times_in(rules, &['s']), ["for: 5s", "interval: 30s"]);
}
