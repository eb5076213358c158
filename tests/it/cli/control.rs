//! `softstake control`: what it publishes, what it refuses, what it tells, and that nothing is published twice.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::common::events::event;
use crate::common::process::Process;
use crate::common::records::text;
use crate::common::{Place, fail, softstake, succeed};

/// 2020-01-01T00:00:00Z, in milliseconds from the origin of the test events. The epochs here are over, whatever the clock says.
const START_MS: i64 = -215_654_400_000;
const DAY_MS: i64 = 86_400_000;

fn data(asset: &str, programme: &Value) -> Value {
    json!({
        "asset": asset, "decimals": 6, "anchor": "2020-01-01T00:00:00Z", "epoch_seconds": 86_400, "programme": programme,
    })
}

/// Lists an asset.
fn listed(place: &Place, asset: &str, programme: &Value) {
    let listing = event(
        &format!("list-{asset}"),
        "softstake.asset.v1",
        START_MS,
        &data(asset, programme),
    );
    place.append("softstake.control", 0, [listing]);
}

fn pool() -> Value {
    json!({"from_epoch": 0, "mode": "pool"})
}

fn held() -> Value {
    json!({"from_epoch": 0, "mode": "pool", "gate": "always"})
}

fn deposited(place: &Place, id: &str, day: i64, account: &str, amount: &str) {
    let data = json!({"account": account, "asset": "ATOM", "amount": amount});
    let record = event(id, "exchange.deposit.v1", START_MS + day * DAY_MS, &data);
    place.append("exchange.deposits", 0, [record]);
}

/// `softstake control` with these words on a bus, without a question.
fn control(place: &Place, words: &[&str]) -> Command {
    let mut command = softstake();
    command.arg("control").args(words).arg("--bus");
    command.arg(format!("dir:{}", place.bus().display()));
    command
}

fn publish(place: &Place, words: &[&str]) -> Output {
    let mut command = control(place, words);
    command.args(["--yes", "--timeout", "1"]);
    command.output().expect("the program starts")
}

fn said(output: &Output) -> (Option<i32>, String) {
    let [results, messages] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.code(), results + &messages)
}

#[track_caller]
fn assert_said(output: &Output, status: i32, expected: &[&str]) {
    let (code, said) = said(output);
    assert_eq!(code, Some(status), "{said}");
    for expected in expected {
        assert!(said.contains(expected), "no `{expected}` in:\n{said}");
    }
}

/// Publishes while nothing runs, runs, and asks again for the decision.
#[track_caller]
fn decided(place: &Place, words: &[&str], told: &[&str], accepted: &str) {
    let before = place.records("softstake.control").len();
    assert_said(&publish(place, words), 3, told);
    assert_eq!(place.records("softstake.control").len(), before + 1);
    place.run(Some(2));
    assert_said(&publish(place, words), 0, &["nothing is published again", accepted]);
    assert_eq!(place.records("softstake.control").len(), before + 1, "published twice");
}

/// From the listing to the payout, beside a running deployment.
#[test]
fn an_asset_is_listed_closed_and_paid_while_it_runs() {
    let place = Place::new();
    let file = place.bus().with_file_name("atom.toml");
    let toml = "asset = \"ATOM\"\ndecimals = 6\nanchor = 2020-01-01T00:00:00Z\nepoch_seconds = 86400\n\
                [programme]\nfrom_epoch = 0\nmode = \"pool\"\ncommission_rate = \"0.1\"\n";
    fs::write(&file, toml).expect("a file");
    let _running = Process::running(&place, Some(2));
    let file = file.display().to_string();
    let listed = control(&place, &["list", &file, "--yes"])
        .output()
        .expect("the program starts");
    assert_said(
        &listed,
        0,
        &["List ATOM.", "after a commission of 10 %", "Accepted: ATOM is listed."],
    );
    deposited(&place, "d-1", 0, "ann", "30");
    deposited(&place, "d-2", 0, "ben", "10");
    let closed = succeed(control(&place, &["close", "ATOM", "0", "--pool", "8"]).args(["--yes", "--json"]));
    let report: Value = serde_json::from_slice(&closed.stdout).expect("JSON");
    assert_eq!(report["outcome"], "accepted");
    assert_eq!(report["id"], "close-ATOM-0");
    assert_eq!(report["published"], true);
    assert_eq!(report["decision"]["decision"], "close_accepted");
    assert_eq!(report["decision"]["control_offset"], report["control_offset"]);
    assert_eq!(report["decision"]["reward_pool"], "8");
    crate::common::process::until("the epoch is sealed", || !place.records("softstake.epochs").is_empty());
    let paid = place.records("softstake.distributions");
    let amounts: Vec<&str> = paid.iter().map(|paid| text(&paid["data"]["amount"])).collect();
    assert_eq!(amounts.len(), 2);
    assert!(amounts.contains(&"5.4") && amounts.contains(&"1.8"), "{amounts:?}");
    assert!(place.records("softstake.dead-letters").is_empty());
}

