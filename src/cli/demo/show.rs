//! The demo's tables.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::cli::demo::results::DemoResults;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::table::{TextTable, count, short_root};
use crate::core::contract::decision::Decision;
use crate::core::contract::records::{DeadLetter, Distribution, LatePosting, Seal};
use crate::core::ingest::IngestCounts;
use crate::core::values::account::owner;
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::printable::shortened;

/// How many of the largest payouts of an asset are shown.
const TOP: usize = 5;

/// Seals beside each other. More do not fit into the width of a terminal.
const SEALS_BESIDE: usize = 2;

/// Writes a column for each seal: the fields would not fit into the width of a terminal.
pub(super) fn seals(results: &DemoResults, out: &mut Output<'_>) -> Outcome {
    write_line!(out, "The seals, one for each settled and checked epoch")?;
    for seals in results.seals.chunks(SEALS_BESIDE) {
        seal_columns(seals, out)?;
        write_line!(out)?;
    }
    Ok(())
}

fn seal_columns(seals: &[Seal<'static>], out: &mut Output<'_>) -> Outcome {
    let epoch = |seal: &Seal<'_>| format!(">{} epoch {}", seal.asset, seal.epoch);
    let columns: Vec<_> = ["".to_owned()].into_iter().chain(seals.iter().map(epoch)).collect();
    let mut table = TextTable::new(&columns);
    let mut field = |name: &str, value: for<'s> fn(&'s Seal<'static>) -> Cow<'s, str>| {
        table.row([Cow::Borrowed(name)].into_iter().chain(seals.iter().map(value)));
    };
    field("ended", |seal| Cow::Borrowed(&seal.epoch_end));
    field("mode", |seal| Cow::Borrowed(&seal.mode));
    field("reward pool", |seal| Cow::Borrowed(&seal.reward_pool));
    field("commission", |seal| Cow::Borrowed(&seal.commission));
    field("carried in", |seal| Cow::Borrowed(&seal.carried_in));
    field("rewarded", |seal| Cow::Borrowed(&seal.rewarded));
    field("made good", |seal| Cow::Borrowed(&seal.made_good));
    field("adjusted", |seal| Cow::Borrowed(&seal.adjusted));
    field("distributed", |seal| Cow::Borrowed(&seal.distributed));
    field("withheld before", |seal| Cow::Borrowed(&seal.withheld_before));
    field("withheld after", |seal| Cow::Borrowed(&seal.withheld_after));
    field("carried out", |seal| Cow::Borrowed(&seal.carried_out));
    field("returned", |seal| Cow::Borrowed(&seal.returned));
    field("distributions", |seal| count(seal.distributions).into());
    field("excluded by status", |seal| count(seal.ineligible.status).into());
    field("balance negative", |seal| count(seal.ineligible.negative).into());
    field("below the minimum", |seal| count(seal.ineligible.below_minimum).into());
    field("rules from epoch", |seal| seal.programme_from_epoch.to_string().into());
    field("root", |seal| short_root(&seal.root).into());
    table.write(out)
}

/// The largest distributions of an asset. Equal amounts are sorted by epoch and account.
fn top<'a>(distributions: &'a [Distribution<'a>], asset: Asset) -> Vec<&'a Distribution<'a>> {
    let mut top: Vec<_> = distributions.iter().filter(|paid| paid.asset == asset).collect();
    top.sort_by_cached_key(|paid| (Reverse(ExactAmount::parse(&paid.amount)), paid.epoch, &paid.account));
    top.truncate(TOP);
    top
}

fn assets(results: &DemoResults) -> BTreeSet<Asset> {
    results.distributions.iter().map(|paid| paid.asset).collect()
}

pub(super) fn payouts(results: &DemoResults, out: &mut Output<'_>) -> Outcome {
    write_line!(out, "The largest payouts")?;
    let mut table = TextTable::new(&["asset", ">epoch", "account", ">amount", ">average balance"]);
    for asset in assets(results) {
        for paid in top(&results.distributions, asset) {
            table.row([
                asset.as_str(),
                &paid.epoch.to_string(),
                &paid.account,
                &paid.amount,
                &paid.average_balance,
            ]);
        }
    }
    table.write(out)?;
    write_line!(out)
}

pub(super) fn rejected(results: &DemoResults, counts: &IngestCounts, out: &mut Output<'_>) -> Outcome {
    write_line!(
        out,
        "Source records: {} applied; {} second copies dropped; {} ignored (unlisted asset, or before the anchor); the rest rejected:",
        count(counts.applied),
        count(counts.duplicates),
        count(counts.ignored)
    )?;
    let mut codes: BTreeMap<&str, (u64, &DeadLetter<'_>)> = BTreeMap::new();
    for letter in &results.dead_letters {
        codes.entry(letter.code.name()).or_insert((0, letter)).0 += 1;
    }
    let mut table = TextTable::new(&["dead letters", ">count", "the first one", "why"]);
    for (code, (number, first)) in codes {
        let place = format!("{}/{}.jsonl:{}", first.topic, first.partition, first.offset.line());
        table.row([code, &count(number), &place, &shortened(&first.reason)]);
    }
    table.write(out)?;
    write_line!(out)
}

pub(super) fn late(results: &DemoResults, out: &mut Output<'_>) -> Outcome {
    write_line!(
        out,
        "Late postings: the epoch was already closed, so each counts in the oldest open epoch; with the policy resettle, the missed epochs \
         are settled again"
    )?;
    let mut table = TextTable::new(&[
        "event",
        "account",
        "asset",
        ">change",
        "happened at",
        ">missed epoch",
        ">applied to",
        "policy",
    ]);
    for LatePosting {
        event_id,
        account,
        asset,
        delta,
        event_time,
        missed_epoch,
        applied_epoch,
        policy,
        ..
    } in &results.late
    {
        let (missed, applied) = (missed_epoch.to_string(), applied_epoch.to_string());
        table.row([
            event_id,
            account,
            asset.as_str(),
            delta,
            event_time,
            &missed,
            &applied,
            policy,
        ]);
    }
    table.write(out)?;
    write_line!(out)
}

/// Writes the distributions that make late postings good, and those of sub-accounts.
pub(super) fn made_good(results: &DemoResults, out: &mut Output<'_>) -> Outcome {
    write_line!(
        out,
        "What missed epochs would have paid in time is made good in the next payout; a sub-account earns for itself"
    )?;
    let is_shown = |paid: &&Distribution<'_>| paid.made_good != "0" || owner(&paid.account) != paid.account;
    let mut table = TextTable::new(&[
        "asset",
        ">epoch",
        "account",
        ">rewarded",
        ">made good",
        ">withheld before",
        ">amount",
    ]);
    for paid in results.distributions.iter().filter(is_shown) {
        table.row([
            paid.asset.as_str(),
            &paid.epoch.to_string(),
            &paid.account,
            &paid.rewarded,
            &paid.made_good,
            &paid.withheld_before,
            &paid.amount,
        ]);
    }
    table.write(out)?;
    write_line!(out)
}

/// Writes which epochs the gate held, and what became of them.
pub(super) fn held(results: &DemoResults, out: &mut Output<'_>) -> Outcome {
    write_line!(
        out,
        "The gate: an epoch beyond a limit is held before anything of it is paid"
    )?;
    for decision in &results.decisions {
        match decision {
            Decision::EpochHeld {
                asset,
                epoch,
                limit,
                total,
                change,
                ..
            } => {
                let change = change.as_deref().unwrap_or("unknown");
                write_line!(
                    out,
                    "  {asset} epoch {epoch} was held by {limit}: {total} in total, a change of {change} against the epoch before"
                )?;
            }
            Decision::EpochReleased {
                asset,
                epoch,
                by,
                reason,
                ..
            } => write_line!(out, "  {asset} epoch {epoch} was released by {by}: {reason}")?,
            _ => {}
        }
    }
    write_line!(out)
}

/// Writes the next commands to try, ready to be copied.
pub(super) fn next(results: &DemoResults, folder: &Path, out: &mut Output<'_>) -> Outcome {
    let program = std::env::args_os()
        .next()
        .map_or_else(|| "softstake".into(), |name| name.to_string_lossy().into_owned());
    let program = quoted(&program);
    let path = |inner: &str| quoted(&folder.join(inner).to_string_lossy()).into_owned();
    let bus = quoted(&format!("dir:{}", folder.join("bus").to_string_lossy())).into_owned();
    let state = path("state");
    let star = assets(results)
        .into_iter()
        .find_map(|asset| top(&results.distributions, asset).first().copied());
    write_line!(out, "Commands to try next:")?;
    if let Some(Distribution {
        account, asset, epoch, ..
    }) = star
    {
        let account = quoted(account);
        write_line!(out, "  {program} query distributions {account} --bus {bus}")?;
        write_line!(out, "  {program} query account {account} --state {state}")?;
        write_line!(out, "  {program} explain {asset} {epoch} {account} --bus {bus}")?;
        write_line!(out, "  {program} query epochs {asset} --bus {bus}")?;
        let proof = path("proof.json");
        write_line!(
            out,
            "  {program} prove {asset} {epoch} {account} --bus {bus} --out {proof}"
        )?;
        let is_its = |seal: &&Seal<'_>| seal.asset == *asset && seal.epoch == *epoch;
        if let Some(seal) = results.seals.iter().find(is_its) {
            write_line!(out, "  {program} verify {proof} --root {}", seal.root)?;
        }
    }
    if let Some(late) = results.distributions.iter().find(|paid| paid.made_good != "0") {
        let account = quoted(&late.account);
        write_line!(
            out,
            "  {program} explain {} {} {account} --bus {bus}",
            late.asset,
            late.epoch
        )?;
    }
    write_line!(out, "  {program} serve --bus {bus} --view {}", path("view"))?;
    write_line!(out, "  {program} reconcile --bus {bus} --html {}", path("report.html"))?;
    write_line!(out, "  {program} statement --bus {bus}")?;
    write_line!(out, "  {program} check --bus {bus}")?;
    write_line!(out, "  head -n 3 {}", path("bus/softstake.distributions/0.jsonl"))?;
    write_line!(out, "  cat {}", path("bus/softstake.decisions/0.jsonl"))?;
    write_line!(out, "  {program} run --bus {bus} --state {state} --until-idle")?;
    write_line!(out, "  rm -r {}", quoted(&folder.to_string_lossy()))?;
    Ok(())
}

/// A word quoted for a shell.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:_-+,@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_shell() {
        for (word, expected) in [
            ("/tmp/a-b", "/tmp/a-b"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
