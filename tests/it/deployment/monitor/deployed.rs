//! Files that are deployed beside the program: alerts, dashboards and the chart name only metrics that the endpoint has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::table::documented_in;
use crate::common::files::files_below;

const RULES: &str = "deploy/prometheus/rules.yml";
const RUNBOOKS: &str = "docs/alerts.md";

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text_of(path: &str) -> String {
    fs::read_to_string(in_repository(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// The names of all samples, by the tables of `docs/metrics.md` and, for the read side, of `docs/serve.md`.
fn samples() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for [name, kind, ..] in ["docs/metrics.md", "docs/serve.md"].into_iter().flat_map(documented_in) {
        let name = name.trim_matches('`').to_owned();
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")));
        } else {
            names.insert(name);
        }
    }
    names
}

/// The metrics of Softstake that a text names.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("softstake_")).collect()
}

#[test]
fn alerts_dashboards_and_the_chart_name_metrics_that_exist() {
    let samples = samples();
    let mut files = vec![in_repository(RUNBOOKS)];
    for folder in ["deploy/prometheus", "deploy/grafana", "deploy/helm"] {
        let below = files_below(&in_repository(folder));
        assert!(!below.is_empty(), "{folder} has no file");
        files.extend(below);
    }
    let (mut known, mut unknown) = (BTreeSet::new(), Vec::new());
    for path in files {
        let text = fs::read_to_string(&path).expect("a text file");
        for name in metrics_in(&text) {
            if samples.contains(name) {
                known.insert(name.to_owned());
            } else {
                unknown.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(unknown.is_empty(), "no such metrics:\n{}", unknown.join("\n"));
    assert!(known.len() > 30, "{known:?}");
}

/// What follows a key in the lines of a text.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines()
        .filter_map(|line| line.trim_start().strip_prefix(key))
        .collect()
}

#[test]
fn each_alert_has_a_runbook() {
    let (rules, runbooks) = (text_of(RULES), text_of(RUNBOOKS));
    let alerts = values(&rules, "- alert: ");
    assert!(alerts.len() > 30, "{alerts:?}");
    let urls = values(&rules, "runbook_url: ");
    let expected: Vec<String> = alerts
        .iter()
        .map(|alert| format!("{RUNBOOKS}#{}", alert.to_ascii_lowercase()))
        .collect();
    assert_eq!(urls, expected, "each alert links to the section with its name");
    let mut sections = values(&runbooks, "## Softstake");
    let mut named: Vec<&str> = alerts
        .iter()
        .filter_map(|alert| alert.strip_prefix("Softstake"))
        .collect();
    sections.sort_unstable();
    named.sort_unstable();
    assert_eq!(sections, named, "each alert has a section, and each section an alert");
}

#[test]
fn the_chart_has_the_same_alerts() {
    let copy = "deploy/helm/softstake/files/rules.yml";
    assert!(text_of(copy) == text_of(RULES), "copy the rules: cp {RULES} {copy}");
}
