//! The program and the model on the same synthetic buses: every published record and decision must be equal.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use softstake::generate::{Synthetic, bad_control_kinds, bad_kinds};

use crate::common::{Dice, Place, setting, start};
use crate::judge::compare;
use crate::model::Outputs;
use crate::model::bus::Bus;
use crate::model::decisions::on_record;
use crate::model::history::History;

#[test]
fn a_hundred_thousand_events_on_1_and_on_16_partitions() {
    let spec = Synthetic {
        events: setting("TEST_EVENTS", 100_000),
        accounts: 2_000,
        assets: 4,
        partitions: 2,
        epochs: 5,
        seed: 7,
        duplicates: 0.03,
        late: 0.03,
        bad: 0.03,
        ..Synthetic::default()
    };
    let mut outcomes = Vec::new();
    for partitions in [1, 16] {
        let place = Place::new();
        place.grow(&spec, Some(partitions));
        let published = compare(&place.bus(), &format!("{partitions} ledger partitions"));
        assert_eq!(published.seals.len(), 20, "4 assets, 5 epochs");
        assert!(
            published.late_postings.len() > 1000,
            "{} late postings",
            published.late_postings.len()
        );
        assert!(
            published.dead_letters.len() > 3000,
            "{} dead letters",
            published.dead_letters.len()
        );
        outcomes.push(place.outcome());
    }
    assert_eq!(outcomes[0], outcomes[1], "the number of partitions changes the output");
}

