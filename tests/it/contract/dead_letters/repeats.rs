//! Records that repeat an id with other content, or whose time is too old or too far ahead.

use serde_json::json;

use super::{CONTROL, DEPOSITS, altered, check, deposit_with, listed, rejected};
use crate::common::Place;
use crate::common::events::{close, deposit, listing, pool, time};

#[test]
fn duplicates_that_differ() {
    let place = listed();
    let first = deposit("d", 1000, "ann", "A", "1.0");
    let close = close("A", 0, 100, "1");
    place.append(DEPOSITS, 0, [&first]);
    place.append(CONTROL, 0, [&close]);
    place.run(None);
    // The same values in another spelling: an identical duplicate, which is dropped.
    let reordered = format!(
        r#" {{ "data": {{"amount":"\u0031.0","asset":"A","account":"ann"}}, "time":"{}", "type":"exchange.deposit.v1", "source":"\/test", "id":"d", "specversion":"1.0" }} "#,
        time(1000)
    );
    place.append(DEPOSITS, 0, [&first, &reordered]);
    place.append(CONTROL, 0, [&close]);
    let case = |topic, record: String| rejected(topic, record, "conflicting_duplicate", "`id`");
    check(
        &place,
        &[
            // "1" and "1.0" are different strings, and so are two spellings of one time.
            case(DEPOSITS, deposit("d", 1000, "ann", "A", "1")),
            case(DEPOSITS, first.replace("01.000Z", "01Z")),
            case(DEPOSITS, first.replace("\"amount\"", "\"note\":null,\"amount\"")),
            // The duplicate is found before its fields are judged.
            case(DEPOSITS, first.replace("deposit.v1", "deposit.v9")),
            case(DEPOSITS, first.replace("\"1.0\",\"asset\"", "\"-1\",\"asset\"")),
            case(DEPOSITS, altered(&first, "/time", Some(json!("never")))),
            case(CONTROL, close.replace("\"reward_pool\":\"1\"", "\"reward_pool\":\"2\"")),
        ],
    );
}

#[test]
fn events_that_are_too_old_or_too_far_ahead() {
    const DAY_MS: i64 = 86_400_000;
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 86_400, &pool())]);
    for epoch in 0..9 {
        place.append(CONTROL, 0, [close("A", epoch, 86_400, "0")]);
    }
    place.append(DEPOSITS, 0, [deposit("before", 0, "ann", "A", "1")]);
    place.run(None);
    // Epoch 9 is the oldest open one. Epoch 2 is seven days behind it, epoch 1 eight, and epoch 409 is four hundred days
    // ahead.
    place.append(
        DEPOSITS,
        0,
        [
            deposit("old", 2 * DAY_MS, "ann", "A", "1"),
            deposit("new", 410 * DAY_MS - 1, "ann", "A", "1"),
        ],
    );
    check(
        &place,
        &[
            rejected(
                DEPOSITS,
                deposit("too-old", 2 * DAY_MS - 1, "ann", "A", "1"),
                "too_old",
                "`time`",
            ),
            rejected(DEPOSITS, deposit("before", 0, "ann", "A", "1"), "too_old", "`time`"),
            rejected(
                DEPOSITS,
                deposit("too-new", 410 * DAY_MS, "ann", "A", "1"),
                "too_far_ahead",
                "`time`",
            ),
            rejected(
                DEPOSITS,
                deposit_with("/time", Some(json!("9999-12-31T23:59:59.999Z"))),
                "too_far_ahead",
                "`time`",
            ),
        ],
    );
    assert_eq!(place.records("softstake.late-postings").len(), 1);
}
