//! The commands that the demo suggests at its end work when they are pasted.

use std::process::Command;

use crate::common::process::until;
use crate::common::{softstake, succeed};
use crate::serve::served::Served;

#[test]
fn every_suggestion_of_the_demo_works_when_it_is_pasted() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = folder.path().join("it's a demo");
    let output = succeed(softstake().args(["demo", "--accounts", "50", "--dir"]).arg(&demo));
    let said = String::from_utf8(output.stdout).expect("text");
    for shown in [
        "late-larry/bot",
        "XRP epoch 3 was held by max_change:",
        "XRP epoch 3 was released by demo treasury:",
    ] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
    let (_, suggestions) = said.split_once("Commands to try next:\n").expect("suggestions");
    let suggestions: Vec<&str> = suggestions.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    for name in [
        "explain",
        "reconcile",
        "prove",
        "verify",
        "statement",
        "query",
        "check",
        "run",
        "serve",
    ] {
        let word = format!("softstake {name} ");
        assert!(suggestions.iter().any(|line| line.contains(&word)), "{name}: {said}");
    }
    for line in &suggestions {
        if line.contains("softstake serve ") {
            let mut shell = Command::new("sh");
            // Another test may have the port.
            shell.args(["-c", &format!("exec {line} --listen 127.0.0.1:0")]);
            shell.env_clear().env("PATH", "/usr/bin:/bin");
            let served = Served::of(&mut shell, folder.path().join("serve.log"));
            until("the payouts are shown", || {
                served.ask("GET", "/readyz", &[]).status == 200
            });
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env_clear().env("PATH", "/usr/bin:/bin");
        // The demo has records that are rejected, and `check` reports them.
        if line.contains("softstake check ") {
            assert_eq!(shell.output().expect("a shell").status.code(), Some(1), "{line}");
        } else {
            let output = succeed(&mut shell);
            assert!(
                !output.stdout.is_empty() || line.starts_with("rm ") || !output.stderr.is_empty(),
                "{line}"
            );
        }
        if line.contains("softstake reconcile ") {
            assert!(demo.join("report.html").exists(), "{line}");
        }
    }
    assert!(
        !demo.exists(),
        "the last suggestion removes the folder: {suggestions:?}"
    );
}
