//! Where settings come from: no file that is not named, and no property that loads code or runs programs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use softstake::generate::Synthetic;
use tempfile::TempDir;

use crate::common::{Place, fail, softstake, succeed};

/// A folder whose `softstake.toml` would be noticed if it was read: its bus is not there.
fn trap() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let trap = "bus = \"dir:/nowhere/at/all\"\nnonsense = 1\n";
    fs::write(folder.path().join("softstake.toml"), trap).expect("a file");
    folder
}

/// A deployment with a payout.
fn settled() -> Place {
    let place = Place::new();
    place.grow(
        &Synthetic {
            events: 500,
            accounts: 20,
            assets: 1,
            epochs: 1,
            bad: 0.0,
            ..Synthetic::default()
        },
        Some(2),
    );
    place
}

fn command_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = softstake();
    command.current_dir(folder).args(arguments);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const NOTICE: &str = "softstake.toml in the working directory is not read, because it is not named: give --config softstake.toml, or set \
                      SOFTSTAKE_CONFIG";

#[test]
fn no_command_reads_a_file_that_is_not_named() {
    let (place, folder) = (settled(), trap());
    let bus = format!("dir:{}", place.bus().display());
    let state = place.state().display().to_string();
    let archive = folder.path().join("archive").display().to_string();
    let paid = place.records("softstake.distributions")[0]["data"].clone();
    let text = |field: &str| paid[field].as_str().expect("a text").to_owned();
    let (asset, account, epoch) = (text("asset"), text("account"), paid["epoch"].to_string());
    let payout = [asset.as_str(), &epoch, &account];
    let bus = ["--bus", &bus];
    let with = |first: &[&'static str], rest: &[&str]| -> Vec<String> {
        first
            .iter()
            .copied()
            .chain(rest.iter().copied())
            .chain(bus)
            .map(str::to_owned)
            .collect()
    };
    let cases = [
        with(&["query", "account"], &[&account, "--state", &state, "--json"]),
        with(&["query", "distributions"], &[&account, "--json"]),
        with(&["query", "epochs"], &[&asset, "--json"]),
        with(&["explain"], &[&payout[..], &["--json"]].concat()),
        with(&["statement"], &["--json"]),
        with(&["reconcile", "--json"], &[]),
        with(&["prove"], &payout),
        with(&["archive", "--out"], &[&archive]),
        with(&["run", "--until-idle", "--state"], &[&state]),
        with(&["rebuild", "--state"], &[&state]),
        with(&["repartition", "--to", "4", "--state"], &[&state]),
        ["check", "--config", "--json"].map(str::to_owned).to_vec(),
    ];
    for arguments in &cases {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = succeed(&mut command_in(folder.path(), &arguments));
        assert_eq!(
            said(&output).matches(NOTICE).count(),
            1,
            "{arguments:?}: {}",
            said(&output)
        );
        if arguments.contains(&"--json") {
            serde_json::from_slice::<Value>(&output.stdout).expect("nothing but JSON");
        }
        let named = [&arguments[..], &["--config", "softstake.toml"]].concat();
        let named = match arguments[0] {
            "check" => vec!["check", "--config", "softstake.toml"],
            _ => named,
        };
        let error = fail(&mut command_in(folder.path(), &named), 2);
        assert!(
            error.contains("softstake.toml:2: there is no setting `nonsense`"),
            "{error}"
        );
        assert!(!error.contains(NOTICE), "{error}");
        let error = fail(
            command_in(folder.path(), &arguments).env("SOFTSTAKE_CONFIG", "softstake.toml"),
            2,
        );
        assert!(
            error.contains("there is no setting `nonsense`") && !error.contains(NOTICE),
            "{error}"
        );
    }
    // These end at the file of a secret, before they look for a broker.
    let (view, reads) = (folder.path().join("view"), folder.path().join("reads"));
    let (view, reads) = (view.display().to_string(), reads.display().to_string());
    let serve = [
        "serve",
        "--view",
        &view,
        "--token-keys",
        "/no/such",
        "--audit-log",
        &reads,
        bus[0],
        bus[1],
    ];
    for arguments in [&["topics"][..], &["publish", "--from", bus[1]], &serve] {
        let mut command = command_in(folder.path(), arguments);
        let error = fail(command.env("SOFTSTAKE_KAFKA__FILES__SASL_PASSWORD", "/no/such"), 2);
        assert!(error.contains(NOTICE) && !error.contains("nonsense"), "{error}");
        assert!(error.contains("/no/such"), "{error}");
    }
}

