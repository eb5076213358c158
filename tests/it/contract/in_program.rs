//! Histories in the program: its tasks run in this process, and the model judges what they publish and decide.

use serde_json::Value;
use softstake::bus::Topic;
use softstake::core::values::offset::Offset;

use crate::common::conservation;
use crate::common::in_memory::{InMemory, Shape};
use crate::common::records::by_id;
use crate::common::schemas::check_record;
use crate::model::decisions::{Recorded, decision_differences};
use crate::model::history::{History, Step};
use crate::model::{Outputs, Settings, differences, expected};

/// On how many ledger partitions histories are run.
pub const SHAPES: [Shape; 2] = [
    Shape {
        partitions: 1,
        threads: 1,
        step_bytes: 1,
    },
    Shape {
        partitions: 8,
        threads: 2,
        step_bytes: 1 << 20,
    },
];

/// What runs published and counted.
pub struct Outcome {
    pub outputs: Outputs,
    /// The data of the decisions.
    pub decisions: Vec<Value>,
    pub ignored_postings: u64,
    pub identical_copies: u64,
}

/// Whether the program can be set as a history wants it. It knows one version of the rules.
pub fn is_for_the_program(history: &History) -> bool {
    history.settings.known_rules == Settings::default().known_rules
}

/// Runs a history, up to the last record.
pub fn run(history: &History, shape: Shape) -> Outcome {
    let memory = InMemory::new(shape, history.settings.dedup_days);
    let topic = |name: &str| Topic::from_name(name).expect("a topic of the contract");
    for step in history.steps() {
        match step {
            Step::Append(name, partition, record) => {
                memory.bus().append(topic(name).partition(*partition), record);
            }
            Step::Lose(name, partition, before) => memory
                .bus()
                .delete_before(topic(name).partition(*partition), Offset::new(*before)),
            Step::Run => memory.run(),
        }
    }
    memory.run();
    for topic in [
        Topic::Distributions,
        Topic::Epochs,
        Topic::DeadLetters,
        Topic::LatePostings,
        Topic::Decisions,
    ] {
        for record in memory.records(topic) {
            check_record(&record).unwrap_or_else(|fault| panic!("{topic}: {fault}: {record}"));
        }
    }
    let counts = memory.stats().counts();
    Outcome {
        outputs: Outputs {
            distributions: by_id(memory.records(Topic::Distributions)),
            seals: by_id(memory.records(Topic::Epochs)),
            dead_letters: by_id(memory.records(Topic::DeadLetters)),
            late_postings: by_id(memory.records(Topic::LatePostings)),
        },
        decisions: memory
            .records(Topic::Decisions)
            .into_iter()
            .map(|mut record| record["data"].take())
            .collect(),
        ignored_postings: counts.unlisted + counts.before_anchor,
        identical_copies: counts.duplicates + memory.stats().control().duplicates,
    }
}

/// Where the model disagrees with the outcome of a history, given the decisions on record. Empty if it does not.
pub fn disagreements(history: &History, outcome: &Outcome) -> Vec<String> {
    conservation::check(&outcome.outputs.seals, &outcome.outputs.distributions);
    let expected =
        Recorded::read(&outcome.decisions).and_then(|recorded| expected(&history.bus, &recorded, &history.settings));
    match expected {
        Err(error) => vec![error],
        Ok(expected) => {
            let mut found = differences(&expected.outputs, &outcome.outputs);
            found.extend(decision_differences(&expected.decisions, &outcome.decisions));
            found
        }
    }
}
