//! A process that goes on watching while others append: it takes in what comes, settles what closes, and stops when asked.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/events.rs"]
mod events;
mod model;
#[path = "common/program.rs"]
mod program;
#[path = "common/schemas.rs"]
mod schemas;
#[path = "common/watch.rs"]
mod watch;

use common::Place;
use events::{close, deposit, event, listing, pool};
use program::judge;
use serde_json::json;
use softstake::generate::{Synthetic, write};
use watch::{Process, until};

const DEPOSITS: &str = "exchange.deposits";
const CONTROL: &str = "softstake.control";

fn count(place: &Place, topic: &str) -> usize {
    // Whole records only: a line may be on its way.
    let bytes = std::fs::read(place.bus().join(topic).join("0.jsonl")).unwrap_or_default();
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn until_sealed(place: &Place, seals: usize) {
    until(&format!("{seals} epochs are sealed"), || {
        count(place, "softstake.epochs") >= seals
    });
}

#[test]
fn takes_in_what_is_appended_while_it_runs() {
    let place = Place::new();
    // It starts with nothing at all: every topic appears under its eyes.
    let process = Process::watching(&place, Some(4));
    place.append(
        CONTROL,
        0,
        [listing("A", 2, 100, &pool()), listing("B", 2, 100, &pool())],
    );
    // That the listings are in force can be seen when a close of theirs is.
    place.append(CONTROL, 0, [close("B", 0, 100, "0")]);
    until_sealed(&place, 1);

    place.append(
        DEPOSITS,
        0,
        [deposit("1", 0, "ann", "A", "1"), deposit("2", 50_000, "ben", "A", "2")],
    );
    place.append(CONTROL, 0, [close("A", 0, 100, "2")]);
    until_sealed(&place, 2);

    // A new partition, and a new topic: what is in them for epoch 0 is late, whether or not they were found before the next close.
    place.append(
        DEPOSITS,
        5,
        [deposit("3", 0, "cat", "A", "1"), deposit("4", 100_000, "cat", "A", "1")],
    );
    let trade = json!({
        "base_asset": "A", "quote_asset": "USD", "price": "1", "quantity": "1", "buyer": {"account": "ann"}, "seller": {"account": "cat"},
    });
    place.append("exchange.trades", 1, [event("5", "exchange.trade.v1", 60_000, &trade)]);
    until("both are known to be late", || {
        count(&place, "softstake.late-postings") == 3
    });
    place.append(CONTROL, 0, [close("A", 1, 100, "10")]);
    until_sealed(&place, 3);

    // A record is taken in when its line feed comes, however long that takes.
    let line = deposit("6", 210_000, "dan", "A", "1");
    let path = place.bus().join(DEPOSITS).join("0.jsonl");
    let whole = std::fs::read(&path).expect("the deposits");
    std::fs::File::options()
        .append(true)
        .open(&path)
        .and_then(|mut file| {
            use std::io::Write;
            file.write_all(&line.as_bytes()[..20])
        })
        .expect("half a line");
    place.append(DEPOSITS, 5, ["refused"]);
    until("the line elsewhere is refused", || {
        count(&place, "softstake.dead-letters") == 1
    });
    std::fs::File::options()
        .append(true)
        .open(&path)
        .and_then(|mut file| {
            use std::io::Write;
            file.write_all(&line.as_bytes()[20..])?;
            file.write_all(b"\n")
        })
        .expect("the other half");
    assert_eq!(
        std::fs::read(&path).expect("the deposits").len(),
        whole.len() + line.len() + 1
    );
    place.append(CONTROL, 0, [close("A", 2, 100, "10")]);
    until_sealed(&place, 4);

    // A listing while it runs, and one that comes too late.
    place.append(
        CONTROL,
        0,
        [listing("C", 0, 100, &pool()), listing("USD", 2, 100, &pool())],
    );
    until("the listing is refused", || {
        count(&place, "softstake.dead-letters") == 2
    });
    place.append(DEPOSITS, 0, [deposit("7", 0, "ann", "C", "1")]);
    place.append(CONTROL, 0, [close("C", 0, 100, "1")]);
    until_sealed(&place, 5);

    assert_eq!(process.stop(), Some(0));
    let outputs = judge(&place);
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
    // Nothing is left to do for one that comes after.
    let outcome = place.outcome();
    place.run(None);
    assert_eq!(place.outcome(), outcome);
}

#[test]
fn stops_when_asked_at_once_and_in_the_middle() {
    let spec = Synthetic {
        events: 20_000,
        accounts: 300,
        seed: 5,
        ..Synthetic::default()
    };
    let place = Place::new();
    write(&place.bus(), &spec, 0..spec.epochs, &mut |_| {}).expect("the bus is written");
    for _ in 0..3 {
        // As soon as it can be: wherever it is in its work then.
        assert_eq!(Process::watching(&place, Some(4)).stop(), Some(0));
    }
    place.run(None);
    judge(&place);
}

#[test]
fn works_off_stage_after_stage_as_they_come() {
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
    let process = Process::watching(&place, Some(8));
    for stage in 0..spec.epochs {
        write(&place.bus(), &spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
        // Only then the next one, so that what is late there is late.
        until_sealed(&place, (usize::try_from(stage).expect("small") + 1) * 3);
    }
    // All that was appended behind the last close is taken in, too, before it stops or when it is started again.
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
fn takes_in_what_comes_faster_than_it_can_be_settled() {
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
    let process = Process::watching(&place, Some(2));
    // Nobody waits for anybody: what is late is decided by where the cuts fall.
    for stage in 0..spec.epochs {
        write(&place.bus(), &spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
    }
    until_sealed(&place, 18);
    assert_eq!(process.stop(), Some(0));
    place.run(None);
    judge(&place);
}
