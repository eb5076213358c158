//! Ledger tables that a reader checks by eye: what happens, then what must come of it, to the last unit.
//!
//! Each table is run in this process on 1 and on 8 ledger partitions, and its outcome is held against the model as well.
//!
//! Before `=>`, one event a line, `+10s` being its time after the origin. Epochs are of 100 seconds and assets have 2 decimals unless a listing
//! says otherwise, so a balance of 1 held for a whole epoch makes 100 asset-seconds. `run` lets the program work until it is idle: what follows
//! is really late. Options: `id=` instead of a new id, `p=` for a partition, `note=` for an extra field.
//!
//! After `=>`, every record that is published, one a line; fields given as `name=value` are compared, the others are not.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "common/books.rs"]
mod books;
#[path = "common/events.rs"]
mod events;
#[path = "common/memory.rs"]
mod memory;
mod model;

use std::collections::BTreeMap;

use memory::{Memory, Shape};
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
    let (script, expected) = table.split_once("=>").expect("a table has two halves");
    let expected: Vec<&str> = lines(expected).collect();
    for shape in SHAPES {
        let mut stage = Stage::new(script, shape);
        lines(script).for_each(|line| stage.play(line));
        stage.memory.run();
        assert_eq!(
            stage.outcome(&expected).join("\n"),
            sorted(expected.iter().map(ToString::to_string)),
            "{shape:?}"
        );
        books::audit(
            &stage.memory.records(Topic::Epochs),
            &stage.memory.records(Topic::Distributions),
        );
        if !lines(script).any(|line| line == "unmodelled") {
            stage.ask_the_model();
        }
    }
}

/// What is left of each line without comments and blanks.
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

/// A listed asset, as far as later lines of a script lean on it.
#[derive(Clone)]
struct Terms {
    decimals: u32,
    epoch_seconds: i64,
    anchor_ms: i64,
}

struct Stage {
    memory: Memory,
    dedup_epochs: u64,
    terms: BTreeMap<String, Terms>,
    events: usize,
}

/// One line of a script: its words, and its options by name.
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

/// `C:0.5` as a fee.
fn fee(text: &str) -> Value {
    let (asset, amount) = text.split_once(':').expect("a fee is ASSET:AMOUNT");
    json!({"asset": asset, "amount": amount})
}

impl Stage {
    fn new(script: &str, shape: Shape) -> Self {
        let dedup = lines(script).find_map(|line| line.strip_prefix("dedup "));
        let dedup_epochs = dedup.map_or(7, |epochs| epochs.parse().expect("a number of epochs"));
        Self {
            memory: Memory::new(shape, dedup_epochs),
            dedup_epochs,
            terms: BTreeMap::new(),
            events: 0,
        }
    }

    fn play(&mut self, text: &str) {
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
                    "buyer": {"account": buyer}, "seller": {"account": seller},
                });
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

    /// Every published record as a line, with the fields that the expected line about it names.
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

    fn ask_the_model(&self) {
        let folder = tempfile::tempdir().expect("a folder for the model");
        self.memory.save(folder.path());
        let expected = model::expected(folder.path(), self.dedup_epochs).expect("the model's outcome");
        let published = model::published(folder.path()).expect("the outcome");
        assert_eq!(
            model::differences(&expected, &published),
            Vec::<String>::new(),
            "the model disagrees"
        );
    }
}

/// The words of a line that say which record it is about.
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

#[test]
fn a_balance_earns_from_its_posting_on() {
    check(
        "
        list A pool
        +0s  deposit ann A 10
        +50s deposit ben A 10
        +75s withdraw ann A 4
        close A 0 pool=14
        =>
        # ann: 10 * 100 - 4 * 25. ben: 10 * 50.
        paid A:0 ann 9 seconds=900 average=9 from=0
        paid A:0 ben 5 seconds=500 average=5
        seal A:0 mode=pool pool=14 commission=0 carried_in=0 carried_out=0 rewarded=14 distributed=14 n=2 seconds=1400 closing=16
        ",
    );
}

#[test]
fn a_balance_goes_on_earning_in_the_next_epochs() {
    check(
        "
        list A pool
        +0s   deposit ann A 10
        +150s deposit ben A 10
        close A 0 pool=1
        close A 1 pool=1.5
        close A 2 pool=2
        =>
        paid A:0 ann 1   seconds=1000
        paid A:1 ann 1   seconds=1000
        paid A:1 ben 0.5 seconds=500
        paid A:2 ann 1   seconds=1000
        paid A:2 ben 1   seconds=1000
        seal A:0 closing=10
        seal A:1 closing=20
        seal A:2 closing=20
        ",
    );
}

#[test]
fn a_posting_on_the_boundary_belongs_to_the_later_epoch() {
    check(
        "
        list A pool
        +0s      deposit ann A 10
        +99.999s deposit ann A 10
        +100s    deposit ann A 10
        close A 0 pool=1
        close A 1 pool=1
        =>
        # 10 for one millisecond are 0.01 asset-seconds; an average of 10.0001 is cut to two decimals.
        paid A:0 ann 1 seconds=1000.01 average=10
        paid A:1 ann 1 seconds=3000    average=30
        seal A:0 closing=20
        seal A:1 closing=30
        ",
    );
}

