//! Names from outside, through every command: none of their control or bidi characters reaches stdout or stderr, none begins a line, and no cell
//! of a CSV file that they begin is a formula.

mod arguments;
mod spreadsheet;
mod texts;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::texts::{ACCOUNTS, ASSETS, DAY, HOSTILE, acknowledgements, bad_events, control_events, own_events};
use crate::common::events::{close, deposit, listing, pool, time};
use crate::common::records::text;
use crate::common::{Place, copy, softstake};

/// The word that no line may begin with. Each hostile text would begin a line with it, or hide in front of it.
const FORGED: &str = "FORGED";

/// A bus with hostile texts in every field, settled; a copy on which published records are changed; and files that commands read.
struct World {
    folder: TempDir,
    place: Place,
    changed: Place,
    /// Valid names, one of them as long as a name may be.
    accounts: Vec<String>,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        let accounts = ACCOUNTS.map(str::to_owned).into_iter().chain(["=".repeat(128)]);
        let accounts: Vec<String> = accounts.collect();
        place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
        place.append(
            "softstake.control",
            0,
            ASSETS.map(|asset| listing(asset, 6, DAY, &pool())),
        );
        place.append("softstake.control", 0, control_events());
        for (number, account) in accounts.iter().enumerate() {
            place.append("exchange.deposits", 0, own_events(number, account));
        }
        let of_asset = |asset| deposit(&format!("of-{asset}"), 1_000, "-ann", asset, "2");
        place.append("exchange.deposits", 0, ASSETS.map(of_asset));
        place.append("exchange.deposits", 0, bad_events());
        place.append("softstake.control", 0, [close("ATOM", 0, DAY, "300")]);
        place.append("softstake.control", 0, ASSETS.map(|asset| close(asset, 0, DAY, "3")));
        let folder = tempfile::tempdir().expect("a folder");
        let world = Self {
            folder,
            changed: Place::new(),
            place,
            accounts,
        };
        world.checked("run", &mut world.place.command(Some(2)));
        // These are late, so that reports name their ids.
        for (number, account) in world.accounts.iter().enumerate() {
            world
                .place
                .append("exchange.deposits", 0, own_events(number + 100, account));
        }
        world
            .place
            .append("softstake.control", 0, [close("ATOM", 1, DAY, "300")]);
        let mut run = world.place.command(Some(2));
        world.checked(
            "run --log-format json",
            run.args(["--log-format", "json", "--log-level", "debug"]),
        );
        world.change_published();
        world.write_files();
        world
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the published records on the copy: each of the first ones has a hostile text in one field.
    fn change_published(&self) {
        copy(&self.place.bus(), &self.changed.bus());
        for (topic, fields) in [
            (
                "softstake.distributions",
                &[
                    "/id",
                    "/source",
                    "/type",
                    "/time",
                    "/data/account",
                    "/data/amount",
                    "/data/epoch_end",
                ][..],
            ),
            (
                "softstake.late-postings",
                &[
                    "/id",
                    "/data/event_id",
                    "/data/event_source",
                    "/data/account",
                    "/data/policy",
                ],
            ),
            (
                "softstake.dead-letters",
                &["/id", "/data/reason", "/data/payload", "/type"],
            ),
            ("softstake.epochs", &["/data/mode", "/data/root"]),
        ] {
            let mut lines: Vec<String> = self.place.records(topic).iter().map(Value::to_string).collect();
            for (number, field) in fields.iter().enumerate() {
                let line = &mut lines[number];
                let mut record: Value = serde_json::from_str(line).expect("a record");
                *record.pointer_mut(field).expect("a field") = json!(HOSTILE[number % HOSTILE.len()]);
                *line = record.to_string();
            }
            lines.push(json!({"id": HOSTILE[1], "type": HOSTILE[3]}).to_string());
            lines.push(format!("{} is no record", HOSTILE[0]));
            fs::write(
                self.changed.bus().join(format!("{topic}/0.jsonl")),
                lines.join("\n") + "\n",
            )
            .expect("records");
        }
    }

