//! Ledger tables: events, and the exact output that they must have, so that a reader can check both by eye.
//!
//! Each table is run in this process on 1 and on 8 ledger partitions. Its outcome is compared with the model as well.
//!
//! Before `=>` there is one event a line. `+10s` is its time after the origin. By default an epoch has 100 seconds and
//! an asset 2 decimals, so a balance of 1 held for a whole epoch makes 100 asset-seconds. `run` runs the tasks until
//! they are idle, so that later events are really late. Options: `id=` instead of a new id, `p=` for a partition,
//! `note=` for an extra field.
//!
//! After `=>` there is every published record, one a line. Only fields given as `name=value` are compared.

mod duplicates;
mod eligibility;
mod epochs;
mod late;
mod listings;
mod pool;
mod postings;
mod rate;

use std::collections::BTreeMap;

use crate::common::in_memory::{InMemory, Shape};
use crate::common::{conservation, events};
use crate::model;
use serde_json::{Map, Value, json};
use softstake::bus::Topic;

const SHAPES: [Shape; 2] = [
    Shape {
        partitions: 1,
        threads: 1,
        step_bytes: 1,
    },
    Shape {
        partitions: 8,
        threads: 2,
        step_bytes: 1 << 20,
    },
];

fn check(table: &str) {
    let (steps, expected) = table.split_once("=>").expect("a table has two halves");
    let expected: Vec<&str> = lines(expected).collect();
    for shape in SHAPES {
        let mut run = Run::new(steps, shape);
        lines(steps).for_each(|line| run.execute(line));
        run.memory.run();
        assert_eq!(
            run.outcome(&expected).join("\n"),
            sorted(expected.iter().map(ToString::to_string)),
            "{shape:?}"
        );
        conservation::check(
            &run.memory.records(Topic::Epochs),
            &run.memory.records(Topic::Distributions),
        );
        if !lines(steps).any(|line| line == "unmodelled") {
            run.compare_with_model();
        }
    }
}

/// The lines without comments and blanks. Empty lines are left out.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
}

fn sorted(lines: impl Iterator<Item = String>) -> String {
    let mut lines: Vec<String> = lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines.join("\n")
}

/// The terms of a listed asset that later lines of a table need.
#[derive(Clone)]
struct Terms {
    decimals: u32,
    epoch_seconds: i64,
    anchor_ms: i64,
}

struct Run {
    memory: InMemory,
    dedup_days: u64,
    terms: BTreeMap<String, Terms>,
    events: usize,
}

/// One line before `=>`.
struct Line<'a> {
    text: &'a str,
    ms: Option<i64>,
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Self {
        let mut line = Line {
            text,
            ms: None,
            words: Vec::new(),
            options: BTreeMap::new(),
        };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) => {
                    line.options.insert(name, value);
                }
                None if line.words.is_empty() && line.ms.is_none() && word.starts_with(['+', '-']) => {
                    line.ms = Some(seconds(word));
                }
                None => line.words.push(word),
            }
        }
        line
    }

    fn option(&mut self, name: &str) -> Option<&'a str> {
        self.options.remove(name)
    }
}

/// `+1.5s` in milliseconds.
fn seconds(text: &str) -> i64 {
    let digits = text.trim_start_matches(['+', '-']).trim_end_matches('s');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let ms: i64 = format!("{whole}{fraction:0<3}")
        .parse()
        .unwrap_or_else(|_| panic!("{text} is no time"));
    if text.starts_with('-') { -ms } else { ms }
}

/// `C:0.5` as a fee, `null` as null.
fn fee(text: &str) -> Value {
    if text == "null" {
        return Value::Null;
    }
    let (asset, amount) = text.split_once(':').expect("a fee is ASSET:AMOUNT");
    json!({"asset": asset, "amount": amount})
}

impl Run {
    fn new(steps: &str, shape: Shape) -> Self {
        let dedup = lines(steps).find_map(|line| line.strip_prefix("dedup "));
        let dedup_days = dedup.map_or(7, |epochs| epochs.parse().expect("a number of epochs"));
        Self {
            memory: InMemory::new(shape, dedup_days),
            dedup_days,
            terms: BTreeMap::new(),
            events: 0,
        }
    }

    fn execute(&mut self, text: &str) {
        let mut line = Line::read(text);
        if ["dedup", "unmodelled"].contains(&line.words[0]) {
            return;
        }
        if line.words[0] == "run" {
            return self.memory.run();
        }
        let (topic, kind, ms, mut data) = self.data(&mut line);
        if let Some(note) = line.option("note") {
            data.insert("note".into(), note.into());
        }
        self.events += 1;
        let id = line
            .option("id")
            .map_or_else(|| format!("event-{}", self.events), str::to_owned);
        let partition = line
            .option("p")
            .map_or(0, |number| number.parse().expect("a partition"));
        assert!(line.options.is_empty(), "{text}: what is {:?}?", line.options);
        self.memory
            .append(topic.partition(partition), &events::event(&id, kind, ms, &data.into()));
    }

