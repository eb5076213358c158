//! The order in which events arrive.

use std::cell::Cell;
use std::collections::BTreeMap;

use num_bigint::BigInt;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DAY_MS, Event, SOURCES, check, close, events, is_clean, judged, list, rules};
use crate::common::conservation;
use crate::model::Expected;
use crate::model::history::History;

const DAYS: u64 = 5;

/// What each account got in all epochs: R and what was made good, and what was paid and is still withheld.
fn totals(expected: &Expected) -> BTreeMap<String, (BigInt, BigInt)> {
    let mut totals: BTreeMap<String, (BigInt, BigInt)> = BTreeMap::new();
    for ((_, epoch, account), share) in &expected.shares {
        let total = totals.entry(account.clone()).or_default();
        total.0 += &share.rewarded + &share.made_good;
        total.1 += &share.paid;
        if *epoch + 1 == DAYS {
            total.1 += &share.withheld_after;
        }
    }
    totals.retain(|_, total| *total != (BigInt::from(0), BigInt::from(0)));
    totals
}

/// Where an event is published: before the close of which epoch, on which topic and partition, and in which order.
type Arrival = (u64, usize, u32, u32);

fn arrivals(most: usize) -> impl Strategy<Value = Vec<Arrival>> {
    prop::collection::vec((0..DAYS, 0..SOURCES.len(), 0u32..2, any::<u32>()), most)
}

/// The programme, and another one from epoch 2 on. Rates are a thousandth a day, then given at some closes.
fn rate_programmes() -> impl Strategy<Value = (Vec<Value>, Value, Vec<Option<u32>>)> {
    let programme = (rules(&["resettle"]), prop::bool::ANY).prop_map(|(mut rules, has_rates)| {
        rules["mode"] = "apr".into();
        if has_rates {
            rules["tiers"] = json!([{"up_to": "700", "apr": "0.73"}, {"up_to": null, "apr": "0.1"}]);
        } else {
            rules["apr"] = "0.365".into();
        }
        rules
    });
    let reward = prop_oneof![
        Just(json!({})),
        Just(json!({"reward_asset": "R", "reward_decimals": 3}))
    ];
    let rates = prop::collection::vec(prop::option::of(1u32..100), usize::try_from(DAYS).expect("small"));
    (prop::collection::vec(programme, 2), reward, rates)
}

/// Publishes the events before the closes that the arrivals say, and closes all epochs.
fn at_a_rate(
    (programmes, reward, rates): &(Vec<Value>, Value, Vec<Option<u32>>),
    arriving: &[(&Event, Arrival)],
) -> Result<Expected, TestCaseError> {
    let mut history = History::default();
    history.append("softstake.control", 0, &list("list", 0, &programmes[0], reward));
    history.append("softstake.control", 0, &list("change", 2, &programmes[1], reward));
    for epoch in 0..DAYS {
        let mut now: Vec<_> = arriving.iter().filter(|(_, arrival)| arrival.0 == epoch).collect();
        now.sort_by_key(|(_, arrival)| arrival.3);
        for (event, (_, topic, partition, _)) in now {
            history.append(SOURCES[*topic], *partition, &event.record());
        }
        let mut fields = json!({});
        let at = usize::try_from(epoch).expect("small");
        let has_one_rate = programmes[usize::from(epoch >= 2)].get("apr").is_some();
        if let Some(rate) = rates[at].filter(|_| has_one_rate) {
            fields["apr"] = format!("0.{rate:02}").into();
        }
        if reward.get("reward_asset").is_some() {
            fields["reward_rate"] = format!("{}.5", at + 1).into();
        }
        close(&mut history, epoch, &fields);
        history.run();
    }
    judged(&mut history)
}

#[test]
fn at_a_rate_any_split_of_late_events_over_closes_ends_in_the_same_totals() {
    let late = Cell::new(0);
    let made_good = Cell::new(0);
    let strategy = (rate_programmes(), events(5, 16), arrivals(16));
    check(96, &strategy, |(programmes, events, arrivals)| {
        let split: Vec<_> = events.iter().zip(arrivals).collect();
        let in_time: Vec<_> = events.iter().map(|event| (event, (0, 0, 0, 0))).collect();
        let (split, in_time) = (at_a_rate(&programmes, &split)?, at_a_rate(&programmes, &in_time)?);
        is_clean(&split)?;
        prop_assert!(in_time.outputs.late_postings.is_empty());
        prop_assert_eq!(totals(&split), totals(&in_time));
        conservation::check(&split.outputs.seals, &split.outputs.distributions);
        late.set(late.get() + split.outputs.late_postings.len());
        let again = |share: &&crate::model::Share| share.made_good != BigInt::from(0);
        made_good.set(made_good.get() + split.shares.values().filter(again).count());
        Ok(())
    });
    // The cases are worth something.
    assert!(late.get() > 200 && made_good.get() > 50, "{late:?} {made_good:?}");
}