/// With the stores at hand, a close tells what it pays. It is what the run then pays.
#[test]
fn a_close_tells_what_it_pays() {
    let place = Place::new();
    listed(&place, "ATOM", &pool());
    deposited(&place, "d-1", 0, "ann", "30");
    deposited(&place, "d-2", 0, "ben", "10");
    place.run(Some(2));
    let state = place.state().display().to_string();
    decided(
        &place,
        &["close", "ATOM", "0", "--pool", "8", "--state", &state],
        &[
            "Close epoch 0 of ATOM, from 2020-01-01T00:00:00.000Z to 2020-01-02T00:00:00.000Z.",
            "Pool: 8 ATOM ordered by this close, 0 ATOM of 0 validators' rewards, 0 ATOM of 0 adjustments: 8 ATOM in all.",
            "Estimate by the stores: 2 accounts are paid 8 ATOM in all",
            "The largest payout is 6 ATOM, to ann.",
            "no decision yet",
        ],
        "Accepted: epoch 0 of ATOM closes; the close orders a pool of 8.",
    );
    let seals = place.records("softstake.epochs");
    assert_eq!(
        (&seals[0]["data"]["distributed"], &seals[0]["data"]["distributions"]),
        (&json!("8"), &json!(2))
    );
    assert_said(
        &publish(&place, &["close", "ATOM", "1"]),
        3,
        &[
            "No estimate of what it pays: give the state directory with --state.",
            "The epoch before, 0: 2 accounts were paid 8 ATOM in all, of a pool of 8.",
        ],
    );
}

#[test]
fn pools_are_added_to_and_taken_from() {
    let place = Place::new();
    listed(&place, "ATOM", &pool());
    deposited(&place, "d-1", 0, "ann", "30");
    place.run(Some(2));
    let reward = [
        "reward",
        "ATOM",
        "12.5",
        "--validator",
        "cosmos-1",
        "--time",
        "2020-01-01T10:00:00Z",
    ];
    decided(
        &place,
        &reward,
        &[
            "Change the pool of epoch 0 of ATOM",
            "Pool: 12.5 ATOM of this event, 0 ATOM of 0 validators' rewards",
        ],
        "Accepted: 12.5 is added to the pool of epoch 0 of ATOM.",
    );
    let adjust = [
        "adjust",
        "ATOM",
        "-2.25",
        "--reason",
        "slashing",
        "--time",
        "2020-01-01T11:00:00Z",
    ];
    decided(
        &place,
        &adjust,
        &[
            "Pool: -2.25 ATOM of this event, 12.5 ATOM of 1 validators' rewards, 0 ATOM of 0 adjustments: 10.25 ATOM in all.",
        ],
        "Accepted: the pool of epoch 0 of ATOM is adjusted by -2.25.",
    );
    let close = ["close", "ATOM", "0", "--pool", "1"];
    decided(
        &place,
        &close,
        &["-2.25 ATOM of 1 adjustments: 11.25 ATOM in all."],
        "Accepted: epoch 0",
    );
    assert_eq!(place.records("softstake.epochs")[0]["data"]["reward_pool"], "11.25");
}