#[test]
fn the_notice_is_json_in_a_json_log_and_absent_without_a_file() {
    let (place, folder) = (settled(), trap());
    let run = |folder: &Path| {
        let mut command = place.command(None);
        command.current_dir(folder).args(["--log-format", "json"]);
        said(&succeed(&mut command))
    };
    let lines: Vec<Value> = run(folder.path())
        .lines()
        .map(|line| serde_json::from_str(line).expect("nothing but JSON"))
        .collect();
    let notices = lines.iter().filter(|line| line["message"] == NOTICE);
    assert_eq!(notices.map(|line| &line["level"]).collect::<Vec<_>>(), ["WARN"]);
    let empty = tempfile::tempdir().expect("a folder");
    assert!(!run(empty.path()).contains("not read"));
    let mut query = command_in(folder.path(), &["query", "epochs", "ATOM"]);
    assert!(fail(&mut query, 2).contains("or name a configuration with --config"));
}

/// Properties that load native code, run programs or send files to another server, and what to use instead.
const REFUSED: [(&str, &str); 9] = [
    ("ssl.engine.location", "`ssl.key.location`"),
    ("ssl.engine.id", "`ssl.key.location`"),
    ("ssl.providers", "PEM files"),
    ("sasl.kerberos.kinit.cmd", "SCRAM"),
    ("sasl.kerberos.keytab", "SCRAM"),
    ("sasl.oauthbearer.assertion.file", "`sasl.oauthbearer.client.secret`"),
    ("sasl.oauthbearer.assertion.private.key.file", "[kafka.files]"),
    ("sasl.oauthbearer.assertion.jwt.template.file", "claim.aud"),
    ("sasl.oauthbearer.token.endpoint.url", "https://"),
];

#[test]
fn properties_that_load_code_or_run_programs_are_refused_wherever_they_come_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, witness) = (folder.path().join("a.toml"), folder.path().join("witness"));
    let value = format!("touch {}", witness.display());
    let commands: [&[&str]; 4] = [
        &["check", "--config"],
        &["topics", "--kafka-brokers", "127.0.0.1:1", "--config"],
        &["run", "--bus", "kafka", "--state", "state", "--config"],
        &["reconcile", "--bus", "kafka", "--config"],
    ];
    let plugins = ["plugin", "library", "paths"].join(".");
    for (name, instead) in REFUSED.into_iter().chain([(plugins.as_str(), "needs no plugin")]) {
        for table in ["properties", "files"] {
            let refusal = format!("kafka property `{name}` ");
            fs::write(&file, format!("[kafka.{table}]\n\"{name}\" = \"{value}\"\n")).expect("a file");
            for command in commands {
                let mut command = command_in(folder.path(), command);
                let error = fail(command.arg("a.toml"), 2);
                assert!(error.contains(&format!("a.toml:2: {refusal}")), "{error}");
                assert!(error.contains(instead) || table == "files", "{error}");
            }
            let variable = format!(
                "SOFTSTAKE_KAFKA__{}__{}",
                table.to_uppercase(),
                name.replace('.', "_").to_uppercase()
            );
            for command in commands {
                let without_file = &command[..command.len() - 1];
                let without_file = if command[0] == "check" { command } else { without_file };
                let error = fail(command_in(folder.path(), without_file).env(&variable, &value), 2);
                assert!(error.contains(&format!("{variable}: {refusal}")), "{error}");
            }
        }
    }
    assert!(!witness.exists());
}
