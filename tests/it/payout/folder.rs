//! The folder of the payout example, which payout teams copy.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::succeed;

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the example") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Outside the repository, the folder is a package without this repository's workspace, and its sources name no file outside it.
#[test]
fn a_copy_of_the_folder_is_a_package_of_its_own() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let copied = folder.path().join("payout");
    copy(&root.join("examples/payout_consumer"), &copied);
    // The versions that are tested here, so that nothing is looked up in the registry.
    fs::copy(root.join("Cargo.lock"), copied.join("Cargo.lock")).expect("the versions");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = [
        "tree",
        "--offline",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    let output = succeed(Command::new(cargo).args(tree).current_dir(&copied));
    let tree = String::from_utf8(output.stdout).expect("text");
    assert!(
        tree.starts_with(&format!("payout_consumer v0.1.0 ({})", copied.display())),
        "{tree}"
    );
    // A dependency by path would have its folder behind the version.
    let local: Vec<&str> = tree.lines().skip(1).filter(|line| line.contains("(/")).collect();
    assert_eq!(local, Vec::<&str>::new());
    assert!(tree.contains("\nsqlx v"), "{tree}");
    let mut pending = vec![copied];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                assert!(
                    !text.contains("\"../"),
                    "{} names a file outside the folder",
                    path.display()
                );
            }
        }
    }
}