/// An epoch is held, void, closed again, held again and released. Each event has an id of its own, and a repeated command publishes nothing.
#[test]
fn a_held_epoch_is_voided_closed_again_and_released() {
    let place = Place::new();
    listed(&place, "ATOM", &held());
    deposited(&place, "d-1", 0, "ann", "30");
    place.run(Some(2));
    decided(
        &place,
        &["close", "ATOM", "0", "--pool", "900"],
        &["Its programme has a gate"],
        "Accepted: epoch 0",
    );
    let void = ["void", "ATOM", "0", "--by", "j.doe", "--reason", "a typing error"];
    decided(
        &place,
        &void,
        &[
            "Void epoch 0 of ATOM",
            "which the gate holds by always.",
            "It would pay 900 ATOM in all, at most 900 ATOM to one account; there is no epoch before to compare with.",
        ],
        "Accepted: epoch 0 of ATOM is void, by j.doe",
    );
    assert!(place.records("softstake.distributions").is_empty());
    decided(
        &place,
        &["close", "ATOM", "0", "--pool", "9"],
        &["The epoch was void.", "a preview is only of an open epoch"],
        "It keeps its cut.",
    );
    let release = ["release", "ATOM", "0", "--by", "j.doe", "--reason", "checked"];
    decided(
        &place,
        &release,
        &["It would pay 9 ATOM in all", "This cannot be taken back."],
        "Accepted: epoch 0 of ATOM is released by j.doe, and is paid now.",
    );
    let paid = place.records("softstake.distributions");
    assert_eq!((paid.len(), &paid[0]["data"]["amount"]), (1, &json!("9")));
    let control = place.records("softstake.control");
    let ids: Vec<&str> = control.iter().map(|record| text(&record["id"])).collect();
    assert_eq!(
        ids,
        [
            "list-ATOM",
            "close-ATOM-0",
            "void-ATOM-0",
            "close-ATOM-0-2",
            "release-ATOM-0"
        ]
    );
    assert!(place.records("softstake.dead-letters").is_empty());
}

#[test]
fn a_listing_is_changed_withdrawn_and_listed_again() {
    let place = Place::new();
    let file = |name: &str, programme: Value| {
        let path = place.bus().with_file_name(name);
        fs::write(&path, data("ATOM", &programme).to_string()).expect("a file");
        path.display().to_string()
    };
    listed(&place, "ATOM", &pool());
    deposited(&place, "d-1", 0, "ann", "30");
    place.run(Some(2));
    let change = |rate: &str| json!({"from_epoch": 5, "mode": "pool", "commission_rate": rate});
    let (one, other) = (file("one.json", change("0.1")), file("other.json", change("0.2")));
    decided(
        &place,
        &["list", &one],
        &["Change the programme of ATOM from epoch 5 on, which starts at 2020-01-06T00:00:00.000Z."],
        "Accepted: ATOM has the programme from epoch 5 on.",
    );
    let replaces = "It replaces the change from epoch 5 on.";
    decided(
        &place,
        &["list", &other],
        &[replaces],
        "Accepted: ATOM has the programme from epoch 5 on.",
    );
    // The first change again is another event now.
    decided(
        &place,
        &["list", &one],
        &[replaces],
        "Accepted: ATOM has the programme from epoch 5 on.",
    );
    decided(
        &place,
        &["withdraw", "ATOM", "1", "--reason", "wrong decimals"],
        &[
            "it has no epoch from 1 on",
            "Epoch 0 is still to be closed; it is the last one.",
            "Rewards and adjustments of 0 ATOM",
        ],
        "Accepted: ATOM has no epoch from 1 on.",
    );
    decided(
        &place,
        &["close", "ATOM", "0", "--pool", "3"],
        &["Close epoch 0"],
        "Accepted: epoch 0",
    );
    assert!(place.records("softstake.dead-letters").is_empty());
}

