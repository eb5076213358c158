//! More names of unlisted assets than a source partition keeps one by one: memory is bounded, the log tells of it, and no
//! listing covers a posting that was ignored.

use std::fs;

use serde_json::Value;

use crate::common::events::{close, deposit, event, pool, time};
use crate::common::{Place, on_bus, succeed};
use crate::judge::judge;

/// How many names are kept one by one.
const KEPT: usize = 65_536;

const TOLD: &str = "exchange.deposits:0 has postings of more than 65536 assets that are not listed";

/// A listing whose first epoch begins `ms` milliseconds after the origin.
fn listing(id: &str, asset: &str, ms: i64) -> String {
    let data = serde_json::json!({
        "asset": asset, "decimals": 2, "anchor": time(ms), "epoch_seconds": 100, "programme": pool(),
    });
    event(id, "softstake.asset.v1", 0, &data)
}

fn run(place: &Place) -> String {
    String::from_utf8(succeed(&mut place.command(Some(2))).stderr).expect("text")
}

/// The control records that were rejected: id and code.
fn rejected(place: &Place) -> Vec<(String, String)> {
    let letters = place.records("softstake.dead-letters").into_iter();
    letters
        .map(|letter| {
            let data = &letter["data"];
            let payload: Value = serde_json::from_str(data["payload"].as_str().expect("text")).expect("JSON");
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&payload["id"]), text(&data["code"]))
        })
        .collect()
}

#[test]
fn names_beyond_the_bound_are_told_and_never_listed_over_ignored_postings() {
    let place = Place::new();
    // Times in seconds: the first names at 1, the further names from 10 to 50.
    let first = (0..KEPT).map(|n| deposit(&format!("f{n}"), 1_000, "ann", &format!("F{n}"), "1"));
    place.append("exchange.deposits", 0, first);
    let said = run(&place);
    assert!(!said.contains(TOLD), "{said}");
    let further = (0..100).map(|n| {
        let ms = 10_000 + (n * 400).min(40_000);
        deposit(&format!("g{n}"), ms, "ann", &format!("G{n}"), "1")
    });
    place.append("exchange.deposits", 0, further);
    place.append("exchange.deposits", 0, [deposit("last", 50_000, "ann", "G0", "1")]);
    let said = run(&place);
    assert_eq!(said.matches(TOLD).count(), 1, "{said}");

    place.append(
        "softstake.control",
        0,
        [
            // A name that was kept is judged by its own postings.
            listing("kept-late", "F7", 1_000),
            listing("kept", "F7", 1_001),
            // A further name, and a name without any posting, are judged by those of all further names.
            listing("further-late", "G1", 50_000),
            listing("further", "G1", 50_001),
            listing("new-late", "NEW", 0),
            listing("new", "NEW", 60_000),
        ],
    );
    let said = run(&place);
    assert!(!said.contains(TOLD), "a second time\n{said}");
    let late = |id: &str| (id.to_owned(), "listing_too_late".to_owned());
    let expected = [late("kept-late"), late("further-late"), late("new-late")];
    assert_eq!(rejected(&place), expected);

    // The same from the log alone, and in a replay.
    fs::remove_dir_all(place.state()).expect("the stores");
    place.append("exchange.deposits", 0, [deposit("d", 70_000, "ann", "NEW", "1")]);
    place.append("softstake.control", 0, [close("F7", 0, 102, "5")]);
    place.append("softstake.control", 0, [listing("another-late", "ANOTHER", 50_000)]);
    let said = run(&place);
    assert!(!said.contains(TOLD), "recovery tells it again\n{said}");
    assert_eq!(rejected(&place).last(), Some(&late("another-late")));
    judge(&place);
    succeed(&mut on_bus("reconcile", &place.bus()));
}
