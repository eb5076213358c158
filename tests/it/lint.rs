//! Parts of the Makefile: `make advisories`, which depends on the network, and `make own-sources`, which depends on other clones.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// `make` with a target, in a folder. `make test` runs these tests, and its own flags are for itself.
fn make(folder: &Path, target: &str) -> Command {
    let mut make = Command::new("make");
    make.current_dir(folder).args(["--no-print-directory", target]);
    make.env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("MAKELEVEL");
    make
}

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
    let mut make = make(Path::new(env!("CARGO_MANIFEST_DIR")), "advisories");
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

/// Cargo would take the sources of a clone for those of a newer build of another clone, if it has the same folder.
#[test]
fn a_build_folder_that_another_clone_used_is_built_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = SystemTime::now() - Duration::from_secs(86_400);
    let clones = ["first", "second"].map(|name| folder.path().join(name));
    let sources = clones.each_ref().map(|clone| clone.join("src/lib.rs"));
    for (clone, source) in clones.iter().zip(&sources) {
        for part in ["benches", "examples", "src", "tests"] {
            fs::create_dir_all(clone.join(part)).expect("a folder");
        }
        fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile"),
            clone.join("Makefile"),
        )
        .expect("a Makefile");
        fs::write(source, "").expect("a source");
    }
    let touched = |clone: usize| {
        let source = File::options().write(true).open(&sources[clone]).expect("the source");
        source.set_modified(old).expect("an old time");
        let mut make = make(&clones[clone], "own-sources");
        let status = make.env("CARGO_TARGET_DIR", folder.path().join("target")).status();
        assert!(status.expect("make").success());
        fs::metadata(&sources[clone])
            .expect("the source")
            .modified()
            .expect("a time")
            != old
    };
    assert!(touched(0), "whose build it is, is not known");
    assert!(!touched(0), "the build is of this clone");
    assert!(touched(1), "the build is of the first clone");
    assert!(touched(0), "the build is of the second clone");
}
