//! Properties: results do not depend on the layout of the input, its interleaving, the step size, the number of ledger
//! partitions and threads, or duplicates.
//!
//! All events come before the closes here, because the position of an event decides whether it is late.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde_json::{Value, json};
use softstake::bus::Topic;
use softstake::generate::{Synthetic, write};

use crate::common::conservation;
use crate::common::events::{close, event, listing};
use crate::common::in_memory::{InMemory, Shape};
use crate::common::records::by_id;

/// Records to be read. Their order must not matter, except among records with one key.
#[derive(Debug, Clone)]
struct Log {
    control: Vec<String>,
    /// Records with their keys. Records with one key, which is id and source, stay in one partition and in their order.
    sources: Vec<(String, String)>,
}

/// How a log is spread over a bus, and how it is processed.
#[derive(Debug, Clone)]
struct Layout {
    seed: u64,
    topics: usize,
    partitions: u64,
    shape: Shape,
    /// How many of a hundred records have a duplicate.
    copies: u64,
}

/// A number that depends on all of its input (the finalizer of SplitMix64).
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn hash(seed: u64, text: &str) -> u64 {
    text.bytes().fold(mixed(seed ^ 0x9e37_79b9_7f4a_7c15), |hash, byte| {
        mixed(hash ^ u64::from(byte))
    })
}

/// The results that must not depend on the layout: distributions, seals without cuts, and rejections.
#[derive(Debug, PartialEq)]
struct Outcome {
    distributions: Vec<String>,
    seals: Vec<String>,
    rejected: BTreeMap<String, usize>,
}

/// How often each payload was rejected with which code.
fn rejections(letters: &[Value]) -> BTreeMap<String, usize> {
    let mut rejected = BTreeMap::new();
    for data in letters.iter().map(|record| &record["data"]) {
        let payload = data["payload"]
            .as_str()
            .or(data["payload_base64"].as_str())
            .expect("a payload");
        *rejected.entry(format!("{} {payload}", data["code"])).or_default() += 1;
    }
    rejected
}

/// The records by partition, shuffled. Only records of one key keep their order.
fn spread(log: &Log, layout: &Layout) -> BTreeMap<(usize, u64), Vec<String>> {
    let mut places: BTreeMap<_, Vec<(u64, String)>> = BTreeMap::new();
    let mut orders: HashMap<&str, Vec<u64>> = HashMap::new();
    for (index, (key, _)) in (0..).zip(&log.sources) {
        orders.entry(key).or_default().push(mixed(layout.seed ^ mixed(index)));
    }
    orders
        .values_mut()
        .for_each(|orders| orders.sort_unstable_by(|a, b| b.cmp(a)));
    for (index, (key, record)) in (0u64..).zip(&log.sources) {
        let place = hash(layout.seed, key);
        let topic = usize::try_from(place % 5).expect("small") % layout.topics;
        let place = (topic, (place / 5) % layout.partitions);
        // The numbers drawn for a key are used in ascending order.
        let order = orders.get_mut(key.as_str()).and_then(Vec::pop).expect("one for each");
        let records = places.entry(place).or_default();
        records.push((order, record.clone()));
        if mixed(layout.seed.wrapping_add(index)) % 100 < layout.copies {
            records.push((order, record.clone()));
        }
    }
    let sorted = |mut records: Vec<(u64, String)>| {
        // A stable sort keeps a copy behind its original.
        records.sort_by_key(|(order, _)| *order);
        records.into_iter().map(|(_, record)| record).collect()
    };
    places
        .into_iter()
        .map(|(place, records)| (place, sorted(records)))
        .collect()
}

