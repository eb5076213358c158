//! A what-if as tables and as JSON.

use std::cmp::Ordering;

use serde_json::{Value, json};

use crate::audit::asked::MissingEpochs;
use crate::audit::what_if::{AffectedAccounts, PayoutChange};
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::table::{TextTable, count, counted};
use crate::cli::what_if::findings::{SealPair, WhatIfFindings, signed};
use crate::core::contract::records::Seal;
use crate::core::values::amount::SignedAmount;

/// The fields of a seal that are shown.
const SHOWN: [&str; 9] = [
    "reward_pool",
    "commission",
    "rewarded",
    "made_good",
    "adjusted",
    "distributed",
    "withheld_after",
    "carried_out",
    "returned",
];

fn shown<'a>(seal: &'a Seal<'_>) -> [&'a str; 9] {
    [
        &seal.reward_pool,
        &seal.commission,
        &seal.rewarded,
        &seal.made_good,
        &seal.adjusted,
        &seal.distributed,
        &seal.withheld_after,
        &seal.carried_out,
        &seal.returned,
    ]
}

/// The difference between two published amounts; `?` if one of them is not an amount.
fn difference(was: &str, would_be: &str) -> String {
    let difference = SignedAmount::parse(would_be)
        .zip(SignedAmount::parse(was))
        .and_then(|(would_be, was)| would_be.minus(was));
    match difference {
        Some(more) if more > SignedAmount::default() => format!("+{more}"),
        Some(difference) => difference.to_string(),
        None => "?".into(),
    }
}

pub(super) fn as_json(findings: &WhatIfFindings, missing: &[MissingEpochs]) -> Value {
    let of = |seal: &Seal<'_>| {
        let mut value: serde_json::Map<String, Value> = SHOWN
            .iter()
            .zip(shown(seal))
            .map(|(name, amount)| ((*name).to_owned(), json!(amount)))
            .collect();
        value.insert("epoch_start".into(), json!(seal.epoch_start));
        value.insert("epoch_end".into(), json!(seal.epoch_end));
        value.insert("mode".into(), json!(seal.mode));
        value.insert("distributions".into(), json!(seal.distributions));
        value
    };
    let epochs: Vec<Value> = findings
        .epochs
        .iter()
        .map(|(epoch, seals)| json!({"epoch": epoch, "was": of(&seals.was), "would_be": of(&seals.would_be)}))
        .collect();
    let party =
        |party: &AffectedAccounts| {
            let most: Vec<Value> = party.most.iter().map(|change| {
            json!({
                "account": change.account, "paid": change.paid.to_string(), "would_be": change.would_be.to_string(),
                "difference": signed(change.paid, change.would_be),
            })
        }).collect();
            json!({"accounts": party.accounts, "sum": party.sum.to_string(), "most": most})
        };
    json!({
        "asset": findings.asset, "from_epoch": findings.from_epoch, "epochs": epochs, "missing": missing,
        "gain": party(&findings.effect.gain), "lose": party(&findings.effect.lose), "same": findings.effect.same,
        "difference": signed(findings.effect.lose.sum, findings.effect.gain.sum),
    })
}

pub(super) fn tables(findings: &WhatIfFindings, out: &mut Output<'_>) -> Outcome {
    let WhatIfFindings {
        asset,
        from_epoch,
        epochs,
        effect,
    } = findings;
    let (gain, lose) = (&effect.gain, &effect.lose);
    let reward_asset = epochs.values().next().map_or(*asset, |seals| seals.was.reward_asset);
    write_line!(
        out,
        "{} of {asset} under the other programme, from epoch {from_epoch} on; nothing was published.",
        counted(epochs.len() as u64, "sealed epoch", "sealed epochs"),
    )?;
    write_line!(out)?;
    let accounts = |count| counted(count, "account", "accounts");
    write_line!(
        out,
        "{} would gain {} {reward_asset} in total.",
        accounts(gain.accounts),
        gain.sum
    )?;
    write_line!(
        out,
        "{} would lose {} {reward_asset} in total.",
        accounts(lose.accounts),
        lose.sum
    )?;
    write_line!(out, "{} would get the same.", accounts(effect.same))?;
    let net = signed(lose.sum, gain.sum);
    match (net.strip_prefix('+'), net.strip_prefix('-')) {
        (Some(more), _) => write_line!(out, "In total, {more} {reward_asset} more would be paid.")?,
        (_, Some(less)) => write_line!(out, "In total, {less} {reward_asset} less would be paid.")?,
        _ => write_line!(out, "In total, the same sum would be paid.")?,
    }
    write_line!(out)?;
    let mut table = TextTable::new(&[
        "epoch",
        "ended",
        "",
        ">pool",
        ">commission",
        ">rewarded",
        ">made good",
        ">adjusted",
        ">distributed",
        ">withheld",
        ">carried",
        ">returned",
        ">paid",
    ]);
    for (epoch, seals) in epochs {
        table.row(seal_row(
            [epoch.to_string(), seals.was.epoch_end.to_string()],
            "was",
            &seals.was,
        ));
        table.row(seal_row([String::new(), String::new()], "would be", &seals.would_be));
        table.row(difference_row(seals));
    }
    table.write(out)?;
    named("would gain most", &gain.most, out)?;
    named("would lose most", &lose.most, out)
}

fn seal_row([epoch, ended]: [String; 2], name: &str, seal: &Seal<'_>) -> Vec<String> {
    let mut cells = vec![epoch, ended, name.to_owned()];
    cells.extend(shown(seal).map(str::to_owned));
    cells.push(count(seal.distributions));
    cells
}

fn difference_row(SealPair { was, would_be }: &SealPair) -> Vec<String> {
    let mut cells = vec![String::new(), String::new(), "difference".to_owned()];
    let amounts = shown(was).into_iter().zip(shown(would_be));
    cells.extend(amounts.map(|(was, would_be)| difference(was, would_be)));
    let sign = match would_be.distributions.cmp(&was.distributions) {
        Ordering::Greater => "+",
        Ordering::Less => "-",
        Ordering::Equal => "",
    };
    let distributions = count(was.distributions.abs_diff(would_be.distributions));
    cells.push(format!("{sign}{distributions}"));
    cells
}

fn named(what: &str, changes: &[PayoutChange], out: &mut Output<'_>) -> Outcome {
    if changes.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    let mut table = TextTable::new(&[what, ">paid", ">would be", ">difference"]);
    for change in changes {
        table.row([
            change.account.clone(),
            change.paid.to_string(),
            change.would_be.to_string(),
            signed(change.paid, change.would_be),
        ]);
    }
    table.write(out)
}
