//! A closed or full stdout or stderr never turns a failure into success, and never makes a command panic.

use std::fs::{self, File};
use std::io::pipe;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use softstake::generate::Synthetic;
use tempfile::TempDir;

use crate::common::records::{acknowledgement, text};
use crate::common::{Place, copy, run_by, softstake, succeed};

/// A command, and its exit status with open outputs. The number makes the names of new files unique.
struct Case<'a> {
    name: String,
    status: i32,
    command: Box<dyn Fn(u32) -> Command + 'a>,
}

/// The outputs that a command gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    /// A pipe whose reader is gone.
    Unread,
    /// A device without room.
    Full,
    /// A file that is not open for writing.
    ReadOnly,
    /// No open file at all.
    Closed,
    Open,
}

impl Output {
    fn stdio(self) -> Stdio {
        match self {
            Self::Unread => pipe().expect("a pipe").1.into(),
            Self::Full => File::options()
                .write(true)
                .open("/dev/full")
                .expect("the full device")
                .into(),
            Self::ReadOnly => File::open("/dev/null").expect("the null device").into(),
            // The shell closes it.
            Self::Closed | Self::Open => Stdio::null(),
        }
    }
}

const OUTPUTS: [(Output, Output); 8] = [
    (Output::Unread, Output::Open),
    (Output::Open, Output::Unread),
    (Output::Unread, Output::Unread),
    (Output::Full, Output::Open),
    (Output::Open, Output::Full),
    (Output::Full, Output::Full),
    (Output::ReadOnly, Output::Open),
    (Output::Closed, Output::Closed),
];

/// Runs a command with these outputs. Returns its status; none after a signal.
fn ended(command: &Command, stdout: Output, stderr: Output) -> Option<i32> {
    let line = if (stdout, stderr) == (Output::Closed, Output::Closed) {
        r#"exec "$@" >&- 2>&-"#
    } else {
        r#"exec "$@""#
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]);
    let mut shell = run_by(shell, command);
    shell.stdout(stdout.stdio()).stderr(stderr.stdio());
    shell.status().expect("the program starts").code()
}

/// The status that a command must end with, given its status with open outputs, and whether it has results then.
fn expected(open: i32, has_results: bool, stdout: Output) -> i32 {
    let lost = matches!(stdout, Output::Full | Output::ReadOnly);
    if open == 0 && has_results && lost { 1 } else { open }
}

/// A settled bus, a copy on which one seal is missing, and files that commands read.
struct World {
    folder: TempDir,
    right: Place,
    wrong: Place,
    distribution: Value,
}

