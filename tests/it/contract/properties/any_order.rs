//! Any events and control events in any order: the model finds a result, the program has the same, money is conserved,
//! and the decisions on record give the same again.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ACCOUNTS, DAY_MS, SOURCES, bodies, check, close, control, decimal, judged, list, record, rules};
use crate::common::conservation;
use crate::contract::tables::notation::time_of;
use crate::model::decisions::Recorded;
use crate::model::history::History;
use crate::model::{Settings, expected};

/// One thing that is published, about the epoch that a writer would name now, or about one nearby.
#[derive(Debug, Clone)]
enum Step {
    Source(&'static str, Value, i64, u32),
    List(Value, i64, bool),
    Change(Value, u64),
    Withdraw(u64),
    Pool(i64, i64),
    Close(u64, i64),
    Release(u64),
    Void(u64),
    Run,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let programme = rules(&["resettle", "resettle", "carry", "forfeit"]);
    let gate = prop_oneof![
        1 => Just(Value::Null),
        1 => Just(json!("always")),
        1 => Just(json!({"max_change": "0.3"})),
    ];
    let programme = (programme, gate).prop_map(|(mut rules, gate)| {
        rules["mode"] = "pool".into();
        if !gate.is_null() {
            rules["gate"] = gate;
        }
        rules
    });
    let programme = programme.boxed();
    let status = prop::sample::select(vec!["enrolled", "opted_out", "excluded"]);
    let account = || prop::sample::select(ACCOUNTS.to_vec());
    // Relative to the newest epoch that was closed.
    let ms = || -3 * DAY_MS..2 * DAY_MS;
    let status = (account(), status, ms(), prop::bool::ANY).prop_map(|(account, status, ms, for_all)| {
        let mut data = json!({"account": account, "status": status});
        if !for_all {
            data["asset"] = "A".into();
        }
        Step::Source("exchange.account_status.v1", data, ms, 0)
    });
    let adjusted = (account(), -50_000i64..50_000, ms()).prop_map(|(account, cents, ms)| {
        let data = json!({"account": account, "asset": "A", "delta": decimal(cents * 2 + 1), "reason": "x"});
        Step::Source("exchange.reward_adjustment.v1", data, ms, 1)
    });
    let opening = (account(), 1i64..100_000, ms()).prop_map(|(account, cents, ms)| {
        let data = json!({"account": account, "asset": "A", "amount": decimal(cents)});
        Step::Source("exchange.opening_balance.v1", data, ms, 0)
    });
    let step = prop_oneof![
        12 => (bodies(), ms(), 0u32..2).prop_map(|((kind, data), ms, place)| Step::Source(kind, data, ms, place)),
        2 => status,
        2 => adjusted,
        1 => opening,
        2 => (programme.clone(), 0i64..3, prop::bool::ANY).prop_map(|(rules, days, far)| Step::List(rules, days, far)),
        2 => (programme, 0u64..3).prop_map(|(rules, ahead)| Step::Change(rules, ahead)),
        1 => (0u64..3).prop_map(Step::Withdraw),
        2 => (-100_000i64..100_000, ms()).prop_map(|(cents, ms)| Step::Pool(cents * 2 + 1, ms)),
        8 => (prop_oneof![8 => Just(0u64), 1 => 1u64..4], 0i64..100_000).prop_map(|(back, pool)| Step::Close(back, pool)),
        3 => (0u64..3).prop_map(Step::Release),
        2 => (0u64..3).prop_map(Step::Void),
        6 => Just(Step::Run),
    ];
    prop::collection::vec(step, 30..90)
}

/// What a writer knows: the next epoch to close, and the first epoch and anchor of the newest listing.
#[derive(Default)]
struct Writer {
    history: History,
    events: usize,
    next: u64,
}

impl Writer {
    /// The time of the start of the next epoch to close, or another one relative to it.
    fn at(&self, ms: i64) -> i64 {
        i64::try_from(self.next).expect("small") * DAY_MS + ms
    }

