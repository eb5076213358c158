//! `softstake check --programme`: explains a listing in words and with an example.

use std::path::Path;

use ethnum::I256;
use ruint::aliases::U512;
use serde::Serialize;
use serde_json::json;

use crate::cli::input;
use crate::cli::listing_file::parse_listing;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::table::TextTable;
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::row::Row;
use crate::core::accrue::settle;
use crate::core::accrue::settle::{Holding, Rules};
use crate::core::contract::listing::{Enrolment, LatePolicy, Listing, Mode};
use crate::core::contract::rejection::Rejection;
use crate::core::fault::Fault;
use crate::core::values::amount;
use crate::core::values::ids::Epoch;
use crate::core::values::rate::{Multiplier, Rate};
use crate::core::values::time::timestamp;

/// The pool that the accounts of an example share, in whole coins of the asset.
const EXAMPLE_POOL: u128 = 100;

pub(super) fn check(file: &Path, json: bool, out: &mut Output<'_>) -> Outcome {
    let listing = match parse_listing(&input::read(file)?) {
        Ok(listing) => listing,
        Err(rejection) => {
            show_rejection(&rejection, json, out)?;
            return Err(Failure::Found);
        }
    };
    let example =
        example(&listing).map_err(|fault| Failure::Failed(format!("the example cannot be computed: {fault}")))?;
    if json {
        return out.json(&json!({ "listing": listing.to_value(), "example": example }));
    }
    for line in words(&listing) {
        write_line!(out, "{line}")?;
    }
    show(&listing, &example, out)
}

fn show_rejection(Rejection { code, reason }: &Rejection, json: bool, out: &mut Output<'_>) -> Outcome {
    if json {
        return out.json(&json!({ "refused": { "code": code, "reason": reason } }));
    }
    write_line!(out, "Rejected. {code}: {reason}")
}

/// The listing in sentences.
fn words(listing: &Listing) -> Vec<String> {
    let Listing { terms, programme } = listing;
    let (asset, calendar) = (terms.asset, &terms.calendar);
    let units = |units: u128| format!("{} {asset}", amount::format_units(units, terms.decimals));
    let per_cent = |rate: Rate| format!("{} %", rate.per_cent());
    let from = programme.from_epoch;
    let mut words = vec![
        format!(
            "{asset} has {} decimals. Its epochs last {}; epoch 0 starts at {}.",
            terms.decimals,
            duration(calendar.length_ms() / 1_000),
            timestamp(i128::from(calendar.anchor().get()))
        ),
        format!(
            "These rules are in force from epoch {from} on, which starts at {}{}.",
            timestamp(calendar.start_ms(from)),
            if from == Epoch::FIRST {
                ""
            } else {
                "; they change the rules of an asset that is already listed"
            }
        ),
        match programme.mode {
            Mode::Pool => format!(
                "Pool: the pool of each close and the validators' rewards are shared by weight, after a commission of {}.",
                per_cent(programme.commission_rate)
            ),
            Mode::Apr { rate } => format!(
                "Rate: weight earns {} per year of 365 days; the exchange funds the sum.",
                per_cent(rate)
            ),
        },
    ];
    words.push(match (programme.min_balance, programme.max_balance) {
        (0, None) => "Every average balance over the epoch counts.".into(),
        (0, Some(most)) => format!("Of an average balance, at most {} counts.", units(most)),
        (least, None) => format!("An average balance below {} earns nothing.", units(least)),
        (least, Some(most)) => format!(
            "An average balance below {} earns nothing; the part above {} does not count.",
            units(least),
            units(most)
        ),
    });
    if let [only] = &programme.tiers[..] {
        words.push(format!("Every part of the balance has the weight {}.", only.multiplier));
    } else {
        words.push("Each part of the balance has its own weight:".into());
        let mut below = 0;
        for tier in &programme.tiers {
            let part = match tier.up_to {
                Some(bound) => format!("from {} to {}", units(below), units(bound)),
                None => format!("above {}", units(below)),
            };
            words.push(format!("  {part}: {}", tier.multiplier));
            below = tier.up_to.unwrap_or(below);
        }
    }
    words.push(format!(
        "Rewards are cut to multiples of {}; {}.",
        units(programme.grain(terms.decimals)),
        match programme.min_payout {
            0 => "every amount is paid".into(),
            least => format!("less than {} is withheld until it adds up", units(least)),
        }
    ));
    words.push(
        match programme.enrolment {
            Enrolment::Automatic => "Every account takes part that has not opted out and is not excluded.",
            Enrolment::OptIn => "Only accounts take part that are enrolled when the epoch starts.",
        }
        .into(),
    );
    words.push(
        match programme.late_policy {
            LatePolicy::Carry => {
                "Late postings count from their true time: the missed part is paid in the oldest open epoch."
            }
            LatePolicy::Forfeit => {
                "Late postings count from the start of the oldest open epoch: the missed part is not paid."
            }
        }
        .into(),
    );
    words
}

