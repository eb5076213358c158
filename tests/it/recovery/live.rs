//! A process that runs while records are appended: it must process them, settle closed epochs, and stop on SIGTERM.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde_json::json;
use softstake::generate::Synthetic;

use crate::common::Place;
use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::process::{Process, until};
use crate::judge::judge;

const DEPOSITS: &str = "exchange.deposits";
const CONTROL: &str = "softstake.control";

fn count(place: &Place, topic: &str) -> usize {
    // Complete records only: a line may be half written.
    let bytes = fs::read(place.bus().join(topic).join("0.jsonl")).unwrap_or_default();
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn until_sealed(place: &Place, seals: usize) {
    until(&format!("{seals} epochs are sealed"), || {
        count(place, "softstake.epochs") >= seals
    });
}

fn append_bytes(path: &Path, bytes: &[u8]) {
    let mut file = File::options().append(true).open(path).expect("a file");
    file.write_all(bytes).expect("a part of a line");
}

/// A record counts when its line feed comes.
fn append_in_two_halves(place: &Place) {
    let line = deposit("6", 210_000, "dan", "A", "1") + "\n";
    let path = place.bus().join(DEPOSITS).join("0.jsonl");
    let before = fs::read(&path).expect("the deposits").len();
    let (first, second) = line.as_bytes().split_at(20);
    append_bytes(&path, first);
    place.append(DEPOSITS, 5, ["refused"]);
    until("the record of another partition is rejected", || {
        count(place, "softstake.dead-letters") == 1
    });
    append_bytes(&path, second);
    assert_eq!(fs::read(&path).expect("the deposits").len(), before + line.len());
}

#[test]
fn appended_records_topics_and_partitions_are_processed_while_it_runs() {
    let place = Place::new();
    // At the start there is no topic.
    let process = Process::running(&place, Some(4));
    place.append(
        CONTROL,
        0,
        [listing("A", 2, 100, &pool()), listing("B", 2, 100, &pool())],
    );
    // The seal of a close shows that the listings are in force.
    place.append(CONTROL, 0, [close("B", 0, 100, "0")]);
    until_sealed(&place, 1);

    place.append(
        DEPOSITS,
        0,
        [deposit("1", 0, "ann", "A", "1"), deposit("2", 50_000, "ben", "A", "2")],
    );
    place.append(CONTROL, 0, [close("A", 0, 100, "2")]);
    until_sealed(&place, 2);

    // A new partition and a new topic. Their records of epoch 0 are late, whether or not they are found before the next
    // close.
    place.append(
        DEPOSITS,
        5,
        [deposit("3", 0, "cat", "A", "1"), deposit("4", 100_000, "cat", "A", "1")],
    );
    let trade = json!({
        "base_asset": "A", "quote_asset": "USD", "price": "1", "quantity": "1",
        "buyer": {"account": "ann"}, "seller": {"account": "cat"},
    });
    place.append("exchange.trades", 1, [event("5", "exchange.trade.v1", 60_000, &trade)]);
    until("both are reported as late", || {
        count(&place, "softstake.late-postings") == 3
    });
    place.append(CONTROL, 0, [close("A", 1, 100, "10")]);
    until_sealed(&place, 3);

    append_in_two_halves(&place);
    place.append(CONTROL, 0, [close("A", 2, 100, "10")]);
    until_sealed(&place, 4);

    // A new listing, and one that is too late.
    place.append(
        CONTROL,
        0,
        [listing("C", 0, 100, &pool()), listing("USD", 2, 100, &pool())],
    );
    until("the listing is rejected", || {
        count(&place, "softstake.dead-letters") == 2
    });
    place.append(DEPOSITS, 0, [deposit("7", 0, "ann", "C", "1")]);
    place.append(CONTROL, 0, [close("C", 0, 100, "1")]);
    until_sealed(&place, 5);

    assert_eq!(process.stop(), Some(0));
    check_outputs(&place);
    // Another run has nothing to do.
    let outcome = place.outcome();
    place.run(None);
    assert_eq!(place.outcome(), outcome);
}

fn check_outputs(place: &Place) {
    let outputs = judge(place);
    assert_eq!(outputs.late_postings.len(), 3);
    let codes: Vec<_> = outputs
        .dead_letters
        .values()
        .map(|letter| letter["data"]["code"].clone())
        .collect();
    assert_eq!(codes, ["invalid_json", "listing_too_late"]);
    let cut = &outputs.seals["A:2"]["data"]["cut"];
    assert_eq!(
        *cut,
        json!({"exchange.deposits": {"0": 3, "5": 3}, "exchange.trades": {"1": 1}})
    );
    assert_eq!(outputs.distributions["C:0:ann"]["data"]["amount"], "1");
}

#[test]
fn sigterm_stops_a_process_in_the_middle_of_its_work() {
    let spec = Synthetic {
        events: 20_000,
        accounts: 300,
        seed: 5,
        ..Synthetic::default()
    };
    let place = Place::new();
    place.bring_all(&spec);
    for _ in 0..3 {
        // As early as it handles the signal.
        assert_eq!(Process::running(&place, Some(4)).stop(), Some(0));
    }
    place.run(None);
    judge(&place);
}

#[test]
fn stages_are_settled_while_the_process_runs() {
    let spec = Synthetic {
        events: 12_000,
        accounts: 200,
        assets: 3,
        partitions: 3,
        epochs: 6,
        seed: 11,
        duplicates: 0.03,
        late: 0.05,
        bad: 0.05,
        ..Synthetic::default()
    };
    let place = Place::new();
    let process = Process::running(&place, Some(8));
    for stage in 0..spec.epochs {
        place.bring(&spec, stage);
        // The next stage comes only then, so that its late records really come late.
        until_sealed(&place, (usize::try_from(stage).expect("small") + 1) * 3);
    }
    // Records after the last close are processed before the stop or after the restart.
    assert_eq!(process.stop(), Some(0));
    place.run(None);
    let outputs = judge(&place);
    assert!(
        outputs.late_postings.len() > 200,
        "{} late postings",
        outputs.late_postings.len()
    );
    assert!(
        outputs.dead_letters.len() > 500,
        "{} dead letters",
        outputs.dead_letters.len()
    );
    assert_eq!(outputs.seals.len(), 18);
}

#[test]
fn stages_may_come_faster_than_they_are_settled() {
    let spec = Synthetic {
        events: 30_000,
        accounts: 200,
        assets: 3,
        epochs: 6,
        seed: 12,
        late: 0.05,
        ..Synthetic::default()
    };
    let place = Place::new();
    let process = Process::running(&place, Some(2));
    // The stages do not wait for seals, so the cuts decide which records are late.
    for stage in 0..spec.epochs {
        place.bring(&spec, stage);
    }
    until_sealed(&place, 18);
    assert_eq!(process.stop(), Some(0));
    place.run(None);
    judge(&place);
}