/// What a run would reject is not published, and the reason says what to do.
#[test]
fn what_would_be_a_dead_letter_is_refused() {
    let place = Place::new();
    listed(&place, "ATOM", &pool());
    listed(
        &place,
        "DOT",
        &json!({"from_epoch": 0, "mode": "apr", "apr": "0.1", "gate": "always"}),
    );
    deposited(&place, "d-1", 0, "ann", "30");
    place.run(Some(2));
    let before = place.records("softstake.control");
    let verdict = ["--by", "me", "--reason", "why"];
    let with = |words: &[&'static str]| [words, &verdict].concat();
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (
            vec!["close", "ATMO", "0"],
            "unknown_asset: `asset` is ATMO, which is not listed; list it first",
        ),
        (
            vec!["close", "ATOM", "1"],
            "epoch_out_of_order: `epoch` is 1, but epoch 0 of ATOM has to be closed first",
        ),
        (vec!["close", "ATOM", "0", "--pool", "1.0000001"], "invalid_amount"),
        (vec!["close", "ATOM", "0", "--apr", "0.1"], "`apr` has no use"),
        (
            vec!["close", "DOT", "0", "--reward-rate", "1"],
            "`reward_rate` has no use",
        ),
        (
            with(&["release", "DOT", "0"]),
            "epoch_not_held: `epoch` is epoch 0 of DOT, which is open",
        ),
        (with(&["void", "ATMO", "0"]), "unknown_asset"),
        (vec!["withdraw", "ATMO", "3", "--reason", "r"], "unknown_asset"),
        (vec!["withdraw", "ATOM", "3", "--reason", " "], "`reason` is empty"),
        (vec!["reward", "ATOM", "5", "--validator", "v"], "too_far_ahead"),
        (
            vec!["adjust", "ATOM", "0", "--reason", "r", "--time", "2020-01-01T00:00:00Z"],
            "invalid_amount",
        ),
        (
            vec!["adjust", "ATOM", "1", "--reason", "r", "--time", "yesterday"],
            "invalid_time",
        ),
        (
            with(&["accept-loss", "exchange.deposits", "7", "0", "5"]),
            "which this deployment does not read",
        ),
        (
            with(&["accept-loss", "softstake.epochs", "0", "0", "5"]),
            "must be a source topic",
        ),
        (vec!["rules", "2"], "version 2 is in force"),
        (vec!["rules", "3"], "one that the program knows"),
    ];
    for (words, reason) in &cases {
        let output = publish(&place, words);
        assert_said(&output, 1, &["it is not published", reason]);
    }
    let json = publish(&place, &["close", "ATOM", "4", "--json"]);
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        (&report["code"], &report["published"]),
        (&json!("epoch_out_of_order"), &json!(false))
    );
    assert_eq!(place.records("softstake.control"), before);
}

/// A release is refused before and after the gate holds the epoch.
#[test]
fn only_a_held_epoch_is_released() {
    let place = Place::new();
    listed(&place, "ATOM", &held());
    deposited(&place, "d-1", 0, "ann", "30");
    place.run(Some(2));
    let release = ["release", "ATOM", "0", "--by", "me", "--reason", "why"];
    assert_said(&publish(&place, &["close", "ATOM", "0", "--pool", "1"]), 3, &[]);
    assert_said(&publish(&place, &release), 1, &["epoch_not_held"]);
    place.run(Some(2));
    assert_said(&publish(&place, &release), 3, &[]);
    place.run(Some(2));
    let void = ["void", "ATOM", "0", "--by", "me", "--reason", "why"];
    assert_said(&publish(&place, &void), 1, &["epoch_not_held", "which is sealed"]);
}

/// Without a terminal nobody can be asked. The meaning is told all the same.
#[test]
fn without_a_terminal_nothing_is_published_unasked() {
    let place = Place::new();
    listed(&place, "ATOM", &pool());
    let output = control(&place, &["close", "ATOM", "0", "--pool", "8"])
        .output()
        .expect("the program starts");
    assert_said(
        &output,
        2,
        &[
            "Close epoch 0 of ATOM.",
            "More is not known before a deployment has decided on the listing of ATOM",
            "there is no terminal to ask on; give --yes",
        ],
    );
    assert_eq!(place.records("softstake.control").len(), 1);
}

