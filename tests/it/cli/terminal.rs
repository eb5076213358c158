//! Tables and progress bars on a terminal of 80 columns: no line is wider, and no word or digit is lost.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use softstake::generate::Synthetic;
use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;

use crate::common::events::{close, deposit, event, listing, time};
use crate::common::records::acknowledgement;
use crate::common::terminal::on_terminal;
use crate::common::{Place, copy, softstake};

const COLUMNS: usize = 80;
const DAY: u32 = 86_400;

/// An asset of 16 bytes.
const ASSET: &str = "ABCDEFGHIJKLMNOP";

/// An amount of 30 digits, which is as many as an event may have. Its balance-seconds have more.
const AMOUNT: &str = "123456789012.123456789012345678";

/// Long names, long amounts, late postings and dead letters; a copy whose published records are changed; and files that commands read.
struct World {
    folder: TempDir,
    place: Place,
    changed: Place,
    account: String,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        let (ascii, wide) = ("a".repeat(128), "客户".repeat(21));
        let programme = json!({
            "from_epoch": 0, "mode": "pool", "commission_rate": "0.1", "min_balance": "0.000000000000000001",
            "max_balance": AMOUNT, "tiers": [
                {"up_to": "12345678901.123456789012345678", "multiplier": "1"},
                {"up_to": null, "multiplier": "1.25"},
            ],
        });
        place.append("softstake.control", 0, [listing(ASSET, 18, DAY, &programme)]);
        let deposits = [&ascii, &wide].map(|account| deposit(&format!("d-{account}"), 1_000, account, ASSET, AMOUNT));
        place.append("exchange.deposits", 0, deposits);
        let closes = [0, 1].map(|epoch| close(ASSET, epoch, DAY, AMOUNT));
        place.append("softstake.control", 0, closes);
        place.run(Some(2));
        let late = [
            deposit(&format!("late-{wide}"), 2_000, &wide, ASSET, AMOUNT),
            deposit("second", 2_000, &wide, "OTHER", "1"),
            deposit("wrong", 2_000, &wide, ASSET, "1e5"),
        ];
        place.append("exchange.deposits", 0, late);
        place.append("softstake.control", 0, [close(ASSET, 2, DAY, AMOUNT)]);
        place.run(Some(2));
        let world = Self {
            folder: tempfile::tempdir().expect("a folder"),
            changed: Place::new(),
            place,
            account: wide,
        };
        world.write_files(&programme);
        world
    }

    fn write_files(&self, programme: &Value) {
        copy(&self.place.bus(), &self.changed.bus());
        let paid = self.changed.bus().join("softstake.distributions/0.jsonl");
        let lines = fs::read_to_string(&paid).expect("distributions");
        let changed = lines.replace(r#""amount":""#, r#""amount":"9"#);
        assert_ne!(lines, changed);
        fs::write(paid, changed).expect("changed distributions");
        let write = |name: &str, text: String| fs::write(self.folder.path().join(name), text).expect("a file");
        let ids = self.place.records("softstake.distributions");
        let id = ids[0]["id"].as_str().expect("an id");
        let acks = [(id, "1"), ("no-such-distribution", AMOUNT)];
        let acks = (0..)
            .zip(acks)
            .map(|(number, (id, amount))| acknowledgement(number, id, amount).to_string());
        write("acks.jsonl", acks.collect::<Vec<_>>().join("\n") + "\n");
        write(
            "ledger.csv",
            format!(
                "account,asset,balance,time\n{},{ASSET},-{AMOUNT},{}\n",
                self.account,
                time(5_000)
            ),
        );
        let data = |programme: &Value| json!({"asset": ASSET, "decimals": 18, "anchor": time(0), "epoch_seconds": DAY, "programme": programme});
        write("listing.json", data(programme).to_string());
        let mut other = programme.clone();
        other["commission_rate"] = json!("0.5");
        other["tiers"][1]["multiplier"] = json!("3");
        write("other.json", data(&other).to_string());
        write("settings.toml", format!("state = \"/{}\"\n", "folder/".repeat(20)));
        let status = json!({"account": self.account, "status": "enrolled"});
        write("event.json", event("status", "exchange.account_status.v1", 5, &status));
    }

    /// `BUS`, `CHANGED`, `STATE` and `ACCOUNT` of a line are replaced.
    fn command(&self, line: &str) -> Command {
        let bus = |place: &Place| format!("dir:{}", place.bus().display());
        let mut command = softstake();
        command.current_dir(self.folder.path());
        for word in line.split(' ') {
            command.arg(match word {
                "BUS" => bus(&self.place),
                "CHANGED" => bus(&self.changed),
                "STATE" => self.place.state().display().to_string(),
                "ACCOUNT" => self.account.clone(),
                "ASSET" => ASSET.to_owned(),
                word => word.to_owned(),
            });
        }
        command
    }
}

