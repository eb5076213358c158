//! What people type by mistake: each message says what is wrong, where, and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::common::{Place, copy, fixture, run_by, softstake, succeed};

/// A folder with the worked example settled in `bus` and `state`, and some files that are not what their names promise.
struct Desk {
    folder: TempDir,
    proof: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        copy(&fixture("example/bus"), &path("bus"));
        let mut run = softstake();
        run.current_dir(folder.path());
        succeed(run.args(["run", "--bus", "dir:bus", "--state", "state", "--until-idle"]));
        let mut prove = softstake();
        prove.current_dir(folder.path());
        let proof = succeed(prove.args(["prove", "--bus", "dir:bus", "ATOM", "0", "alice"]));
        let proof = String::from_utf8(proof.stdout).expect("text");
        for (name, text) in [
            ("proof.json", proof.as_str()),
            ("misspelt.toml", "[kafka]\nbroker = \"a:1\"\n"),
            ("unquoted.toml", "bus = dir:bus\n"),
            (
                "property.toml",
                "[kafka.properties]\nlinger.ms = 5\n\"sasl.mechansim\" = \"PLAIN\"\n",
            ),
            ("value.toml", "[kafka.properties]\n\"security.protocol\" = \"TLS\"\n"),
            (
                "java.toml",
                "[kafka.properties]\n\"sasl.jaas.config\" = \"org.apache…\"\n",
            ),
            (
                "secret.toml",
                "[kafka.properties]\n\"sasl.password.file\" = \"/run/password\"\n",
            ),
            (
                "missing.toml",
                "[kafka.files]\n\"sasl.password\" = \"/nowhere/password\"\n",
            ),
            ("balances.csv", "account,asset\nalice,ATOM\n"),
        ] {
            fs::write(path(name), text).expect("a file");
        }
        Self { folder, proof }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, line: &str) -> Output {
        let mut command = softstake();
        command.current_dir(self.path()).args(line.split(' '));
        command.output().expect("the program starts")
    }
}