    fn write_files(&self) {
        let write = |name: &str, text: String| fs::write(self.file(name), text).expect("a file");
        write("acks.jsonl", acknowledgements());
        write("ledger.csv", self.ledger());
        write("columns.csv", format!("account,{},balance\n", HOSTILE[0]));
        let data = |extra: &str, mode: &str| {
            let mut programme = json!({"from_epoch": 0, "mode": mode});
            programme[extra] = json!("1");
            json!({"asset": "ATOM", "decimals": 6, "anchor": time(0), "epoch_seconds": DAY, "programme": programme})
                .to_string()
        };
        write(
            "programme.json",
            data("commission_rate", "pool").replace("\"1\"", "\"0.5\""),
        );
        write("unknown-field.json", data(HOSTILE[1], "pool"));
        write("wrong-mode.json", data(HOSTILE[0], HOSTILE[3]));
        write("no-json.json", HOSTILE[0].to_owned());
        write("setting.toml", format!("{} = 1\n", json!(HOSTILE[3])));
        write("value.toml", format!("bus = {}\n", json!(HOSTILE[1])));
        write(
            "property.toml",
            format!("[kafka.properties]\n{} = 1\n", json!(HOSTILE[0])),
        );
        write("syntax.toml", format!("bus = {}\n", HOSTILE[0]));
    }

    /// A ledger whose rows have hostile texts in every column.
    fn ledger(&self) -> String {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut row = |cells: [&str; 4]| csv.write_record(cells).expect("a row");
        row(["account", "asset", "balance", "time"]);
        for account in &self.accounts {
            row([account, "ATOM", "-7", &time(3_000)]);
        }
        for text in HOSTILE.into_iter().chain(ACCOUNTS) {
            row([text, "ATOM", "1", &time(3_000)]);
            row(["ann", text, "1", &time(3_000)]);
            row(["ann", "ATOM", text, &time(3_000)]);
            row(["ann", "ATOM", "1", text]);
        }
        String::from_utf8(csv.into_inner().expect("bytes")).expect("text")
    }

    /// Runs a command and judges what it says.
    fn checked(&self, name: &str, command: &mut Command) -> Output {
        let output = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the program starts");
        assert!(output.status.code().is_some(), "`{name}` was killed");
        for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            judge_text(&format!("{stream} of `{name}`"), bytes);
        }
        output
    }

    /// Runs a command on a bus.
    fn on(&self, place: &Place, words: &[&str]) -> Output {
        let mut command = softstake();
        command
            .args(words)
            .arg("--bus")
            .arg(format!("dir:{}", place.bus().display()));
        self.checked(&words.join(" "), &mut command)
    }
}

/// Fails if a text has a character that a terminal might execute or that changes the direction of text, or a line that a name began.
fn judge_text(name: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{name} is not UTF-8: {error}"));
    let raw = text.chars().find(|character| {
        (character.is_control() && *character != '\n')
            || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    });
    assert_eq!(raw, None, "{name} has a raw character: {text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with(FORGED)),
        "{name} has a forged line:\n{text}"
    );
}

/// The rule by which a reader of a CSV file gets a cell back, as `docs/audit.md` tells it.
fn undone(cell: &str) -> String {
    let mut text = String::new();
    let mut at_start = true;
    let mut characters = cell.chars();
    while let Some(mut character) = characters.next() {
        if at_start && character == '\'' {
            let Some(next) = characters.next() else { break };
            character = next;
        }
        text.push(character);
        at_start = matches!(character, ';' | '\t' | '\r' | '\n');
    }
    text
}