/// The lines of the tables in results that did not go to a terminal: each table has a rule below the names of its columns.
fn tables(results: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = results.lines().collect();
    let rules = (1..lines.len()).filter(|index| lines[*index].starts_with('─'));
    rules
        .map(|rule| {
            let rows = lines[rule + 1..].iter().take_while(|line| line.starts_with(' '));
            [lines[rule - 1]].into_iter().chain(rows.copied()).collect()
        })
        .collect()
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// The commands that show a table, with the number of tables that are too wide for 80 columns.
const TABLES: &[(&str, usize)] = &[
    ("demo --accounts 20 --dir new", 3),
    ("check --config settings.toml", 1),
    ("check --bus BUS", 1),
    ("check --programme listing.json", 1),
    ("query account ACCOUNT --state STATE", 2),
    ("query distributions ACCOUNT --bus BUS", 1),
    ("query epochs ASSET --bus BUS", 1),
    ("statement --bus BUS", 2),
    ("statement --bus BUS --to-epoch 4", 2),
    ("statement --bus BUS --from 2000-01-01", 2),
    ("reconcile --bus BUS", 2),
    ("reconcile --bus CHANGED", 3),
    ("reconcile payouts --bus BUS --acks acks.jsonl", 2),
    ("reconcile balances --bus BUS --against ledger.csv", 1),
    ("explain ASSET 2 ACCOUNT --bus BUS", 6),
    ("explain ASSET 2 ACCOUNT --bus CHANGED", 6),
    ("explain ASSET 2 ACCOUNT --bus BUS --for customer", 1),
    ("what-if --bus BUS --programme other.json", 2),
];

#[test]
fn tables_fit_a_terminal_and_lose_nothing() {
    let world = World::new();
    let mut faults = Vec::new();
    for (line, too_wide) in TABLES {
        let whole = world.command(line).output().expect("the program starts");
        let _ = fs::remove_dir_all(world.folder.path().join("new"));
        let piped = String::from_utf8(whole.stdout).expect("text");
        let shown = on_terminal(&world.command(line), COLUMNS);
        let _ = fs::remove_dir_all(world.folder.path().join("new"));
        assert_eq!(shown.status, whole.status.code(), "{line}: {}", shown.messages);
        let tables = tables(&piped);
        let is_wide = |table: &&Vec<&str>| table.iter().any(|row| row.width() > COLUMNS);
        let wide = tables.iter().filter(is_wide).count();
        if wide != *too_wide {
            faults.push(format!("`{line}` has {wide} wide tables, not {too_wide}:\n{piped}"));
        }
        // Sentences are left to the terminal: it breaks them, and they can be copied whole.
        let rows: BTreeSet<&str> = tables.concat().into_iter().collect();
        let sentences: BTreeSet<&str> = piped.lines().filter(|line| !rows.contains(line)).collect();
        for wider in shown.results.lines().filter(|row| row.width() > COLUMNS) {
            if !sentences.contains(wider) || wider.starts_with('─') {
                faults.push(format!("`{line}` has a line of {} columns: {wider}", wider.width()));
            }
        }
        if line.starts_with("demo") {
            // Which record it calls the first depends on its threads.
            continue;
        }
        let all = squeezed(&shown.results);
        for word in rows.iter().flat_map(|row| row.split_whitespace()) {
            if !all.contains(word) {
                faults.push(format!("`{line}` lost {word}:\n{}", shown.results));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn progress_bars_fit_a_terminal() {
    let place = Place::new();
    place.bring_all(&Synthetic {
        events: 30_000,
        accounts: 500,
        epochs: 2,
        ..Synthetic::default()
    });
    let world = World::new();
    let bus = format!("dir:{}", place.bus().display());
    let state = place.state().display().to_string();
    for line in [
        &["check", "--bus", &bus][..],
        &["run", "--bus", &bus, "--state", &state, "--until-idle"],
        &["reconcile", "--bus", &bus],
        &["archive", "--bus", &bus, "--out", "archive"],
        &["gen", "--bus", "dir:generated", "--events", "30000"],
    ] {
        let mut command = softstake();
        command.args(line).current_dir(world.folder.path());
        let shown = on_terminal(&command, COLUMNS);
        let bars = shown.bars();
        assert!(!bars.is_empty(), "{line:?} drew no bar: {}", shown.messages);
        for bar in bars {
            assert!(bar.width() <= COLUMNS, "{line:?} drew {} columns: {bar}", bar.width());
        }
    }
}
