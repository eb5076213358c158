//! What is asked for and not there is named, and never answered with a result about nothing.
//!
//! The tables go over all commands. A command or a flag that neither a table nor a list below has makes a test fail, so nobody forgets to decide
//! what happens if its value is not there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::asked_control::{CONTROL, FLAGS, LETTER};
use crate::cli::asked_export::EXPORT;
use crate::cli::asked_serve::{SERVE, SERVE_NAMES_NOTHING};
use crate::common::events::{close, deposit, listing, pool, time};
use crate::common::records::{acknowledgement, text};
use crate::common::{Place, softstake, succeed};

const DAY: u32 = 86_400;

/// ATOM shares a pool and has two sealed epochs, SOL pays a rate and has one, DOT has none.
struct World {
    folder: TempDir,
    place: Place,
    empty: Place,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        let apr = json!({"from_epoch": 0, "mode": "apr", "apr": "0.365"});
        place.append(
            "softstake.control",
            0,
            [
                listing("ATOM", 6, DAY, &pool()),
                listing("SOL", 9, DAY, &apr),
                listing("DOT", 10, DAY, &pool()),
            ],
        );
        place.append(
            "exchange.deposits",
            0,
            [
                deposit("d-1", 1_000, "ann", "ATOM", "5"),
                deposit("d-2", 1_000, "ann", "SOL", "10"),
            ],
        );
        let closes = [
            close("ATOM", 0, DAY, "3"),
            close("SOL", 0, DAY, "7"),
            close("ATOM", 1, DAY, "3"),
        ];
        place.append("softstake.control", 0, closes);
        place.run(Some(2));
        let world = Self {
            folder: tempfile::tempdir().expect("a folder"),
            place,
            empty: Place::new(),
        };
        world.write_files();
        world
    }

    fn write_files(&self) {
        let file = |name: &str, text: String| fs::write(self.folder.path().join(name), text).expect("a file");
        let paid = self.place.records("softstake.distributions");
        let acks = (0..).zip(&paid).map(|(number, paid)| {
            acknowledgement(number, text(&paid["id"]), text(&paid["data"]["amount"])).to_string() + "\n"
        });
        file("acks.jsonl", acks.collect());
        let balance = |asset: &str| format!("account,asset,balance,time\nann,{asset},5,{}\n", time(2_000));
        file("ledger.csv", balance("ATOM"));
        file("misspelt.csv", balance("ATMO"));
        file("names.txt", "bob\n\nnobody\n".into());
        file("no-rows.csv", "account,asset,balance,time\n".into());
        let data = |asset: &str, programme: Value| {
            json!({"asset": asset, "decimals": 6, "anchor": time(0), "epoch_seconds": DAY, "programme": programme})
                .to_string()
        };
        let from = |epoch: u32| json!({"from_epoch": epoch, "mode": "pool", "commission_rate": "0.5"});
        file("programme.json", data("ATOM", from(0)));
        file("late-programme.json", data("ATOM", from(1)));
        file("future-programme.json", data("ATOM", from(7)));
        file("other-asset.json", data("ATMO", from(0)));
        let misspelt = json!({"from_epoch": 0, "mode": "pool", "comission_rate": "0.5"});
        file("misspelt.json", data("ATOM", misspelt));
        file("letters.jsonl", LETTER.into());
        file("misspelt.toml", "partitons = 4\n".into());
        let wrong = self.folder.path().join("wrong-bus/exchange.deposit");
        let made = fs::create_dir_all(&wrong).and_then(|()| fs::write(wrong.join("0.jsonl"), "{}\n"));
        made.expect("a record");
    }

    /// Runs a line of the table: `BUS`, `EMPTY`, `STATE`, `NEW` and `FILE/name` are replaced by paths.
    fn run(&self, line: &str) -> Output {
        let bus = |place: &Place| format!("dir:{}", place.bus().display());
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = softstake();
        for word in line.split(' ') {
            command.arg(match word {
                "BUS" => bus(&self.place),
                "EMPTY" => bus(&self.empty),
                "STATE" => self.place.state().display().to_string(),
                "NEW" => file("new"),
                _ => word.strip_prefix("FILE/").map_or_else(|| word.to_owned(), file),
            });
        }
        command.current_dir(self.folder.path());
        command.output().expect("the program starts")
    }

    /// Runs every line of a table. Returns what is wrong, in words.
    fn faults(&self, table: &[(&str, i32, &str)]) -> Vec<String> {
        let mut faults = Vec::new();
        for (line, status, expected) in table {
            let output = self.run(line);
            let [results, messages] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
            let mut wrong = output.status.code() != Some(*status) || !(messages + &*results).contains(expected);
            // No verdict over nothing.
            wrong |= ["Everything adds up", "EQUAL: all 0", "RIGHT: all 0", "reject no record"]
                .iter()
                .any(|verdict| results.contains(verdict));
            if wrong {
                let messages = String::from_utf8_lossy(&output.stderr);
                faults.push(format!(
                    "`{line}` ended with {:?}, not {status} and `{expected}`:\n{results}{messages}",
                    output.status.code()
                ));
            }
        }
        faults
    }
}

