//! The report as one page without external files.

use std::io::Write;
use std::path::Path;

use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Environment, Value, escape_formatter};
use serde::Serialize;

use crate::audit::reconcile::report::RecordDifference;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::private::create_result;
use crate::cli::reconcile::chart::{AssetSection, sections};
use crate::cli::reconcile::findings::Findings;
use crate::cli::reconcile::show::{COLUMNS, cells};
use crate::cli::table::{count, counted};
use crate::core::values::printable::escape_for_terminal;

const PAGE: &str = include_str!("report.html");
/// How many differences the page shows.
const SHOWN: usize = 1_000;

#[derive(Serialize)]
struct TopicRow {
    name: &'static str,
    cells: [String; 8],
    clean: bool,
}

/// A recorded decision, and the one to which the log leads.
#[derive(Serialize)]
struct DecisionPair {
    number: usize,
    recorded: String,
    replayed: String,
}

#[derive(Serialize)]
struct Page<'a> {
    bus: &'a str,
    made_at: String,
    /// The epochs that were asked for and are not there.
    missing: Vec<String>,
    verdict: String,
    clean: bool,
    records: String,
    decisions: String,
    not_taken_in: Option<String>,
    later: Option<String>,
    alarms: &'a [String],
    deviation: Option<DecisionPair>,
    more: Option<String>,
    columns: [&'static str; 8],
    topics: Vec<TopicRow>,
    assets: Vec<AssetSection>,
    differences: &'a [RecordDifference],
    version: &'static str,
}

/// Writes the page to `path`.
pub(super) fn write(findings: &Findings, made_at: Timestamp, path: &Path) -> Outcome {
    let page = render(findings, made_at);
    let page = page.map_err(|error| Failure::Failed(format!("cannot write the report: {error:#}")))?;
    let written = create_result(path).and_then(|mut file| file.write_all(page.as_bytes()));
    written.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))
}