/// The cells of a column of a CSV file, as they were before they were made harmless. No cell of the file may be a formula.
fn column(path: &Path, name: &str) -> BTreeSet<String> {
    let mut csv = csv::Reader::from_path(path).expect("a CSV file");
    let index = csv.headers().expect("columns").iter().position(|column| column == name);
    let index = index.expect("the column");
    let mut cells = BTreeSet::new();
    for row in csv.records() {
        let row = row.expect("a row");
        for cell in &row {
            let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝']);
            assert!(
                !is_formula || cell.parse::<f64>().is_ok(),
                "{} has a formula: {cell:?}",
                path.display()
            );
        }
        cells.insert(undone(&row[index]));
    }
    cells
}

#[test]
fn reports_on_hostile_records_are_harmless() {
    let world = World::new();
    for words in [
        &["check"][..],
        &["check", "--json"],
        &["statement", "--check-distributions"],
        &["statement", "--json"],
        &["reconcile"],
        &["reconcile", "--json"],
        &["redrive", "list", "--all"],
        &["redrive", "list", "--all", "--json"],
        &["redrive", "export", "--all", "--out", "letters.jsonl"],
        &["redrive", "apply", "letters.jsonl", "--yes", "--timeout", "1"],
        &["query", "epochs", "ATOM"],
        &["what-if", "--programme", "programme.json", "--json"],
        &["what-if", "--programme", "unknown-field.json"],
        &["what-if", "--programme", "wrong-mode.json"],
        &["reconcile", "payouts", "--acks", "acks.jsonl", "--json"],
        &["export", "distributions"],
        &["export", "distributions", "--format", "jsonl"],
        &["export", "seals", "--spreadsheet", "--out", "seals.csv"],
        &["export", "late-postings"],
        &["export", "late-postings", "--format", "jsonl"],
        &["reconcile", "balances", "--against", "ledger.csv", "--json"],
        &["reconcile", "balances", "--against", "columns.csv"],
        &["reconcile", "balances", "--against", "no-json.json"],
    ] {
        world.on(&world.place, words);
        world.on(&world.changed, words);
    }
    let csv = |words: &[&str], place: &Place, name: &str| {
        world.on(place, &[words, &["--csv", name]].concat());
        world.file(name)
    };
    let paid = column(
        &csv(
            &["what-if", "--programme", "programme.json"],
            &world.place,
            "what-if.csv",
        ),
        "account",
    );
    assert!(world.accounts.iter().all(|name| paid.contains(name)), "{paid:?}");
    let accounts = column(
        &csv(
            &["reconcile", "balances", "--against", "ledger.csv"],
            &world.place,
            "balances.csv",
        ),
        "account",
    );
    assert!(
        world
            .accounts
            .iter()
            .chain(&HOSTILE.map(str::to_owned))
            .all(|name| accounts.contains(name))
    );
    let distributions = column(
        &csv(
            &["reconcile", "payouts", "--acks", "acks.jsonl"],
            &world.place,
            "payouts.csv",
        ),
        "distribution",
    );
    assert!(
        HOSTILE
            .iter()
            .chain(&ACCOUNTS)
            .all(|name| distributions.contains(*name))
    );
    let published = column(
        &csv(&["reconcile", "--html", "page.html"], &world.changed, "differences.csv"),
        "published",
    );
    assert!(published.contains(HOSTILE[4]), "{published:?}");
    let assets = column(&csv(&["statement"], &world.place, "statement.csv"), "asset");
    assert!(ASSETS.iter().all(|name| assets.contains(*name)), "{assets:?}");
    judge_text("the page", &fs::read(world.file("page.html")).expect("a page"));
}