fn outcome(log: &Log, layout: &Layout) -> Outcome {
    let memory = InMemory::new(layout.shape, 7);
    for (index, record) in (0u64..).zip(&log.control) {
        memory.append(Topic::Control.partition(0), record);
        if mixed(layout.seed.wrapping_mul(3).wrapping_add(index)) % 100 < layout.copies {
            memory.append(Topic::Control.partition(0), record);
        }
    }
    for ((topic, partition), records) in spread(log, layout) {
        let to = Topic::SOURCES[topic].partition(u32::try_from(partition).expect("small"));
        records.iter().for_each(|record| memory.append(to, record));
    }
    memory.run();
    let (distributions, seals) = (memory.records(Topic::Distributions), memory.records(Topic::Epochs));
    conservation::check(&by_id(seals.clone()), &by_id(distributions.clone()));
    assert!(
        memory.records(Topic::LatePostings).is_empty(),
        "all events come before the closes"
    );
    let sorted = |records: Vec<Value>| {
        let mut lines: Vec<String> = records.iter().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    let without_cut = |mut seal: Value| {
        let cut = seal["data"].as_object_mut().and_then(|data| data.remove("cut"));
        assert!(cut.is_some(), "{seal} has no cut");
        seal
    };
    Outcome {
        distributions: sorted(distributions),
        seals: sorted(seals.into_iter().map(without_cut).collect()),
        rejected: rejections(&memory.records(Topic::DeadLetters)),
    }
}

fn plain() -> Layout {
    let shape = Shape {
        partitions: 1,
        threads: 1,
        step_bytes: 1 << 20,
    };
    Layout {
        seed: 0,
        topics: 1,
        partitions: 1,
        shape,
        copies: 0,
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let partitions = prop::sample::select(vec![1, 2, 8, 64]);
    let step_bytes = prop::sample::select(vec![1, 300, 4096, 1 << 20]);
    (partitions, 1usize..=4, step_bytes).prop_map(|(partitions, threads, step_bytes)| Shape {
        partitions,
        threads,
        step_bytes,
    })
}

fn layouts(copies: impl Strategy<Value = u64>) -> impl Strategy<Value = Layout> {
    (any::<u64>(), 1usize..=5, 1u64..=4, shapes(), copies).prop_map(|(seed, topics, partitions, shape, copies)| {
        Layout {
            seed,
            topics,
            partitions,
            shape,
            copies,
        }
    })
}

const ACCOUNTS: [&str; 8] = ["ann", "ann/grid", "ben", "cat/a", "cat/b", "dan", "eve", "名前"];
const EPOCH_MS: i64 = 60_000;
const EPOCHS: u32 = 3;

/// A programme without `from_epoch`.
fn programmes() -> impl Strategy<Value = Value> {
    let choice =
        |choices: &[&str]| prop::sample::select(choices.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    let pool = choice(&["0", "0.1", "0.333333333333333333", "1"])
        .prop_map(|rate| json!({"mode": "pool", "commission_rate": rate}));
    let apr = choice(&["0", "0.05", "52.56", "1000"]).prop_map(|rate| json!({"mode": "apr", "apr": rate}));
    let rules = (
        prop_oneof![3 => pool, 1 => apr],
        choice(&["0", "1", "2.5"]),
        prop::option::of(choice(&["3", "10"])),
        choice(&["0", "0.05", "3"]),
        0u32..=2,
        any::<[bool; 3]>(),
    );
    rules.prop_map(|(mut programme, min_balance, max_balance, min_payout, payout_decimals, [opt_in, of_owner, tiers])| {
        programme["min_balance"] = min_balance.into();
        programme["max_balance"] = max_balance.into();
        programme["min_payout"] = min_payout.into();
        programme["payout_decimals"] = payout_decimals.into();
        programme["enrolment"] = if opt_in { "opt_in" } else { "automatic" }.into();
        programme["scope"] = if of_owner { "owner" } else { "account" }.into();
        if tiers {
            programme["tiers"] = json!([{"up_to": "2", "multiplier": "0.5"}, {"up_to": "4", "multiplier": "0"}, {"up_to": null, "multiplier": "1.5"}]);
        }
        programme
    })
}

/// Type and data of an event of a source topic.
fn bodies() -> impl Strategy<Value = (&'static str, Value)> {
    let account = || prop::sample::select(ACCOUNTS.to_vec());
    let asset = || prop::sample::select(vec!["A", "A", "B", "USD"]);
    // Sometimes with more decimals than the assets have.
    let amount = || {
        prop_oneof![
            9 => (1u32..2000).prop_map(|cents| format!("{}.{:02}", cents / 100, cents % 100)),
            1 => Just("0.001".to_owned()),
        ]
    };
    let or_zero = move || prop_oneof![9 => amount(), 1 => Just("0.0".to_owned())];
    let sign = || prop::sample::select(vec!["", "", "+", "-"]);
    let fee = move || {
        let fees = (asset(), sign(), or_zero());
        prop::option::of(
            fees.prop_map(|(asset, sign, amount)| json!({"asset": asset, "amount": format!("{sign}{amount}")})),
        )
    };
    // A side may be missing, here null.
    let side = move || {
        prop_oneof![
            7 => (account(), fee()).prop_map(|(account, fee)| json!({"account": account, "fee": fee})),
            1 => Just(Value::Null),
        ]
    };
    prop_oneof![
        4 => (account(), asset(), amount()).prop_map(|(account, asset, amount)| {
            ("exchange.deposit.v1", json!({"account": account, "asset": asset, "amount": amount}))
        }),
        1 => (account(), asset(), amount()).prop_map(|(account, asset, amount)| {
            ("exchange.opening_balance.v1", json!({"account": account, "asset": asset, "amount": amount}))
        }),
        2 => (account(), asset(), amount()).prop_map(|(account, asset, amount)| {
            ("exchange.withdrawal.v1", json!({"account": account, "asset": asset, "amount": amount}))
        }),
        2 => (account(), account(), asset(), amount()).prop_map(|(from, to, asset, amount)| {
            ("exchange.transfer.v1", json!({"from_account": from, "to_account": to, "asset": asset, "amount": amount}))
        }),
        2 => (asset(), asset(), or_zero(), amount(), side(), side()).prop_map(|(base, quote, price, quantity, buyer, seller)| {
            let data = json!({
                "base_asset": base, "quote_asset": quote, "price": price, "quantity": quantity, "buyer": buyer, "seller": seller,
            });
            ("exchange.trade.v1", data)
        }),
        1 => (account(), asset(), amount(), any::<bool>()).prop_map(|(account, asset, amount, negative)| {
            let delta = if negative { format!("-{amount}") } else { amount };
            ("exchange.balance_adjustment.v1", json!({"account": account, "asset": asset, "delta": delta, "reason": "hold"}))
        }),
        1 => (account(), asset(), amount(), any::<bool>()).prop_map(|(account, asset, amount, negative)| {
            let delta = if negative { format!("-{amount}") } else { amount };
            ("exchange.reward_adjustment.v1", json!({"account": account, "asset": asset, "delta": delta, "reason": "goodwill"}))
        }),
        2 => (account(), prop::sample::select(vec!["enrolled", "opted_out", "excluded"]), asset(), any::<bool>()).prop_map(
            |(account, status, asset, for_all)| {
                let mut data = json!({"account": account, "status": status});
                if !for_all {
                    data["asset"] = asset.into();
                }
                ("exchange.account_status.v1", data)
            },
        ),
    ]
}

/// A small log of three epochs, with events of all types: two assets, each with a change of programme. Some ids occur
/// twice.
fn logs() -> impl Strategy<Value = Log> {
    let end = i64::from(EPOCHS + 1) * EPOCH_MS;
    // Many times are on a boundary, where mistakes are likely.
    let time = prop_oneof![3 => -EPOCH_MS..end, 1 => (-1i64..=4).prop_map(|epoch| epoch * EPOCH_MS)];
    let sources = prop::collection::vec((0u32..60, time, bodies()), 0..40);
    let pools = prop::collection::vec(0u32..100_000, 2 * usize::try_from(EPOCHS).expect("small"));
    (prop::collection::vec(programmes(), 4), 1u32..EPOCHS, sources, pools).prop_map(
        |(programmes, change, sources, pools)| {
            let mut control = Vec::new();
            for (asset, pair) in ["A", "B"].into_iter().zip(programmes.chunks(2)) {
                for (from, programme) in [0, change].into_iter().zip(pair) {
                    let mut programme = programme.clone();
                    programme["from_epoch"] = from.into();
                    let line = listing(asset, 2, 60, &programme);
                    control.push(line.replace(&format!("\"list-{asset}\""), &format!("\"list-{asset}-{from}\"")));
                }
            }
            for epoch in 0..EPOCHS {
                for asset in ["A", "B"] {
                    let cents = pools[usize::try_from(epoch).expect("small") * 2 + usize::from(asset == "B")];
                    control.push(close(asset, epoch, 60, &format!("{}.{:02}", cents / 100, cents % 100)));
                }
            }
            let sources = sources.into_iter().map(|(id, ms, (kind, data))| {
                let id = format!("event-{id}");
                let record = event(&id, kind, ms, &data);
                (id, record)
            });
            Log {
                control,
                sources: sources.collect(),
            }
        },
    )
}

/// The lines of a generated bus as a log.
fn generated(spec: &Synthetic) -> Log {
    let folder = tempfile::tempdir().expect("a folder for the bus");
    write(folder.path(), spec, 0..spec.epochs, &mut |_| {}).expect("the bus is written");
    let lines = |topic: Topic, partition: u32| {
        let path = folder.path().join(topic.name()).join(format!("{partition}.jsonl"));
        let bytes = std::fs::read(path).unwrap_or_default();
        // Records that are not UTF-8 are left out. Other tests have them.
        let lines: Vec<String> = bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| String::from_utf8(line.to_vec()).ok())
            .collect();
        lines
    };
    let mut sources = Vec::new();
    for topic in Topic::SOURCES {
        for partition in 0..spec.partitions {
            for (index, line) in lines(topic, partition).into_iter().enumerate() {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                // A record without id and source has a key of its own.
                let key = match (event["id"].as_str(), event["source"].as_str()) {
                    (Some(id), Some(source)) => format!("{source}|{id}"),
                    _ => format!("{topic}:{partition}:{index}"),
                };
                sources.push((key, line));
            }
        }
    }
    Log {
        control: lines(Topic::Control, 0),
        sources,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn results_do_not_depend_on_layout_and_shape(log in logs(), layouts in prop::collection::vec(layouts(Just(0)), 3)) {
        let wanted = outcome(&log, &plain());
        prop_assert_eq!(wanted.seals.len(), usize::try_from(2 * EPOCHS).expect("small"));
        for layout in layouts {
            prop_assert_eq!(&outcome(&log, &layout), &wanted, "{:?}", layout);
        }
    }

    #[test]
    fn duplicates_change_nothing(log in logs(), layout in layouts(prop::sample::select(vec![10, 50, 100]))) {
        let once = outcome(&log, &plain());
        let twice = outcome(&log, &layout);
        prop_assert_eq!(&twice.distributions, &once.distributions);
        prop_assert_eq!(&twice.seals, &once.seals);
        // A rejected record is rejected again, with the same code.
        prop_assert_eq!(twice.rejected.keys().collect::<Vec<_>>(), once.rejected.keys().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn results_of_a_synthetic_bus_do_not_depend_on_the_layout(seed in 1u64..1_000_000, layout in layouts(prop::sample::select(vec![0, 20]))) {
        let spec = Synthetic {
            events: 800, accounts: 40, assets: 3, partitions: 2, epochs: 3, seed, duplicates: 0.1, late: 0.0, bad: 0.1, ..Synthetic::default()
        };
        let log = generated(&spec);
        let (wanted, found) = (outcome(&log, &plain()), outcome(&log, &layout));
        prop_assert!(!wanted.distributions.is_empty() && !wanted.rejected.is_empty());
        prop_assert_eq!(&found.distributions, &wanted.distributions);
        prop_assert_eq!(&found.seals, &wanted.seals);
        prop_assert_eq!(found.rejected.keys().collect::<Vec<_>>(), wanted.rejected.keys().collect::<Vec<_>>());
    }
}
