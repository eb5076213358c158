//! Conservation of money, for each combination of mode, deficit, returned pot, withdrawal and debt.

use std::cell::RefCell;
use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::Ratio;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DAY_MS, Event, SOURCES, account, check, close, control, decimal, events, judged, list, rules};
use crate::common::conservation::{self, decimal as published};
use crate::model::decisions::Recorded;
use crate::model::history::History;
use crate::model::{Expected, Settings, expected};

type Money = Ratio<BigInt>;

/// What a history is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Combination {
    ends_at_a_rate: bool,
    has_deficit: bool,
    has_returned: bool,
    is_withdrawn: bool,
    has_debt: bool,
}

impl Combination {
    fn of(number: u32) -> Combination {
        let bit = |at: u32| number >> at & 1 == 1;
        Combination {
            ends_at_a_rate: bit(0),
            has_deficit: bit(1),
            has_returned: bit(2),
            is_withdrawn: bit(3),
            has_debt: bit(4),
        }
    }

    /// What a history has.
    fn found(expected: &Expected) -> Combination {
        let seals: Vec<&Value> = expected.outputs.seals.values().map(|seal| &seal["data"]).collect();
        let zero = Money::from_integer(0.into());
        let any = |name: &str, is_it: &dyn Fn(Money) -> bool| seals.iter().any(|seal| is_it(published(&seal[name])));
        let last = seals.iter().max_by_key(|seal| seal["epoch"].as_u64()).expect("a seal");
        let withdrawn = |decision: &Value| decision["decision"] == "withdrawal_accepted";
        Combination {
            ends_at_a_rate: last["mode"] == "apr",
            has_deficit: any("carried_out", &|money| money < zero),
            has_returned: any("returned", &|money| money > zero),
            is_withdrawn: expected.decisions.iter().any(withdrawn),
            has_debt: expected.shares.values().any(|share| share.withheld_after < 0.into()),
        }
    }
}

