//! The epochs of an asset on the page: a chart of the newest ones, and a table.

use serde::Serialize;

use crate::audit::reconcile::report::SealComparison;
use crate::cli::reconcile::findings::{EpochVerdicts, Findings};
use crate::cli::table::{count, counted};
use crate::core::values::amount::ExactAmount;
use crate::core::values::ids::Epoch;

/// How many bars a chart has at most, for the newest epochs.
const BARS: usize = 60;
/// The least room of a chart, in bars. So a few bars are not as wide as the page.
const ROOM: usize = 30;
/// With fewer epochs, a chart tells less than their rows.
const CHARTED: usize = 3;
/// How many rows a table has, for the newest epochs. Earlier epochs have rows only if they are not equal.
const ROWS: usize = 400;
/// With more rows, the table is folded.
const OPEN: usize = 31;
const NOT_EQUAL: &str = "NOT EQUAL";

/// An asset's part of the page.
#[derive(Serialize)]
pub(super) struct AssetSection {
    name: String,
    epoch_count: String,
    payouts: String,
    distributed: String,
    chart: Option<Chart>,
    /// Whether a seal of the replay has another sum than the published one, or only one of them is there.
    differs: bool,
    /// Which epochs the table shows.
    shown: String,
    open: bool,
    epochs: Vec<EpochRow>,
}

#[derive(Serialize)]
struct Chart {
    /// In tenths of a bar.
    width: usize,
    caption: String,
    bars: Vec<Bar>,
}

#[derive(Serialize)]
struct Bar {
    /// In per cent of the highest one.
    height: f64,
    bad: bool,
    title: String,
}

#[derive(Serialize)]
struct EpochRow {
    number: Epoch,
    ended: String,
    payouts: String,
    published: String,
    replayed: String,
    verdict: &'static str,
    root: String,
}

/// The parts of all assets. The seals are in the order of their assets and epochs. An asset whose reward asset changed has a part for each: their
/// amounts do not add up.
pub(super) fn sections(findings: &Findings) -> Vec<AssetSection> {
    let verdicts = findings.epoch_verdicts();
    let paid_in = |seal: &SealComparison| (seal.asset.clone(), seal.reward_asset.clone());
    let by_unit = findings
        .report
        .seals
        .chunk_by(|one, next| paid_in(one) == paid_in(next));
    by_unit.map(|seals| section(seals, &verdicts)).collect()
}

/// `SUI`, or `SUI, paid in USDC`.
fn name(seal: &SealComparison) -> String {
    let SealComparison {
        asset, reward_asset, ..
    } = seal;
    if asset == reward_asset {
        asset.clone()
    } else {
        format!("{asset}, paid in {reward_asset}")
    }
}

fn section(seals: &[SealComparison], verdicts: &EpochVerdicts<'_>) -> AssetSection {
    let verdict = |seal: &SealComparison| verdicts.of(&seal.asset, seal.epoch);
    let amounts = seals
        .iter()
        .filter_map(|seal| ExactAmount::parse(seal.replayed.as_deref()?));
    let distributed = amounts.fold(ExactAmount::parse("0"), |sum, amount| sum?.plus(amount));
    let newest = seals.len().saturating_sub(ROWS);
    let rows: Vec<&SealComparison> = seals
        .iter()
        .enumerate()
        .filter(|(at, seal)| *at >= newest || verdict(seal) == NOT_EQUAL)
        .map(|(_, seal)| seal)
        .collect();
    let hidden = (seals.len() - rows.len()) as u64;
    let all = counted(seals.len() as u64, "epoch", "epochs");
    AssetSection {
        name: seals.first().map(name).unwrap_or_default(),
        epoch_count: count(seals.len() as u64),
        payouts: count(seals.iter().fold(0, |sum, seal| sum.saturating_add(seal.distributions))),
        distributed: distributed.map_or_else(|| "?".into(), |sum| sum.to_string()),
        chart: (seals.len() >= CHARTED).then(|| chart(seals, verdict)),
        differs: seals.iter().any(|seal| seal.published != seal.replayed),
        shown: if hidden == 0 {
            all
        } else {
            let hidden = counted(
                hidden,
                "earlier epoch is equal and not shown",
                "earlier epochs are equal and not shown",
            );
            format!("{all}; {hidden}: --json has them")
        },
        open: rows.len() <= OPEN || rows.iter().any(|seal| verdict(seal) == NOT_EQUAL),
        epochs: rows.into_iter().map(|seal| row(seal, verdict(seal))).collect(),
    }
}

fn row(seal: &SealComparison, verdict: &'static str) -> EpochRow {
    let side = |amount: &Option<String>| amount.clone().unwrap_or_else(|| "no seal".into());
    EpochRow {
        number: seal.epoch,
        ended: minutes(&seal.epoch_end),
        payouts: count(seal.distributions),
        published: side(&seal.published),
        replayed: side(&seal.replayed),
        verdict,
        root: seal.root.clone().unwrap_or_default(),
    }
}

/// A time of a seal up to its minutes, if it has no more: `2026-11-02 00:00`.
fn minutes(time: &str) -> String {
    let whole = time.strip_suffix(":00.000Z").or_else(|| time.strip_suffix(":00Z"));
    whole.unwrap_or_else(|| time.trim_end_matches('Z')).replace('T', " ")
}

fn chart(seals: &[SealComparison], verdict: impl Fn(&SealComparison) -> &'static str) -> Chart {
    let newest = &seals[seals.len().saturating_sub(BARS)..];
    // An approximate height is enough: the exact figures are in the table.
    let height = |seal: &SealComparison| -> f64 {
        let amount = seal.replayed.as_deref().and_then(|amount| amount.parse().ok());
        amount.filter(|amount: &f64| amount.is_finite()).unwrap_or(0.0)
    };
    let (mut highest, mut at) = (0.0, None);
    for seal in newest {
        if height(seal) > highest {
            (highest, at) = (height(seal), Some(seal));
        }
    }
    let bars = newest.iter().map(|seal| Bar {
        height: if highest > 0.0 {
            height(seal) / highest * 100.0
        } else {
            0.0
        },
        bad: verdict(seal) == NOT_EQUAL,
        title: format!(
            "epoch {}: {}",
            seal.epoch,
            seal.replayed.as_deref().unwrap_or("no seal")
        ),
    });
    Chart {
        width: newest.len().max(ROOM) * 10,
        caption: caption(newest, seals.len(), at),
        bars: bars.collect(),
    }
}

fn caption(newest: &[SealComparison], all: usize, highest: Option<&SealComparison>) -> String {
    let (Some(first), Some(last)) = (newest.first(), newest.last()) else {
        return String::new();
    };
    let which = if newest.len() < all { "the newest of them, " } else { "" };
    let highest = highest.map_or_else(String::new, |seal| {
        let amount = seal.replayed.as_deref().unwrap_or_default();
        format!("; the most in epoch {}: {amount}", seal.epoch)
    });
    format!(
        "Distributed by epoch, {which}{} to {}{highest}.",
        first.epoch, last.epoch
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_far_as_it_says_something() {
        assert_eq!(minutes("2026-11-02T00:00:00.000Z"), "2026-11-02 00:00");
        assert_eq!(minutes("2026-11-02T01:00:00Z"), "2026-11-02 01:00");
        assert_eq!(minutes("2026-11-02T01:00:30.000Z"), "2026-11-02 01:00:30.000");
    }
}