/// Assets, epochs and accounts that are not there; inverted periods; misspelt names.
const NOT_THERE: &[(&str, i32, &str)] = &[
    (
        "statement --bus BUS --asset ATMO",
        3,
        "ATMO is not listed; did you mean ATOM?",
    ),
    (
        "statement --bus BUS --asset DOGE",
        3,
        "DOGE is not listed; the listed assets are ATOM, DOT, SOL",
    ),
    (
        "statement --bus BUS --from-epoch 5 --to-epoch 2",
        2,
        "the period is inverted",
    ),
    (
        "statement --bus BUS --asset ATOM --from-epoch 0 --to-epoch 29",
        3,
        "ATOM epochs 2 to 29 (2026-11-03T00:00:00.000Z to 2026-12-01T00:00:00.000Z) are not closed",
    ),
    (
        "statement --bus BUS --asset ATOM --from-epoch 7",
        3,
        "nothing of what was asked for is there: ATOM epoch 7",
    ),
    ("statement --bus BUS --to-epoch 1", 3, "SOL epoch 1"),
    ("statement --bus BUS --asset DOT", 3, "no epoch is closed"),
    ("reconcile --bus BUS --asset DOGE", 3, "DOGE is not listed"),
    ("reconcile --bus BUS --asset DOT", 3, "no epoch is closed"),
    ("reconcile --bus BUS --asset ATOM --epoch 7", 3, "ATOM epoch 7"),
    ("reconcile --bus BUS --epoch 1", 3, "SOL epoch 1"),
    (
        "reconcile payouts --acks FILE/acks.jsonl --bus BUS --asset SLO",
        3,
        "did you mean SOL?",
    ),
    (
        "reconcile payouts --acks FILE/acks.jsonl --bus BUS --asset SOL --epoch 1",
        3,
        "SOL epoch 1",
    ),
    (
        "reconcile balances --against FILE/misspelt.csv --bus BUS",
        1,
        "did you mean ATOM?",
    ),
    (
        "reconcile balances --against FILE/no-rows.csv --bus BUS",
        2,
        "the file has no rows",
    ),
    ("reconcile balances --against FILE/none.csv --bus BUS", 2, "none.csv"),
    ("explain ATMO 0 ann --bus BUS", 3, "did you mean ATOM?"),
    (
        "explain ATOM 999999 ann --bus BUS",
        3,
        "epoch 999999 of ATOM is too far ahead: the oldest open epoch is 2",
    ),
    ("explain ATOM 4294967299 ann --bus BUS", 3, "too far ahead"),
    (
        "explain ATOM 0 nobody --bus BUS",
        3,
        "no record names this account: nobody",
    ),
    ("prove ATMO 0 ann --bus BUS", 3, "did you mean ATOM?"),
    ("prove ATOM 7 ann --bus BUS", 3, "ATOM epoch 7"),
    ("prove ATOM 0 nobody --bus BUS", 3, "nobody was paid nothing"),
    ("query account ann --asset ATMO --state STATE", 3, "did you mean ATOM?"),
    (
        "query account ann --asset DOT --state STATE",
        3,
        "ann has no balance of DOT",
    ),
    ("query account nobody --state STATE", 3, "nobody has no balance"),
    ("query account ann --state FILE/none", 1, "none"),
    (
        "query distributions ann --asset ATMO --bus BUS",
        3,
        "did you mean ATOM?",
    ),
    (
        "query distributions nobody --bus BUS",
        3,
        "there is no distribution to nobody",
    ),
    (
        "query distributions ann --asset DOT --bus BUS",
        3,
        "there is no distribution to ann of DOT",
    ),
    ("query epochs ATMO --bus BUS", 3, "did you mean ATOM?"),
    ("query epochs DOT --bus BUS", 3, "no epoch is closed"),
    (
        "what-if --programme FILE/other-asset.json --bus BUS",
        3,
        "did you mean ATOM?",
    ),
    (
        "what-if --programme FILE/programme.json --to-epoch 29 --bus BUS",
        3,
        "ATOM epochs 2 to 29",
    ),
    (
        "what-if --programme FILE/late-programme.json --to-epoch 0 --bus BUS",
        2,
        "the period is inverted",
    ),
    (
        "what-if --programme FILE/future-programme.json --bus BUS",
        3,
        "ATOM epoch 7",
    ),
    (
        "what-if --programme FILE/misspelt.json --bus BUS",
        2,
        "the nearest one is `commission_rate`",
    ),
    (
        "archive --bus BUS --out NEW --topic exchange.trade",
        2,
        "did you mean exchange.trades?",
    ),
    (
        "archive --bus BUS --out NEW --topic exchange.trades",
        3,
        "there is no exchange.trades on the bus",
    ),
    (
        "archive --bus BUS --out NEW --to exchange.deposits:7=1",
        3,
        "there is no exchange.deposits:7",
    ),
    (
        "archive --bus BUS --out NEW --to exchange.deposits:0=9",
        3,
        "exchange.deposits:0 ends at offset 2",
    ),
    (
        "archive --bus BUS --out NEW --to exchange.deposit:0=1",
        2,
        "did you mean exchange.deposits?",
    ),
    (
        "archive --bus BUS --out NEW --to exchange.deposits:0=1 --to exchange.deposits:0=2",
        2,
        "--to is given twice",
    ),
    ("archive --check FILE/none", 2, "none"),
    (
        "check --bus BUS --dedup-days 9",
        2,
        "softstake has run on this bus with 7",
    ),
    (
        "check --programme FILE/misspelt.json",
        1,
        "the nearest one is `commission_rate`",
    ),
    ("check --programme FILE/none.json", 2, "none.json"),
    ("check --config FILE/misspelt.toml", 2, "did you mean `partitions`?"),
    ("publish --from dir:FILE", 2, "there is no bus directory"),
    ("publish --from FILE/wrong-bus", 1, "did you mean exchange.deposits?"),
    ("verify FILE/none.json", 2, "none.json"),
    (
        "run --until-idle --bus BUS --state STATE --partitons 4",
        2,
        "'--partitions'",
    ),
    (
        "run --until-idle --bus dir:FILE --state STATE",
        2,
        "there is no bus directory",
    ),
    (
        "run --until-idle --bus BUS --state STATE --monitor-listen 192.0.2.1:9464",
        2,
        "no address of this machine",
    ),
    ("topics --config FILE/misspelt.toml", 2, "did you mean `partitions`?"),
    ("gen --bus dir:NEW --stages 4..2", 2, "the second after the first"),
    ("completions bsh", 2, "bash"),
    ("man FILE/misspelt.json/pages", 1, "cannot write to "),
    ("demo --acounts 5", 2, "'--accounts'"),
];