    fn write(&mut self, step: Step) {
        self.events += 1;
        let id = format!("event-{}", self.events);
        let now = self.at(0);
        let of_epoch = |epoch: u64| json!({"asset": "A", "epoch": epoch, "by": "x", "reason": "y"});
        match step {
            Step::Run => self.history.run(),
            Step::Source(kind, data, ms, partition) => {
                let event = record(&id, kind, self.at(ms), &data);
                self.history
                    .append(SOURCES[usize::try_from(partition).expect("small")], partition, &event);
            }
            Step::List(programme, days, is_far) => {
                // A day has the same epoch number in every listing.
                let first = self.next + u64::try_from(days).expect("few");
                let anchor = self.at(days * DAY_MS);
                let mut extra = json!({"first_epoch": first, "anchor": time_of(anchor)});
                if is_far {
                    extra["misdated_from"] = time_of(anchor).into();
                }
                self.history
                    .append("softstake.control", 0, &list(&id, first, &programme, &extra));
            }
            Step::Change(programme, ahead) => {
                let extra = json!({"first_epoch": 0, "anchor": time_of(0)});
                self.history.append(
                    "softstake.control",
                    0,
                    &list(&id, self.next + ahead, &programme, &extra),
                );
            }
            Step::Withdraw(ahead) => {
                let data = json!({"asset": "A", "epoch": self.next + ahead, "reason": "x"});
                control(&mut self.history, &id, "softstake.asset_withdrawn.v1", now, &data);
            }
            Step::Pool(cents, ms) => {
                let data = json!({"asset": "A", "amount": decimal(cents), "reason": "x"});
                let time = self.at(ms);
                control(&mut self.history, &id, "softstake.pool_adjustment.v1", time, &data);
            }
            Step::Close(0, pool) => {
                close(&mut self.history, self.next, &json!({"reward_pool": decimal(pool)}));
                self.next += 1;
            }
            Step::Close(back, pool) => {
                let data = json!({"asset": "A", "epoch": self.next.saturating_sub(back), "reward_pool": decimal(pool)});
                control(&mut self.history, &id, "softstake.epoch_close.v1", now, &data);
            }
            Step::Release(back) => {
                let data = of_epoch(self.next.saturating_sub(back + 1));
                control(&mut self.history, &id, "softstake.epoch_release.v1", now, &data);
            }
            Step::Void(back) => {
                let data = of_epoch(self.next.saturating_sub(back + 1));
                control(&mut self.history, &id, "softstake.epoch_void.v1", now, &data);
            }
        }
    }
}

#[test]
fn any_history_has_a_result_that_conserves_money_and_follows_from_the_decisions() {
    let met: RefCell<BTreeMap<String, usize>> = RefCell::default();
    let first = json!({"mode": "pool"});
    check(128, &steps(), |steps| {
        let mut writer = Writer::default();
        writer
            .history
            .append("softstake.control", 0, &list("list", 0, &first, &json!({})));
        steps.into_iter().for_each(|step| writer.write(step));
        let history = &mut writer.history;
        let found = judged(history)?;
        conservation::check(&found.outputs.seals, &found.outputs.distributions);
        let recorded = Recorded::read(&found.decisions).map_err(TestCaseError::fail)?;
        let again = expected(&history.bus, &recorded, &Settings::default()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&again.outputs, &found.outputs);
        prop_assert_eq!(&again.verdicts, &found.verdicts);
        let mut met = met.borrow_mut();
        let codes = found
            .outputs
            .dead_letters
            .values()
            .map(|letter| &letter["data"]["code"]);
        let decisions = found.decisions.iter().map(|decision| &decision["decision"]);
        for name in codes.chain(decisions).filter_map(Value::as_str) {
            *met.entry(name.to_owned()).or_default() += 1;
        }
        let made_good = found
            .shares
            .values()
            .filter(|share| share.made_good != 0.into())
            .count();
        *met.entry("made_good".to_owned()).or_default() += made_good;
        Ok(())
    });
    let met = met.borrow();
    let wanted = "listing_accepted listing_refused programme_changed withdrawal_accepted close_accepted epoch_held \
                  epoch_released epoch_void pool_adjusted made_good listing_too_late invalid_programme unknown_asset \
                  epoch_not_held epoch_already_closed";
    for name in wanted.split_whitespace() {
        assert!(
            met.get(name).is_some_and(|count| *count >= 8),
            "{name} was met too rarely: {met:#?}"
        );
    }
}