/// Some events in time, then others, late and in time, in one order or another.
fn in_pool_mode(programme: &Value, before: &[Event], between: &[(&Event, Arrival)]) -> Result<Expected, TestCaseError> {
    let mut history = History::default();
    history.append("softstake.control", 0, &list("list", 0, programme, &json!({})));
    before
        .iter()
        .for_each(|event| history.append(SOURCES[0], 0, &event.record()));
    for epoch in 0..2 {
        close(&mut history, epoch, &json!({"reward_pool": "1000.01"}));
    }
    history.run();
    let mut between = between.to_vec();
    between.sort_by_key(|(_, arrival)| arrival.3);
    for (event, (_, topic, partition, _)) in between {
        history.append(SOURCES[topic], partition, &event.record());
    }
    for epoch in 2..DAYS {
        close(&mut history, epoch, &json!({"reward_pool": "500.5"}));
    }
    judged(&mut history)
}

/// Distributions, and seals without their cuts.
fn results(expected: &Expected) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
    let mut seals = expected.outputs.seals.clone();
    for seal in seals.values_mut() {
        seal["data"]["cut"] = Value::Null;
    }
    (expected.outputs.distributions.clone(), seals)
}

#[test]
fn within_one_close_the_order_of_late_events_does_not_matter() {
    let made_good = Cell::new(0);
    let policies = ["resettle", "resettle", "carry", "forfeit"];
    let programme = rules(&policies).prop_map(|mut rules| {
        rules["mode"] = "pool".into();
        rules
    });
    let strategy = (programme, events(2, 8), events(5, 12), arrivals(12), arrivals(12));
    check(96, &strategy, |(programme, before, mut late, one, other)| {
        late.iter_mut().for_each(|event| event.id.insert_str(0, "late-"));
        let [one, other] = [one, other].map(|arrivals| {
            let arriving: Vec<_> = late.iter().zip(arrivals).collect();
            in_pool_mode(&programme, &before, &arriving)
        });
        let (one, other) = (one?, other?);
        is_clean(&one)?;
        prop_assert_eq!(results(&one), results(&other));
        prop_assert_eq!(&one.shares, &other.shares);
        conservation::check(&one.outputs.seals, &one.outputs.distributions);
        made_good.set(
            made_good.get()
                + one
                    .shares
                    .values()
                    .filter(|share| share.made_good != BigInt::from(0))
                    .count(),
        );
        Ok(())
    });
    assert!(made_good.get() > 30, "{made_good:?}");
}

#[test]
fn the_only_late_event_of_a_pool_gets_what_it_would_have_got_in_time() {
    // The pot of the first missed epoch is the same with and without the event, so its R' is what R would have been.
    let nonzero = Cell::new(0);
    let programme = rules(&["resettle"]).prop_map(|mut rules| {
        rules["mode"] = "pool".into();
        rules["scope"] = "account".into();
        rules
    });
    let deposit = (super::account(), 0..DAY_MS, 1i64..200_000).prop_map(|(account, ms, cents)| Event {
        id: "late".to_owned(),
        kind: "exchange.deposit.v1",
        ms,
        data: json!({"account": account, "asset": "A", "amount": super::decimal(cents)}),
    });
    check(96, &(programme, events(1, 8), deposit), |(programme, before, late)| {
        let with_epochs = |in_time: bool| {
            let mut history = History::default();
            history.append("softstake.control", 0, &list("list", 0, &programme, &json!({})));
            before
                .iter()
                .for_each(|event| history.append(SOURCES[0], 0, &event.record()));
            if in_time {
                history.append(SOURCES[0], 0, &late.record());
            }
            close(&mut history, 0, &json!({"reward_pool": "1000.01"}));
            history.run();
            if !in_time {
                history.append(SOURCES[0], 0, &late.record());
            }
            close(&mut history, 1, &json!({"reward_pool": "0"}));
            judged(&mut history)
        };
        let (in_time, is_late) = (with_epochs(true)?, with_epochs(false)?);
        let account = late.data["account"].as_str().expect("an account");
        let share = |expected: &Expected, epoch| {
            let key = ("A".to_owned(), epoch, account.to_owned());
            expected.shares.get(&key).cloned().unwrap_or_default()
        };
        let total = share(&is_late, 0).rewarded + share(&is_late, 1).made_good;
        let nobody_had_weight = is_late.outputs.seals["A:0"]["data"]["returned"] != "0";
        if nobody_had_weight {
            // The contract makes nothing good where the pot went back to the treasury.
            prop_assert_eq!(total, BigInt::from(0));
            return Ok(());
        }
        prop_assert_eq!(&total, &share(&in_time, 0).rewarded);
        nonzero.set(nonzero.get() + usize::from(total != BigInt::from(0)));
        Ok(())
    });
    assert!(nonzero.get() > 20, "{nonzero:?}");
}