/// A command line, its exit status, and parts of what it says.
type Mistake = (&'static str, i32, &'static [&'static str]);

const WORDS: [Mistake; 30] = [
    // The command line.
    (
        "reconcle --bus dir:bus",
        2,
        &["unrecognized subcommand 'reconcle'", "'reconcile'"],
    ),
    (
        "explain --bus dir:bus ATOM 2026-11-01 alice",
        2,
        &["'2026-11-01'", "is a date, but an epoch has a number", "query epochs"],
    ),
    (
        "explain --bus dir:bus ATOM first alice",
        2,
        &["'first'", "is not the number of an epoch: 0, 1, 2"],
    ),
    (
        "explain --bus dir:bus atom 0 alice",
        3,
        &["atom is not listed; did you mean ATOM?"],
    ),
    (
        "explain --bus dir:bus ATOM:0 0 alice",
        2,
        &["'ATOM:0'", "is no asset name", "U+003A at byte 4"],
    ),
    (
        "explain --bus dir:bus ATMO 0 alice",
        3,
        &["ATMO is not listed; did you mean ATOM?"],
    ),
    (
        "explain --bus dir:bus ATOM 0 allice",
        3,
        &["no record names this account: allice"],
    ),
    (
        "prove --bus dir:bus ATOM 7 alice",
        3,
        &["ATOM epoch 7", "is not closed"],
    ),
    (
        "gen --bus dir:new --events 1e6",
        2,
        &["'1e6'", "--events", "must be a whole number"],
    ),
    (
        "gen --bus dir:new --late 5",
        2,
        &["--late is 5; it has to be a share, 0 to 1"],
    ),
    (
        "gen --bus dir:bus",
        2,
        &[
            "bus/exchange.deposits/0.jsonl already holds records",
            "choose an empty folder",
        ],
    ),
    (
        "repartition --to 12 --bus dir:bus --state state",
        2,
        &["'12'", "is no power of two from 1 to 4096"],
    ),
    // Places.
    (
        "run --bus bus --state state",
        2,
        &["must be `dir:PATH` or `kafka`, not \"bus\"; did you mean dir:bus?"],
    ),
    (
        "run --bus kafak --state state",
        2,
        &["not \"kafak\"; did you mean kafka?"],
    ),
    (
        "run --bus dir:nowhere --state state",
        2,
        &["there is no bus directory at nowhere", "correct --bus"],
    ),
    (
        "run --bus dir:bus/softstake.control --state other",
        1,
        &["0.jsonl is a partition", "name the folder above it as the bus"],
    ),
    (
        "run --bus dir:state --state other",
        1,
        &["accrue is a folder of a state directory"],
    ),
    (
        "run --bus dir:bus --state bus",
        2,
        &["`state` is bus and `bus` is dir:bus", "keep the two apart"],
    ),
    ("run --bus dir:bus --state bus/state", 2, &["keep the two apart"]),
    (
        "run --bus dir:bus --state proof.json",
        2,
        &["`state` is proof.json, which is no directory"],
    ),
    (
        "run --bus dir:bus",
        2,
        &["`state` is not set: give --state, set SOFTSTAKE_STATE"],
    ),
    // Configuration.
    (
        "run --config nowhere.toml",
        2,
        &["cannot read the configuration nowhere.toml", "correct --config"],
    ),
    (
        "run --config misspelt.toml",
        2,
        &["misspelt.toml:2", "`kafka.broker`", "did you mean `kafka.brokers`?"],
    ),
    (
        "run --config unquoted.toml",
        2,
        &["unquoted.toml:1", "string values must be quoted"],
    ),
    (
        "run --config property.toml --bus kafka --state other",
        2,
        &["property.toml:3", "`sasl.mechansim`", "did you mean `sasl.mechanism`?"],
    ),
    (
        "run --config value.toml --bus kafka --state other",
        2,
        &[
            "value.toml:2",
            "`security.protocol` must be plaintext, ssl, sasl_plaintext or sasl_ssl",
        ],
    ),
    (
        "run --config java.toml --bus kafka --state other",
        2,
        &[
            "java.toml:2",
            "`sasl.jaas.config` is not valid: Java JAAS configuration is not supported",
        ],
    ),
    (
        "run --config secret.toml --bus kafka --state other",
        2,
        &["`sasl.password` in [kafka.files]"],
    ),
    // Files.
    (
        "verify bus/softstake.control/0.jsonl",
        1,
        &["proves nothing", "name a file that `softstake prove` wrote"],
    ),
    (
        "reconcile balances --bus dir:bus --against balances.csv",
        2,
        &["balances.csv"],
    ),
];

#[test]
fn each_mistake_is_named_with_its_place_and_what_to_do() {
    let desk = Desk::new();
    let mut wrong = Vec::new();
    for (line, status, parts) in WORDS {
        let output = desk.run(line);
        let said = String::from_utf8_lossy(&output.stderr);
        let missing: Vec<_> = parts.iter().filter(|part| !said.contains(**part)).collect();
        if output.status.code() != Some(status) || !missing.is_empty() || !output.stdout.is_empty() {
            wrong.push(format!(
                "softstake {line}\n  {}; missing: {missing:?}\n  {said}",
                output.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let made: Vec<PathBuf> = ["new", "other"]
        .iter()
        .map(|name| desk.path().join(name))
        .filter(|path| path.exists())
        .collect();
    assert!(made.is_empty(), "a refused command left {made:?}");
}

#[test]
fn too_few_open_files_and_a_missing_secret_file_are_named() {
    let desk = Desk::new();
    let mut run = softstake();
    run.args(["run", "--bus", "dir:bus", "--state", "other", "--until-idle"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]);
    let mut limited = run_by(shell, &run);
    let output = limited.current_dir(desk.path()).output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["open files, but this process may have 64", "ulimit -Hn", "LimitNOFILE="] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let output = desk.run("run --config missing.toml --bus kafka --state other");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("/nowhere/password"), "{said}");
}

#[test]
fn the_python_verifier_says_how_to_call_it_and_what_is_wrong_with_a_file() {
    let desk = Desk::new();
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/verify_proof.py");
    let call = |arguments: &[&str]| {
        let mut python = Command::new("python3");
        let output = python.arg(&verifier).args(arguments).current_dir(desk.path()).output();
        let output = output.expect("python3 starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let root = desk
        .proof
        .split("\"root\": \"")
        .nth(1)
        .and_then(|rest| rest.get(..64))
        .expect("the root");
    assert_eq!(call(&["proof.json", root]).0, Some(0));
    for (arguments, status, part) in [
        (&[][..], 2, "usage: verify_proof.py PROOF.json ROOT"),
        (&["proof.json"], 2, "ROOT is the `root` in the seal"),
        (
            &["nowhere.json", root],
            1,
            "cannot read nowhere.json: No such file or directory",
        ),
        (&["balances.csv", root], 1, "it is no file of `softstake prove`"),
        (&["proof.json", "abc"], 1, "'abc' is not of the form"),
    ] {
        let (code, said) = call(arguments);
        assert!(
            code == Some(status) && said.contains(part),
            "{arguments:?}: {code:?} {said}"
        );
        assert!(!said.contains("Traceback"), "{said}");
    }
}

#[test]
fn a_state_directory_beside_a_bus_of_a_like_name_is_no_mistake() {
    let place = Place::new();
    let folder = place.bus().parent().expect("its folder").join("bus-state");
    let mut run = softstake();
    run.arg("run")
        .arg("--bus")
        .arg(format!("dir:{}", place.bus().display()));
    succeed(run.arg("--state").arg(folder).arg("--until-idle"));
}