/// How often something was there. Each name must have been there in the end.
#[derive(Default)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, name: impl Into<String>, is_there: bool) {
        *self.0.entry(name.into()).or_default() += u64::from(is_there);
    }

    /// What producers and treasury wrote.
    fn count_input(&mut self, place: &Place) {
        for topic in ["exchange.trades", "exchange.withdrawals", "exchange.accounts"] {
            for event in input(place, topic) {
                let data = &event["data"];
                let has_one_side = data["price"].is_string() && (data["buyer"].is_null() || data["seller"].is_null());
                self.add("trade with one side", has_one_side);
                let fees = [&data["fee"], &data["buyer"]["fee"], &data["seller"]["fee"]];
                let amounts = fees.map(|fee| fee["amount"].as_str().unwrap_or_default());
                self.add(
                    "rebate",
                    amounts
                        .iter()
                        .any(|amount| amount.starts_with('-') && amount.contains(['1', '2', '3'])),
                );
                self.add("fee of zero", amounts.contains(&"0"));
                self.add(
                    "status of one asset",
                    data["status"].is_string() && data["asset"].is_string(),
                );
            }
        }
        for event in input(place, "softstake.control") {
            let data = &event["data"];
            let kind = event["type"].as_str().unwrap_or_default();
            let is_close = kind == "softstake.epoch_close.v1";
            self.add("rate at a close", is_close && data["apr"].is_string());
            let amount = data["amount"].as_str().unwrap_or_default();
            let is_adjustment = kind == "softstake.pool_adjustment.v1";
            self.add("pool that shrinks", is_adjustment && amount.starts_with('-'));
            self.add("pool that grows", is_adjustment && !amount.starts_with('-'));
            self.add("owner scope", data["programme"]["scope"] == "owner");
            self.add("listing that excuses dates", data["misdated_from"].is_string());
        }
    }

    fn count_output(&mut self, outputs: &Outputs, decisions: &[Value]) {
        let is_negative = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('-'));
        for data in outputs.distributions.values().map(|record| &record["data"]) {
            self.add(
                "sub-account",
                data["account"].as_str().is_some_and(|name| name.contains('/')),
            );
            self.add("made good", data["made_good"] != "0");
            self.add("made good of an overpayment", is_negative(&data["made_good"]));
            self.add("adjusted", data["adjusted"] != "0");
            self.add("paid in another asset", data["asset"] != data["reward_asset"]);
            self.add("debt", is_negative(&data["withheld_before"]));
        }
        for data in outputs.seals.values().map(|record| &record["data"]) {
            self.add("returned pot", data["returned"] != "0");
            self.add("deficit", is_negative(&data["carried_out"]));
            self.add("reward rate", data["reward_rate"].is_string());
            self.add("rates per tier", data["mode"] == "apr" && data["apr"].is_null());
            self.add(
                "after a relisting",
                data["asset"] == "ALGO" && data["epoch"].as_u64() >= Some(10),
            );
        }
        for data in outputs.late_postings.values().map(|record| &record["data"]) {
            self.add(format!("late: {}", text(&data["policy"])), true);
        }
        for letter in outputs.dead_letters.values() {
            self.add(format!("dead: {}", text(&letter["data"]["code"])), true);
        }
        for decision in decisions {
            self.add(format!("decided: {}", text(&decision["decision"])), true);
            self.add("closed again", decision["again"] == true);
            for limit in ["always", "max_change"] {
                self.add(format!("held by {limit}"), decision["limit"] == limit);
            }
        }
        let changes = decisions
            .iter()
            .filter(|decision| decision["decision"] == "programme_changed")
            .filter(|decision| decision["listing"]["asset"] == "ATOM");
        self.add("replaced change", changes.count() == 2);
    }

    fn check(&self) {
        let Counts(counts) = self;
        let wanted = "late: resettle, late: carry, late: forfeit, decided: withdrawal_accepted, decided: epoch_held, \
                      decided: epoch_released, decided: epoch_void, decided: pool_adjusted, dead: invalid_json, \
                      dead: invalid_event, dead: unsupported_type, dead: wrong_topic, dead: invalid_amount, \
                      dead: invalid_time, dead: conflicting_duplicate, dead: too_far_ahead, dead: too_old, \
                      dead: unknown_asset, dead: epoch_already_closed, dead: epoch_out_of_order, \
                      dead: epoch_not_over, dead: epoch_not_held, dead: invalid_programme";
        for name in wanted.split(", ") {
            assert!(counts.contains_key(name), "{name} was never there: {counts:#?}");
        }
        assert!(counts.values().all(|count| *count > 0), "{counts:#?}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The records of a topic that are JSON.
fn input(place: &Place, topic: &str) -> Vec<Value> {
    let mut records = Vec::new();
    for file in std::fs::read_dir(place.bus().join(topic)).into_iter().flatten() {
        let bytes = std::fs::read(file.expect("a partition").path()).expect("its lines");
        let lines = bytes.split(|byte| *byte == b'\n');
        records.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
    }
    records
}

/// Appends stage after stage, with a run after each. Half of the runs follow one that is killed. Returns the kills while the program was at work.
fn grow_with_kills(place: &Place, spec: &Synthetic, partitions: u32, dice: &mut Dice) -> u64 {
    let mut kills = 0;
    for stage in 0..spec.epochs {
        place.bring(spec, stage);
        if dice.throw(2) == 0 {
            let mut child = start(&mut place.command(Some(partitions)));
            // A run takes some 50 ms.
            std::thread::sleep(Duration::from_micros(dice.throw(60_000)));
            let is_at_work = child.try_wait().expect("the program's status").is_none();
            child.kill().expect("SIGKILL");
            child.wait().expect("its end");
            kills += u64::from(is_at_work);
        }
        place.run(Some(partitions));
    }
    kills
}

/// The first hundred differ in all sizes, from one asset and one epoch up. The others have all kinds of assets, and epochs enough for each kind.
fn small_bus(seed: u64) -> Synthetic {
    let small = |value: u64| u32::try_from(value).expect("small");
    let spec = Synthetic {
        events: 300 + seed % 7 * 100,
        accounts: 5 + seed % 40,
        assets: small(1 + seed * 5 % 12),
        partitions: small(1 + seed % 3),
        epochs: small(if seed.is_multiple_of(10) { 12 } else { 1 + seed % 7 }),
        epoch_seconds: [60, 3600, 86_400, 2_678_400][usize::try_from(seed / 2 % 4).expect("small")],
        seed,
        duplicates: 0.05,
        late: 0.08,
        bad: 0.1,
    };
    if seed <= 100 {
        return spec;
    }
    Synthetic {
        events: 1_000 + seed % 7 * 100,
        assets: small(12 + seed % 3),
        // Each partition of each topic has a task with a store.
        partitions: small(1 + u64::from(seed.is_multiple_of(4))),
        epochs: small(6 + seed % 4),
        late: 0.15,
        ..spec
    }
}

#[test]
fn a_hundred_small_buses_on_1_4_and_16_partitions() {
    let seeds = setting("TEST_SEEDS", 100);
    let first = setting("TEST_FIRST_SEED", 1);
    let mut counts = Counts::default();
    let mut dice = Dice::new(first);
    let mut kills = 0;
    for seed in first..first + seeds {
        let spec = small_bus(seed);
        // The suite takes the numbers of ledger partitions in turn; a longer run takes all of them for each bus.
        let in_turn = [[1, 4, 16][usize::try_from(seed % 3).expect("small")]];
        let all = if seeds > 100 { &[1, 4, 16][..] } else { &in_turn };
        for (index, partitions) in all.iter().enumerate() {
            let place = Place::new();
            kills += grow_with_kills(&place, &spec, *partitions, &mut dice);
            let published = compare(&place.bus(), &format!("seed {seed}, {partitions} ledger partitions"));
            if index == 0 {
                counts.count_input(&place);
                counts.count_output(&published, &on_record(&place.bus()).expect("decisions"));
            }
        }
    }
    counts.check();
    assert!(kills > 0);
    println!(
        "{seeds} buses, {kills} kills, how often each kind was there: {:#?}",
        counts.0
    );
}

#[test]
fn a_bus_whose_stages_are_all_there_at_once() {
    let spec = Synthetic {
        events: 20_000,
        accounts: 500,
        assets: 12,
        seed: 42,
        late: 0.05,
        ..Synthetic::default()
    };
    let place = Place::new();
    place.bring_all(&spec);
    place.run(None);
    compare(&place.bus(), "all stages at once");
}

/// The stages of a synthetic bus, with a run after each.
fn history(spec: &Synthetic) -> History {
    let place = Place::new();
    let mut history = History::default();
    for stage in 0..spec.epochs {
        place.bring(spec, stage);
        let bus = Bus::read(&place.bus()).expect("the bus");
        for (from, log) in &bus.sources {
            let seen = history.bus.sources.get(from).map_or(0, |log| log.end);
            for record in log.records.range(seen..).map(|(_, record)| record) {
                history.append_bytes(from.topic, from.partition, record);
            }
        }
        let seen = history.bus.control.end;
        for record in bus.control.records.range(seen..).map(|(_, record)| record) {
            history.append_bytes("softstake.control", 0, record);
        }
        history.run();
    }
    history
}

#[test]
fn the_model_rejects_what_the_generator_means_to_be_rejected() {
    let spec = Synthetic {
        events: 20_000,
        accounts: 300,
        assets: 12,
        epochs: 10,
        bad: 0.05,
        late: 0.05,
        duplicates: 0.0,
        ..Synthetic::default()
    };
    let expected = history(&spec).expected();
    let codes: BTreeMap<&str, &str> = bad_kinds().chain(bad_control_kinds()).collect();
    let mut met = BTreeMap::new();
    for (place, letter) in &expected.outputs.dead_letters {
        let data = &letter["data"];
        let event: Value = serde_json::from_str(text(&data["payload"])).unwrap_or_default();
        let name = text(&event["id"]).strip_prefix("bad-").unwrap_or_default();
        // Some kinds leave nothing of the id to be recognised by.
        let of_name = codes
            .iter()
            .filter(|(kind, _)| name.strip_prefix(**kind).is_some_and(|rest| rest.starts_with('-')));
        if let Some((kind, code)) = of_name.max_by_key(|(kind, _)| kind.len()) {
            assert_eq!(data["code"], *code, "{kind} at {place}: {data}");
            *met.entry(*kind).or_insert(0) += 1;
        } else if !text(&event["id"]).is_empty() && !text(&event["id"]).starts_with("bad-") {
            // A date, or a release of what no limit held.
            let others = ["too_old", "too_far_ahead", "epoch_not_held"];
            assert!(others.contains(&text(&data["code"])), "at {place}: {data}");
        }
    }
    assert!(
        met.len() * 10 > codes.len() * 7,
        "{} of {}: {met:?}",
        met.len(),
        codes.len()
    );
    // DOT.S begins later, ALGO has a gap, and the last epoch of TON is held.
    assert_eq!(expected.outputs.seals.len(), 12 * 10 - 3);
}