/// On a terminal the command asks. `yes` publishes, anything else does not.
#[test]
fn on_a_terminal_it_asks() {
    const ANSWER: &str = r#"
import os, pty, sys
answer, words = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(words[0], words)
seen = b""
while b"Type yes" not in seen:
    seen += os.read(terminal, 65536)
os.write(terminal, answer.encode() + b"\n")
try:
    while os.read(terminal, 65536):
        pass
except OSError:
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;
    let place = Place::new();
    listed(&place, "ATOM", &pool());
    let answered = |answer: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", ANSWER, answer]);
        let mut command = control(&place, &["close", "ATOM", "0", "--pool", "8"]);
        command.args(["--timeout", "1"]);
        let mut python = crate::common::run_by(python, &command);
        let output = python.output().expect("Python starts");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), place.records("softstake.control").len())
    };
    assert_eq!(answered("no"), (Some(1), 1));
    assert_eq!(answered(""), (Some(1), 1));
    assert_eq!(answered("yes"), (Some(3), 2));
}

/// The same id is one event. Another event under it is refused, and a rejected one does not keep it.
#[test]
fn an_id_is_published_once() {
    let place = Place::new();
    listed(&place, "ATOM", &pool());
    deposited(&place, "d-1", 0, "ann", "30");
    place.run(Some(2));
    let reward = |amount: &'static str| {
        [
            "reward",
            "ATOM",
            amount,
            "--validator",
            "v",
            "--time",
            "2020-01-01T10:00:00Z",
            "--id",
            "tuesday",
        ]
    };
    assert_said(&publish(&place, &reward("5")), 3, &["--id tuesday"]);
    // It is not decided yet, and not published again.
    assert_said(&publish(&place, &reward("5")), 3, &["nothing is published again"]);
    assert_said(&publish(&place, &reward("6")), 1, &["another event has the id tuesday"]);
    place.run(Some(2));
    assert_said(&publish(&place, &reward("5")), 0, &["Accepted: 5 is added"]);
    assert_said(&publish(&place, &reward("6")), 1, &["another event has the id tuesday"]);
    assert_eq!(place.records("softstake.control").len(), 2);
    // Someone else's record under the id was rejected: the id is free.
    let wrong = event(
        "wednesday",
        "softstake.validator_reward.v1",
        START_MS,
        &json!({"asset": "ATOM"}),
    );
    let wrong = wrong.replace("\"/test\"", "\"/softstake/control\"");
    place.append("softstake.control", 0, [wrong]);
    place.run(Some(2));
    let again = [
        "adjust",
        "ATOM",
        "5",
        "--reason",
        "r",
        "--time",
        "2020-01-01T10:00:00Z",
        "--id",
        "wednesday",
    ];
    decided(
        &place,
        &again,
        &[],
        "Accepted: the pool of epoch 0 of ATOM is adjusted by 5.",
    );
    assert_eq!(place.records("softstake.dead-letters").len(), 1);
}

/// A line that another writer has not finished is left alone.
#[test]
fn a_torn_line_is_not_continued() {
    let place = Place::new();
    listed(&place, "ATOM", &pool());
    let path = place.bus().join("softstake.control/0.jsonl");
    let mut torn = fs::read(&path).expect("a file");
    torn.extend_from_slice(b"{\"specversion\"");
    fs::write(&path, &torn).expect("a file");
    assert_said(
        &publish(&place, &["close", "ATOM", "0"]),
        1,
        &["another writer is in the middle of it"],
    );
    assert_eq!(fs::read(&path).expect("a file"), torn);
    let archive = place.bus().with_file_name("archive");
    fs::write(&path, &torn[..torn.len() - 14]).expect("a file");
    let mut command = softstake();
    command
        .arg("archive")
        .arg("--bus")
        .arg(format!("dir:{}", place.bus().display()))
        .arg("--out")
        .arg(&archive);
    succeed(&mut command);
    let mut command = softstake();
    command
        .args(["control", "close", "ATOM", "0", "--yes", "--bus"])
        .arg(format!("dir:{}", archive.display()));
    assert!(fail(&mut command, 2).contains("is an archive"));
}