#[test]
fn an_average_is_cut_to_the_decimals_of_the_asset() {
    check(
        "
        list A pool
        +0.001s deposit ann A 1
        close A 0 pool=1
        =>
        # 99.999 / 100 = 0.99999
        paid A:0 ann 1 seconds=99.999 average=0.99
        seal A:0
        ",
    );
}

#[test]
fn what_lies_before_the_anchor_is_ignored() {
    check(
        "
        list A pool
        -0.001s deposit ann A 10
        +0s     deposit ben A 10
        close A 0 pool=2
        =>
        paid A:0 ben 2 seconds=1000
        seal A:0 closing=10
        ",
    );
}

#[test]
fn an_opening_balance_counts_at_the_anchor_whatever_its_time() {
    check(
        "
        list A pool
        -500s  opening ann A 10
        +50s   opening ben A 10
        +5000s opening cat A 10
        close A 0 pool=3
        =>
        paid A:0 ann 1 seconds=1000
        paid A:0 ben 1 seconds=1000
        paid A:0 cat 1 seconds=1000
        seal A:0 closing=30
        ",
    );
}

#[test]
fn a_late_opening_balance_counts_at_the_anchor_too() {
    check(
        "
        list A pool
        close A 0
        run
        +150s opening ann A 10
        close A 1 pool=1
        =>
        # 10 from the anchor on to the end of epoch 1.
        late deposits:0:0:0 ann A 10 0->1 carry time=2026-11-01T00:00:00.000Z
        paid A:1 ann 1 seconds=2000 average=20
        seal A:0
        seal A:1 closing=10
        ",
    );
}

#[test]
fn a_trade_moves_two_assets_and_its_fees_a_third() {
    check(
        "
        list A pool
        list B pool
        list C pool
        +0s deposit buy  B 100
        +0s deposit buy  C 1
        +0s deposit sell A 10
        +0s deposit sell C 1
        +50s trade buy sell A/B 4 @2.5 buyer_fee=C:0.5 seller_fee=B:1
        close A 0 pool=1
        close B 0 pool=99.5
        close C 0 pool=1.75
        =>
        # A: 4 * 50, and 10 * 100 - 4 * 50.
        paid A:0 buy  0.2  seconds=200
        paid A:0 sell 0.8  seconds=800
        # B: 100 * 100 - 10 * 50, and (10 - 1) * 50.
        paid B:0 buy  95   seconds=9500
        paid B:0 sell 4.5  seconds=450
        # C: 1 * 100 - 0.5 * 50, and 1 * 100.
        paid C:0 buy  0.75 seconds=75
        paid C:0 sell 1    seconds=100
        seal A:0 closing=10
        seal B:0 closing=99
        seal C:0 closing=1.5
        ",
    );
}

#[test]
fn a_quote_amount_that_is_given_is_not_worked_out() {
    check(
        "
        list A pool
        list B pool
        +0s deposit buy B 1
        # 0.33 * 0.01 is no exact number of cents: nothing of the trade is applied.
        +0s trade buy sell A/B 0.33 @0.01
        +0s trade buy sell A/B 0.33 @0.01 quote=0.25
        # Nobody asks whether it is exact in an asset that is not listed.
        +0s trade buy sell A/USD 0.33 @0.01
        close A 0 pool=1
        close B 0 pool=1
        =>
        dead trades:0:0 invalid_amount
        paid A:0 buy 1 seconds=66
        paid B:0 buy  0.75 seconds=75
        paid B:0 sell 0.25 seconds=25
        seal A:0 negative=1
        seal B:0 carried_out=0
        ",
    );
}

#[test]
fn a_fee_of_a_withdrawal_comes_on_top() {
    check(
        "
        list A pool
        list B pool
        +0s deposit ann A 10
        +0s deposit ann B 10
        +0s withdraw ann A 2 fee=A:1
        +0s withdraw ann A 2 fee=B:1
        +0s withdraw ann A 2 fee=USD:1
        close A 0 pool=1
        close B 0 pool=1
        =>
        paid A:0 ann 1 seconds=300
        paid B:0 ann 1 seconds=900
        seal A:0 closing=3
        seal B:0 closing=9
        ",
    );
}

#[test]
fn a_transfer_moves_and_one_to_oneself_does_not() {
    check(
        "
        list A pool
        +0s  deposit ann A 10
        +25s transfer ann ben A 4
        +50s transfer ann ann A 6
        +60s trade ann ann A/USD 1000 @1
        close A 0 pool=10
        =>
        paid A:0 ann 7 seconds=700
        paid A:0 ben 3 seconds=300
        seal A:0 closing=10
        ",
    );
}