impl World {
    fn new() -> Self {
        let right = Place::new();
        let spec = Synthetic {
            events: 2_000,
            accounts: 50,
            assets: 2,
            epochs: 2,
            bad: 0.0,
            duplicates: 0.0,
            ..Synthetic::default()
        };
        right.grow(&spec, Some(2));
        let wrong = Place::new();
        copy(&right.bus(), &wrong.bus());
        let seals = wrong.bus().join("softstake.epochs/0.jsonl");
        let lines = fs::read_to_string(&seals).expect("seals");
        let changed = lines.replace(r#""withheld_after":""#, r#""withheld_after":"1"#);
        fs::write(&seals, changed).expect("changed seals");
        wrong.append("exchange.deposits", 0, ["{"]);
        let distributions = right.records("softstake.distributions");
        let world = Self {
            folder: tempfile::tempdir().expect("a folder"),
            distribution: distributions[0].clone(),
            right,
            wrong,
        };
        let acks: String = (0..)
            .zip(&distributions)
            .map(|(number, paid)| {
                acknowledgement(number, text(&paid["id"]), text(&paid["data"]["amount"])).to_string() + "\n"
            })
            .collect();
        fs::write(world.file("acks.jsonl"), acks).expect("acknowledgements");
        fs::write(world.file("no-acks.jsonl"), "\n").expect("no acknowledgement");
        fs::write(world.file("listing.json"), world.listing().to_string()).expect("a listing");
        fs::write(world.file("wrong-listing.json"), "{}").expect("a wrong listing");
        fs::write(
            world.file("ledger.csv"),
            "account,asset,balance,time\nnobody,ATOM,1,2026-11-01T12:00:00Z\n",
        )
        .expect("a ledger");
        let mut prove = world.of_account("prove", &[]);
        let proof = succeed(&mut prove).stdout;
        fs::write(
            world.file("wrong-proof.json"),
            String::from_utf8_lossy(&proof).replace(r#""amount": ""#, r#""amount": "1"#),
        )
        .expect("a wrong proof");
        fs::write(world.file("proof.json"), proof).expect("a proof");
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The first listing of the asset of the distribution.
    fn listing(&self) -> Value {
        let control = self.right.records("softstake.control").into_iter();
        let asset = &self.distribution["data"]["asset"];
        control
            .filter(|event| event["type"] == "softstake.asset.v1")
            .find(|event| event["data"]["asset"] == *asset)
            .expect("its listing")
    }

    /// A command that names an asset, an epoch and an account.
    fn of_account(&self, subcommand: &str, more: &[&str]) -> Command {
        let data = &self.distribution["data"];
        let mut command = on(&self.right, subcommand);
        command.args([text(&data["asset"]), &data["epoch"].to_string(), text(&data["account"])]);
        command.args(more);
        command
    }

    fn audits(&self) -> Vec<Case<'_>> {
        let mut cases = Vec::new();
        for line in [
            "reconcile",
            "reconcile --json",
            "statement",
            "statement --json",
            "statement --from 2000-01-01",
            "check",
        ] {
            cases.push(case(line, 0, move |_| on(&self.right, line)));
            cases.push(case(line, 1, move |_| on(&self.wrong, line)));
        }
        for (line, status) in [
            ("reconcile payouts --acks acks.jsonl", 0),
            ("reconcile payouts --acks no-acks.jsonl", 1),
            ("reconcile payouts --acks no-file.jsonl", 2),
            ("reconcile balances --against ledger.csv", 1),
            ("what-if --programme listing.json", 0),
            ("what-if --programme wrong-listing.json", 2),
        ] {
            cases.push(case(line, status, move |_| self.with_file(line)));
        }
        for line in [
            "distributions",
            "distributions --unsealed --format jsonl",
            "seals",
            "late-postings",
        ] {
            cases.push(case("export", 0, move |_| on(&self.right, &format!("export {line}"))));
        }
        let account = text(&self.distribution["data"]["account"]);
        let line = format!("export tax {account} --year 2026 --acks acks.jsonl");
        // The year has epochs that are not closed.
        cases.push(case("export tax", 3, move |_| self.with_file(&line)));
        for (format, status) in [("parquet", 0), ("csv", 0), ("xml", 2)] {
            cases.push(case("export --out", status, move |number| {
                let mut command = on(&self.right, &format!("export distributions --format {format}"));
                command.arg("--out").arg(self.file(&format!("{format}-{number}")));
                command
            }));
        }
        cases.push(case("reconcile payouts", 3, |_| on(&self.right, "reconcile payouts")));
        cases.push(case("explain", 0, |_| self.of_account("explain", &[])));
        cases.push(case("explain --json", 0, |_| self.of_account("explain", &["--json"])));
        cases.push(case("prove", 0, |_| self.of_account("prove", &[])));
        cases.push(case("prove nobody", 3, |_| on(&self.right, "prove ATOM 0 nobody")));
        for (file, status) in [("proof.json", 0), ("wrong-proof.json", 1)] {
            cases.push(case("verify", status, move |_| {
                let mut command = softstake();
                command.arg("verify").arg(self.file(file));
                command
            }));
        }
        cases
    }

    fn queries_and_checks(&self) -> Vec<Case<'_>> {
        let mut cases = vec![case("check --config", 0, |_| with(softstake(), "check --config"))];
        let account = text(&self.distribution["data"]["account"]);
        for line in [
            format!("query account {account}"),
            format!("query distributions {account} --json"),
            format!("query distributions {account} --from 2000-01-01"),
            "query epochs ATOM".to_owned(),
        ] {
            let query = move |_| self.with_state(on(&self.right, &line));
            cases.push(case("query", 0, query));
        }
        for line in ["preview ATOM", "preview ATOM --json"] {
            let preview = move |_| with(softstake(), line);
            cases.push(case("preview", 0, move |number| self.with_state(preview(number))));
        }
        // Nobody can be asked, so nothing is published.
        for line in [
            "control rules 2",
            "control close ATMO 0 --json",
            "control close ATOM 900",
        ] {
            cases.push(case("control", 1, move |_| on(&self.right, line)));
        }
        cases.push(case("top", 1, |_| with(softstake(), "top 127.0.0.1:1 --once")));
        for line in ["redrive list --all", "redrive list --json"] {
            cases.push(case("redrive list", 0, move |_| on(&self.right, line)));
        }
        for (file, status) in [("listing.json", 0), ("wrong-listing.json", 1)] {
            cases.push(case("check --programme", status, move |_| {
                let mut command = softstake();
                command.args(["check", "--programme"]).arg(self.file(file));
                command
            }));
        }
        cases
    }

    fn writers(&self) -> Vec<Case<'_>> {
        let new = |name: &str, number: u32| self.file(&format!("{name}-{number}"));
        vec![
            case("run", 0, |_| self.right.command(None)),
            case("run --log-format", 0, |_| {
                with(self.right.command(None), "--log-format json --log-level trace")
            }),
            case("rebuild", 0, |_| {
                self.with_state(on(&self.right, "rebuild --log-level debug"))
            }),
            case("repartition", 0, |number| {
                let to = if number % 2 == 0 { "4" } else { "8" };
                self.with_state(on(&self.right, &format!("repartition --to {to}")))
            }),
            case("archive", 0, move |number| {
                let mut command = on(&self.right, "archive");
                command.arg("--out").arg(new("archive", number));
                command
            }),
            case("demo", 0, move |number| {
                let mut command = with(softstake(), "demo --accounts 20 --dir");
                command.arg(new("demo", number));
                command
            }),
            case("gen", 0, move |number| {
                let mut command = with(softstake(), "gen --events 100 --bus");
                command.arg(format!("dir:{}", new("gen", number).display()));
                command
            }),
        ]
    }

