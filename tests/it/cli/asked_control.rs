//! What `control`, `redrive`, `preview` and `top` are asked for and is not there: the rows of the table in `asked`. And what only seems not to be there.

use serde_json::json;

use crate::common::events::{close, event, listing, pool};
use crate::common::{Place, softstake, succeed};

const DAY: u32 = 86_400;

/// A line of a file of dead letters. There is no such dead letter.
pub const LETTER: &str = r#"{"topic":"exchange.deposits","partition":0,"offset":7,"event":{}}"#;

/// Assets, epochs, topics, versions and dead letters that are not there. Nothing of it is published.
pub const CONTROL: &[(&str, i32, &str)] = &[
    ("control list FILE/none.json --yes --bus BUS", 2, "none.json"),
    (
        "control list FILE/misspelt.json --yes --bus BUS",
        1,
        "the nearest one is `commission_rate`",
    ),
    (
        "control list FILE/programme.json --yes --bus BUS",
        1,
        "invalid_programme",
    ),
    (
        "control close ATMO 0 --pool 1 --yes --bus BUS --state STATE",
        1,
        "`asset` is ATMO, which is not listed",
    ),
    (
        "control close ATOM 7 --yes --bus BUS",
        1,
        "epoch 2 of ATOM has to be closed first",
    ),
    (
        "control release ATOM 1 --by me --reason r --yes --bus BUS",
        1,
        "epoch 1 of ATOM, which is sealed",
    ),
    (
        "control void ATMO 1 --by me --reason r --yes --bus BUS",
        1,
        "`asset` is ATMO, which is not listed",
    ),
    (
        "control withdraw ATMO 9 --reason r --yes --bus BUS",
        1,
        "`asset` is ATMO, which is not listed",
    ),
    (
        "control reward ATMO 1 --validator v --yes --bus BUS",
        1,
        "`asset` is ATMO, which is not listed",
    ),
    (
        "control adjust ATMO -1 --reason r --yes --bus BUS",
        1,
        "`asset` is ATMO, which is not listed",
    ),
    (
        "control accept-loss exchange.deposits 9 0 1 --by me --reason r --yes --bus BUS",
        1,
        "`partition` is 9 of exchange.deposits, which this deployment does not read",
    ),
    (
        "control rules 9 --yes --bus BUS",
        1,
        "one that the program knows: upgrade every instance first",
    ),
    ("control close ATOM 0 --yes --bus EMPTY", 1, "not listed; list it first"),
    ("top 127.0.0.1:1 --once --interval 1s", 1, "no instance answers"),
    (
        "control close ATOM 0 --yes --bus dir:FILE/none",
        2,
        "there is no bus directory",
    ),
    (
        "control close ATOM 2 --config FILE/misspelt.toml",
        2,
        "did you mean `partitions`?",
    ),
    (
        "preview ATMO --state STATE",
        3,
        "ATMO is not listed; did you mean ATOM?",
    ),
    (
        "preview ATOM --config FILE/misspelt.toml",
        2,
        "did you mean `partitions`?",
    ),
    (
        "redrive list --topic exchange.trade --bus BUS",
        2,
        "it is none of exchange.deposits",
    ),
    (
        "redrive list --code too_late --bus BUS",
        2,
        "it is none of invalid_json",
    ),
    (
        "redrive list --since yesterday --until 2026-11-01 --bus BUS",
        2,
        "no date, and no time",
    ),
    (
        "redrive list --limit 5 --all --bus EMPTY",
        0,
        "There is no such dead letter.",
    ),
    ("redrive list --bus dir:FILE/none", 2, "there is no bus directory"),
    (
        "redrive export --code too_old --out NEW --bus BUS",
        3,
        "there is no such open dead letter, so no file is written",
    ),
    (
        "redrive apply FILE/letters.jsonl --yes --by me --reason r --bus BUS",
        1,
        "there is no such dead letter on this bus",
    ),
    ("redrive apply FILE/none.jsonl --yes --bus BUS", 2, "none.jsonl"),
    (
        "redrive apply FILE/letters.jsonl --no-search --bus BUS",
        2,
        "--no-search is for Kafka",
    ),
];

/// Their flags whose values name nothing that a bus could lack.
pub const FLAGS: &[&str] = &["--apr", "--id", "--pool", "--reward-rate", "--time"];

/// A status event, so that a bus has every kind of name.
#[test]
fn an_account_that_only_has_a_status_is_known() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    let status = json!({"account": "cy", "status": "opted_out"});
    place.append(
        "exchange.accounts",
        0,
        [event("s-1", "exchange.account_status.v1", 5, &status)],
    );
    place.append("softstake.control", 0, [close("ATOM", 0, DAY, "3")]);
    place.run(Some(2));
    let mut command = softstake();
    command.args(["explain", "ATOM", "0", "cy", "--bus"]);
    command.arg(format!("dir:{}", place.bus().display()));
    succeed(&mut command);
}