#[test]
fn answers_about_hostile_accounts_are_harmless() {
    let world = World::new();
    let state = world.place.state().display().to_string();
    let names = world
        .accounts
        .iter()
        .map(String::as_str)
        .chain(HOSTILE.into_iter().filter(|name| !name.contains('\0')));
    for name in names {
        for words in [
            &["explain", "ATOM", "0", "--", name][..],
            &["explain", "--json", "ATOM", "1", "--", name],
            &["explain", "--for", "customer", "ATOM", "1", "--", name],
            &["query", "distributions", "--", name],
            &["query", "distributions", "--json", "--", name],
            &["query", "account", "--state", &state, "--", name],
            &["prove", "ATOM", "0", "--", name],
            &["export", "tax", "--year", "2026", "--acks", "acks.jsonl", "--", name],
        ] {
            for place in [&world.place, &world.changed] {
                let bus = format!("dir:{}", place.bus().display());
                let mut command = softstake();
                // Flags come before the names.
                let at = words
                    .iter()
                    .position(|word| *word == "--")
                    .expect("the end of the flags");
                command.args(&words[..at]).args(["--bus", &bus]).args(&words[at..]);
                let output = world.checked(&words.join(" "), &mut command);
                if words[0] == "prove" && output.status.success() {
                    fs::write(world.file("proof.json"), &output.stdout).expect("a proof");
                    verify(&world, &serde_json::from_slice(&output.stdout).expect("a proof"));
                }
            }
        }
    }
}

#[test]
fn answers_about_hostile_assets_are_harmless() {
    let world = World::new();
    let bus = format!("dir:{}", world.place.bus().display());
    for asset in ASSETS {
        let of_asset = format!("--asset={asset}");
        let html = ["--html", "page.html", "--csv", "differences.csv", &of_asset];
        for words in [
            &["explain", "--", asset, "0", "-ann"][..],
            &["explain", "--json", "--", asset, "0", "-ann"],
            &["explain", "--for", "customer", "--", asset, "0", "-ann"],
            &["query", "epochs", "--", asset],
            &["query", "epochs", "--json", "--", asset],
            &["prove", "--", asset, "0", "-ann"],
            &["statement", &of_asset],
            &["statement", "--json", &of_asset],
            &[&["reconcile"], &html[..]].concat(),
        ] {
            let mut command = softstake();
            let at = words.iter().position(|word| *word == "--").unwrap_or(words.len());
            command.args(&words[..at]).args(["--bus", &bus]).args(&words[at..]);
            let output = world.checked(&words.join(" "), &mut command);
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{words:?}: {said}");
            if words[0] == "prove" {
                fs::write(world.file("proof.json"), &output.stdout).expect("a proof");
                verify(&world, &serde_json::from_slice(&output.stdout).expect("a proof"));
            }
        }
        let page = fs::read(world.file("page.html")).expect("a page");
        judge_text("the page", &page);
        assert!(!String::from_utf8_lossy(&page).contains("<b>"), "{asset:?}");
    }
}

/// Verifies a proof with both verifiers, as it is and with a hostile text in each field.
fn verify(world: &World, proof: &Value) {
    let root = text(&proof["root"]).to_owned();
    let judged = |name: &str, file: &Path, root: &str| {
        let mut ours = softstake();
        ours.arg("verify").arg(file).args(["--root", root]);
        let ours = world.checked(name, &mut ours);
        let mut python = Command::new("python3");
        python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/verify_proof.py"));
        let theirs = world.checked(name, python.arg(file).arg(root));
        assert_eq!(ours.status.success(), theirs.status.success(), "{name}");
        ours.status.success()
    };
    assert!(judged("verify", &world.file("proof.json"), &root));
    let account = text(&proof["account"]);
    // One account is enough for the changed proofs.
    if !account.starts_with("=cmd") {
        return;
    }
    let file = world.file("changed-proof.json");
    for hostile in HOSTILE {
        for field in [
            "id",
            "asset",
            "account",
            "amount",
            "bucket_root",
            "root",
            "format",
            "epoch",
        ] {
            let mut changed = proof.clone();
            changed[field] = json!(hostile);
            fs::write(&file, changed.to_string()).expect("a proof");
            assert!(!judged(&format!("verify with another {field}"), &file, &root));
        }
        let mut changed = proof.clone();
        changed[hostile] = json!(1);
        fs::write(&file, changed.to_string()).expect("a proof");
        assert!(!judged("verify with another field", &file, &root));
        if !hostile.contains('\0') {
            assert!(!judged("verify with another root", &world.file("proof.json"), hostile));
        }
    }
}