    /// The topic, type, time and data of an event.
    fn data(&mut self, line: &mut Line<'_>) -> (Topic, &'static str, i64, Map<String, Value>) {
        let words = std::mem::take(&mut line.words);
        let ms = line.ms;
        let at = || ms.expect("an event of a source topic begins with its time");
        let (topic, kind, ms, data) = match words[..] {
            ["list" | "change", asset, ref flags @ ..] => {
                let data = self.listing(words[0] == "list", asset, flags, line);
                (Topic::Control, "softstake.asset.v1", ms.unwrap_or(0), data)
            }
            ["reward", asset, amount] => {
                let data = json!({"asset": asset, "amount": amount, "validator": "validator-1"});
                (Topic::Control, "softstake.validator_reward.v1", at(), data)
            }
            ["close", asset, epoch] => {
                let number: i64 = epoch.parse().expect("an epoch");
                let end = |terms: &Terms| terms.anchor_ms + (number + 1) * terms.epoch_seconds * 1000;
                let ms = ms.or_else(|| self.terms.get(asset).map(end)).unwrap_or(0);
                let mut data = json!({"asset": asset, "epoch": number});
                if let Some(pool) = line.option("pool") {
                    data["reward_pool"] = pool.into();
                }
                (Topic::Control, "softstake.epoch_close.v1", ms, data)
            }
            [kind @ ("deposit" | "opening"), account, asset, amount] => {
                let kind = if kind == "deposit" {
                    "exchange.deposit.v1"
                } else {
                    "exchange.opening_balance.v1"
                };
                (
                    Topic::Deposits,
                    kind,
                    at(),
                    json!({"account": account, "asset": asset, "amount": amount}),
                )
            }
            ["withdraw", account, asset, amount] => {
                let mut data = json!({"account": account, "asset": asset, "amount": amount});
                if let Some(text) = line.option("fee") {
                    data["fee"] = fee(text);
                }
                (Topic::Withdrawals, "exchange.withdrawal.v1", at(), data)
            }
            ["trade", buyer, seller, pair, quantity, price] => {
                let (base, quote) = pair.split_once('/').expect("a pair is BASE/QUOTE");
                let price = price.strip_prefix('@').expect("a price is @PRICE");
                let mut data = json!({
                    "base_asset": base, "quote_asset": quote, "price": price, "quantity": quantity,
                });
                // `-` for a side that is missing, `null` for one that is null.
                for (side, account) in [("buyer", buyer), ("seller", seller)] {
                    match account {
                        "-" => {}
                        "null" => data[side] = Value::Null,
                        account => data[side] = json!({"account": account}),
                    }
                }
                if let Some(quote) = line.option("quote") {
                    data["quote_quantity"] = quote.into();
                }
                for (side, name) in [("buyer", "buyer_fee"), ("seller", "seller_fee")] {
                    if let Some(text) = line.option(name) {
                        data[side]["fee"] = fee(text);
                    }
                }
                (Topic::Trades, "exchange.trade.v1", at(), data)
            }
            ["transfer", from, to, asset, amount] => {
                let data = json!({"from_account": from, "to_account": to, "asset": asset, "amount": amount});
                (Topic::Transfers, "exchange.transfer.v1", at(), data)
            }
            ["adjust", account, asset, delta] => {
                let data = json!({"account": account, "asset": asset, "delta": delta, "reason": "order hold"});
                (Topic::Transfers, "exchange.balance_adjustment.v1", at(), data)
            }
            ["status", account, status] => {
                let data = json!({"account": account, "status": status});
                (Topic::Accounts, "exchange.account_status.v1", at(), data)
            }
            _ => panic!("{}: no such event", line.text),
        };
        let Value::Object(data) = data else {
            panic!("data is an object")
        };
        (topic, kind, ms, data)
    }

