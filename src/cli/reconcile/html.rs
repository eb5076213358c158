//! The report as one page that needs nothing else.

use std::path::Path;

use minijinja::Environment;
use minijinja::value::Serde;
use serde::Serialize;

use crate::audit::exact::Exact;
use crate::audit::reconcile::report::RecordDifference;
use crate::cli::Outcome;
use crate::cli::failure::Failure;
use crate::cli::reconcile::Findings;
use crate::cli::table::count;

const PAGE: &str = include_str!("report.html");
/// So many differences are on the page.
const SHOWN: usize = 1_000;
/// So many bars are in a chart: the newest epochs.
const BARS: usize = 60;

#[derive(Serialize)]
struct Topic {
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
struct Asset {
    name: String,
    distributed: String,
    payouts: u64,
    epochs: Vec<EpochBar>,
}

#[derive(Serialize)]
struct EpochBar {
    number: crate::core::values::ids::Epoch,
    ended: String,
    payouts: String,
    published: Option<String>,
    replayed: Option<String>,
    verdict: &'static str,
    /// The bar's height, in hundredths of the highest.
    height: f64,
}

/// A decision that the log does not lead to.
#[derive(Serialize)]
struct Decision {
    number: usize,
    recorded: String,
    replayed: String,
}

/// All that is on the page.
#[derive(Serialize)]
struct Page<'a> {
    bus: &'a str,
    verdict: String,
    clean: bool,
    records: String,
    decisions: String,
    not_taken_in: String,
    later: String,
    alarms: &'a [String],
    deviation: Option<Decision>,
    more: String,
    topics: Vec<Topic>,
    assets: Vec<Asset>,
    differences: &'a [RecordDifference],
    version: &'static str,
}

/// Writes the page to `path`.
pub(super) fn write(findings: &Findings, path: &Path) -> Outcome {
    let page = render(findings).map_err(|error| Failure::Failed(format!("cannot write the report: {error:#}")))?;
    std::fs::write(path, page).map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))
}

fn render(findings: &Findings) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The name tells that what is put in is escaped for HTML.
    environment.add_template("report.html", PAGE)?;
    let topics: Vec<_> = findings
        .topics()
        .into_iter()
        .map(|(name, counts)| Topic {
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
        verdict: findings.verdict(),
        clean: findings.is_clean(),
        records: count(findings.records),
        decisions: count(findings.decisions as u64),
        not_taken_in: count(findings.not_taken_in),
        later: count(report.later),
        alarms: &findings.alarms,
        deviation: findings.deviation.as_ref().map(|deviation| Decision {
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

fn assets(findings: &Findings) -> Vec<Asset> {
    let mut assets: Vec<Asset> = Vec::new();
    for seal in &findings.report.seals {
        if assets.last().is_none_or(|asset| asset.name != seal.asset) {
            assets.push(Asset {
                name: seal.asset.clone(),
                ..Asset::default()
            });
        }
        let Some(asset) = assets.last_mut() else { continue };
        asset.payouts += seal.distributions;
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
            .filter_map(|epoch| Exact::parse(epoch.replayed.as_deref()?));
        asset.distributed = amounts
            .fold(Exact::parse("0"), |sum, amount| sum?.plus(amount))
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
            // A chart is for the eye; the figures stand beside it.
            epoch.height = height(&epoch.replayed) / highest * 100.0;
        }
    }
    assets
}
