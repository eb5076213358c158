//! `softstake export`: the rows of every form are the records of the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use num_bigint::BigInt;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{settled, without_a_seal};
use crate::common::events::{close, deposit, listing, pool, time};
use crate::common::installed::{installed, variable};
use crate::common::records::{acknowledgement, scaled, text};
use crate::common::{Place, fail, softstake, succeed};

/// Columns that are whole numbers or truths in each form.
const NUMBERS: [&str; 8] = [
    "epoch",
    "programme_from_epoch",
    "missed_epoch",
    "applied_epoch",
    "distributions",
    "ineligible_status",
    "ineligible_negative",
    "ineligible_below_minimum",
];

/// Reads a Parquet file with Arrow, which shares no code with what wrote it. Prints the types, then a JSON object for each row.
const READ_PARQUET: &str = r#"
import json, sys
import pyarrow.parquet as parquet
file = parquet.ParquetFile(sys.argv[1])
print(json.dumps({field.name: str(field.type) for field in file.schema_arrow}))
print(json.dumps([file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]))
def plain(value):
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if hasattr(value, "isoformat") else value
for batch in file.iter_batches():
    for row in batch.to_pylist():
        print(json.dumps({name: plain(value) for name, value in row.items()}))
"#;

fn export(place: &Place, line: &str) -> Command {
    let mut command = softstake();
    let (records, more) = line.split_once(' ').unwrap_or((line, ""));
    command.args(["export", records, "--bus"]);
    command.arg(format!("dir:{}", place.bus().display()));
    command.args(more.split(' ').filter(|word| !word.is_empty()));
    command
}

fn json_lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The rows of a CSV file as JSON lines have them. An empty cell is null.
fn csv_rows(bytes: &[u8]) -> Vec<Value> {
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers().expect("the names").clone();
    let cell = |name: &str, text: &str| match text {
        "" => Value::Null,
        "true" => json!(true),
        "false" => json!(false),
        text if NUMBERS.contains(&name) => json!(text.parse::<u64>().expect("a number")),
        text => json!(text),
    };
    let row = |row: csv::StringRecord| {
        let cells = names.iter().zip(row.iter());
        Value::Object(cells.map(|(name, text)| (name.to_owned(), cell(name, text))).collect())
    };
    reader.records().map(|found| row(found.expect("a row"))).collect()
}

/// A Python with Arrow: `SOFTSTAKE_TEST_PARQUET_PYTHON`, or else one in the project's cache.
fn python() -> PathBuf {
    variable("SOFTSTAKE_TEST_PARQUET_PYTHON").unwrap_or_else(|| installed("tests/parquet_python.sh", "python"))
}

/// The types of the columns, the rows of each row group, and all rows of a Parquet file.
fn parquet_rows(path: &Path) -> (Value, Vec<u64>, Vec<Value>) {
    let output = succeed(Command::new(python()).args(["-c", READ_PARQUET]).arg(path));
    let mut lines = json_lines(&output.stdout);
    let rows = lines.split_off(2);
    let groups = lines[1].as_array().expect("row groups");
    let groups = groups.iter().map(|rows| rows.as_u64().expect("a number")).collect();
    (lines.swap_remove(0), groups, rows)
}

/// The same rows in each form. Returns them.
fn in_each_form(place: &Place, line: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let to_file = |format: &str| {
        let path = folder.path().join(format);
        succeed(export(place, line).args(["--format", format, "--out"]).arg(&path));
        path
    };
    let lines = succeed(export(place, line).args(["--format", "jsonl"])).stdout;
    assert_eq!(lines, fs::read(to_file("jsonl")).expect("JSON lines"));
    let table = succeed(&mut export(place, line)).stdout;
    assert_eq!(table, fs::read(to_file("csv")).expect("CSV"));
    let rows = json_lines(&lines);
    assert_eq!(csv_rows(&table), rows, "{line}");
    let (_, _, of_parquet) = parquet_rows(&to_file("parquet"));
    assert_eq!(of_parquet, rows, "{line}");
    rows
}

/// The records of a topic as rows: the id and the data, in the order of the bus.
fn distributions(place: &Place) -> Vec<Value> {
    let records = place.records("softstake.distributions").into_iter();
    let row = |record: Value| {
        let mut row = Map::from_iter([("id".to_owned(), record["id"].clone())]);
        row.extend(record["data"].as_object().expect("data").clone());
        Value::Object(row)
    };
    records.map(row).collect()
}