/// A bus on which nothing is.
const EMPTY: &[(&str, i32, &str)] = &[
    ("statement --bus EMPTY", 3, "no asset is listed here"),
    ("reconcile --bus EMPTY", 3, "softstake has not run on it"),
    (
        "reconcile payouts --acks FILE/acks.jsonl --bus EMPTY",
        3,
        "no asset is listed here",
    ),
    (
        "reconcile balances --against FILE/ledger.csv --bus EMPTY",
        1,
        "no asset is listed here",
    ),
    ("explain ATOM 0 ann --bus EMPTY", 3, "no asset is listed here"),
    ("prove ATOM 0 ann --bus EMPTY", 3, "no asset is listed here"),
    (
        "query distributions ann --bus EMPTY",
        3,
        "there is no distribution to ann",
    ),
    (
        "query distributions ann --asset ATOM --bus EMPTY",
        3,
        "no asset is listed here",
    ),
    ("query epochs ATOM --bus EMPTY", 3, "no asset is listed here"),
    (
        "what-if --programme FILE/programme.json --bus EMPTY",
        3,
        "no asset is listed here",
    ),
    ("archive --out NEW --bus EMPTY", 3, "there is no record on the bus"),
    ("check --bus EMPTY", 3, "there is no source or control record"),
    ("publish --from EMPTY", 3, "there is no source or control record"),
    (
        "rebuild --state FILE/rebuilt --bus EMPTY",
        1,
        "nothing on record of a deployment",
    ),
    (
        "repartition --to 4 --state FILE/repartitioned --bus EMPTY",
        1,
        "nothing is on record of a deployment",
    ),
];

