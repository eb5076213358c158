//! Properties: money is conserved, and the order in which events arrive does not matter where the contract
//! says so.
//!
//! Each case is judged by the model, and run in this process by the program, on 1 or on 8 ledger partitions. The model
//! judges that outcome too, with the decisions on record.

mod any_order;
mod conservation;
mod order;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};

use super::in_program::{SHAPES, disagreements, run};
use super::tables::notation::time_of;
use crate::model::Expected;
use crate::model::history::History;

const DAY_MS: i64 = 86_400_000;

/// Some accounts of one owner, and of others.
const ACCOUNTS: [&str; 5] = ["u", "u/a", "u/b", "v/a", "w"];

const SOURCES: [&str; 3] = ["exchange.deposits", "exchange.transfers", "exchange.trades"];

/// A source event. Its time counts from the origin.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    kind: &'static str,
    ms: i64,
    data: Value,
}

impl Event {
    fn record(&self) -> String {
        record(&self.id, self.kind, self.ms, &self.data)
    }
}

fn record(id: &str, kind: &str, ms: i64, data: &Value) -> String {
    json!({"specversion": "1.0", "id": id, "source": "/test", "type": kind, "time": time_of(ms), "data": data})
        .to_string()
}

/// Cents as a decimal.
fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

fn account() -> impl Strategy<Value = &'static str> {
    prop::sample::select(ACCOUNTS.to_vec())
}

/// Deposits, withdrawals with a fee, transfers, fills of one customer, and adjustments of balances.
fn bodies() -> impl Strategy<Value = (&'static str, Value)> {
    let cents = 1i64..200_000;
    prop_oneof![
        4 => (account(), cents.clone()).prop_map(|(account, cents)| {
            let data = json!({"account": account, "asset": "A", "amount": decimal(cents)});
            ("exchange.deposit.v1", data)
        }),
        1 => (account(), cents.clone(), -50i64..50).prop_map(|(account, cents, fee)| {
            let fee = json!({"asset": "A", "amount": decimal(fee)});
            let data = json!({"account": account, "asset": "A", "amount": decimal(cents), "fee": fee});
            ("exchange.withdrawal.v1", data)
        }),
        2 => (account(), account(), cents.clone()).prop_map(|(from, to, cents)| {
            let data = json!({"from_account": from, "to_account": to, "asset": "A", "amount": decimal(cents)});
            ("exchange.transfer.v1", data)
        }),
        1 => (account(), cents.clone()).prop_map(|(account, cents)| {
            let data = json!({
                "base_asset": "A", "quote_asset": "USD", "price": "0", "quantity": decimal(cents),
                "buyer": {"account": account},
            });
            ("exchange.trade.v1", data)
        }),
        1 => (account(), -200_000i64..200_000).prop_map(|(account, cents)| {
            let delta = decimal(if cents == 0 { 1 } else { cents });
            let data = json!({"account": account, "asset": "A", "delta": delta, "reason": "hold"});
            ("exchange.balance_adjustment.v1", data)
        }),
    ]
}

/// Events of the first days. Many are on a boundary, where mistakes are likely.
fn events(days: i64, most: usize) -> impl Strategy<Value = Vec<Event>> {
    let time = prop_oneof![3 => 0..days * DAY_MS, 1 => (0..days).prop_map(|day| day * DAY_MS)];
    prop::collection::vec((time, bodies()), 1..most).prop_map(|events| {
        let numbered = events.into_iter().enumerate();
        numbered
            .map(|(number, (ms, (kind, data)))| Event {
                id: format!("event-{number}"),
                kind,
                ms,
                data,
            })
            .collect()
    })
}

/// The rules of a programme that hold in each mode, with epochs of a day.
fn rules(late_policies: &[&'static str]) -> impl Strategy<Value = Value> {
    let late = prop::sample::select(late_policies.to_vec());
    let scope = prop::sample::select(vec!["account", "owner"]);
    let bounds = (0i64..50_000, 50_000i64..300_000, 1i64..100_000);
    (late, scope, bounds, prop::bool::ANY, 0i64..500, 0u32..=2).prop_map(
        |(late, scope, (least, most, bound), has_cap, min_payout, payout_decimals)| {
            let mut rules = json!({
                "scope": scope, "min_balance": decimal(least), "min_payout": decimal(min_payout),
                "payout_decimals": payout_decimals, "late_policy": late,
                "tiers": [{"up_to": decimal(bound), "multiplier": "1"}, {"up_to": null, "multiplier": "1.5"}],
            });
            if has_cap {
                rules["max_balance"] = decimal(most).into();
            }
            rules
        },
    )
}

fn list(id: &str, from_epoch: u64, programme: &Value, extra: &Value) -> String {
    let mut programme = programme.clone();
    programme["from_epoch"] = from_epoch.into();
    let mut data = json!({
        "asset": "A", "decimals": 2, "anchor": time_of(0), "epoch_seconds": 86_400, "programme": programme,
    });
    let fields = data.as_object_mut().expect("an object");
    fields.extend(extra.as_object().expect("an object").clone());
    record(id, "softstake.asset.v1", 0, &data)
}

fn control(history: &mut History, id: &str, kind: &str, ms: i64, data: &Value) {
    history.append("softstake.control", 0, &record(id, kind, ms, data));
}

/// Closes an epoch at its end, with these fields beside asset and epoch.
fn close(history: &mut History, epoch: u64, fields: &Value) {
    let mut data = fields.clone();
    data["asset"] = "A".into();
    data["epoch"] = epoch.into();
    let end = (i64::try_from(epoch).expect("small") + 1) * DAY_MS;
    control(
        history,
        &format!("close-{epoch}"),
        "softstake.epoch_close.v1",
        end,
        &data,
    );
}

/// Runs a property on a number of cases. They are the same each time, because the tests count what the cases have.
/// `PROPTEST_RNG_SEED` makes others.
fn check<S: Strategy>(cases: u32, strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let default = Config::default();
    let config = Config {
        cases,
        failure_persistence: None,
        // Each one is a run of the program.
        max_shrink_iters: 300,
        rng_seed: match default.rng_seed {
            RngSeed::Random => RngSeed::Fixed(2),
            given => given,
        },
        ..default
    };
    TestRunner::new(config)
        .run(strategy, property)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// What the model says of a history. Fails unless the program does the same.
fn judged(history: &mut History) -> Result<Expected, TestCaseError> {
    let expected = history.try_expected().map_err(TestCaseError::fail)?;
    // Which one it is depends on the history alone.
    let shape = SHAPES[history.steps().len() % SHAPES.len()];
    let found = disagreements(history, &run(history, shape));
    prop_assert!(
        found.is_empty(),
        "{:?}: the model disagrees:\n{}",
        shape,
        found.join("\n")
    );
    Ok(expected)
}

/// Nothing was rejected.
fn is_clean(expected: &Expected) -> Result<(), TestCaseError> {
    prop_assert!(
        expected.outputs.dead_letters.is_empty(),
        "{:?}",
        expected.outputs.dead_letters
    );
    Ok(())
}
