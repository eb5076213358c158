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
use crate::core::accrue::settle::{Rules, Split};
use crate::core::accrue::wide::signed;
use crate::core::contract::control::CloseRates;
use crate::core::contract::decision::Offsets;
use crate::core::contract::gate::Gate;
use crate::core::contract::listing::{AssetTerms, Listing};
use crate::core::contract::programme::{Enrolment, LatePolicy, Mode, Programme, Scope, TierFactor};
use crate::core::contract::rejection::Rejection;
use crate::core::contract::rules::NEWEST_RULES;
use crate::core::fault::Fault;
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::values::amount;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::rate::{Multiplier, Rate};
use crate::core::values::time::timestamp;

/// The pool that the accounts of an example share, in whole coins of the reward asset.
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
pub(in crate::cli) fn words(listing: &Listing) -> Vec<String> {
    let Listing {
        terms,
        misdated_from,
        programme,
    } = listing;
    let mut words = terms_words(terms, programme);
    if let Some(time) = misdated_from {
        words.push(format!(
            "Postings dated at or after {} that were ignored before the listing do not make it too late.",
            timestamp(i128::from(time.get()))
        ));
    }
    words.push(mode_words(programme, terms));
    words.extend(balance_words(programme, terms));
    let reward = |units: u128| reward(units, terms);
    words.push(format!(
        "Payouts are cut to multiples of {}; {}. The rest, and a debt, are carried in the account's due.",
        reward(10u128.pow(u32::from(
            terms.reward_decimals().saturating_sub(programme.payout_decimals)
        ))),
        match programme.min_payout {
            0 => "every such amount is paid".into(),
            least => format!("less than {} is withheld until it adds up", reward(least)),
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
            LatePolicy::Resettle => {
                "Late postings count from the start of the oldest open epoch. The closed epochs that they missed are settled again for \
                 their account; the treasury pays or gets the difference."
            }
            LatePolicy::Carry => {
                "Late postings count from their true time: the missed part is paid in the oldest open epoch."
            }
            LatePolicy::Forfeit => {
                "Late postings count from the start of the oldest open epoch: the missed part is not paid."
            }
        }
        .into(),
    );
    words.extend(programme.gate.as_ref().map(|gate| gate_words(gate, terms)));
    words
}

/// Units of the reward asset, with its name.
fn reward(units: u128, terms: &AssetTerms) -> String {
    format!(
        "{} {}",
        amount::format_units(units, terms.reward_decimals()),
        terms.reward_asset()
    )
}

/// The terms that never change, and the epoch from which the programme is in force.
fn terms_words(terms: &AssetTerms, programme: &Programme) -> Vec<String> {
    let (asset, calendar) = (terms.asset, &terms.calendar);
    let (first, from) = (calendar.first(), programme.from_epoch);
    let mut words = vec![format!(
        "{asset} has {} decimals. Its epochs last {}; epoch {first} starts at {}.",
        terms.decimals,
        duration(calendar.length_ms() / 1_000),
        timestamp(i128::from(calendar.anchor().get()))
    )];
    if let Some(reward) = terms.reward {
        words.push(format!(
            "Rewards are paid in {}, which has {} decimals.",
            reward.asset, reward.decimals
        ));
    }
    words.push(format!(
        "These rules are in force from epoch {from} on, which starts at {}{}.",
        timestamp(calendar.start_ms(from)),
        if from == first {
            ""
        } else {
            "; they change the rules of an asset that is already listed"
        }
    ));
    words
}

fn mode_words(programme: &Programme, terms: &AssetTerms) -> String {
    let at_close = match terms.reward {
        Some(reward) => format!(" Each close gives the rate from {} to {}.", terms.asset, reward.asset),
        None => String::new(),
    };
    match programme.mode {
        Mode::Pool => format!(
            "Pool: the pool of each close, the validators' rewards and the pool's adjustments are shared by weight, after a commission of \
             {}. A pool below zero is made up by later ones; a pool that nobody has weight for goes back to the treasury.",
            per_cent(programme.commission_rate)
        ),
        Mode::Apr { rate } => format!(
            "Rate: weight earns {} per year of 365 days, or the rate that a close gives; the exchange funds the sum.{at_close}",
            per_cent(rate)
        ),
        Mode::AprPerTier => format!(
            "Rates: each part of the balance earns a rate of its own per year of 365 days; the exchange funds the sum.{at_close}"
        ),
    }
}

fn per_cent(rate: Rate) -> String {
    format!("{} %", rate.per_cent())
}

/// Minimum, cap and tiers, and to what they apply.
fn balance_words(programme: &Programme, terms: &AssetTerms) -> Vec<String> {
    let units = |units: u128| format!("{} {}", amount::format_units(units, terms.decimals), terms.asset);
    let mut words = vec![match (programme.min_balance, programme.max_balance) {
        (0, None) => "Every average balance over the epoch counts.".into(),
        (0, Some(most)) => format!("Of an average balance, at most {} counts.", units(most)),
        (least, None) => format!("An average balance below {} earns nothing.", units(least)),
        (least, Some(most)) => format!(
            "An average balance below {} earns nothing; the part above {} does not count.",
            units(least),
            units(most)
        ),
    }];
    let factor = |factor: TierFactor| match factor {
        TierFactor::Multiplier(multiplier) => multiplier.to_string(),
        TierFactor::Apr(rate) => per_cent(rate),
    };
    let has = match programme.mode {
        Mode::AprPerTier => "earns",
        Mode::Pool | Mode::Apr { .. } => "has the weight",
    };
    if let [only] = &programme.tiers[..] {
        words.push(format!("Every part of the balance {has} {}.", factor(only.factor)));
    } else {
        words.push(match programme.mode {
            Mode::AprPerTier => "Each part of the balance has its own rate:".into(),
            Mode::Pool | Mode::Apr { .. } => "Each part of the balance has its own weight:".into(),
        });
        let mut below = 0;
        for tier in &programme.tiers {
            let part = match tier.up_to {
                Some(bound) => format!("from {} to {}", units(below), units(bound)),
                None => format!("above {}", units(below)),
            };
            words.push(format!("  {part}: {}", factor(tier.factor)));
            below = tier.up_to.unwrap_or(below);
        }
    }
    if programme.scope == Scope::Owner {
        words.push("The balances of all accounts of one owner are taken together for this, and what comes of it is divided among them.".into());
    }
    words
}

fn gate_words(gate: &Gate, terms: &AssetTerms) -> String {
    let limits = match gate {
        Gate::Always => return "Every epoch is held, and nothing of it is published until it is released.".into(),
        Gate::Limits(limits) => limits,
    };
    let limits = [
        limits
            .max_payout
            .map(|most| format!("a payout of more than {}", reward(most, terms))),
        limits
            .max_total
            .map(|most| format!("payouts of more than {} in all", reward(most, terms))),
        limits.max_change.map(|most| {
            format!(
                "rewards that differ by more than {} from the epoch before",
                per_cent(most)
            )
        }),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    format!(
        "An epoch is held, and nothing of it is published until it is released, if it has {}.",
        limits.join(", or ")
    )
}

/// One account of the example. What it holds, counts and weighs is in the asset, the rest in the reward asset.
#[derive(Debug, Serialize)]
struct ExampleLine {
    held: String,
    counted: String,
    /// With rates per tier: what it earns in a year, in the asset.
    weight: String,
    reward: String,
    paid: String,
    /// Carried in the account's due.
    withheld: String,
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

/// The settlement of the example: with the rates of the programme, and one of the reward asset for one of the asset.
fn example_settlement(listing: &Listing) -> Result<Settlement, Fault> {
    let (terms, programme) = (&listing.terms, &listing.programme);
    let needs_rate = terms.reward.is_some() && programme.mode != Mode::Pool;
    Ok(Settlement {
        at: AssetEpoch::new(0, Epoch::FIRST)?,
        rules: NEWEST_RULES,
        terms: terms.clone(),
        programme: programme.clone(),
        cut: Offsets::default(),
        rates: CloseRates {
            apr: None,
            reward_rate: needs_rate.then_some(Rate::ONE),
        },
        is_last: false,
    })
}

fn example(listing: &Listing) -> Result<Vec<ExampleLine>, Fault> {
    let rules = Rules::new(&example_settlement(listing)?)?;
    let length = U512::from(listing.terms.calendar.length_ms());
    let mut measured = Vec::new();
    let mut total = U512::ZERO;
    for balance in balances(listing) {
        let held = U512::from(balance).checked_mul(length);
        let eligibility = rules.weigh(held.ok_or(Fault::Overflow("an example"))?)?;
        let (counted, weight) = match eligibility {
            Eligibility::Eligible { counted, weight } => (counted, weight),
            _ => (U512::ZERO, U512::ZERO),
        };
        total = total.checked_add(weight).ok_or(Fault::Overflow("the total weight"))?;
        measured.push((balance, counted, weight));
    }
    let pool = I256::from(EXAMPLE_POOL * 10u128.pow(u32::from(listing.terms.reward_decimals())));
    let split = Split::of_pool(pool, listing.programme.commission_rate, I256::ZERO)?;
    let pot = Pot {
        to_share: split.to_share(),
        weight: total,
    };
    let decimals = u32::from(listing.terms.decimals);
    let scale = match listing.programme.mode {
        Mode::AprPerTier => Rate::PARTS,
        Mode::Pool | Mode::Apr { .. } => Multiplier::PARTS,
    };
    let each = |sum: U512| sum.checked_div(length).unwrap_or_default();
    let mut lines = Vec::new();
    for (balance, counted, weight) in measured {
        let rewarded = rules.share(weight, pot)?;
        let payout = rules.pay(rewarded, [I256::ZERO; 3], false)?;
        lines.push(ExampleLine {
            // At most 2 * 10^30.
            held: rules.balance(I256::from(balance)).into(),
            counted: rules.balance(signed(each(counted))?).into(),
            weight: amount::format_units_wide(false, each(weight), decimals + scale.ilog10()),
            reward: rules.reward(rewarded).into(),
            paid: rules.signed_reward(payout.paid).into(),
            withheld: rules.signed_reward(payout.withheld).into(),
        });
    }
    Ok(lines)
}

fn show(listing: &Listing, example: &[ExampleLine], out: &mut Output<'_>) -> Outcome {
    let terms = &listing.terms;
    let (asset, reward_asset) = (terms.asset, terms.reward_asset());
    write_line!(out)?;
    match (listing.programme.mode, terms.reward) {
        (Mode::Pool, _) => write_line!(
            out,
            "Example: these accounts share {EXAMPLE_POOL} {reward_asset}; each holds a constant balance of {asset}"
        )?,
        (_, Some(_)) => write_line!(
            out,
            "Example: the reward of one epoch for a constant balance of {asset}, in {reward_asset}, at a rate of 1 {reward_asset} for 1 {asset}"
        )?,
        (_, None) => write_line!(
            out,
            "Example: the reward of one epoch for a constant balance, in {asset}"
        )?,
    }
    let weighs = match listing.programme.mode {
        Mode::AprPerTier => ">earns a year",
        Mode::Pool | Mode::Apr { .. } => ">weighs",
    };
    let mut table = TextTable::new(&[">held", ">counts", weighs, ">reward", ">paid at once", ">withheld"]);
    for line in example {
        table.row([
            &line.held,
            &line.counted,
            &line.weight,
            &line.reward,
            &line.paid,
            &line.withheld,
        ]);
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
            ["held", "counted", "weight", "reward", "paid", "withheld"]
                .map(|name| line[name].as_str().unwrap().to_owned())
        };
        // 0.5 + 100 + 2 * (100 + 9900 * 1.5) weigh 30000.5 in all; 90 are shared.
        assert_eq!(line(0), ["0.25", "0", "0", "0", "0", "0"]);
        assert_eq!(line(1), ["0.5", "0.5", "0.5", "0.001499", "0", "0.001499"]);
        assert_eq!(line(2), ["100", "100", "100", "0.299995", "0.2999", "0.000095"]);
        assert_eq!(line(3), ["10000", "10000", "14950", "44.849252", "44.8492", "0.000052"]);
        assert_eq!(line(4), ["20000", "10000", "14950", "44.849252", "44.8492", "0.000052"]);
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

    /// A listing with a programme of these fields.
    fn listing(terms: &str, programme: &str) -> String {
        format!(
            r#"{{"asset":"ETH","decimals":18,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,{terms}"programme":{{{programme}}}}}"#
        )
    }

    #[test]
    fn rates_per_tier_for_owners_paid_in_another_asset() {
        let text = listing(
            r#""first_epoch":7,"reward_asset":"USDC","reward_decimals":6,"misdated_from":"2030-01-01T00:00:00Z","#,
            r#""from_epoch":7,"mode":"apr","scope":"owner","payout_decimals":2,"min_balance":"0.5",
               "tiers":[{"up_to":"10","apr":"0.365"},{"up_to":null,"apr":"0.073"}],
               "gate":{"max_payout":"5","max_total":"100.5","max_change":"0.2"}"#,
        );
        let (outcome, said) = checked(&text, false);
        assert_eq!(outcome, Ok(()));
        for expected in [
            "epoch 7 starts at 2026-11-01T00:00:00.000Z.",
            "Rewards are paid in USDC, which has 6 decimals.",
            "in force from epoch 7 on, which starts at 2026-11-01T00:00:00.000Z.\n",
            "dated at or after 2030-01-01T00:00:00.000Z",
            "Each close gives the rate from ETH to USDC.",
            "  from 0 ETH to 10 ETH: 36.5 %\n  above 10 ETH: 7.3 %\n",
            "all accounts of one owner are taken together",
            "multiples of 0.01 USDC; every such amount is paid",
            "settled again for their account",
            "a payout of more than 5 USDC, or payouts of more than 100.5 USDC in all, or rewards that differ by more than 20 % from",
            "at a rate of 1 USDC for 1 ETH",
        ] {
            assert!(said.contains(expected), "{expected}\n{said}");
        }
        let json: serde_json::Value = serde_json::from_str(&checked(&text, true).1).unwrap();
        let last = json["example"].as_array().unwrap().last().unwrap().clone();
        // 10 at 36.5 % and 10 at 7.3 % a year: 0.01 and 0.002 a day.
        for (field, expected) in [
            ("held", "20"),
            ("weight", "4.38"),
            ("reward", "0.012"),
            ("paid", "0.01"),
            ("withheld", "0.002"),
        ] {
            assert_eq!(last[field], expected, "{field}");
        }
    }

    #[test]
    fn a_pool_that_is_always_held() {
        let text = listing(
            "",
            r#""from_epoch":0,"mode":"pool","gate":"always","late_policy":"carry""#,
        );
        let (outcome, said) = checked(&text, false);
        assert_eq!(outcome, Ok(()));
        for expected in [
            "Every epoch is held",
            "the missed part is paid in the oldest open epoch",
        ] {
            assert!(said.contains(expected), "{expected}\n{said}");
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