    fn with_state(&self, mut command: Command) -> Command {
        command.arg("--state").arg(self.right.state());
        command
    }

    /// A command on the right bus. Its last word is the name of one of the files.
    fn with_file(&self, line: &str) -> Command {
        let (line, file) = line.rsplit_once(' ').expect("several words");
        let mut command = with(softstake(), line);
        command.arg(self.file(file));
        on_bus(command, &self.right)
    }
}

fn case<'a>(name: &str, status: i32, command: impl Fn(u32) -> Command + 'a) -> Case<'a> {
    Case {
        name: name.to_owned(),
        status,
        command: Box::new(command),
    }
}

/// Commands that need no bus.
fn usage() -> Vec<Case<'static>> {
    let lines = [
        ("--help", 0),
        ("--version", 0),
        ("run --help", 0),
        ("help", 0),
        ("stake", 2),
        ("run --partitions", 2),
        ("completions bash", 0),
        ("completions no-shell", 2),
        ("man /proc/pages", 1),
        ("run --until-idle", 2),
        ("topics --kafka-deployment !", 2),
        ("publish --from dir:/nowhere", 2),
        ("serve --listen 0.0.0.0:0", 2),
    ];
    let cases = lines.map(|(line, status)| case(line, status, move |_| with(softstake(), line)));
    Vec::from(cases)
}

fn with(mut command: Command, line: &str) -> Command {
    command.args(line.split(' '));
    command
}

/// A command on a bus.
fn on(place: &Place, line: &str) -> Command {
    on_bus(with(softstake(), line), place)
}

fn on_bus(mut command: Command, place: &Place) -> Command {
    command.arg("--bus").arg(format!("dir:{}", place.bus().display()));
    command
}

/// The names of all commands, from the help.
fn commands() -> Vec<String> {
    let help = succeed(softstake().arg("--help")).stdout;
    let help = String::from_utf8(help).expect("text");
    let (_, list) = help.split_once("Commands:\n").expect("the list of commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    // Lines of a longer description are indented further.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

/// Runs each case with each pair of outputs. Returns what is wrong, in words.
fn faults(cases: &[Case<'_>]) -> Vec<String> {
    let mut faults = Vec::new();
    for Case { name, status, command } in cases {
        let output = command(0).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(*status), "`{name}` said:\n{said}");
        for (number, (stdout, stderr)) in (1..).zip(OUTPUTS) {
            let ended = ended(&command(number), stdout, stderr);
            let expected = expected(*status, !output.stdout.is_empty(), stdout);
            if ended != Some(expected) {
                faults.push(format!(
                    "`{name}` with {stdout:?} stdout and {stderr:?} stderr: {ended:?}, not {expected}"
                ));
            }
        }
    }
    faults
}

#[test]
fn outputs_that_cannot_be_written_change_no_verdict() {
    let world = World::new();
    let mut audits = usage();
    audits.extend(world.audits());
    // These share the stores, which only one process may use at a time.
    let mut others = world.queries_and_checks();
    others.extend(world.writers());
    for command in commands() {
        let mut names = audits.iter().chain(&others).map(|case| case.name.split(' ').next());
        assert!(
            names.any(|name| name == Some(&command)),
            "`softstake {command}` has no case"
        );
    }
    let mut found = faults(&audits);
    found.extend(faults(&others));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Starts a command whose stderr is a terminal, and takes the terminal away after its first words. Then it asks the command to stop, as soon as it
/// handles the signal.
const HANG_UP: &str = r#"
import os, pty, signal, subprocess, sys, time
terminal, stderr = pty.openpty()
command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
os.close(stderr)
first = os.read(terminal, 4096)
os.close(terminal)
def catches_sigterm():
    with open(f"/proc/{command.pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt:"))
    return int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1
while not catches_sigterm():
    if command.poll() is not None:
        sys.exit(f"it ended by itself with {command.returncode}; its first words were {first}")
    time.sleep(0.005)
command.send_signal(signal.SIGTERM)
sys.exit(command.wait(60))
"#;

#[test]
fn a_terminal_that_is_gone_stops_no_run() {
    let place = Place::new();
    place.append("exchange.deposits", 0, ["{"]);
    let mut run = on(&place, "run");
    run.args(["--log-level", "debug", "--state"]).arg(place.state());
    let mut python = Command::new("python3");
    python.args(["-c", HANG_UP]);
    let output = run_by(python, &run).output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
}
