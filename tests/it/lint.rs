//! `make advisories`: a part of `make lint` that depends on the network.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Runs `make advisories` with a program in place of cargo-deny, which fetches and checks with these statuses. Returns the exit status and
/// everything said.
fn advisories(fetched: u8, checked: u8) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let deny = folder.path().join("deny");
    let program = format!(
        "#!/bin/sh\ncase \"$*\" in\n*fetch*) exit {fetched} ;;\n*'check advisories'*) echo checked; exit {checked} ;;\n*) exit 9 ;;\nesac\n"
    );
    fs::write(&deny, program).expect("a program");
    fs::set_permissions(&deny, fs::Permissions::from_mode(0o700)).expect("a mode");
    let mut make = Command::new("make");
    make.current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--no-print-directory", "advisories"]);
    // `make test` runs this, and its own flags are for itself.
    make.env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("MAKELEVEL");
    let output = make.arg(format!("DENY={}", deny.display())).output().expect("make");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

#[test]
fn advisories_are_checked_where_their_database_can_be_fetched() {
    assert_eq!(advisories(0, 0), (Some(0), "checked\n".to_owned()));
    let (status, said) = advisories(0, 1);
    assert_ne!(status, Some(0));
    assert!(said.starts_with("checked\n"), "{said}");
    let (status, said) = advisories(1, 0);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.starts_with("SKIPPED: the advisories of the dependencies were not checked"),
        "{said}"
    );
}