#[test]
fn every_form_has_every_sealed_distribution() {
    let place = settled();
    let expected = distributions(&place);
    assert!(expected.len() > 1_000);
    assert_eq!(in_each_form(&place, "distributions"), expected);
    let archive = tempfile::tempdir().expect("a folder");
    let mut command = softstake();
    command
        .args(["archive", "--bus"])
        .arg(format!("dir:{}", place.bus().display()));
    succeed(command.arg("--out").arg(archive.path()));
    let mut of_archive = softstake();
    of_archive.args(["export", "distributions", "--format", "jsonl", "--bus"]);
    of_archive.arg(format!("dir:{}", archive.path().display()));
    assert_eq!(json_lines(&succeed(&mut of_archive).stdout), expected);
}

#[test]
fn a_parquet_file_has_exact_types_and_bounded_row_groups() {
    let place = settled();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("all.parquet");
    let said = succeed(export(&place, "distributions --format parquet --out").arg(&path));
    let (types, groups, rows) = parquet_rows(&path);
    assert_eq!(groups, [rows.len() as u64]);
    assert!(String::from_utf8_lossy(&said.stdout).contains(" rows in "));
    let data = fs::metadata(&path).expect("the file");
    assert_eq!(data.permissions().mode() & 0o777, 0o600, "others may read the file");
    for (column, expected) in [
        ("amount", "string"),
        ("account", "string"),
        ("epoch", "int64"),
        ("epoch_end", "timestamp[ms, tz=UTC]"),
    ] {
        assert_eq!(types[column], expected, "{column}");
    }
    assert_eq!(types.as_object().expect("types").len(), 15);
}

#[test]
fn every_form_has_every_seal_and_every_late_posting() {
    let place = settled();
    let rows = in_each_form(&place, "seals");
    let seals = place.records("softstake.epochs");
    assert_eq!(rows.len(), seals.len());
    for (row, seal) in rows.iter().zip(&seals) {
        let data = &seal["data"];
        for (name, value) in row.as_object().expect("a row") {
            let expected = match name.split_once('_') {
                Some(("ineligible", reason)) => data["ineligible"][reason].clone(),
                _ if name == "cut" => json!(data["cut"].to_string()),
                _ => data[name].clone(),
            };
            assert_eq!(*value, expected, "{name} of {}", seal["id"]);
        }
    }
    let late = in_each_form(&place, "late-postings");
    let records = place.records("softstake.late-postings");
    assert!(!records.is_empty() && late.len() == records.len());
    for (row, record) in late.iter().zip(&records) {
        for (name, value) in record["data"].as_object().expect("data") {
            assert_eq!(row[name], *value, "{name} of {}", record["id"]);
        }
        // The record's time is the end of the epoch that it is applied to.
        assert_eq!(row["applied_epoch_end"], record["time"]);
    }
}

#[test]
fn a_period_an_asset_and_accounts_choose_rows() {
    let place = settled();
    let all = distributions(&place);
    let ends: BTreeSet<&str> = all.iter().map(|row| text(&row["epoch_end"])).collect();
    let ends: Vec<&str> = ends.into_iter().collect();
    let rows = |more: &[String]| {
        let mut command = export(&place, "distributions --format jsonl");
        json_lines(&succeed(command.args(more)).stdout)
    };
    // Every split of the period gives each row once: an epoch that ends there is in the part before.
    for split in &ends[..ends.len() - 1] {
        let parts = [format!("--to={split}"), format!("--from={split}")].map(|bound| rows(&[bound]));
        assert!(parts.iter().all(|part| !part.is_empty()), "{split}");
        assert!(parts[0].iter().all(|row| text(&row["epoch_end"]) <= *split), "{split}");
        let parts = parts.concat();
        assert_eq!((ids(&parts), parts.len()), (ids(&all), all.len()), "{split}");
    }
    let chosen = |keep: &dyn Fn(&Value) -> bool| all.iter().filter(|row| keep(row)).cloned().collect::<Vec<_>>();
    assert_eq!(
        rows(&["--asset=ATOM".to_owned()]),
        chosen(&|row| row["asset"] == "ATOM")
    );
    let names: BTreeSet<&str> = all.iter().map(|row| text(&row["account"])).collect();
    // The first one begins and ends with a space.
    let two: Vec<&str> = names.into_iter().take(2).collect();
    let of_two = chosen(&|row| two.contains(&text(&row["account"])));
    let flags: Vec<String> = two.iter().map(|name| format!("--account={name}")).collect();
    assert_eq!(rows(&flags), of_two);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("names.txt");
    let lines: String = two.iter().map(|name| format!("{name}\r\n")).collect();
    fs::write(&file, lines).expect("names");
    assert_eq!(rows(&[format!("--accounts={}", file.display())]), of_two);
    assert_eq!(rows(&flags[..1]), chosen(&|row| row["account"] == two[0]));
}

fn ids(rows: &[Value]) -> BTreeSet<&str> {
    rows.iter().map(|row| text(&row["id"])).collect()
}

