//! What the tests need, installed into the project's cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A path in an environment variable, if it is set.
pub fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// The folder of what the project keeps between builds and tests.
pub fn cache() -> PathBuf {
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.expect("HOME is set").join("softstake")
}

/// The path that `script` prints. It installs into `folder` of the cache what is not there yet.
pub fn installed(script: &str, folder: &str) -> PathBuf {
    let cache = cache().join(folder);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&script).arg(cache).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(
        output.status.success(),
        "something is missing: run `make test-setup`. {} said:\n{}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim_end())
}
