//! Hostile texts as flags, arguments and settings.

use super::World;
use super::texts::HOSTILE;
use crate::common::softstake;

/// The lines of all commands. `X` is replaced by a hostile text, and `BUS` by the bus.
const LINES: &[&[&str]] = &[
    &["X"],
    &["run", "--X"],
    &["run", "--bus", "X", "--state", "X"],
    &["run", "--bus", "dir:X", "--state", "X", "--partitions", "X"],
    &["run", "--bus", "dir:bus", "--state", "state", "--log-level", "X"],
    &["run", "--bus", "dir:bus", "--state", "state", "--snapshots-place", "X"],
    &["rebuild", "--bus", "dir:X", "--state", "X"],
    &["repartition", "--bus", "dir:X", "--state", "X", "--to", "X"],
    &["demo", "--dir", "/proc/X"],
    &["gen", "--bus", "dir:/proc/X"],
    &["gen", "--bus", "dir:new", "--trades", "X", "--pair", "A/B"],
    &["gen", "--bus", "dir:new", "--trades", "ledger.csv", "--pair", "X"],
    &["gen", "--bus", "dir:new", "--stages", "X"],
    &["gen", "--bus", "dir:new", "--trades", "ledger.csv", "--pair", "A/B"],
    &["control", "list", "X", "--bus", "BUS", "--yes"],
    &["control", "close", "X", "0", "--pool", "X", "--bus", "BUS", "--yes"],
    &[
        "control", "close", "ATOM", "0", "--pool", "X", "--bus", "BUS", "--state", "X",
    ],
    &[
        "control",
        "reward",
        "ATOM",
        "1",
        "--validator",
        "X",
        "--time",
        "X",
        "--bus",
        "BUS",
    ],
    &["control", "reward", "ATOM", "1", "--validator", "X", "--bus", "dir:X"],
    &[
        "control", "adjust", "ATOM", "X", "--reason", "X", "--id", "X", "--bus", "BUS",
    ],
    &[
        "control",
        "accept-loss",
        "X",
        "0",
        "0",
        "1",
        "--by",
        "X",
        "--reason",
        "X",
        "--bus",
        "BUS",
    ],
    &["redrive", "list", "--topic", "X", "--bus", "BUS"],
    &["redrive", "list", "--code", "X", "--since", "X", "--bus", "BUS"],
    &["redrive", "export", "--out", "/proc/X", "--bus", "BUS"],
    &["redrive", "apply", "X", "--by", "X", "--reason", "X", "--bus", "dir:X"],
    &["redrive", "apply", "no-json.json", "--by", "X", "--bus", "BUS", "--yes"],
    &["preview", "X", "--state", "X"],
    &["preview", "ATOM", "--pool", "X", "--state", "state"],
    &["query", "account", "X", "--state", "X"],
    &["query", "epochs", "X", "--bus", "dir:X"],
    &["query", "distributions", "ann", "--bus", "dir:X"],
    &["query", "distributions", "ann", "--bus", "BUS", "--to", "X"],
    &["check", "--bus", "dir:X"],
    &["check", "--config", "X"],
    &["check", "--config", "setting.toml"],
    &["check", "--config", "value.toml"],
    &["check", "--config", "property.toml"],
    &["check", "--config", "syntax.toml"],
    &["check", "--programme", "X"],
    &["check", "--programme", "unknown-field.json"],
    &["check", "--programme", "unknown-field.json", "--json"],
    &["check", "--programme", "wrong-mode.json"],
    &["check", "--programme", "wrong-mode.json", "--json"],
    &["check", "--programme", "no-json.json"],
    &["reconcile", "--bus", "dir:X", "--asset", "X"],
    &[
        "reconcile",
        "--bus",
        "BUS",
        "--work",
        "X",
        "--csv",
        "/proc/X",
        "--html",
        "/proc/X",
    ],
    &["reconcile", "payouts", "--bus", "BUS", "--acks", "X"],
    &["reconcile", "payouts", "--bus", "BUS", "--executions", "X"],
    &["reconcile", "payouts", "--bus", "dir:X"],
    &[
        "reconcile",
        "balances",
        "--bus",
        "BUS",
        "--against",
        "X",
        "--time-resolution",
        "X",
    ],
    &[
        "reconcile",
        "balances",
        "--bus",
        "BUS",
        "--against",
        "ledger.csv",
        "--csv",
        "/proc/X",
    ],
    &["explain", "X", "X", "X", "--bus", "dir:X"],
    &["statement", "--bus", "BUS", "--from-epoch", "X"],
    &["statement", "--bus", "BUS", "--from", "X"],
    &["statement", "--bus", "BUS", "--csv", "/proc/X"],
    &["what-if", "--bus", "BUS", "--programme", "X"],
    &["archive", "--bus", "BUS", "--out", "/proc/X"],
    &["archive", "--bus", "BUS", "--out", "archive", "--topic", "X"],
    &["archive", "--bus", "BUS", "--out", "archive", "--to", "X:0=1"],
    &["archive", "--check", "X"],
    &[
        "prove",
        "ATOM",
        "0",
        "=cmd|' /C calc'!A0",
        "--bus",
        "BUS",
        "--out",
        "/proc/X",
    ],
    &["verify", "X", "--root", "X"],
    &["top", "X"],
    &["top", "http://X:1/", "--timeout", "100ms"],
    &["top", "127.0.0.1:1", "--interval", "X"],
    &["serve", "--bus", "dir:X", "--view", "/proc/X"],
    &["serve", "--bus", "BUS", "--view", "X", "--listen", "X"],
    &[
        "serve",
        "--bus",
        "BUS",
        "--view",
        "/proc/X",
        "--token-keys",
        "X",
        "--audit-log",
        "/proc/X",
    ],
    &[
        "serve",
        "--bus",
        "BUS",
        "--view",
        "/proc/X",
        "--processors",
        "X",
        "--processors-token-file",
        "X",
        "--reconcile-results",
        "X",
    ],
    &["topics", "--kafka-brokers", "X", "--partitions", "X"],
    &["topics", "--kafka-deployment", "X"],
    &["publish", "--from", "dir:X"],
    &["completions", "X"],
    &["man", "/proc/X"],
];

/// Flags and arguments that are hostile texts, of every command.
#[test]
fn hostile_arguments_are_quoted_harmlessly() {
    let world = World::new();
    let bus = format!("dir:{}", world.place.bus().display());
    for hostile in HOSTILE.into_iter().filter(|text| !text.contains('\0')) {
        for line in LINES {
            let words = line.iter().map(|word| match *word {
                "BUS" => bus.clone(),
                word => word.replace('X', hostile),
            });
            let mut command = softstake();
            command.args(words);
            world.checked(&line.join(" "), &mut command);
        }
    }
    for (name, value) in [
        ("SOFTSTAKE_BUS", HOSTILE[1]),
        ("SOFTSTAKE_\u{202e}", "1"),
        ("SOFTSTAKE_CONFIG", HOSTILE[0]),
    ] {
        world.checked(name, softstake().env(name, value).args(["check", "--config"]));
    }
}