#[test]
fn distributions_without_a_seal_are_counted_and_left_out() {
    let place = without_a_seal(&settled());
    let all = distributions(&place);
    let is_unsealed = |row: &Value| row["asset"] == "ATOM" && row["epoch"] == 3;
    let unsealed = all.iter().filter(|row| is_unsealed(row)).count();
    assert!(unsealed > 1);
    let output = succeed(&mut export(&place, "distributions --format jsonl"));
    let sealed: Vec<Value> = all.iter().filter(|row| !is_unsealed(row)).cloned().collect();
    assert_eq!(json_lines(&output.stdout), sealed);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = format!("{unsealed} distributions are not sealed, and left out; --unsealed writes them");
    assert!(said.contains(&expected), "{said}");
    let rows = in_each_form(&place, "distributions --unsealed");
    for (row, expected) in rows.iter().zip(&all) {
        assert_eq!(
            (&row["id"], &row["sealed"]),
            (&expected["id"], &json!(!is_unsealed(expected)))
        );
    }
    assert_eq!(rows.len(), all.len());
    // A period that has the epoch is not complete.
    let said = fail(&mut export(&place, "distributions --from 2000-01-01"), 3);
    assert!(
        said.contains("ATOM epoch 3 ") && said.contains("closed, but not sealed"),
        "{said}"
    );
}

