//! The flags, from outside. None of these runs reaches a broker or a database.

use std::fs;
use std::process::{Command, Output};

fn run(flags: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payout_consumer"));
    for name in [
        "BROKERS",
        "DATABASE",
        "DATABASE_FILE",
        "PROPERTIES",
        "FILES",
        "BATCH",
        "UNTIL_IDLE",
    ] {
        command.env_remove(format!("PAYOUT_{name}"));
    }
    command.env("PAYOUT_BROKERS", "127.0.0.1:1");
    command.args(flags).envs(variables.iter().copied());
    command.output().expect("the consumer starts")
}

/// Runs until it fails with `status`. Returns its log.
fn fail(status: i32, flags: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(flags, variables);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

#[test]
fn secrets_are_read_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    // What was read shows in the reason: no database has this URL.
    fs::write(path("url"), "oracle:payout\n").expect("a file");
    let read = "the database must be sqlite:PATH or postgres://...";
    assert!(fail(1, &["--database-file", &path("url")], &[]).contains(read));
    assert!(fail(1, &[], &[("PAYOUT_DATABASE_FILE", &path("url"))]).contains(read));

    // The line feed at the end of the file is no part of the URL. A property from a file reaches the client.
    fs::write(path("url"), format!("sqlite:{}\r\n", path("payout.db"))).expect("a file");
    fs::write(path("protocol"), "hush\n").expect("a file");
    let file = format!("security.protocol={}", path("protocol"));
    let read = "the value of the property \"security.protocol\" is not valid";
    let said = fail(1, &["--database-file", &path("url"), "-F", &file], &[]);
    assert!(said.contains(read) && !said.contains("hush"), "{said}");
    assert!(
        fs::exists(path("payout.db")).expect("the folder"),
        "it must have used the database in the file"
    );
    let both = format!("client.id={}\n{file}", path("url"));
    let database = format!("sqlite:{}", path("payout.db"));
    let said = fail(1, &["--database", &database], &[("PAYOUT_FILES", &both)]);
    assert!(said.contains(read) && !said.contains("hush"), "{said}");
    // Not even a misspelt name shows its value.
    let said = fail(1, &["--database", &database, "-X", "sasl.pasword=hush"], &[]);
    assert!(
        said.contains("there is no property \"sasl.pasword\"") && !said.contains("hush"),
        "{said}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let said = fail(1, &["--database-file", "/nowhere/url"], &[]);
    assert!(
        said.contains("--database-file: the file \"/nowhere/url\" cannot be read: No such file"),
        "{said}"
    );
    let said = fail(
        1,
        &["--database", "sqlite:x", "-F", "sasl.password=/nowhere/\u{202e}"],
        &[],
    );
    let named = "sasl.password: the file \"/nowhere/\\u{202e}\" cannot be read: No such file";
    assert!(said.contains(named), "{said}");
}

#[test]
fn no_flag_loads_or_runs_other_code() {
    let library = ["plugin", "library", "paths=/tmp/a.so"].join(".");
    for property in [
        library.as_str(),
        "ssl.engine.location=/tmp/a.so",
        "ssl.providers=/tmp/a",
        "sasl.kerberos.kinit.cmd=id",
        "sasl.oauthbearer.assertion.file=/etc/passwd",
    ] {
        for flag in ["-X", "-F"] {
            let said = fail(2, &["--database", "sqlite:x", flag, property], &[]);
            assert!(said.contains("cannot be set"), "{said}");
        }
        let said = fail(2, &["--database", "sqlite:x"], &[("PAYOUT_FILES", property)]);
        assert!(said.contains("cannot be set"), "{said}");
    }
}

#[test]
fn one_database_is_required_and_no_secret_is_shown() {
    fail(2, &[], &[]);
    fail(2, &["--database", "sqlite:x", "--database-file", "y"], &[]);
    let secrets = [
        ("PAYOUT_DATABASE", "postgres://me:hush@db/payout"),
        ("PAYOUT_PROPERTIES", "sasl.password=hush"),
    ];
    let help = String::from_utf8(run(&["--help"], &secrets).stdout).expect("text");
    assert!(
        help.contains("PAYOUT_DATABASE_FILE") && help.contains("PAYOUT_FILES"),
        "{help}"
    );
    assert!(!help.contains("hush"), "{help}");
}
