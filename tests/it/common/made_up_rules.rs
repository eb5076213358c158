//! A newer program, for the test of upgrades: it knows a made-up version 3 of the contract's rules as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::succeed;

/// Builds the program, unless it is built, and returns its path. `make test` builds it with the same words before the tests.
pub fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_softstake")).parent().expect("a folder");
    let words = "build --release --locked --package softstake --bin softstake-with-made-up-rules --features made-up-rules \
                 --config profile.release.package.softstake.opt-level=0 --config profile.release.package.softstake.codegen-units=256";
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(words.split_whitespace()).arg("--target-dir");
    cargo.arg(folder.parent().expect("the target folder"));
    // What cargo tells the tests about their package would make it build some dependencies again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    succeed(cargo.current_dir(env!("CARGO_MANIFEST_DIR")));
    folder.join("softstake-with-made-up-rules")
}
