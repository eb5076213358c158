//! The worked example of version 2, compared in every field.
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

use super::conserved;
use super::history::History;
use crate::common::{fixture, json_lines};
use crate::model_parts::Outputs;

/// Publishes what a folder of the example has on its topics.
fn publish(history: &mut History, folder: &Path) {
    for topic in fs::read_dir(folder).expect("a bus") {
        let topic = topic.expect("a topic").path();
        let name = topic
            .file_name()
            .and_then(|name| name.to_str())
            .expect("its name")
            .to_owned();
        let lines = fs::read_to_string(topic.join("0.jsonl")).expect("a partition");
        lines.lines().for_each(|line| history.append(&name, 0, line));
    }
}

fn records(file: &str) -> Vec<(String, Value)> {
    json_lines(&fixture(&format!("example-2/expected/{file}.jsonl")))
        .into_iter()
        .map(|record| (record["id"].as_str().expect("an id").to_owned(), record))
        .collect()
}

fn dead_letters(outputs: &Outputs) -> Vec<String> {
    let line = |(id, letter): (&String, &Value)| format!("{id} {}", letter["data"]["code"].as_str().expect("a code"));
    outputs.dead_letters.iter().map(line).collect()
}

#[test]
fn the_model_gives_the_worked_example() {
    let mut history = History::default();
    publish(&mut history, &fixture("example-2/bus"));
    history.run();
    let first = history.expected().outputs;
    publish(&mut history, &fixture("example-2/later"));
    let outputs = history.expected().outputs;

    assert_eq!(outputs.distributions, records("distributions").into_iter().collect());
    assert_eq!(outputs.seals, records("epochs").into_iter().collect());
    assert_eq!(outputs.late_postings, records("late-postings").into_iter().collect());
    let letters = fs::read_to_string(fixture("example-2/expected/dead-letters.txt")).expect("dead letters");
    assert_eq!(dead_letters(&outputs), letters.lines().collect::<Vec<_>>());
    conserved::check(&outputs);

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
    publish(&mut history, &fixture("example-2/bus"));
    publish(&mut history, &fixture("example-2/later"));
    let outputs = history.expected().outputs;
    assert!(outputs.late_postings.is_empty());
    let carol = &outputs.distributions["ATOM:0:carol"]["data"];
    assert_eq!(carol["balance_seconds"], "5104799.25");
    assert_eq!(carol["rewarded"], "0.578451");
    conserved::check(&outputs);
}