#[test]
fn an_export_that_fails_leaves_no_file() {
    let place = settled();
    place.append("softstake.distributions", 0, ["{\"data\":7}"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    for format in ["csv", "jsonl", "parquet"] {
        let said = fail(
            export(&place, &format!("distributions --format {format} --out")).arg(&path),
            1,
        );
        assert!(said.contains("not a record that softstake writes there"), "{said}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "{format}");
    }
    fs::write(&path, "before").expect("a file");
    fail(export(&place, "distributions --out").arg(&path), 1);
    assert_eq!(fs::read(&path).expect("a file"), b"before");
}

#[test]
fn a_table_for_a_spreadsheet_keeps_every_digit() {
    let place = settled();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("all.csv");
    succeed(export(&place, "seals --spreadsheet --out").arg(&path));
    let table = fs::read_to_string(&path).expect("CSV");
    assert!(table.starts_with("\u{feff}asset,reward_asset,epoch,"), "{table}");
    // A number of more digits than a spreadsheet keeps is written as text.
    assert!(table.contains("\"=\"\""), "{table}");
}

/// An account with epochs of 30 days: they end on 2026-12-01, 2026-12-31 and 2027-01-30.
struct Years {
    place: Place,
    folder: TempDir,
}

const MONTH: u32 = 30 * 86_400;

impl Years {
    fn new() -> Self {
        let place = Place::new();
        place.append("softstake.control", 0, [listing("ATOM", 6, MONTH, &pool())]);
        let both = ["ann", "ben"].map(|name| deposit(&format!("d-{name}"), 1_000, name, "ATOM", "5"));
        place.append("exchange.deposits", 0, both);
        place.append(
            "softstake.control",
            0,
            [0, 1, 2].map(|epoch| close("ATOM", epoch, MONTH, "3")),
        );
        place.run(Some(2));
        let folder = tempfile::tempdir().expect("a folder");
        Self { place, folder }
    }

    /// Credits of these epochs of ann, each with a time and an amount.
    fn credits(&self, credits: &[(u32, &str, &str)]) -> PathBuf {
        let lines = (0..).zip(credits).map(|(number, (epoch, at, amount))| {
            let mut event = acknowledgement(number, &format!("ATOM:{epoch}:ann"), amount);
            event["data"]["credited_at"] = json!(at);
            event.to_string() + "\n"
        });
        let path = self.folder.path().join("acks.jsonl");
        fs::write(&path, lines.collect::<String>()).expect("credits");
        path
    }

    fn tax(&self, line: &str, acks: &Path) -> Command {
        let format = if line.contains("--format") {
            ""
        } else {
            " --format jsonl"
        };
        let mut command = export(&self.place, &format!("tax ann {line}{format}"));
        command.arg("--acks").arg(acks);
        command
    }

    /// The epochs of a year, each with its state.
    fn epochs(&self, line: &str, acks: &Path, status: i32) -> Vec<(u64, String)> {
        let output = self.tax(line, acks).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{line}: {said}");
        let rows = json_lines(&output.stdout).into_iter();
        rows.map(|row| (row["epoch"].as_u64().expect("a number"), text(&row["state"]).to_owned()))
            .collect()
    }
}

#[test]
fn accrual_or_credit_decides_the_year_of_a_payout() {
    let years = Years::new();
    let acks = years.credits(&[(0, "2026-12-02T08:00:00Z", "1.5"), (1, "2027-01-01T00:00:00Z", "1.5")]);
    let credited = |epoch: u64| (epoch, "credited".to_owned());
    let open = |epoch: u64| (epoch, "not_credited".to_owned());
    assert_eq!(years.epochs("--year 2026", &acks, 0), [credited(0), credited(1)]);
    assert_eq!(years.epochs("--year 2026 --by credit", &acks, 0), [credited(0)]);
    // The year 2027 has more epochs than are closed.
    assert_eq!(years.epochs("--year 2027", &acks, 3), [open(2)]);
    assert_eq!(
        years.epochs("--year 2027 --by credit", &acks, 3),
        [credited(1), open(2)]
    );
    let rows = json_lines(&years.tax("--year 2026", &acks).output().expect("rows").stdout);
    let payout = &years.place.records("softstake.distributions")[0]["data"];
    let amount = payout["amount"].clone();
    assert_eq!(
        rows[0],
        json!({
            "state": "credited", "distribution": "ATOM:0:ann", "account": "ann", "asset": "ATOM", "epoch": 0,
            "accrued_at": time(i64::from(MONTH) * 1_000), "credited_at": "2026-12-02T08:00:00.000Z",
            "reward_asset": "ATOM", "amount": amount, "credited_amount": "1.5",
        })
    );
}

#[test]
fn what_is_not_credited_is_listed_apart_with_its_sum() {
    let years = Years::new();
    let acks = years.credits(&[(1, "2026-12-31T10:00:00Z", "1.4")]);
    let path = years.folder.path().join("ann.csv");
    let said = succeed(
        years
            .tax("--year 2026 --by credit --format csv", &acks)
            .arg("--out")
            .arg(&path),
    );
    let rows = csv_rows(&fs::read(&path).expect("CSV"));
    let states: Vec<_> = rows
        .iter()
        .map(|row| (text(&row["state"]), row["epoch"].clone()))
        .collect();
    assert_eq!(states, [("credited", json!(1)), ("not_credited", json!(0))]);
    assert_eq!(
        (&rows[1]["credited_at"], &rows[1]["credited_amount"]),
        (&Value::Null, &Value::Null)
    );
    let mut sums: BTreeMap<&str, BigInt> = BTreeMap::new();
    for row in &rows {
        *sums.entry(text(&row["state"])).or_default() += scaled(text(&row["amount"]));
    }
    let table = String::from_utf8(said.stdout).expect("text");
    let line = |start: &str| {
        let line = table.lines().find(|line| line.trim_start().starts_with(start));
        line.unwrap_or_else(|| panic!("{table}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (credited, open) = (line("credited"), line("not credited"));
    assert_eq!(credited[1..3], ["ATOM", "1"]);
    assert_eq!(scaled(&credited[3]), sums["credited"]);
    assert_eq!(credited[4], "1.4");
    assert_eq!(
        (scaled(&open[4]), open[5].as_str()),
        (sums["not_credited"].clone(), "0")
    );
}

#[test]
fn a_second_credit_is_a_finding_and_a_redelivery_is_none() {
    let years = Years::new();
    let acks = years.credits(&[(0, "2026-12-02T08:00:00Z", "1.5")]);
    let once = fs::read_to_string(&acks).expect("credits");
    fs::write(&acks, once.repeat(2)).expect("credits");
    assert_eq!(years.epochs("--year 2026 --by credit", &acks, 0).len(), 2);
    let acks = years.credits(&[(0, "2026-12-02T08:00:00Z", "1.5"), (0, "2027-02-02T08:00:00Z", "1.5")]);
    assert_eq!(years.epochs("--year 2026", &acks, 1).len(), 2);
    let said = fail(&mut years.tax("--year 2026", &acks), 1);
    assert!(
        said.contains("credited more than once, and the first credit counts: ATOM:0:ann"),
        "{said}"
    );
    // A credit that cannot be read may be of anybody.
    fs::write(&acks, format!("{once}{{\n")).expect("credits");
    let said = succeed(&mut years.tax("--year 2026", &acks)).stderr;
    assert!(String::from_utf8_lossy(&said).contains("1 credit of any account cannot be read"));
}

#[test]
fn credits_come_from_a_topic_of_the_bus_too() {
    let years = Years::new();
    let acks = years.credits(&[(0, "2026-12-02T08:00:00Z", "1.5")]);
    let of_file = json_lines(&succeed(&mut years.tax("--year 2026", &acks)).stdout);
    let topic = years.place.bus().join("payout.executions");
    fs::create_dir(&topic).expect("a folder");
    fs::copy(&acks, topic.join("0.jsonl")).expect("a topic");
    let of_topic = succeed(&mut export(&years.place, "tax ann --year 2026 --format jsonl")).stdout;
    assert_eq!(json_lines(&of_topic), of_file);
}