#[test]
fn what_is_asked_for_and_not_there_is_named() {
    let world = World::new();
    let mut faults = world.faults(NOT_THERE);
    faults.extend(world.faults(EMPTY));
    faults.extend(world.faults(EXPORT));
    let control = world.place.records("softstake.control");
    faults.extend(world.faults(CONTROL));
    faults.extend(world.faults(SERVE));
    assert_eq!(
        world.place.records("softstake.control"),
        control,
        "something was published"
    );
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(
        !world.folder.path().join("new").exists(),
        "a refused archive left a folder"
    );
}

#[test]
fn known_epochs_are_answered_beside_missing_ones() {
    let world = World::new();
    let all = |line: &str, status: i32| {
        let output = world.run(line);
        let results = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(status), "{line}\n{results}");
        results
    };
    let part = all("statement --bus BUS --asset ATOM --to-epoch 29", 3);
    assert!(part.starts_with("Not covered below:\n  ATOM epochs 2 to 29 "), "{part}");
    assert!(
        part.contains("The sealed epochs add up. The period is not complete."),
        "{part}"
    );
    let whole = all("statement --bus BUS --asset ATOM --to-epoch 1", 0);
    assert!(whole.contains("Everything adds up."), "{whole}");
    let part = all("reconcile --bus BUS --epoch 1", 3);
    assert!(part.starts_with("Not covered below:\n  DOT epoch 1 "), "{part}");
    assert!(part.contains("\n  SOL epoch 1 "), "{part}");
    assert!(part.contains("EQUAL: all 2 records follow from the log."), "{part}");
    let json: Value = serde_json::from_str(&all("reconcile --bus BUS --epoch 1 --json", 3)).expect("JSON");
    assert_eq!(json["missing"][1]["asset"], "SOL");
    assert_eq!(json["missing"][1]["progress"], "open");
    let part = all("what-if --programme FILE/programme.json --to-epoch 2 --bus BUS", 3);
    assert!(part.starts_with("Not covered below:\n  ATOM epoch 2 "), "{part}");
    all("reconcile payouts --acks FILE/acks.jsonl --bus BUS", 0);
}

/// In `apr` mode the exchange funds the rewards. A total says so, with its mode and its dates.
#[test]
fn totals_of_a_statement_name_mode_funding_and_dates() {
    let world = World::new();
    let output = succeed_line(&world, "statement --bus BUS --json");
    let report: Value = serde_json::from_str(&output).expect("JSON");
    let total = |asset: &str| {
        let totals = report["totals"].as_array().expect("totals");
        totals
            .iter()
            .find(|total| total["asset"] == asset)
            .expect("a total")
            .clone()
    };
    let (atom, sol) = (total("ATOM"), total("SOL"));
    assert_eq!((&atom["mode"], &atom["funding"]), (&json!("pool"), &Value::Null));
    assert_eq!((&atom["first_epoch"], &atom["last_epoch"]), (&json!(0), &json!(1)));
    assert_eq!(
        (&atom["start"], &atom["end"]),
        (&json!(time(0)), &json!(time(2 * 86_400_000)))
    );
    assert_eq!((&sol["mode"], &sol["reward_pool"]), (&json!("apr"), &json!("7")));
    assert_eq!(sol["funding"], sol["rewarded"]);
    assert_ne!(sol["funding"], "0");
    let table = succeed_line(&world, "statement --bus BUS");
    assert!(
        table.contains("In apr mode, the exchange funds the rewards (funding)."),
        "{table}"
    );
    let lines: Vec<&str> = table
        .lines()
        .filter(|line| line.trim_start().starts_with("SOL"))
        .collect();
    assert!(
        lines.iter().all(|line| line.contains("apr") && line.contains(&time(0))),
        "{table}"
    );
}

