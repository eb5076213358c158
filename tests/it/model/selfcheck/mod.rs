//! The model, checked with the worked example and with cases calculated by hand.

mod control;
mod parts;
mod settlement;
mod source;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{expected, published};
use crate::common::fixture;
use crate::model_parts::{Outputs, differences};

/// A directory bus, removed with the test.
struct Bus {
    folder: TempDir,
}

impl Bus {
    fn new() -> Bus {
        let folder = tempfile::tempdir().expect("a folder for the bus");
        Bus { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A bus that lists asset A with two decimals and epochs of a minute, anchored at 2026-11-01.
    fn listing(programme: &Value) -> Bus {
        let bus = Bus::new();
        bus.control("list-A", "softstake.asset.v1", "00:00", &list("A", programme));
        bus
    }

    fn write(&self, topic: &str, file: &str, bytes: &[u8]) {
        let folder = self.path().join(topic);
        fs::create_dir_all(&folder).expect("a folder for the topic");
        let path = folder.join(file);
        let mut content = fs::read(&path).unwrap_or_default();
        content.extend_from_slice(bytes);
        fs::write(path, content).expect("a file for the partition");
    }

    fn line(&self, topic: &str, line: &str) {
        self.write(topic, "0.jsonl", format!("{line}\n").as_bytes());
    }

    fn control(&self, id: &str, kind: &str, minute: &str, data: &Value) {
        self.line("softstake.control", &event(id, kind, minute, data));
    }

    fn deposit(&self, id: &str, minute: &str, account: &str, amount: &str) {
        let data = json!({"account": account, "asset": "A", "amount": amount});
        self.line("exchange.deposits", &event(id, "exchange.deposit.v1", minute, &data));
    }

    fn status(&self, id: &str, minute: &str, account: &str, status: &str) {
        let data = json!({"account": account, "status": status});
        self.line(
            "exchange.accounts",
            &event(id, "exchange.account_status.v1", minute, &data),
        );
    }

    /// Closes the next epoch of A at this offset of `exchange.deposits`. All statuses so far are before the cut.
    fn close(&self, epoch: u32, reward_pool: &str, deposits: u32) {
        let data = json!({"asset": "A", "epoch": epoch, "reward_pool": reward_pool});
        self.control(
            &format!("close-{epoch}"),
            "softstake.epoch_close.v1",
            "30T00:00:00",
            &data,
        );
        let statuses = fs::read_to_string(self.path().join("exchange.accounts/0.jsonl")).unwrap_or_default();
        let mut cut = json!({"exchange.deposits": {"0": deposits}});
        if !statuses.is_empty() {
            cut["exchange.accounts"] = json!({"0": statuses.lines().count()});
        }
        let seal = json!({"id": format!("A:{epoch}"), "data": {"cut": cut}});
        self.line("softstake.epochs", &seal.to_string());
    }

    fn expected(&self) -> Outputs {
        expected(self.path(), 2).expect("the model's outputs")
    }
}

fn list(asset: &str, programme: &Value) -> Value {
    let mut programme = programme.clone();
    if programme.get("from_epoch").is_none() {
        programme["from_epoch"] = json!(0);
    }
    json!({"asset": asset, "decimals": 2, "anchor": "2026-11-01T00:00:00Z", "epoch_seconds": 60, "programme": programme})
}

/// An event of November 2026. `at` is `MM:SS` in its first hour, or `DDTHH:MM:SS`.
fn event(id: &str, kind: &str, at: &str, data: &Value) -> String {
    let time = if at.contains('T') {
        format!("2026-11-{at}Z")
    } else {
        format!("2026-11-01T00:{at}Z")
    };
    json!({
        "specversion": "1.0", "id": id, "source": "/test", "type": kind, "time": time, "data": data,
    })
    .to_string()
}

/// `epoch account amount` of the distributions, in the order of their ids.
fn amounts(outputs: &Outputs) -> Vec<String> {
    outputs
        .distributions
        .values()
        .map(|record| &record["data"])
        .map(|data| {
            format!(
                "{} {} {}",
                data["epoch"],
                text_of(&data["account"]),
                text_of(&data["amount"])
            )
        })
        .collect()
}

/// `offset code` of the dead letters of partition 0 of a topic, in the order of their offsets.
fn codes(outputs: &Outputs, topic: &str) -> Vec<String> {
    let mut codes: Vec<(u64, String)> = outputs
        .dead_letters
        .values()
        .map(|record| &record["data"])
        .filter(|data| data["topic"] == topic)
        .map(|data| (data["offset"].as_u64().unwrap_or(u64::MAX), text_of(&data["code"])))
        .collect();
    codes.sort();
    codes.iter().map(|(offset, code)| format!("{offset} {code}")).collect()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or("(no string)").to_owned()
}

fn fields<const N: usize>(data: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| text_of(&data[name]))
}

#[test]
fn the_worked_example() {
    let example = fixture("example");
    let bus = Bus::new();
    for topic in fs::read_dir(example.join("bus")).expect("the example's bus") {
        let topic = topic.expect("a topic's folder").path();
        let name = topic
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a topic's name")
            .to_owned();
        bus.write(&name, "0.jsonl", &fs::read(topic.join("0.jsonl")).expect("a partition"));
    }
    for (topic, file) in [
        ("softstake.epochs", "epochs.jsonl"),
        ("softstake.distributions", "distributions.jsonl"),
    ] {
        bus.write(
            topic,
            "0.jsonl",
            &fs::read(example.join("expected").join(file)).expect("expected records"),
        );
    }
    let expected = expected(bus.path(), 7).expect("the model's outputs");

    let mut published = published(bus.path()).expect("the example's outputs");
    let codes: Vec<String> = expected
        .dead_letters
        .iter()
        .map(|(id, dead_letter)| format!("{id} {}", text_of(&dead_letter["data"]["code"])))
        .collect();
    let dead_letters = fs::read_to_string(example.join("expected/dead-letters.txt")).expect("expected dead letters");
    assert_eq!(codes, dead_letters.lines().collect::<Vec<_>>());
    published.dead_letters.clone_from(&expected.dead_letters);
    assert_eq!(differences(&expected, &published), Vec::<String>::new());
    assert_eq!(expected, published);
}

#[test]
fn an_inconsistent_bus_is_an_error() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.close(0, "0", 0);
    assert!(expected(bus.path(), 7).is_err_and(|error| error.contains("past the partition's end")));
    bus.line("exchange.deposits", "");
    assert!(expected(bus.path(), 7).is_ok());
    bus.control(
        "close-1",
        "softstake.epoch_close.v1",
        "59:00",
        &json!({"asset": "A", "epoch": 1}),
    );
    assert!(expected(bus.path(), 7).is_err_and(|error| error.contains("the seal A:1 is missing")));
    bus.line("softstake.late-postings", "{\"id\":\"x\"}");
    bus.line("softstake.late-postings", "{\"id\":\"x\"}");
    assert!(published(bus.path()).is_err_and(|error| error.contains("the id x is there twice")));
    bus.write("softstake.distributions", "0.jsonl", b"{\"id\":\"x\"}");
    assert!(published(bus.path()).is_err_and(|error| error.contains("no newline")));
}