/// Files and folders with hostile names, in buses, archives and states.
#[test]
fn hostile_file_names_are_quoted_harmlessly() {
    let world = World::new();
    let archive = world.file("archive");
    world.on(&world.place, &["archive", "--out", "archive"]);
    let manifest = fs::read_to_string(archive.join("archive.json")).expect("a manifest");
    let names = HOSTILE
        .into_iter()
        .filter(|name| !name.contains('\0'))
        .map(OsString::from);
    for name in names.chain([OsString::from_vec(b"\xff\x1b[2J".to_vec())]) {
        let bus = Place::new();
        copy(&world.place.bus(), &bus.bus());
        let with = |start: &str| {
            let mut whole = OsString::from(start);
            whole.push(&name);
            bus.bus().join(whole)
        };
        fs::create_dir(with("exchange.")).expect("a folder");
        fs::create_dir(with("exchange.deposits")).expect("a folder");
        fs::write(with("softstake.control"), "").expect("a file");
        fs::write(with("exchange.deposits/0"), "").expect("a file");
        fs::write(with("softstake.epochs/"), "").expect("a file");
        world.on(&bus, &["check"]);
        world.on(&bus, &["check", "--json"]);
        world.checked("run", &mut bus.command(None));
        world.checked(
            "run --log-format json",
            bus.command(None).args(["--log-format", "json"]),
        );
        let bus_name = bus.bus().display().to_string();
        world.checked("publish", softstake().args(["publish", "--from", &bus_name]));
        // A state with folders of others, and an archive in a folder of that name.
        let state = world.file("state").join(&name);
        fs::create_dir_all(state.join(&name)).expect("a folder");
        world.checked(
            "query",
            softstake().args(["query", "account", "ann", "--state"]).arg(&state),
        );
        let moved = world.folder.path().join(&name);
        copy(&archive, &moved);
        fs::write(moved.join(&name), "").expect("a file");
        world.checked("archive --check", softstake().args(["archive", "--check"]).arg(&moved));
    }
    let file = json_string_of(&manifest);
    for hostile in HOSTILE {
        for (from, to) in [
            (file.as_str(), json!(hostile).to_string()),
            ("\"exchange.deposits:0\"", json!(hostile).to_string()),
            (
                "\"softstake.epochs:0\"",
                json!(format!("softstake.epochs:{hostile}")).to_string(),
            ),
            ("\"bus\"", json!(hostile).to_string()),
        ] {
            fs::write(archive.join("archive.json"), manifest.replace(from, &to)).expect("a manifest");
            world.checked(
                "archive --check",
                softstake().args(["archive", "--check"]).arg(&archive),
            );
            world.checked(
                "statement",
                softstake()
                    .args(["statement", "--bus"])
                    .arg(format!("dir:{}", archive.display())),
            );
        }
    }
}

/// The first name of a file in a manifest, as JSON.
fn json_string_of(manifest: &str) -> String {
    let (_, rest) = manifest.split_once("\"file\"").expect("a file");
    let (_, rest) = rest.split_once('"').expect("its name");
    let (name, _) = rest.split_once('"').expect("its end");
    format!("\"{name}\"")
}

/// Every command has a case here.
#[test]
fn every_command_gets_hostile_names() {
    let source = include_str!("mod.rs").to_owned() + include_str!("arguments.rs");
    let help = String::from_utf8(softstake().arg("--help").output().expect("the program starts").stdout).expect("text");
    let (_, list) = help.split_once("Commands:\n").expect("the list of commands");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names: BTreeMap<&str, bool> = lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(|name| (name, source.contains(&format!("[\"{name}\""))))
        .collect();
    let missing: Vec<_> = names.iter().filter(|(_, has)| !**has).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