    fn listing(&mut self, first: bool, asset: &str, flags: &[&str], line: &mut Line<'_>) -> Value {
        let mut terms = match self.terms.get(asset) {
            Some(terms) if !first => terms.clone(),
            _ => Terms {
                decimals: 2,
                epoch_seconds: 100,
                anchor_ms: 0,
            },
        };
        if let Some(decimals) = line.option("decimals") {
            terms.decimals = decimals.parse().expect("decimals");
        }
        if let Some(epoch) = line.option("epoch") {
            terms.epoch_seconds = seconds(epoch) / 1000;
        }
        if let Some(anchor) = line.option("anchor") {
            terms.anchor_ms = seconds(anchor);
        }
        let from: u64 = line.option("from").map_or(0, |epoch| epoch.parse().expect("an epoch"));
        let mut programme = json!({"from_epoch": from, "mode": "pool"});
        for flag in flags {
            match *flag {
                "pool" => {}
                "opt_in" => programme["enrolment"] = "opt_in".into(),
                "forfeit" => programme["late_policy"] = "forfeit".into(),
                _ => panic!("{}: what is {flag}?", line.text),
            }
        }
        if let Some(rate) = line.option("apr") {
            programme["mode"] = "apr".into();
            programme["apr"] = rate.into();
        }
        for (option, name) in [
            ("min_balance", "min_balance"),
            ("max_balance", "max_balance"),
            ("commission", "commission_rate"),
            ("min_payout", "min_payout"),
        ] {
            if let Some(text) = line.option(option) {
                programme[name] = text.into();
            }
        }
        if let Some(decimals) = line.option("payout_decimals") {
            programme["payout_decimals"] = decimals.parse::<u64>().expect("decimals").into();
        }
        if let Some(tiers) = line.option("tiers") {
            let tier = |text: &str| {
                let (bound, multiplier) = text.split_once(':').expect("a tier is BOUND:MULTIPLIER");
                json!({"up_to": Some(bound).filter(|bound| *bound != "-"), "multiplier": multiplier})
            };
            programme["tiers"] = tiers.split(',').map(tier).collect();
        }
        let data = json!({
            "asset": asset, "decimals": terms.decimals, "anchor": events::time(terms.anchor_ms),
            "epoch_seconds": terms.epoch_seconds, "programme": programme,
        });
        self.terms.insert(asset.to_owned(), terms);
        data
    }

    /// Every published record as a line, with the fields that the expected line for the same record names.
    fn outcome(&self, expected: &[&str]) -> Vec<String> {
        let mut outcome = Vec::new();
        for (topic, head) in [
            (Topic::Distributions, paid as fn(&Value) -> String),
            (Topic::Epochs, seal),
            (Topic::LatePostings, late),
            (Topic::DeadLetters, dead),
        ] {
            for record in self.memory.records(topic) {
                let mut line = head(&record);
                let about = expected.iter().find(|wanted| subject(wanted) == subject(&line));
                for word in about.iter().flat_map(|about| about.split_whitespace()) {
                    if let Some((name, _)) = word.split_once('=') {
                        line.push_str(&format!(" {name}={}", shown(&record["data"], topic, name)));
                    }
                }
                outcome.push(line);
            }
        }
        outcome.sort();
        outcome
    }

    fn compare_with_model(&self) {
        let folder = tempfile::tempdir().expect("a folder for the model");
        self.memory.save(folder.path());
        let expected = model::expected(folder.path(), self.dedup_days).expect("the model's outcome");
        let published = model::published(folder.path()).expect("the outcome");
        assert_eq!(
            model::differences(&expected, &published),
            Vec::<String>::new(),
            "the model disagrees"
        );
    }
}

/// The words of a line that identify its record.
fn subject(line: &str) -> Vec<&str> {
    let count = if line.starts_with("paid") { 3 } else { 2 };
    line.split_whitespace().take(count).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn paid(record: &Value) -> String {
    let data = &record["data"];
    let line = format!(
        "paid {}:{} {} {}",
        text(&data["asset"]),
        data["epoch"],
        text(&data["account"]),
        text(&data["amount"])
    );
    assert_eq!(
        record["id"],
        format!("{}:{}:{}", text(&data["asset"]), data["epoch"], text(&data["account"])),
        "{line}"
    );
    line
}

fn seal(record: &Value) -> String {
    format!("seal {}", text(&record["id"]))
}

fn late(record: &Value) -> String {
    let data = &record["data"];
    let place = text(&record["id"]).replace("exchange.", "");
    let [account, asset, delta, policy] = ["account", "asset", "delta", "policy"].map(|name| text(&data[name]));
    format!(
        "late {place} {account} {asset} {delta} {}->{} {policy}",
        data["missed_epoch"], data["applied_epoch"]
    )
}

fn dead(record: &Value) -> String {
    let place = text(&record["id"]).replace("exchange.", "").replace("softstake.", "");
    format!("dead {place} {}", text(&record["data"]["code"]))
}

/// A field of a record under the name that the tables give it.
fn shown(data: &Value, topic: Topic, name: &str) -> String {
    let field = match (topic, name) {
        (Topic::Distributions, "seconds") => &data["balance_seconds"],
        (Topic::Distributions, "average") => &data["average_balance"],
        (Topic::Epochs, "pool") => &data["reward_pool"],
        (Topic::Epochs, "seconds") => &data["eligible_balance_seconds"],
        (Topic::Epochs, "closing") => &data["closing_balance"],
        (Topic::Epochs, "n") => &data["distributions"],
        (Topic::Epochs, "status" | "negative") => &data["ineligible"][name],
        (Topic::Epochs, "below") => &data["ineligible"]["below_minimum"],
        (_, "from") => &data["programme_from_epoch"],
        (Topic::LatePostings, "time") => &data["event_time"],
        _ => &data[name],
    };
    assert!(!field.is_null(), "{data} has no {name}");
    text(field)
}