/// One account of the example. All figures are in the asset.
#[derive(Debug, Serialize)]
struct ExampleLine {
    held: String,
    counted: String,
    weight: String,
    reward: String,
    paid: String,
}

/// Balances at, below and above the bounds of the programme.
fn balances(listing: &Listing) -> Vec<u128> {
    let programme = &listing.programme;
    let bounds = programme.tiers.iter().filter_map(|tier| tier.up_to);
    let mut balances: Vec<u128> = bounds
        .chain([programme.min_balance])
        .chain(programme.max_balance)
        .collect();
    balances.push(programme.min_balance / 2);
    // None of them is above 10^30.
    balances.extend(balances.iter().max().map(|most| most * 2));
    balances.retain(|balance| *balance > 0);
    if balances.is_empty() {
        let one = 10u128.pow(u32::from(listing.terms.decimals));
        balances.extend([one, 10 * one, 100 * one]);
    }
    balances.sort_unstable();
    balances.dedup();
    balances
}

fn example(listing: &Listing) -> Result<Vec<ExampleLine>, Fault> {
    let rules = Rules::new(&listing.terms, &listing.programme)?;
    let decimals = u32::from(listing.terms.decimals);
    let length = U512::from(listing.terms.calendar.length_ms());
    let mut measured = Vec::new();
    let mut total = U512::ZERO;
    for balance in balances(listing) {
        // At most 2 * 10^30.
        let opening = I256::from(balance);
        let holding = Holding {
            opening,
            row: Row::default(),
            excluded: false,
        };
        let (counted, weight) = match rules.measure(&holding)?.eligibility {
            Eligibility::Eligible { counted, weight } => (counted, weight),
            _ => (U512::ZERO, U512::ZERO),
        };
        total = total.checked_add(weight).ok_or(Fault::Overflow("the total weight"))?;
        measured.push((balance, counted, weight));
    }
    let pool = U512::from(EXAMPLE_POOL * 10u128.pow(decimals));
    let split = settle::split(pool, listing.programme.commission_rate, U512::ZERO)?;
    let mut lines = Vec::new();
    for (balance, counted, weight) in measured {
        let reward = rules.share(weight, split.to_share, total)?;
        let (paid, _) = rules.emit_or_withhold(reward, U512::ZERO)?;
        let each = |sum: U512| sum.checked_div(length).unwrap_or_default();
        lines.push(ExampleLine {
            held: rules.amount(U512::from(balance)),
            counted: rules.amount(each(counted)),
            weight: amount::format_units_wide(false, each(weight), decimals + Multiplier::PARTS.ilog10()),
            reward: rules.amount(reward),
            paid: rules.amount(paid),
        });
    }
    Ok(lines)
}

fn show(listing: &Listing, example: &[ExampleLine], out: &mut Output<'_>) -> Outcome {
    let asset = listing.terms.asset;
    write_line!(out)?;
    match listing.programme.mode {
        Mode::Pool => write_line!(
            out,
            "Example: these accounts share {EXAMPLE_POOL} {asset}; each holds a constant balance"
        )?,
        Mode::Apr { .. } => write_line!(
            out,
            "Example: the reward of one epoch for a constant balance, in {asset}"
        )?,
    }
    let mut table = TextTable::new(&[">held", ">counts", ">weighs", ">reward", ">paid at once"]);
    for line in example {
        table.row([&line.held, &line.counted, &line.weight, &line.reward, &line.paid]);
    }
    table.write(out)
}