#[test]
fn an_adjustment_goes_either_way() {
    check(
        "
        list A pool
        +0s  deposit ann A 10
        +50s adjust ann A -5
        +75s adjust ann A +5
        +75s adjust ann A 1
        close A 0 pool=1
        =>
        # 10 * 100 - 5 * 50 + 6 * 25
        paid A:0 ann 1 seconds=900
        seal A:0 closing=11
        ",
    );
}

#[test]
fn all_postings_of_an_event_or_none() {
    check(
        "
        list A pool
        list B pool decimals=0
        list C pool epoch=60s
        +0s deposit ann A 10
        # Half a B does not exist, so the withdrawal of A does not happen either.
        +0s withdraw ann A 10 fee=B:0.5
        # Epoch 401 of C, epoch 240 of A.
        +24060s trade ann ben A/C 1 @1
        # A fee in an asset before its anchor is ignored, and so stops nothing.
        list D pool anchor=+1000s
        +0s withdraw ann A 1 fee=D:1
        close A 0 pool=1
        =>
        dead withdrawals:0:0 invalid_amount
        dead trades:0:0 too_far_ahead
        paid A:0 ann 1 seconds=900
        seal A:0 closing=9
        ",
    );
}

#[test]
fn the_minimum_is_of_the_average_balance() {
    check(
        "
        list A pool min_balance=10
        +0s     deposit ann A 10
        +0.001s deposit ben A 10
        +50s    deposit cat A 20
        close A 0 pool=2
        =>
        paid A:0 ann 1
        paid A:0 cat 1
        seal A:0 below=1 seconds=2000 closing=30
        ",
    );
}

#[test]
fn the_cap_and_the_tiers_share_by_weight() {
    check(
        "
        list A pool max_balance=300 tiers=100:1,-:1.5
        +0s deposit ann A 100
        +0s deposit ben A 300
        +0s deposit cat A 900
        close A 0 pool=90.01
        =>
        # Of 300 are 100 in the first tier and 200 in the second: 100 + 200 * 1.5 = 400. 900 counts as 300.
        paid A:0 ann 10 seconds=10000
        paid A:0 ben 40 seconds=30000
        paid A:0 cat 40 seconds=90000 average=900
        seal A:0 carried_out=0.01 rewarded=90 seconds=70000 closing=1300
        ",
    );
}

#[test]
fn the_tiers_are_of_the_average_balance() {
    check(
        "
        list A pool tiers=100:1,200:2,-:0
        # On average 100, 150 and 300.
        +50s deposit ann A 200
        +0s  deposit ben A 150
        +0s  deposit cat A 300
        close A 0 pool=6
        =>
        # 100, 100 + 2 * 50 and 100 + 2 * 100.
        paid A:0 ann 1
        paid A:0 ben 2
        paid A:0 cat 3
        seal A:0 seconds=55000
        ",
    );
}

#[test]
fn an_account_that_weighs_nothing_gets_nothing() {
    check(
        "
        list A pool tiers=100:0,-:1
        +0s deposit ann A 100
        close A 0 pool=5
        +100s deposit ben A 101
        close A 1 pool=1
        =>
        paid A:1 ben 6
        seal A:0 carried_out=5 rewarded=0 seconds=10000 closing=100 below=0
        seal A:1 carried_in=5 carried_out=0
        ",
    );
}

#[test]
fn the_commission_is_floored_and_leaves_the_dust_alone() {
    check(
        "
        list A pool commission=0.1
        change A pool commission=1 from=2
        change A pool commission=0.000000000000000001 from=3
        +0s deposit ann A 1
        +0s deposit ben A 1
        close A 0 pool=0.19
        close A 1 pool=0.19
        close A 2 pool=5
        close A 3 pool=0.01
        =>
        # floor(0.019) = 0.01, so 0.18 are shared.
        paid A:0 ann 0.09
        paid A:0 ben 0.09
        paid A:1 ann 0.09
        paid A:1 ben 0.09
        seal A:0 commission=0.01 rewarded=0.18
        seal A:1 commission=0.01 rewarded=0.18
        seal A:2 commission=5 rewarded=0 carried_out=0 from=2
        # One cent among two.
        seal A:3 commission=0 rewarded=0 carried_out=0.01 from=3
        ",
    );
}

#[test]
fn dust_is_carried_until_it_makes_a_grain() {
    check(
        "
        list A pool payout_decimals=0
        +0s deposit ann A 2
        +0s deposit ben A 1
        close A 0 pool=10.75
        close A 1 pool=0.25
        close A 2 pool=2
        =>
        # floor(10.75 * 2/3) and floor(10.75 / 3); then one whole unit is too little for two thirds of it; then 3.
        paid A:0 ann 7
        paid A:0 ben 3
        paid A:2 ann 2
        paid A:2 ben 1
        seal A:0 carried_out=0.75
        seal A:1 carried_in=0.75 carried_out=1 rewarded=0 n=0
        seal A:2 carried_in=1 carried_out=0
        ",
    );
}

