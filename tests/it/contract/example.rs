//! The worked example of the contract, compared in every field.

use serde_json::Value;

use crate::common::records::by_id;
use crate::common::{Place, copy, fixture, json_lines};

#[test]
fn the_output_is_that_of_the_contract_on_any_number_of_partitions() {
    for partitions in [1, 2, 8, 64] {
        let place = Place::new();
        copy(&fixture("example/bus"), &place.bus());
        place.run(Some(partitions));
        for (topic, file) in [
            ("softstake.distributions", "distributions"),
            ("softstake.epochs", "epochs"),
        ] {
            let expected = json_lines(&fixture(&format!("example/expected/{file}.jsonl")));
            assert_eq!(
                by_id(place.records(topic)),
                by_id(expected),
                "{topic} on {partitions} partitions"
            );
        }
        let mut letters: Vec<String> = place
            .records("softstake.dead-letters")
            .iter()
            .map(|letter| {
                format!(
                    "{} {}",
                    letter["id"].as_str().expect("an id"),
                    letter["data"]["code"].as_str().expect("a code")
                )
            })
            .collect();
        letters.sort();
        let expected = std::fs::read_to_string(fixture("example/expected/dead-letters.txt")).expect("a fixture");
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.sort_unstable();
        assert_eq!(letters, expected, "on {partitions} partitions");
        assert_eq!(place.records("softstake.late-postings"), Vec::<Value>::new());
    }
}

#[test]
fn another_run_publishes_nothing_even_without_the_state() {
    let place = Place::new();
    copy(&fixture("example/bus"), &place.bus());
    place.run(None);
    let outcome = place.outcome();
    place.run(None);
    assert_eq!(place.outcome(), outcome);
    // Without the state all records are replayed, and nothing is published again.
    std::fs::remove_dir_all(place.state()).expect("the state goes");
    place.run(None);
    assert_eq!(place.outcome(), outcome);
}
