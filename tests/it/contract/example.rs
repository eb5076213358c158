//! The worked example of the contract, compared in every field: in the model and in the program.
//!
//! Epoch 0 by hand: alice has 100 * 86,400 - 40.01 * 21,600 = 7,775,784 ATOM-seconds. bob has
//! 2,400 * 64,800 - 200.2 * 14,400 = 152,637,120, capped at 1,000 * 86,400. carol has 1.5 * 43,199.5 + 200 * 14,400 =
//! 2,944,799.25. Together 97,120,583.25. The pool of 12.5 less a tenth is 11.25, of which alice has 0.900710, bob 10.008177 and carol
//! 0.341111. Whole grains of four decimals are paid. The floors leave 0.000002 for epoch 1.
//!
//! In epoch 1, dave sells 10 at noon and gets a rebate of 0.01: 50 * 86,400 - 9.99 * 43,200 = 3,888,432.
//!
//! In epoch 2, carol's deposit of 50, dated at noon of epoch 0, is resettled. Epoch 0 gives 11.25 * 5,104,799.25 /
//! 99,280,583.25 = 0.578451 instead of 0.341111. Epoch 1 gives 6.300003 * 21,729,600 / 117,201,168 = 1.168047 instead of
//! 0.971645. So 0.433742 is made good.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::conservation;
use crate::common::records::by_id;
use crate::common::{Place, fixture, json_lines};
use crate::judge::judge;
use crate::model::Outputs;
use crate::model::history::History;

/// The records that a folder of the example has on each topic.
fn lines(folder: &str) -> Vec<(String, Vec<String>)> {
    let of_topic = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).expect("its name");
        let text = fs::read_to_string(path.join("0.jsonl")).expect("a partition");
        (name.to_owned(), text.lines().map(str::to_owned).collect())
    };
    let topics = fs::read_dir(fixture(folder)).expect("a bus");
    topics.map(|topic| of_topic(&topic.expect("a topic").path())).collect()
}

fn publish(history: &mut History, folder: &str) {
    for (topic, lines) in lines(folder) {
        lines.iter().for_each(|line| history.append(&topic, 0, line));
    }
}

fn bring(place: &Place, folder: &str) {
    for (topic, lines) in lines(folder) {
        place.append(&topic, 0, lines);
    }
}

/// Checks everything published against the fixture.
fn check(outputs: &Outputs) {
    let expected = |file: &str| by_id(json_lines(&fixture(&format!("example/expected/{file}.jsonl"))));
    assert_eq!(outputs.distributions, expected("distributions"));
    assert_eq!(outputs.seals, expected("epochs"));
    assert_eq!(outputs.late_postings, expected("late-postings"));
    let line = |(id, letter): (&String, &Value)| format!("{id} {}", letter["data"]["code"].as_str().expect("a code"));
    let letters: Vec<String> = outputs.dead_letters.iter().map(line).collect();
    let expected = fs::read_to_string(fixture("example/expected/dead-letters.txt")).expect("dead letters");
    assert_eq!(letters, expected.lines().collect::<Vec<_>>());
    conservation::check(&outputs.seals, &outputs.distributions);
}

#[test]
fn the_model_gives_the_worked_example() {
    let mut history = History::default();
    publish(&mut history, "example/bus");
    history.run();
    let first = history.expected().outputs;
    publish(&mut history, "example/later");
    let outputs = history.expected().outputs;
    check(&outputs);

    // What the first run published stays as it was.
    assert_eq!(first.seals.len(), 2);
    assert!(first.seals.iter().all(|(id, seal)| outputs.seals[id] == *seal));
    let is_kept = |(id, record): (&String, &Value)| outputs.distributions[id] == *record;
    assert_eq!(first.distributions.len(), 8);
    assert!(first.distributions.iter().all(is_kept));
    assert!(first.late_postings.is_empty());
}

#[test]
fn from_one_bus_the_deposit_is_not_late() {
    let mut history = History::default();
    publish(&mut history, "example/bus");
    publish(&mut history, "example/later");
    let outputs = history.expected().outputs;
    assert!(outputs.late_postings.is_empty());
    let carol = &outputs.distributions["ATOM:0:carol"]["data"];
    assert_eq!(carol["balance_seconds"], "5104799.25");
    assert_eq!(carol["rewarded"], "0.578451");
    conservation::check(&outputs.seals, &outputs.distributions);
}

#[test]
fn the_program_gives_the_worked_example_on_any_number_of_partitions() {
    for partitions in [1, 2, 8, 64] {
        let place = Place::new();
        bring(&place, "example/bus");
        place.run(Some(partitions));
        bring(&place, "example/later");
        place.run(Some(partitions));
        check(&judge(&place));
    }
}

#[test]
fn another_run_publishes_nothing_even_without_the_state() {
    let place = Place::new();
    bring(&place, "example/bus");
    place.run(None);
    let outcome = place.outcome();
    place.run(None);
    assert_eq!(place.outcome(), outcome);
    // Without the state all records are replayed, and nothing is published again.
    fs::remove_dir_all(place.state()).expect("the state goes");
    place.run(None);
    assert_eq!(place.outcome(), outcome);
}