#[test]
fn small_payouts_are_withheld_until_they_add_up() {
    check(
        "
        list A pool min_payout=1
        +0s deposit ann A 3
        +0s deposit ben A 1
        close A 0 pool=1
        close A 1 pool=1
        close A 2 pool=1
        close A 3 pool=1
        =>
        # ann earns 0.75 an epoch, ben 0.25: exactly the minimum is paid.
        paid A:1 ann 1.5
        paid A:3 ann 1.5
        paid A:3 ben 1
        seal A:0 rewarded=1 distributed=0   n=0 withheld_before=0   withheld_after=1
        seal A:1 rewarded=1 distributed=1.5 n=1 withheld_before=1   withheld_after=0.5
        seal A:2 rewarded=1 distributed=0   n=0 withheld_before=0.5 withheld_after=1.5
        seal A:3 rewarded=1 distributed=2.5 n=2 withheld_before=1.5 withheld_after=0
        ",
    );
}

#[test]
fn what_is_withheld_is_paid_when_the_minimum_falls_to_whoever_has_left_too() {
    check(
        "
        list A pool min_payout=1
        change A pool min_payout=0.1 from=2
        +0s   deposit ann A 1
        +100s withdraw ann A 1
        +0s   deposit ben A 1
        +0s   status ben enrolled
        +100s status ben excluded
        close A 0 pool=1
        close A 1 pool=1
        close A 2 pool=1
        =>
        paid A:2 ann 0.5 seconds=0   average=0 from=2
        paid A:2 ben 0.5 seconds=100 average=1 from=2
        seal A:0 withheld_after=1
        seal A:1 withheld_before=1 withheld_after=1 carried_out=1 status=1 from=0
        seal A:2 withheld_before=1 withheld_after=0 carried_in=1 carried_out=2 rewarded=0 distributed=1 from=2
        ",
    );
}

#[test]
fn what_is_withheld_is_paid_to_a_negative_balance_too() {
    check(
        "
        list A pool min_payout=1
        +0s   deposit ann A 1
        +0s   deposit ben A 1
        +100s withdraw ann A 2.005
        +100s withdraw ann A 2
        change A pool from=1
        close A 0 pool=1
        close A 1 pool=1
        =>
        dead withdrawals:0:0 invalid_amount
        paid A:1 ann 0.5 seconds=-100 average=-1
        paid A:1 ben 1.5
        seal A:0
        seal A:1 negative=1 closing=1
        ",
    );
}

#[test]
fn a_rate_is_paid_by_the_day() {
    check(
        "
        list A apr=0.365 decimals=6 epoch=86400s
        +0s     deposit ann A 1000
        +43200s deposit ben A 500
        # A thousandth of this earns 0.000000999 a day.
        +0s     deposit cat A 0.000999
        close A 0 pool=5
        =>
        # 36.5 per cent a year are a thousandth a day.
        paid A:0 ann 1
        paid A:0 ben 0.25 average=250
        seal A:0 mode=apr pool=5 commission=0 rewarded=1.25 distributed=1.25 carried_in=0 carried_out=0 closing=1500.000999
        ",
    );
}

#[test]
fn a_rate_of_nothing_pays_nothing() {
    check(
        "
        list A apr=0
        +0s deposit ann A 1000
        close A 0
        =>
        seal A:0 mode=apr pool=0 rewarded=0 n=0 seconds=100000
        ",
    );
}

#[test]
fn a_rate_goes_by_the_weight_and_the_grain() {
    check(
        "
        # Of a year are 315,360 epochs of 100 seconds: the rate is a thousandth an epoch.
        list A apr=315.36 tiers=100:1,-:2 max_balance=300 payout_decimals=1
        +0s deposit ann A 100
        +0s deposit ben A 200
        +0s deposit cat A 1000
        +0s deposit dan A 99
        close A 0
        =>
        # 100, 300, 500 and 99 are the weights; 0.099 is less than a grain.
        paid A:0 ann 0.1
        paid A:0 ben 0.3
        paid A:0 cat 0.5
        seal A:0 rewarded=0.9
        ",
    );
}

#[test]
fn dust_of_a_pool_waits_while_a_rate_is_paid() {
    check(
        "
        list A pool
        change A apr=315.36 from=1
        change A pool from=2
        +0s  deposit ann A 100
        +0s  deposit ben A 100
        +50s reward A 0.03
        # A pool and a reward given in an epoch with a rate are reported, not carried.
        +150s reward A 4
        close A 0
        close A 1 pool=5
        close A 2 pool=0.01
        =>
        paid A:0 ann 0.01
        paid A:0 ben 0.01
        paid A:1 ann 0.1
        paid A:1 ben 0.1
        paid A:2 ann 0.01
        paid A:2 ben 0.01
        seal A:0 mode=pool pool=0.03 carried_out=0.01
        seal A:1 mode=apr  pool=9    carried_in=0.01 carried_out=0.01 rewarded=0.2 from=1
        seal A:2 mode=pool pool=0.01 carried_in=0.01 carried_out=0 from=2
        ",
    );
}

