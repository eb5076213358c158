//! The notation of the tables' events.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::history::History;
use crate::model::parts::time;

/// 2026-11-01T00:00:00Z, the origin.
const ORIGIN_MS: i64 = 1_793_491_200_000;

const SOURCE_TOPICS: [&str; 5] = ["deposits", "withdrawals", "trades", "transfers", "accounts"];

/// The terms of a listed asset that later lines need.
#[derive(Debug, Clone)]
struct Terms {
    decimals: u64,
    epoch_ms: i64,
    anchor_ms: i64,
    first_epoch: i64,
    reward: Option<(String, u64)>,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            decimals: 2,
            epoch_ms: 100_000,
            anchor_ms: 0,
            first_epoch: 0,
            reward: None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Table {
    pub history: History,
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

/// A topic without its prefix, a type, the time in milliseconds, and the data.
type Event = (&'static str, &'static str, i64, Value);

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Line<'a> {
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
                    line.ms = Some(milliseconds(word));
                }
                None => line.words.push(word),
            }
        }
        line
    }

    fn option(&mut self, name: &str) -> Option<&'a str> {
        self.options.remove(name)
    }

    fn number(&mut self, name: &str) -> Option<u64> {
        self.option(name).map(number)
    }

    /// The time of an event that must have one.
    fn time(&self) -> i64 {
        self.ms
            .unwrap_or_else(|| panic!("{}: an event of a source topic begins with its time", self.text))
    }

    /// Copies options into fields of the same or another name.
    fn copy(&mut self, data: &mut Value, fields: &[(&str, &str)]) {
        for (option, name) in fields {
            if let Some(text) = self.option(option) {
                data[*name] = text.into();
            }
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `+1.5s`, `+3h` or `-2d` in milliseconds.
fn milliseconds(text: &str) -> i64 {
    let units = [("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let unit = units.into_iter().find(|(unit, _)| text.ends_with(unit));
    let (unit, factor) = unit.unwrap_or_else(|| panic!("{text} is no time"));
    let digits = text.trim_start_matches(['+', '-']).trim_end_matches(unit);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let thousandths: i64 = format!("{whole}{fraction:0<3}").parse().expect("digits");
    let ms = thousandths * factor / 1000;
    if text.starts_with('-') { -ms } else { ms }
}

/// `C:0.5` as a fee.
fn fee(text: &str) -> Value {
    let (asset, amount) = text.split_once(':').expect("a fee is ASSET:AMOUNT");
    json!({"asset": asset, "amount": amount})
}

/// `deposits:0` as a topic and a partition.
fn place(text: &str) -> (String, u32) {
    let (topic, partition) = text.split_once(':').expect("a place is TOPIC:PARTITION");
    let prefix = if topic == "control" { "softstake" } else { "exchange" };
    (
        format!("{prefix}.{topic}"),
        u32::try_from(number(partition)).expect("a partition"),
    )
}

fn merge(into: &mut Value, text: Option<&str>) {
    let Some(text) = text else { return };
    let (Value::Object(from), Value::Object(into)) = (json_of(text), into) else {
        panic!("{text} is no object");
    };
    into.extend(from);
}

pub fn time_of(ms: i64) -> String {
    time::format(ORIGIN_MS + ms)
}

impl Table {
    pub fn execute(&mut self, text: &str) {
        let mut line = Line::read(text);
        match line.words[..] {
            ["run"] => return self.history.run(),
            ["dedup", days] => return self.history.settings.dedup_days = number(days),
            ["know", version] => return self.history.settings.known_rules.push(number(version)),
            ["raw", at, ..] => {
                let record = text.split_once(at).map_or("", |(_, record)| record.trim_start());
                let (topic, partition) = place(at);
                return self.history.append(&topic, partition, record);
            }
            ["gone", at, before] => {
                let (topic, partition) = place(at);
                return self.history.lose(&topic, partition, number(before));
            }
            _ => {}
        }
        let (topic, kind, ms, mut data) = self.event(&mut line);
        merge(&mut data, line.option("with"));
        self.events += 1;
        let id = line
            .option("id")
            .map_or_else(|| format!("event-{:02}", self.events), str::to_owned);
        let topic = line.option("topic").unwrap_or(topic);
        let partition = line.number("p").unwrap_or(0);
        let kind = line.option("type").unwrap_or(kind);
        assert!(line.options.is_empty(), "{text}: what is {:?}?", line.options);
        let record = json!({
            "specversion": "1.0", "id": id, "source": "/test", "type": kind, "time": time_of(ms), "data": data,
        });
        let (topic, partition) = place(&format!("{topic}:{partition}"));
        self.history.append(&topic, partition, &record.to_string());
    }

    fn event(&mut self, line: &mut Line<'_>) -> Event {
        let words = std::mem::take(&mut line.words);
        match words[..] {
            ["list" | "change", asset, ..] => {
                let data = self.listing(words[0] == "list", asset, line);
                ("control", "softstake.asset.v1", line.ms.unwrap_or(0), data)
            }
            [kind @ ("close" | "release" | "void" | "delist"), asset, epoch] => {
                self.epoch_event(kind, asset, number(epoch), line)
            }
            [kind @ ("reward" | "pool"), asset, amount] => {
                let (kind, field) = if kind == "reward" {
                    ("softstake.validator_reward.v1", "validator")
                } else {
                    ("softstake.pool_adjustment.v1", "reason")
                };
                let data = json!({"asset": asset, "amount": amount, field: "v-1"});
                ("control", kind, line.time(), data)
            }
            ["lost", at, range] => {
                let (topic, partition) = place(at);
                let (from, to) = range.split_once("..").expect("a range is FROM..TO");
                let data = json!({
                    "topic": topic, "partition": partition, "from_offset": number(from), "to_offset": number(to),
                    "by": "ops", "reason": "disk",
                });
                ("control", "softstake.loss_accepted.v1", line.ms.unwrap_or(0), data)
            }
            ["rules", version] => {
                let data = json!({"version": number(version)});
                ("control", "softstake.rules.v1", line.ms.unwrap_or(0), data)
            }
            _ => source_event(&words, line),
        }
    }

    fn epoch_event(&self, kind: &str, asset: &str, epoch: u64, line: &mut Line<'_>) -> Event {
        let mut data = json!({"asset": asset, "epoch": epoch});
        let kind = match kind {
            "close" => {
                line.copy(
                    &mut data,
                    &[("pool", "reward_pool"), ("apr", "apr"), ("rate", "reward_rate")],
                );
                "softstake.epoch_close.v1"
            }
            "delist" => {
                data["reason"] = "mistyped".into();
                "softstake.asset_withdrawn.v1"
            }
            _ => {
                data["by"] = "treasury".into();
                data["reason"] = "checked".into();
                if kind == "void" {
                    "softstake.epoch_void.v1"
                } else {
                    "softstake.epoch_release.v1"
                }
            }
        };
        let terms = self.terms.get(asset).cloned().unwrap_or_default();
        let epochs = i64::try_from(epoch).expect("a small epoch") + 1 - terms.first_epoch;
        let end = terms.anchor_ms + epochs * terms.epoch_ms;
        ("control", kind, line.ms.unwrap_or(end), data)
    }

    fn listing(&mut self, first: bool, asset: &str, line: &mut Line<'_>) -> Value {
        let mut terms = if first {
            Terms::default()
        } else {
            self.terms.get(asset).cloned().unwrap_or_default()
        };
        terms.decimals = line.number("decimals").unwrap_or(terms.decimals);
        terms.epoch_ms = line.option("epoch").map_or(terms.epoch_ms, milliseconds);
        terms.anchor_ms = line.option("anchor").map_or(terms.anchor_ms, milliseconds);
        terms.first_epoch = line
            .option("first")
            .map_or(terms.first_epoch, |text| text.parse().expect("an epoch"));
        if let Some(text) = line.option("reward") {
            let (name, decimals) = text.split_once(':').expect("a reward asset is ASSET:DECIMALS");
            terms.reward = Some((name.to_owned(), number(decimals)));
        }
        let mut data = json!({
            "asset": asset, "decimals": terms.decimals, "anchor": time_of(terms.anchor_ms),
            "epoch_seconds": terms.epoch_ms / 1000,
        });
        if terms.first_epoch != 0 {
            data["first_epoch"] = terms.first_epoch.into();
        }
        if let Some((name, decimals)) = &terms.reward {
            data["reward_asset"] = name.as_str().into();
            data["reward_decimals"] = (*decimals).into();
        }
        if let Some(text) = line.option("misdated") {
            data["misdated_from"] = time_of(milliseconds(text)).into();
        }
        let from = line
            .option("from")
            .map_or(terms.first_epoch, |text| text.parse().expect("an epoch"));
        data["programme"] = programme(from, line);
        self.terms.insert(asset.to_owned(), terms);
        data
    }
}

fn programme(from: i64, line: &mut Line<'_>) -> Value {
    let mut programme = json!({"from_epoch": from, "mode": "pool"});
    if line.options.contains_key("apr") || line.options.contains_key("rates") {
        programme["mode"] = "apr".into();
    }
    line.copy(
        &mut programme,
        &[
            ("apr", "apr"),
            ("min_balance", "min_balance"),
            ("max_balance", "max_balance"),
            ("commission", "commission_rate"),
            ("scope", "scope"),
            ("min_payout", "min_payout"),
            ("enrolment", "enrolment"),
            ("late", "late_policy"),
        ],
    );
    if let Some(decimals) = line.number("payout_decimals") {
        programme["payout_decimals"] = decimals.into();
    }
    for (option, field) in [("tiers", "multiplier"), ("rates", "apr")] {
        let Some(tiers) = line.option(option) else { continue };
        let tier = |text: &str| {
            let (bound, factor) = text.split_once(':').expect("a tier is BOUND:FACTOR");
            json!({"up_to": Some(bound).filter(|bound| *bound != "-"), field: factor})
        };
        programme["tiers"] = tiers.split(',').map(tier).collect();
    }
    if let Some(gate) = line.option("gate") {
        let limit = |text: &str| {
            let (name, limit) = text.split_once(':').expect("a limit is NAME:LIMIT");
            (name.to_owned(), Value::from(limit))
        };
        programme["gate"] = match gate {
            "always" => gate.into(),
            limits => Value::Object(limits.split(',').map(limit).collect::<Map<_, _>>()),
        };
    }
    merge(&mut programme, line.option("programme"));
    programme
}

fn source_event(words: &[&str], line: &mut Line<'_>) -> Event {
    let (topic, kind, data) = match *words {
        ["deposit", account, asset, amount] => {
            let data = json!({"account": account, "asset": asset, "amount": amount});
            (0, "exchange.deposit.v1", data)
        }
        ["opening", account, asset, amount] => {
            let data = json!({"account": account, "asset": asset, "amount": amount});
            (0, "exchange.opening_balance.v1", data)
        }
        ["withdraw", account, asset, amount] => {
            let mut data = json!({"account": account, "asset": asset, "amount": amount});
            if let Some(text) = line.option("fee") {
                data["fee"] = fee(text);
            }
            (1, "exchange.withdrawal.v1", data)
        }
        ["trade", buyer, seller, pair, quantity, price] => {
            let (base, quote) = pair.split_once('/').expect("a pair is BASE/QUOTE");
            let price = price.strip_prefix('@').expect("a price is @PRICE");
            let mut data = json!({"base_asset": base, "quote_asset": quote, "price": price, "quantity": quantity});
            line.copy(&mut data, &[("quote", "quote_quantity")]);
            for (side, account, name) in [("buyer", buyer, "buyer_fee"), ("seller", seller, "seller_fee")] {
                if account == "-" {
                    continue; // no customer
                }
                data[side] = json!({"account": account});
                if let Some(text) = line.option(name) {
                    data[side]["fee"] = fee(text);
                }
            }
            (2, "exchange.trade.v1", data)
        }
        ["transfer", from, to, asset, amount] => {
            let data = json!({"from_account": from, "to_account": to, "asset": asset, "amount": amount});
            (3, "exchange.transfer.v1", data)
        }
        ["adjust", account, asset, delta] => {
            let data = json!({"account": account, "asset": asset, "delta": delta, "reason": "order hold"});
            (3, "exchange.balance_adjustment.v1", data)
        }
        ["goodwill", account, asset, delta] => {
            let data = json!({"account": account, "asset": asset, "delta": delta, "reason": "goodwill"});
            (3, "exchange.reward_adjustment.v1", data)
        }
        ["status", account, status] => {
            let data = json!({"account": account, "status": status});
            (4, "exchange.account_status.v1", data)
        }
        ["status", account, status, asset] => {
            let data = json!({"account": account, "status": status, "asset": asset});
            (4, "exchange.account_status.v1", data)
        }
        _ => panic!("{}: no such event", line.text),
    };
    (SOURCE_TOPICS[topic], kind, line.time(), data)
}