fn render(findings: &Findings, made_at: Timestamp) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The suffix of the name makes minijinja escape values for HTML. Before, characters go that a page would hide or turn around.
    environment.set_formatter(|out, state, value| match value.as_str() {
        Some(text) => escape_formatter(out, state, &Value::from(escape_for_terminal(text))),
        None => escape_formatter(out, state, value),
    });
    environment.add_template("report.html", PAGE)?;
    let topics: Vec<_> = findings
        .topics()
        .into_iter()
        .map(|(name, counts)| TopicRow {
            name,
            cells: cells(&counts),
            clean: counts.is_clean(),
        })
        .collect();
    let report = &findings.report;
    let shown = &report.differences[..report.differences.len().min(SHOWN)];
    let more = (report.differences.len() - shown.len()) as u64 + report.more_differences;
    let some = |number: u64, one: &str, many: &str| (number > 0).then(|| counted(number, one, many));
    let page = Page {
        bus: &findings.bus,
        made_at: made_at.strftime("%F at %H:%M UTC").to_string(),
        missing: findings.missing.iter().map(ToString::to_string).collect(),
        verdict: findings.verdict(),
        clean: findings.is_equal(),
        records: counted(findings.records, "source record", "source records"),
        decisions: counted(findings.decisions as u64, "decision", "decisions"),
        not_taken_in: some(findings.not_taken_in, "record is", "records are"),
        later: some(report.later, "record was", "records were"),
        alarms: &findings.alarms,
        deviation: findings.deviation.as_ref().map(|deviation| DecisionPair {
            number: deviation.number,
            recorded: serde_json::to_string(&deviation.recorded).unwrap_or_default(),
            replayed: serde_json::to_string(&deviation.replayed).unwrap_or_default(),
        }),
        more: (more > 0).then(|| format!("{} more", count(more))),
        columns: COLUMNS.map(|column| column.trim_start_matches('>')),
        topics,
        assets: sections(findings),
        differences: shown,
        version: env!("CARGO_PKG_VERSION"),
    };
    environment.get_template("report.html")?.render(Serde(&page))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::reconcile::report::{DifferenceKind, ReconcileReport, RecordGroup, SealComparison};
    use crate::bus::Topic;

    /// The findings on an asset with this many hourly epochs, of which these are not equal.
    fn findings(epochs: u32, unequal: &[u32]) -> Findings {
        let mut report = ReconcileReport::default();
        for epoch in 0..epochs {
            let of = format!("ATOM:{epoch}");
            let counts = report
                .groups
                .entry(RecordGroup {
                    topic: Topic::Epochs,
                    of,
                })
                .or_default();
            counts.equal = 1;
            if unequal.contains(&epoch) {
                counts.count(DifferenceKind::Different);
            }
            report.seals.push(SealComparison {
                asset: "ATOM".into(),
                reward_asset: "ATOM".into(),
                epoch: epoch.to_string().parse().unwrap(),
                epoch_end: "2026-11-02T01:00:00.000Z".into(),
                published: Some("1000000000000000000000000.5".into()),
                replayed: Some("1000000000000000000000000.5".into()),
                distributions: 1_000,
                root: Some(format!("{epoch:064x}")),
            });
        }
        Findings {
            bus: "dir:bus".into(),
            records: 1,
            not_taken_in: 0,
            decisions: 2,
            deviation: None,
            alarms: Vec::new(),
            missing: Vec::new(),
            report,
        }
    }

    fn page(epochs: u32, unequal: &[u32]) -> String {
        page_of(&findings(epochs, unequal))
    }

    fn page_of(findings: &Findings) -> String {
        let page = render(findings, Timestamp::from_second(1_764_172_800).unwrap()).unwrap();
        // Each table scrolls by itself, so a page is not wider than a phone.
        let tables = page.matches("<table").count();
        assert_eq!(page.matches("<div class=\"scroll\"><table").count(), tables, "{page}");
        assert!(
            page.contains("Made on 2025-11-26 at 16:00 UTC. 1 source record and 2 decisions were replayed."),
            "{page}"
        );
        page
    }

    #[test]
    fn a_page_suits_any_number_of_epochs() {
        for (epochs, bars, is_open) in [
            (0, 0, true),
            (1, 0, true),
            (2, 0, true),
            (3, 3, true),
            (31, 31, true),
            (32, 32, false),
            (400, 60, false),
        ] {
            let page = page(epochs, &[]);
            assert_eq!(page.matches("<rect ").count(), bars, "{epochs}: {page}");
            assert_eq!(page.matches("<code>").count(), epochs as usize, "{epochs}: {page}");
            assert_eq!(page.contains("<details>"), !is_open, "{epochs}: {page}");
            assert_eq!(page.contains("<h2>Totals"), epochs > 0, "{epochs}: {page}");
        }
        assert!(page(1, &[]).contains("<summary>1 epoch</summary>"));
        // A few bars are not as wide as the page.
        assert!(page(3, &[]).contains("viewBox=\"0 0 300 100\""));
    }

    #[test]
    fn amounts_of_different_reward_assets_are_not_added_up() {
        let mut findings = findings(6, &[]);
        for seal in findings.report.seals.iter_mut().skip(3) {
            seal.reward_asset = "USDC".into();
        }
        let page = page_of(&findings);
        for name in ["ATOM", "ATOM, paid in USDC"] {
            let total = format!("<td>{name}</td><td class=\"n\">3</td><td class=\"n\">3,000</td>");
            assert!(page.contains(&total), "{name}: {page}");
            assert!(page.contains(&format!("<h2>{name}</h2>")), "{name}: {page}");
        }
        assert_eq!(page.matches("3000000000000000000000001.5").count(), 2, "{page}");
    }

    #[test]
    fn a_page_of_a_year_of_hours_has_the_newest_epochs_and_the_unequal_ones() {
        let page = page(8_760, &[2, 8_000]);
        assert!(page.len() < 200_000, "{} bytes", page.len());
        assert!(
            page.contains("8,760 epochs; 8,358 earlier epochs are equal and not shown: --json has them"),
            "{page}"
        );
        assert!(
            page.contains("Distributed by epoch, the newest of them, 8700 to 8759; the most in epoch 8700"),
            "{page}"
        );
        assert!(
            page.contains("8760000000000000000000004380"),
            "the sum is exact: {page}"
        );
        for (epoch, is_shown) in [
            (2, true),
            (3, false),
            (8_000, true),
            (8_359, false),
            (8_360, true),
            (8_759, true),
        ] {
            assert_eq!(
                page.contains(&format!("<code>{epoch:064x}</code>")),
                is_shown,
                "{epoch}"
            );
        }
        assert_eq!(page.matches("NOT EQUAL</td>").count(), 2, "{page}");
        assert!(page.contains("<details open>"), "{page}");
    }
}