#[test]
fn who_has_to_enrol_earns_from_the_next_epoch_on() {
    check(
        "
        list A pool opt_in
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s deposit cat A 10
        +0s status ann enrolled
        +0.001s status ben enrolled
        close A 0 pool=1
        close A 1 pool=1
        =>
        paid A:0 ann 1
        paid A:1 ann 0.5
        paid A:1 ben 0.5
        seal A:0 status=2 closing=10
        seal A:1 status=1 closing=20
        ",
    );
}

#[test]
fn who_opts_out_earns_to_the_end_of_the_epoch() {
    check(
        "
        list A pool
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s status ann opted_out
        +0.001s status ben opted_out
        +150s status ben enrolled
        close A 0 pool=1
        close A 1 pool=1
        close A 2 pool=1
        =>
        paid A:0 ben 1
        paid A:2 ben 2
        seal A:0 status=1
        seal A:1 status=2 carried_out=1 closing=0 seconds=0
        seal A:2 status=1 carried_in=1
        ",
    );
}

#[test]
fn an_exclusion_inside_an_epoch_bars_it() {
    check(
        "
        list A pool
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s deposit cat A 10
        +0s deposit dan A 10
        +0s deposit eve A 10
        # Inside epoch 0, whatever follows.
        +50s status ann excluded
        +60s status ann enrolled
        # At the end of epoch 0, which is the start of epoch 1.
        +100s status ben excluded
        # Before epoch 0, but no longer.
        -10s status cat excluded
        -5s  status cat enrolled
        # At its start, but not the greatest there: ids decide.
        +0s status dan excluded id=a
        +0s status dan enrolled id=b
        # In the last millisecond.
        +99.999s status eve excluded
        +100s    status eve enrolled
        close A 0 pool=3
        close A 1 pool=4
        =>
        paid A:0 ben 1
        paid A:0 cat 1
        paid A:0 dan 1
        paid A:1 ann 1
        paid A:1 cat 1
        paid A:1 dan 1
        paid A:1 eve 1
        seal A:0 status=2
        seal A:1 status=1
        ",
    );
}

#[test]
fn of_statuses_at_one_time_the_greatest_id_decides() {
    check(
        "
        list A pool
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s deposit cat A 10
        +0s deposit dan A 10
        +0s status ann opted_out id=9
        +0s status ann enrolled  id=10
        +0s status ben enrolled  id=z
        +0s status ben opted_out id=Z
        # One time and one id, on two partitions.
        +0s status cat enrolled  id=x p=0
        +0s status cat opted_out id=x p=1
        +0s status dan opted_out id=y p=1
        +0s status dan enrolled  id=y p=0
        # An earlier time never decides, whatever its id.
        -1s status ben opted_out id=zz
        close A 0 pool=1
        =>
        # Bytes are compared, so 9 is greater than 10, and z than Z.
        paid A:0 ben 1
        seal A:0 status=3
        ",
    );
}

#[test]
fn a_status_behind_the_cut_counts_from_the_next_epoch_on() {
    check(
        "
        list A pool
        +0s deposit ann A 10
        +0s deposit ben A 10
        close A 0 pool=1
        run
        -10s status ann opted_out
        # Inside epoch 0, so it is no more than the newest status at the start of epoch 1, and then no longer that.
        +50s status ben excluded
        +60s status ben enrolled
        close A 1 pool=1
        =>
        paid A:0 ann 0.5
        paid A:0 ben 0.5
        paid A:1 ben 1
        seal A:0 status=0
        seal A:1 status=1
        ",
    );
}

#[test]
fn statuses_count_for_every_asset() {
    check(
        "
        list A pool
        list B pool epoch=200s
        +0s deposit ann A 10
        +0s deposit ann B 10
        +100s status ann excluded
        close A 0 pool=1
        close A 1 pool=1
        close B 0 pool=1
        =>
        paid A:0 ann 1
        seal A:0
        seal A:1 status=1
        seal B:0 status=1
        ",
    );
}

#[test]
fn a_late_posting_is_made_good() {
    check(
        "
        list A pool
        +0s deposit ann A 10
        close A 0 pool=1
        run
        +50s deposit ann A 10
        close A 1 pool=1
        =>
        # 10 * 100, and 10 from 50 to 200.
        late deposits:0:1:0 ann A 10 0->1 carry time=2026-11-01T00:00:50.000Z
        paid A:0 ann 1 seconds=1000
        paid A:1 ann 1 seconds=2500 average=25
        seal A:0
        seal A:1 closing=20
        ",
    );
}

#[test]
fn a_late_posting_is_forfeit_where_the_programme_says_so() {
    check(
        "
        list A pool forfeit
        +0s deposit ann A 10
        close A 0 pool=1
        run
        +50s deposit ann A 10
        close A 1 pool=1
        =>
        # From the start of epoch 1 on.
        late deposits:0:1:0 ann A 10 0->1 forfeit
        paid A:0 ann 1 seconds=1000
        paid A:1 ann 1 seconds=2000
        seal A:0
        seal A:1 closing=20
        ",
    );
}

