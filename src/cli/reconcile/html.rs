//! The report as one page without external files.

use std::io::Write;
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, Value, escape_formatter};
use serde::Serialize;

use crate::audit::reconcile::report::RecordDifference;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::private::create_result;
use crate::cli::reconcile::findings::Findings;
use crate::cli::table::count;
use crate::core::values::amount::ExactAmount;
use crate::core::values::ids::Epoch;
use crate::core::values::printable::escape_for_terminal;

const PAGE: &str = include_str!("report.html");
/// How many differences the page shows.
const SHOWN: usize = 1_000;
/// How many bars a chart has, for the newest epochs.
const BARS: usize = 60;

#[derive(Serialize)]
struct TopicRow {
    name: &'static str,
    published: String,
    replayed: String,
    equal: String,
    missing: String,
    extra: String,
    different: String,
    doubled: String,
    under_way: String,
    clean: bool,
}

/// An asset's epochs, with a bar for each.
#[derive(Default, Serialize)]
struct AssetChart {
    name: String,
    distributed: String,
    payouts: u64,
    epochs: Vec<EpochBar>,
}

#[derive(Serialize)]
struct EpochBar {
    number: Epoch,
    ended: String,
    payouts: String,
    published: Option<String>,
    replayed: Option<String>,
    verdict: &'static str,
    /// Height of the bar, in per cent of the highest one.
    height: f64,
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
    /// The epochs that were asked for and are not there.
    missing: Vec<String>,
    verdict: String,
    clean: bool,
    records: String,
    decisions: String,
    not_taken_in: String,
    later: String,
    alarms: &'a [String],
    deviation: Option<DecisionPair>,
    more: String,
    topics: Vec<TopicRow>,
    assets: Vec<AssetChart>,
    differences: &'a [RecordDifference],
    version: &'static str,
}

/// Writes the page to `path`.
pub(super) fn write(findings: &Findings, path: &Path) -> Outcome {
    let page = render(findings).map_err(|error| Failure::Failed(format!("cannot write the report: {error:#}")))?;
    let written = create_result(path).and_then(|mut file| file.write_all(page.as_bytes()));
    written.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))
}

fn render(findings: &Findings) -> Result<String, minijinja::Error> {
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
            published: count(counts.published),
            replayed: count(counts.replayed),
            equal: count(counts.equal),
            missing: count(counts.missing),
            extra: count(counts.extra),
            different: count(counts.different),
            doubled: count(counts.doubled),
            under_way: count(counts.under_way),
            clean: counts.is_clean(),
        })
        .collect();
    let report = &findings.report;
    let shown = &report.differences[..report.differences.len().min(SHOWN)];
    let page = Page {
        bus: &findings.bus,
        missing: findings.missing.iter().map(ToString::to_string).collect(),
        verdict: findings.verdict(),
        clean: findings.is_equal(),
        records: count(findings.records),
        decisions: count(findings.decisions as u64),
        not_taken_in: count(findings.not_taken_in),
        later: count(report.later),
        alarms: &findings.alarms,
        deviation: findings.deviation.as_ref().map(|deviation| DecisionPair {
            number: deviation.number,
            recorded: serde_json::to_string(&deviation.recorded).unwrap_or_default(),
            replayed: serde_json::to_string(&deviation.replayed).unwrap_or_default(),
        }),
        more: count((report.differences.len() - shown.len()) as u64 + report.more_differences),
        topics,
        assets: assets(findings),
        differences: shown,
        version: env!("CARGO_PKG_VERSION"),
    };
    environment.get_template("report.html")?.render(Serde(&page))
}

fn assets(findings: &Findings) -> Vec<AssetChart> {
    let mut assets: Vec<AssetChart> = Vec::new();
    for seal in &findings.report.seals {
        if assets.last().is_none_or(|asset| asset.name != seal.asset) {
            assets.push(AssetChart {
                name: seal.asset.clone(),
                ..AssetChart::default()
            });
        }
        let Some(asset) = assets.last_mut() else { continue };
        asset.payouts = asset.payouts.saturating_add(seal.distributions);
        asset.epochs.push(EpochBar {
            number: seal.epoch,
            ended: seal.epoch_end.clone(),
            payouts: count(seal.distributions),
            published: seal.published.clone(),
            replayed: seal.replayed.clone(),
            verdict: findings.of_epoch(&seal.asset, seal.epoch),
            height: 0.0,
        });
    }
    for asset in &mut assets {
        let amounts = asset
            .epochs
            .iter()
            .filter_map(|epoch| ExactAmount::parse(epoch.replayed.as_deref()?));
        asset.distributed = amounts
            .fold(ExactAmount::parse("0"), |sum, amount| sum?.plus(amount))
            .map_or_else(|| "?".into(), |sum| sum.to_string());
        let skipped = asset.epochs.len().saturating_sub(BARS);
        let height = |amount: &Option<String>| {
            amount
                .as_deref()
                .and_then(|amount| amount.parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        let highest = asset
            .epochs
            .iter()
            .skip(skipped)
            .map(|epoch| height(&epoch.replayed))
            .fold(0.0, f64::max);
        for epoch in asset.epochs.iter_mut().skip(skipped).filter(|_| highest > 0.0) {
            // An approximate height is enough: the exact figures are beside the chart.
            epoch.height = height(&epoch.replayed) / highest * 100.0;
        }
    }
    assets
}