fn succeed_line(world: &World, line: &str) -> String {
    let output = world.run(line);
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// An archive that was made without a topic is never taken for the whole log.
#[test]
fn an_archive_without_a_needed_topic_is_no_answer() {
    let world = World::new();
    succeed_line(&world, "archive --bus BUS --out FILE/part --topic softstake.control");
    for line in [
        "statement --bus dir:PART",
        "reconcile --bus dir:PART",
        "explain ATOM 0 ann --bus dir:PART",
        "prove ATOM 0 ann --bus dir:PART",
    ] {
        let path = world.folder.path().join("part").display().to_string();
        let output = world.run(&line.replace("PART", &path));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        assert!(said.contains("was made without "), "{line}: {said}");
    }
}

/// Flags whose values name nothing that a bus could lack: places, settings, formats, files to write, and numbers that are only bounds.
const NAME_NOTHING: &[&str] = &[
    "--accounts",
    "--assets",
    "--bad",
    "--base-decimals",
    "--cache-mb",
    "--check-distributions",
    "--create",
    "--csv",
    "--dir",
    "--dir-sync",
    "--duplicates",
    "--epoch-seconds",
    "--epochs",
    "--events",
    "--for",
    "--help",
    "--html",
    "--json",
    "--kafka-brokers",
    "--kafka-deployment",
    "--late",
    "--output-partitions",
    "--pair",
    "--partitions",
    "--quote-decimals",
    "--replication",
    "--root",
    "--seed",
    "--snapshots-every-seconds",
    "--snapshots-keep",
    "--snapshots-place",
    "--source-partitions",
    "--spreadsheet",
    "--stage",
    "--time-resolution",
    "--timeout",
    "--trades",
    "--version",
    "--with-ledger",
    "--work",
];

#[test]
fn every_command_and_flag_is_in_a_table() {
    let lines: Vec<&str> = NOT_THERE
        .iter()
        .chain(EMPTY)
        .chain(CONTROL)
        .chain(EXPORT)
        .chain(SERVE)
        .map(|(line, ..)| *line)
        .collect();
    let words: BTreeSet<&str> = lines.iter().flat_map(|line| line.split(' ')).collect();
    let mut missing = Vec::new();
    for command in commands(&[]) {
        let below = commands(&[&command])
            .into_iter()
            .map(|name| format!("{command} {name}"));
        let all: Vec<String> = [command.clone()].into_iter().chain(below).collect();
        for command in all {
            if !lines.iter().any(|line| line.starts_with(&command)) {
                missing.push(format!("softstake {command}"));
            }
            let names: Vec<&str> = command.split(' ').collect();
            let unknown = flags(&names).into_iter().filter(|flag| !words.contains(flag.as_str()));
            let nothing = |flag: &str| [NAME_NOTHING, SERVE_NAMES_NOTHING, FLAGS].concat().contains(&flag);
            for flag in unknown.filter(|flag| !nothing(flag.as_str())) {
                missing.push(format!("softstake {command} {flag}"));
            }
        }
    }
    assert!(missing.is_empty(), "no table has:\n{}", missing.join("\n"));
}

fn help(command: &[&str]) -> String {
    let output = succeed(softstake().args(command).arg("--help"));
    String::from_utf8(output.stdout).expect("text")
}

/// The names of the commands below a command.
fn commands(below: &[&str]) -> Vec<String> {
    let help = help(below);
    let Some((_, list)) = help.split_once("Commands:\n") else {
        return Vec::new();
    };
    let lines = list.lines().take_while(|line| !line.is_empty());
    // Lines of a longer description are indented further.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The long flags of a command.
fn flags(command: &[&str]) -> BTreeSet<String> {
    let help = help(command);
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',', '=', '[', '<']));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}