#[test]
fn the_late_policy_is_that_of_the_epoch_it_goes_into() {
    check(
        "
        list A pool
        change A pool forfeit from=1
        change A pool from=2
        close A 0
        run
        +50s deposit ann A 10
        close A 1 pool=1
        run
        +50s deposit ann A 10
        close A 2 pool=1
        =>
        late deposits:0:0:0 ann A 10 0->1 forfeit
        late deposits:0:1:0 ann A 10 0->2 carry
        paid A:1 ann 1 seconds=1000
        # 10 * 100, and 10 from 50 to 300.
        paid A:2 ann 1 seconds=3500
        seal A:0
        seal A:1
        seal A:2
        ",
    );
}

#[test]
fn late_into_the_epoch_after_next() {
    check(
        "
        list A pool
        +0s deposit ben A 10
        close A 0
        close A 1
        run
        +50s  trade ann ben A/USD 4 @1 seller_fee=A:1
        +150s deposit ann A 1
        close A 2 pool=1
        =>
        # A trade's postings are numbered with those that are ignored, as the two in USD; there is no buyer's fee to count.
        late trades:0:0:0 ann A 4 0->2 carry
        late trades:0:0:2 ben A -4 0->2 carry
        late trades:0:0:4 ben A -1 0->2 carry
        late deposits:0:1:0 ann A 1 1->2 carry
        # ann: 4 * 250 + 1 * 150. ben: 10 * 100 - 5 * 250, which is less than nothing.
        paid A:2 ann 1 seconds=1150
        seal A:0
        seal A:1
        seal A:2 negative=1 closing=5
        ",
    );
}

#[test]
fn a_late_withdrawal_takes_back_what_was_not_held() {
    check(
        "
        list A pool
        +0s deposit ann A 10
        +0s deposit ben A 10
        close A 0 pool=2
        run
        +0s withdraw ann A 4
        close A 1 pool=1.2
        =>
        # ann: 10 * 100 - 4 * 200.
        late withdrawals:0:0:0 ann A -4 0->1 carry
        paid A:0 ann 1
        paid A:0 ben 1
        paid A:1 ann 0.2 seconds=200 average=2
        paid A:1 ben 1
        seal A:0
        seal A:1 closing=16
        ",
    );
}