/// Seconds in the largest unit that divides them: `90 minutes`.
fn duration(seconds: u64) -> String {
    let (number, unit) = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")]
        .into_iter()
        .find(|(length, _)| seconds.is_multiple_of(*length))
        .map_or((seconds, "second"), |(length, unit)| (seconds / length, unit));
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::output::captured;

    const POOL: &str = r#"{"asset":"ATOM","decimals":6,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,
     "programme":{"from_epoch":0,"mode":"pool","min_balance":"0.5","max_balance":"10000",
       "commission_rate":"0.10","tiers":[{"up_to":"100","multiplier":"1"},{"up_to":null,"multiplier":"1.5"}],
       "min_payout":"0.1","payout_decimals":4}}"#;

    fn checked(text: &str, json: bool) -> (Outcome, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("programme.json");
        fs::write(&file, text).unwrap();
        captured(|out| check(&file, json, out))
    }

    #[test]
    fn a_pool_in_words_and_figures() {
        let (outcome, text) = checked(POOL, false);
        assert_eq!(outcome, Ok(()));
        for expected in [
            "ATOM has 6 decimals. Its epochs last 1 day; epoch 0 starts at 2026-11-01T00:00:00.000Z.",
            "after a commission of 10 %.",
            "below 0.5 ATOM earns nothing; the part above 10000 ATOM does not count.",
            "  from 0 ATOM to 100 ATOM: 1\n  above 100 ATOM: 1.5\n",
            "multiples of 0.0001 ATOM; less than 0.1 ATOM is withheld",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let (_, text) = checked(POOL, true);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let line = |index: usize| {
            let line = &json["example"][index];
            ["held", "counted", "weight", "reward", "paid"].map(|name| line[name].as_str().unwrap().to_owned())
        };
        // 0.5 + 100 + 2 * (100 + 9900 * 1.5) weigh 30000.5 in all; 90 are shared.
        assert_eq!(line(0), ["0.25", "0", "0", "0", "0"]);
        assert_eq!(line(1), ["0.5", "0.5", "0.5", "0.0014", "0"]);
        assert_eq!(line(2), ["100", "100", "100", "0.2999", "0.2999"]);
        assert_eq!(line(3), ["10000", "10000", "14950", "44.8492", "44.8492"]);
        assert_eq!(line(4), ["20000", "10000", "14950", "44.8492", "44.8492"]);
    }

    #[test]
    fn a_rate_in_a_whole_event() {
        let data = r#"{"asset":"SOL","decimals":9,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":3600,"programme":{"from_epoch":2,"mode":"apr","apr":"0.0365","enrolment":"opt_in","late_policy":"forfeit"}}"#;
        let event = format!(
            r#" {{"specversion":"1.0","id":"1","source":"/t","type":"softstake.asset.v1","time":"2026-10-31T00:00:00Z","data":{data}}}"#
        );
        let (outcome, text) = checked(&event, false);
        assert_eq!(outcome, Ok(()));
        for expected in [
            "earns 3.65 % per year",
            "epochs last 1 hour",
            "from epoch 2 on, which starts at 2026-11-01T02:00:00.000Z; they change the rules of an asset that is already listed",
            "Only accounts take part that are enrolled",
            "the missed part is not paid",
            // 100 * 0.0365 / 8760
            "0.000416666",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn a_listing_that_would_be_rejected_is_a_failed_check() {
        for (text, expected) in [
            ("{", "Rejected. invalid_json: "),
            ("[]", "Rejected. invalid_event: "),
            (
                &POOL.replace("\"0.10\"", "\"1.10\""),
                "Rejected. invalid_programme: `commission_rate` must be at most 1\n",
            ),
            (
                r#"{"specversion":"1.0","id":"1","source":"/t","type":"exchange.deposit.v1","time":"","data":{}}"#,
                "Rejected. invalid_event: `type`",
            ),
            (
                &POOL.replace("\"commission_rate\"", "\"comission_rate\""),
                "Rejected. invalid_programme: `programme` has the field `comission_rate`, which does not exist; the nearest one is \
                 `commission_rate`\n",
            ),
            (
                &POOL.replace("\"multiplier\":\"1\"", "\"multiplier\":\"1\",\"note\":\"base\""),
                "Rejected. invalid_programme: `tiers[0]` has the field `note`, which does not exist; the nearest one is `up_to`\n",
            ),
            (
                &POOL.replace("\"mode\"", "\"Mode\""),
                "Rejected. invalid_programme: `programme` has the field `Mode`, which does not exist; the nearest one is `mode`\n",
            ),
            (
                &POOL.replace("\"decimals\"", "\"decimal\""),
                "Rejected. invalid_event: `data` has the field `decimal`, which does not exist; the nearest one is `decimals`\n",
            ),
        ] {
            let (outcome, said) = checked(text, false);
            assert_eq!(outcome, Err(Failure::Found));
            assert!(said.starts_with(expected), "{said}");
        }
        let nowhere = captured(|out| check(Path::new("/nowhere/p.json"), false, out)).0;
        assert!(matches!(nowhere, Err(Failure::Usage(_))));
    }

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (60, "1 minute"),
            (86_400, "1 day"),
            (604_800, "7 days"),
            (5_400, "90 minutes"),
            (61, "61 seconds"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