/// The random part of a history.
#[derive(Debug, Clone)]
struct Figures {
    rules: Value,
    commission: u32,
    pools: Vec<i64>,
    early: Vec<Event>,
    late: Vec<Event>,
    clawback: (&'static str, i64),
    excluded: &'static str,
    gate: Option<Value>,
}

fn figures() -> impl Strategy<Value = Figures> {
    let gate = prop::option::of(prop_oneof![
        Just(json!("always")),
        Just(json!({"max_total": "500", "max_change": "0.5"}))
    ]);
    (
        rules(&["resettle", "carry", "forfeit"]),
        0u32..100,
        prop::collection::vec(1i64..100_000, 5),
        (events(3, 10), events(4, 8)),
        (account(), 1_000_000i64..2_000_000),
        account(),
        gate,
    )
        .prop_map(
            |(rules, commission, pools, (early, late), clawback, excluded, gate)| Figures {
                rules,
                commission,
                pools,
                early,
                late,
                clawback,
                excluded,
                gate,
            },
        )
}

/// Five epochs. Epoch 0 is empty if its pot is to go back; a slashing of epoch 2 makes a deficit; from epoch 3 on there
/// may be a rate; and before the last close the asset may be withdrawn.
fn history(wanted: Combination, figures: &Figures) -> History {
    let mut history = History::default();
    let mut pool = figures.rules.clone();
    pool["mode"] = "pool".into();
    pool["commission_rate"] = format!("0.{:02}", figures.commission).into();
    history.append("softstake.control", 0, &list("list", 0, &pool, &json!({})));
    let mut later = pool;
    if wanted.ends_at_a_rate {
        later["mode"] = "apr".into();
        later["apr"] = "0.365".into();
        later["commission_rate"] = "0".into();
    }
    if let Some(gate) = &figures.gate {
        later["gate"] = gate.clone();
    }
    history.append("softstake.control", 0, &list("change", 3, &later, &json!({})));
    let delay = if wanted.has_returned { DAY_MS } else { 0 };
    let deposit = json!({"account": "w", "asset": "A", "amount": "3000"});
    let holder = Event {
        id: "holder".to_owned(),
        kind: "exchange.deposit.v1",
        ms: 0,
        data: deposit,
    };
    for event in [&holder].into_iter().chain(&figures.early) {
        let delayed = Event {
            ms: event.ms + delay,
            ..event.clone()
        };
        history.append(SOURCES[0], 0, &delayed.record());
    }
    let excluded = json!({"account": figures.excluded, "status": "excluded"});
    let status = super::record("status", "exchange.account_status.v1", 2 * DAY_MS, &excluded);
    history.append("exchange.accounts", 0, &status);
    for epoch in 0..5u64 {
        let number = usize::try_from(epoch).expect("small");
        if epoch == 2 && wanted.has_deficit {
            let data = json!({"asset": "A", "amount": "-5000", "reason": "slashed"});
            control(
                &mut history,
                "slashed",
                "softstake.pool_adjustment.v1",
                2 * DAY_MS,
                &data,
            );
        }
        if epoch == 2 && wanted.has_debt {
            let (account, cents) = figures.clawback;
            let data = json!({"account": account, "asset": "A", "delta": decimal(-cents), "reason": "clawback"});
            let clawback = super::record("clawback", "exchange.reward_adjustment.v1", 2 * DAY_MS, &data);
            history.append(SOURCES[1], 0, &clawback);
        }
        if epoch == 4 && wanted.is_withdrawn {
            let data = json!({"asset": "A", "epoch": 5, "reason": "end"});
            control(
                &mut history,
                "withdrawn",
                "softstake.asset_withdrawn.v1",
                4 * DAY_MS,
                &data,
            );
        }
        close(
            &mut history,
            epoch,
            &json!({"reward_pool": decimal(figures.pools[number])}),
        );
        history.run();
        for late in figures.late.iter().skip(number).step_by(5) {
            // A late one in epoch 0 would be the holder of a pot that is to go back, but it is past the cut.
            history.append(
                SOURCES[2],
                0,
                &super::record(&format!("{}-{epoch}", late.id), late.kind, late.ms, &late.data),
            );
        }
        let data = json!({"asset": "A", "epoch": epoch, "by": "x", "reason": "y"});
        // Of an epoch that is not held, the release is a dead letter.
        let kind = "softstake.epoch_release.v1";
        control(&mut history, &format!("release-{epoch}"), kind, 5 * DAY_MS, &data);
    }
    history
}

/// Over the whole history: what was given is what was paid and what is left.
fn is_conserved(expected: &Expected) -> Result<(), TestCaseError> {
    let mut given = Money::from_integer(0.into());
    let mut used = given.clone();
    let mut last = &Value::Null;
    // There are less than ten epochs, so their ids are in order.
    for seal in expected.outputs.seals.values().map(|seal| &seal["data"]) {
        let field = |name: &str| published(&seal[name]);
        given += field("made_good") + field("adjusted");
        given += if seal["mode"] == "pool" {
            field("reward_pool")
        } else {
            field("rewarded")
        };
        used += field("commission") + field("distributed") + field("returned");
        last = seal;
    }
    used += published(&last["carried_out"]) + published(&last["withheld_after"]);
    prop_assert_eq!(given, used);
    Ok(())
}

#[test]
fn money_is_conserved_in_every_combination() {
    let met: RefCell<BTreeMap<Combination, u32>> = RefCell::default();
    let cases: RefCell<u32> = RefCell::default();
    let held: RefCell<u32> = RefCell::default();
    check(128, &figures(), |figures| {
        *cases.borrow_mut() += 1;
        let wanted = Combination::of(*cases.borrow() % 32);
        let mut history = history(wanted, &figures);
        let found = judged(&mut history)?;
        conservation::check(&found.outputs.seals, &found.outputs.distributions);
        is_conserved(&found)?;
        prop_assert_eq!(found.outputs.seals.len(), 5);
        *met.borrow_mut().entry(Combination::found(&found)).or_default() += 1;
        *held.borrow_mut() += u32::from(
            found
                .decisions
                .iter()
                .any(|decision| decision["decision"] == "epoch_held"),
        );
        // The recorded decisions alone give the same again.
        let recorded = Recorded::read(&found.decisions).map_err(TestCaseError::fail)?;
        let again = expected(&history.bus, &recorded, &Settings::default()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(&again.outputs, &found.outputs);
        Ok(())
    });
    let met = met.borrow();
    for number in 0..32 {
        assert!(
            met.contains_key(&Combination::of(number)),
            "{:?} was never met: {met:#?}",
            Combination::of(number)
        );
    }
    assert!(*held.borrow() > 20, "the gate held only {held:?}");
}