#[test]
fn each_partition_has_its_own_cut() {
    check(
        "
        list A pool
        +0s deposit ann A 1 p=0
        +0s deposit ben A 1 p=3
        close A 0 pool=2
        run
        # A partition that was not there when the close was read was always too late for it.
        +0s deposit cat A 1 p=1
        +100s deposit dan A 1 p=1
        close A 1 pool=5
        =>
        late deposits:1:0:0 cat A 1 0->1 carry
        paid A:0 ann 1
        paid A:0 ben 1
        paid A:1 ann 1
        paid A:1 ben 1
        paid A:1 cat 2
        paid A:1 dan 1
        seal A:0 cut={\"exchange.deposits\":{\"0\":1,\"3\":1}}
        seal A:1 cut={\"exchange.deposits\":{\"0\":1,\"1\":2,\"3\":1}}
        ",
    );
}

#[test]
fn a_negative_balance_earns_nothing_and_costs_the_others_nothing() {
    check(
        "
        list A pool
        +0s   deposit ann A 10
        +0s   withdraw ben A 10
        +100s deposit ben A 20
        # Nothing on the whole is nothing, and no reason is counted for it.
        +0s   deposit cat A 1
        +50s  withdraw cat A 2
        close A 0 pool=1
        close A 1 pool=2
        =>
        paid A:0 ann 1
        paid A:1 ann 1
        paid A:1 ben 1
        seal A:0 negative=1 status=0 below=0 seconds=1000 closing=10
        seal A:1 negative=1 seconds=2000 closing=20
        ",
    );
}

#[test]
fn the_first_reason_counts() {
    check(
        "
        list A pool min_balance=5
        +0s withdraw ann A 1
        +0s status   ann opted_out
        +0s withdraw ben A 1
        +0s deposit  cat A 1
        +0s deposit  dan A 1
        +0s status   dan excluded
        close A 0 pool=1
        =>
        seal A:0 status=2 negative=1 below=1 carried_out=1 closing=0
        ",
    );
}

#[test]
fn empty_epochs_carry_their_pools() {
    check(
        "
        list A pool commission=0.5
        close A 0 pool=5
        close A 1
        close A 2 pool=0.00
        +300s deposit ann A 1
        close A 3
        =>
        paid A:3 ann 2.5
        seal A:0 commission=2.5 carried_out=2.5 n=0 seconds=0 closing=0
        seal A:1 pool=0 commission=0 carried_in=2.5 carried_out=2.5
        seal A:2 pool=0 carried_in=2.5 carried_out=2.5
        seal A:3 carried_in=2.5 carried_out=0
        ",
    );
}

#[test]
fn a_bus_without_a_single_source() {
    check(
        "
        list A pool
        list B apr=1
        close A 0 pool=5
        close B 0
        =>
        seal A:0 carried_out=5 cut={}
        seal B:0 carried_out=0 cut={}
        ",
    );
}

#[test]
fn a_reward_goes_into_the_epoch_of_its_time_or_the_oldest_open() {
    check(
        "
        list A pool
        +0s    deposit ann A 1
        -1000s reward A 1
        +50s   reward A 2
        +250s  reward A 4
        close A 0
        +50s   reward A 8
        +150s  reward A 16
        close A 1 pool=0.5
        close A 2
        # Of an epoch nobody has come near, and never will.
        +99999900s reward A 32
        close A 3
        =>
        paid A:0 ann 3
        paid A:1 ann 24.5
        paid A:2 ann 4
        seal A:0 pool=3
        seal A:1 pool=24.5
        seal A:2 pool=4
        seal A:3 pool=0
        ",
    );
}

#[test]
fn an_identical_copy_is_dropped_and_another_is_refused() {
    check(
        "
        list A pool
        +10s deposit ann A 10 id=x
        +10s deposit ann A 10 id=x
        +10s deposit ann A 11 id=x
        +11s deposit ann A 10 id=x
        +10s deposit ann A 10 id=x note=more
        # Another partition is another matter.
        +10s deposit ann A 10 id=x p=1
        +0s status ann enrolled id=s
        +0s status ann enrolled id=s
        +0s status ann excluded id=s
        close A 0 pool=1 id=c
        close A 0 pool=1 id=c
        close A 0 pool=2 id=c
        list A pool id=event-1
        +0s reward A 1 id=r
        +0s reward A 1 id=r
        +0s reward A 2 id=r
        close A 1
        =>
        dead deposits:0:2 conflicting_duplicate
        dead deposits:0:3 conflicting_duplicate
        dead deposits:0:4 conflicting_duplicate
        dead accounts:0:2 conflicting_duplicate
        dead control:0:3 conflicting_duplicate
        dead control:0:7 conflicting_duplicate
        paid A:0 ann 1 seconds=1800
        paid A:1 ann 1 seconds=2000
        seal A:0 pool=1
        seal A:1 pool=1
        ",
    );
}

#[test]
fn duplicates_are_recognised_for_so_many_epochs_and_then_too_old() {
    check(
        "
        dedup 1
        list A pool
        +10s  deposit ann A 10 id=x
        +110s deposit ann A 10 id=y
        close A 0
        run
        # One epoch behind the oldest open: still known.
        +10s deposit ann A 10 id=x
        +10s deposit ann A 11 id=x
        close A 1
        run
        # Two: not known any more, so nothing of that age is applied, and its id is free again.
        +10s deposit ann A 10 id=x
        +99s deposit ann A 10 id=z
        +110s deposit ann A 10 id=y
        +210s deposit ann A 5 id=x
        close A 2 pool=1
        =>
        dead deposits:0:3 conflicting_duplicate
        dead deposits:0:4 too_old
        dead deposits:0:5 too_old
        # 20 * 100 + 5 * 90
        paid A:2 ann 1 seconds=2450
        seal A:0
        seal A:1 carried_out=0
        seal A:2 closing=25
        ",
    );
}

#[test]
fn one_posting_too_old_is_enough_to_forget_and_to_refuse() {
    check(
        "
        dedup 0
        list A pool
        list B pool epoch=1000s
        +10s trade ann ben A/B 1 @1 id=x
        close A 0
        run
        +10s trade ann ben A/B 1 @1 id=x
        # Nothing of this one is in A.
        +10s transfer ann ben B 1 id=x
        close A 1
        close B 0 pool=1
        =>
        dead trades:0:1 too_old
        paid B:0 ben 1 seconds=1980
        seal A:0 negative=1
        seal A:1 negative=1
        seal B:0 negative=1
        ",
    );
}

#[test]
fn what_was_not_applied_is_not_remembered() {
    check(
        "
        list A pool anchor=+100s
        +100s deposit ann A 0.001 id=x
        +100s deposit ann A 1     id=x
        # Before the anchor, and of no listed asset: ignored, and so not remembered either.
        +99s  deposit ann A 2     id=y
        +100s deposit ann USD 2   id=y
        +100s deposit ann A 2     id=y
        close A 0 pool=1
        =>
        dead deposits:0:0 invalid_amount
        paid A:0 ann 1 seconds=300
        seal A:0
        ",
    );
}

#[test]
fn four_hundred_epochs_ahead_and_no_further() {
    check(
        "
        list A pool
        +40000s     deposit ann A 1
        +40099.999s deposit ann A 1
        +40100s     deposit ann A 1 id=x
        close A 0
        run
        +40100s     deposit ann A 1 id=x
        +40200s     deposit ann A 1
        =>
        dead deposits:0:2 too_far_ahead
        dead deposits:0:4 too_far_ahead
        seal A:0
        ",
    );
}

#[test]
fn a_listing_comes_before_what_it_covers() {
    check(
        "
        +10s deposit ann A 5
        run
        list A pool
        # At or after the anchor: the moment itself is too late, too.
        list A pool anchor=+10s
        list A pool anchor=+10.001s
        +10.001s deposit ann A 5
        close A 0 pool=1
        =>
        dead control:0:0 listing_too_late
        dead control:0:1 listing_too_late
        paid A:0 ann 1 seconds=500
        seal A:0
        ",
    );
}

#[test]
fn what_was_passed_over_before_the_anchor_stops_no_listing() {
    check(
        "
        -0.001s deposit ann A 5
        run
        list A pool
        +0s deposit ann A 5
        close A 0 pool=1
        =>
        paid A:0 ann 1 seconds=500
        seal A:0
        ",
    );
}

#[test]
fn an_opening_balance_that_was_passed_over_is_sent_again() {
    check(
        "
        # The model cannot tell what was passed over from what was not.
        unmodelled
        -500s opening ann A 5 id=o
        run
        list A pool
        list A pool anchor=+100s
        run
        -500s opening ann A 5 id=o p=1
        close A 0 pool=1
        =>
        dead control:0:0 listing_too_late
        paid A:0 ann 1 seconds=500
        seal A:0
        ",
    );
}

#[test]
fn closes_come_in_order_and_not_before_the_end() {
    check(
        "
        list A pool
        close B 0
        close A 1
        +99.999s close A 0
        +100s close A 0 pool=0.001
        +100s close A 0 pool=1
        +100s close A 0 pool=1
        # Which epoch is closed is asked before whether it is over.
        +0s close A 0
        +0s close A 2
        =>
        dead control:0:1 unknown_asset
        dead control:0:2 epoch_out_of_order
        dead control:0:3 epoch_not_over
        dead control:0:4 invalid_amount
        dead control:0:6 epoch_already_closed
        dead control:0:7 epoch_already_closed
        dead control:0:8 epoch_out_of_order
        seal A:0 carried_out=1
        ",
    );
}

#[test]
fn a_programme_changes_from_a_later_epoch_on_only() {
    check(
        "
        list A pool from=1
        list A pool
        list A pool
        change A pool from=3
        # Not later than the newest programme.
        change A pool from=3
        change A pool from=2
        # Not later than the oldest open epoch.
        close A 0
        close A 1
        close A 2
        close A 3
        close A 4
        change A pool from=5
        change A pool from=6
        # What never changes.
        change A pool from=9 decimals=3
        change A pool from=9 anchor=+1s decimals=2
        change A pool from=9 anchor=+0s epoch=200s
        =>
        dead control:0:0 invalid_programme
        dead control:0:2 invalid_programme
        dead control:0:4 invalid_programme
        dead control:0:5 invalid_programme
        dead control:0:11 invalid_programme
        dead control:0:13 invalid_programme
        dead control:0:14 invalid_programme
        dead control:0:15 invalid_programme
        seal A:0 from=0
        seal A:1 from=0
        seal A:2 from=0
        seal A:3 from=3
        seal A:4 from=3
        ",
    );
}

#[test]
fn assets_have_calendars_of_their_own() {
    check(
        "
        list A pool
        list B pool epoch=60s anchor=+30s decimals=0
        +0s  deposit ann A 1
        +30s deposit ann B 1
        +90s deposit ben B 1
        close A 0 pool=1
        close B 0 pool=1
        close B 1 pool=2
        =>
        paid A:0 ann 1 seconds=100
        paid B:0 ann 1 seconds=60
        paid B:1 ann 1 seconds=60
        paid B:1 ben 1 seconds=60
        seal A:0
        seal B:0 closing=1
        seal B:1 closing=2
        ",
    );
}

#[test]
fn the_largest_numbers_there_are() {
    // 10^30 units, held for the longest epoch there is, at the largest multiplier, of the largest pool.
    check(
        "
        list A pool decimals=0 epoch=2678400s tiers=-:100 commission=0.000000000000000001
        +0s deposit ann A 1000000000000000000000000000000
        +0s deposit ben A 1000000000000000000000000000000
        +0s deposit cat A 1000000000000000000000000000000
        close A 0 pool=1000000000000000000000000000000
        =>
        # The commission is 10^12, and a third of 10^30 - 10^12 leaves nothing.
        paid A:0 ann 333333333333333333000000000000
        paid A:0 ben 333333333333333333000000000000
        paid A:0 cat 333333333333333333000000000000
        seal A:0 commission=1000000000000 carried_out=0 closing=3000000000000000000000000000000 seconds=8035200000000000000000000000000000000
        ",
    );
    // And at the largest rate: 10^30 * 100 * 1000 * 31 / 365.
    check(
        "
        list A apr=1000 decimals=18 epoch=2678400s tiers=-:100
        +0s deposit ann A 1000000000000
        close A 0
        =>
        paid A:0 ann 8493150684931506.849315068493150684
        seal A:0 mode=apr
        ",
    );
}
