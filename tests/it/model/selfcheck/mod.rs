//! The model held against the worked example and against cases reckoned by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{Outputs, differences, expected, json as text, merkle, published, time};

/// A directory bus that is gone when the test is over.
struct Bus {
    path: PathBuf,
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path); // what is left lies among the system's temporary files
    }
}

impl Bus {
    fn new() -> Bus {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("softstake-model-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for the bus");
        Bus { path }
    }

    /// A bus that lists asset A: two decimals, epochs of a minute from 2026-11-01 on.
    fn listing(programme: &Value) -> Bus {
        let bus = Bus::new();
        bus.control("list-A", "softstake.asset.v1", "00:00", &list("A", programme));
        bus
    }

    fn write(&self, topic: &str, file: &str, bytes: &[u8]) {
        let folder = self.path.join(topic);
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

    /// Closes the next epoch of A at the given offset of `exchange.deposits`, statuses all before the cut.
    fn close(&self, epoch: u32, reward_pool: &str, deposits: u32) {
        let data = json!({"asset": "A", "epoch": epoch, "reward_pool": reward_pool});
        self.control(&format!("close-{epoch}"), "softstake.epoch_close.v1", "59:00", &data);
        let statuses = fs::read_to_string(self.path.join("exchange.accounts/0.jsonl")).unwrap_or_default();
        let mut cut = json!({"exchange.deposits": {"0": deposits}});
        if !statuses.is_empty() {
            cut["exchange.accounts"] = json!({"0": statuses.lines().count()});
        }
        let seal = json!({"id": format!("A:{epoch}"), "data": {"cut": cut}});
        self.line("softstake.epochs", &seal.to_string());
    }

    fn expected(&self) -> Outputs {
        expected(&self.path, 2).expect("the model's outputs")
    }
}

fn list(asset: &str, programme: &Value) -> Value {
    let mut programme = programme.clone();
    if programme.get("from_epoch").is_none() {
        programme["from_epoch"] = json!(0);
    }
    json!({"asset": asset, "decimals": 2, "anchor": "2026-11-01T00:00:00Z", "epoch_seconds": 60, "programme": programme})
}

/// An event of 2026-11-01, at minutes and seconds of the first hour.
fn event(id: &str, kind: &str, minute: &str, data: &Value) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "/test", "type": kind,
        "time": format!("2026-11-01T00:{minute}Z"), "data": data,
    })
    .to_string()
}

/// `epoch account amount`, in the order of their ids.
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

/// `offset code`, of the dead letters of one topic's partition 0, in the order of their offsets.
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
fn worked_example() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/example");
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
    let expected = expected(&bus.path, 7).expect("the model's outputs");

    let mut published = published(&bus.path).expect("the example's outputs");
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
fn tiers_and_cap() {
    // Of 300 are 100 in the first tier and 200 in the second: 100 + 200 * 1.5 = 400. 900 is capped at 300.
    let bus = Bus::listing(&json!({"mode": "pool", "max_balance": "300",
        "tiers": [{"up_to": "100", "multiplier": "1"}, {"up_to": null, "multiplier": "1.5"}]}));
    bus.deposit("d-1", "00:00", "ann", "100");
    bus.deposit("d-2", "00:00", "ben", "300");
    bus.deposit("d-3", "00:00", "cat", "900");
    bus.close(0, "90.01", 3);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 10", "0 ben 40", "0 cat 40"]);
    let seal = &outputs.seals["A:0"]["data"];
    let names = ["carried_out", "rewarded", "eligible_balance_seconds", "closing_balance"];
    assert_eq!(fields(seal, names), ["0.01", "90", "42000", "1300"]);
}

#[test]
fn apr_pays_a_rate_and_keeps_the_dust() {
    // Epoch 0 is a pool of 0.03 for two, so 0.01 is left over. A year has 525,600 minutes: the rate is a millionth.
    let bus = Bus::listing(&json!({"mode": "pool"}));
    let apr = json!({"from_epoch": 1, "mode": "apr", "apr": "0.5256"});
    bus.control("change-A", "softstake.asset.v1", "00:00", &list("A", &apr));
    bus.deposit("d-1", "00:00", "ann", "1234567.89");
    bus.deposit("d-2", "00:00", "ben", "1234567.89");
    bus.close(0, "0.03", 2);
    bus.close(1, "5", 2);
    let outputs = bus.expected();
    assert_eq!(
        amounts(&outputs),
        ["0 ann 0.01", "0 ben 0.01", "1 ann 1.23", "1 ben 1.23"]
    );
    let seal = &outputs.seals["A:1"]["data"];
    let names = [
        "mode",
        "reward_pool",
        "commission",
        "carried_in",
        "carried_out",
        "rewarded",
        "distributed",
    ];
    assert_eq!(fields(seal, names), ["apr", "5", "0", "0.01", "0.01", "2.46", "2.46"]);
    assert_eq!(seal["programme_from_epoch"], 1);
}

#[test]
fn withheld_until_the_minimum_is_reached() {
    // Ann's share is 3 of 4, ben's 1 of 4; ben is gone in epoch 2, and paid all the same when the minimum is lowered.
    let bus = Bus::listing(&json!({"mode": "pool", "min_payout": "3", "min_balance": "1"}));
    let lower = json!({"from_epoch": 2, "mode": "pool", "min_payout": "2"});
    bus.control("change-A", "softstake.asset.v1", "00:00", &list("A", &lower));
    bus.deposit("d-1", "00:00", "ann", "3");
    bus.deposit("d-2", "00:00", "ben", "1");
    let data = json!({"account": "ben", "asset": "A", "amount": "0.9", "fee": {"asset": "A", "amount": "0.1"}});
    bus.line(
        "exchange.deposits",
        &event("w-1", "exchange.withdrawal.v1", "02:00", &data),
    );
    bus.close(0, "4", 3);
    bus.close(1, "4", 3);
    bus.close(2, "4", 3);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 3", "1 ann 3", "2 ann 4", "2 ben 2"]);
    let withheld = |epoch: u32| {
        let seal = &outputs.seals[&format!("A:{epoch}")]["data"];
        fields(seal, ["withheld_before", "withheld_after", "distributed", "rewarded"])
    };
    assert_eq!(withheld(0), ["0", "1", "3", "4"]);
    assert_eq!(withheld(1), ["1", "2", "3", "4"]);
    assert_eq!(withheld(2), ["2", "0", "6", "4"]);
    let ben = &outputs.distributions["A:2:ben"]["data"];
    assert_eq!(fields(ben, ["balance_seconds", "average_balance"]), ["0", "0"]);
}

#[test]
fn late_postings_by_policy() {
    // Ten from second 30 on, seen after the cut: by carry S = 10 * (30 + 60), by forfeit 10 * 60.
    for (policy, balance_seconds) in [("carry", "900"), ("forfeit", "600")] {
        let bus = Bus::listing(&json!({"mode": "pool", "late_policy": policy}));
        bus.deposit("d-0", "00:00", "ann", "1");
        let data = json!({"account": "ben", "asset": "A", "delta": "+10.00", "reason": "release"});
        let late = event("d-1", "exchange.balance_adjustment.v1", "00:30", &data);
        bus.line("exchange.deposits", &late);
        bus.close(0, "1", 1);
        bus.close(1, "1", 2);
        let outputs = bus.expected();
        assert_eq!(
            text_of(&outputs.distributions["A:1:ben"]["data"]["balance_seconds"]),
            balance_seconds
        );
        assert_eq!(amounts(&outputs)[0], "0 ann 1");
        let report = json!({
            "specversion": "1.0", "id": "exchange.deposits:0:1:0", "source": "/softstake",
            "type": "softstake.late_posting.v1", "time": "2026-11-01T00:02:00.000Z",
            "data": {"event_id": "d-1", "event_source": "/test", "account": "ben", "asset": "A", "delta": "10",
                "event_time": "2026-11-01T00:00:30.000Z", "missed_epoch": 0, "applied_epoch": 1, "policy": policy},
        });
        assert_eq!(outputs.late_postings.values().collect::<Vec<_>>(), [&report]);
    }
}

#[test]
fn statuses_decide_at_the_start_and_exclusion_within() {
    let bus = Bus::listing(&json!({"mode": "pool", "enrolment": "opt_in"}));
    for (number, account) in ["ann", "ben", "cat", "dan", "eve", "fay"].iter().enumerate() {
        bus.deposit(&format!("d-{number}"), "00:00", account, "1");
    }
    bus.status("s-1", "00:00", "ann", "enrolled"); // at the start counts
    bus.status("s-2", "00:01", "ben", "enrolled"); // after it counts from the next epoch on
    bus.status("s-3", "00:00", "cat", "enrolled");
    bus.status("s-4", "00:59", "cat", "excluded"); // bars this epoch, and as the newest status the next
    bus.status("s-5", "00:00", "dan", "enrolled");
    bus.status("s-6", "00:30", "dan", "opted_out"); // this epoch still counts
    bus.status("s-8", "00:00", "eve", "enrolled"); // the greater id wins
    bus.status("s-7", "00:00", "eve", "excluded");
    bus.close(0, "3", 6);
    bus.close(1, "3", 6);
    let outputs = bus.expected();
    assert_eq!(
        amounts(&outputs),
        ["0 ann 1", "0 dan 1", "0 eve 1", "1 ann 1", "1 ben 1", "1 eve 1"]
    );
    assert_eq!(outputs.seals["A:0"]["data"]["ineligible"]["status"], 3);
}

#[test]
fn a_status_counts_below_the_cut_only() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.deposit("d-0", "00:00", "ann", "1");
    bus.close(0, "1", 1); // no status is there yet
    bus.status("s-1", "00:00", "ann", "opted_out");
    bus.close(1, "1", 1);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 1"]);
    assert_eq!(text_of(&outputs.seals["A:1"]["data"]["carried_out"]), "1");
}

#[test]
fn ineligible_for_the_first_reason_that_applies() {
    let bus = Bus::listing(&json!({"mode": "pool", "min_balance": "1", "payout_decimals": 0}));
    bus.deposit("d-0", "00:00", "ann", "1");
    bus.deposit("d-1", "00:00", "ben", "0.99");
    let data = json!({"from_account": "cat", "to_account": "dan", "asset": "A", "amount": "2.5"});
    bus.line(
        "exchange.deposits",
        &event("x-0", "exchange.transfer.v1", "00:15", &data),
    );
    bus.status("s-1", "00:00", "ben", "opted_out");
    bus.close(0, "2.99", 3);
    let outputs = bus.expected();
    // Ann 60, dan 2.5 * 45 = 112.5, together 172.5: 1.04 and 1.94, each cut to a whole one.
    assert_eq!(amounts(&outputs), ["0 ann 1", "0 dan 1"]);
    let seal = &outputs.seals["A:0"]["data"];
    assert_eq!(
        seal["ineligible"],
        json!({"status": 1, "negative": 1, "below_minimum": 0})
    );
    assert_eq!(fields(seal, ["carried_out", "closing_balance"]), ["0.99", "3.5"]);
}

#[test]
fn trades_post_both_sides() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.control(
        "list-B",
        "softstake.asset.v1",
        "00:00",
        &list("B", &json!({"mode": "pool"})),
    );
    let data = json!({"base_asset": "A", "quote_asset": "B", "price": "0.50", "quantity": "3",
        "buyer": {"account": "ann", "fee": {"asset": "A", "amount": "0.1"}}, "seller": {"account": "ben"}});
    bus.line("exchange.deposits", &event("t-0", "exchange.trade.v1", "00:00", &data));
    bus.close(0, "1", 1);
    let data = json!({"asset": "B", "epoch": 0, "reward_pool": "1"});
    bus.control("close-B", "softstake.epoch_close.v1", "01:00", &data);
    bus.line(
        "softstake.epochs",
        &json!({"id": "B:0", "data": {"cut": {"exchange.deposits": {"0": 1}}}}).to_string(),
    );
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 1", "0 ben 1"]);
    assert_eq!(text_of(&outputs.seals["A:0"]["data"]["closing_balance"]), "2.9");
    assert_eq!(text_of(&outputs.seals["B:0"]["data"]["closing_balance"]), "1.5");
}

#[test]
fn rewards_of_a_closed_epoch_go_to_the_open_one() {
    let bus = Bus::listing(&json!({"mode": "pool", "commission_rate": "0.5"}));
    let reward = json!({"asset": "A", "amount": "1.01", "validator": "v-1"});
    bus.deposit("d-0", "00:00", "ann", "1");
    bus.close(0, "0.00", 1);
    bus.control("r-1", "softstake.validator_reward.v1", "00:30", &reward);
    bus.control("r-1", "softstake.validator_reward.v1", "00:30", &reward); // an identical copy
    bus.control("r-2", "softstake.validator_reward.v1", "02:30", &reward);
    bus.close(1, "0", 1);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["1 ann 0.51"]);
    assert_eq!(
        fields(&outputs.seals["A:1"]["data"], ["reward_pool", "commission"]),
        ["1.01", "0.5"]
    );
    assert_eq!(codes(&outputs, "softstake.control"), Vec::<String>::new());
}

#[test]
fn duplicates_are_known_as_long_as_their_postings() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.deposit("d-0", "00:10", "ann", "1");
    bus.deposit("d-0", "00:10", "ann", "1"); // identical
    bus.line(
        "exchange.deposits",
        r#"{"data":{"amount":"\u0031","asset":"A","account":"ann"},"type":"exchange.deposit.v1","time":"2026-11-01T00:00:10Z","source":"/test","id":"d-0","specversion":"1.0","x":1}"#,
    ); // identical as JSON values
    bus.deposit("d-0", "00:10", "ann", "2"); // 3: conflicts
    bus.line("exchange.deposits", &event("d-0", "no.such.type", "00:10", &json!({}))); // 4: conflicts before its type is judged
    bus.deposit("d-1", "00:10", "ann", "0.001"); // 5: refused, so not remembered
    bus.deposit("d-1", "00:10", "ann", "0.01"); // 6: the same id, applied
    bus.deposit("d-0", "00:10", "ann", "1"); // 7: two epochs behind, still known
    bus.deposit("d-0", "00:10", "ann", "1"); // 8: three epochs behind
    bus.deposit("d-0", "09:10", "ann", "7"); // 9: the id is free again
    bus.deposit("d-0", "09:10", "ann", "7"); // 10: identical
    for (epoch, cut) in [7, 7, 8].into_iter().enumerate() {
        bus.close(u32::try_from(epoch).unwrap_or(u32::MAX), "0", cut);
    }
    let outputs = bus.expected();
    assert_eq!(
        codes(&outputs, "exchange.deposits"),
        [
            "3 conflicting_duplicate",
            "4 conflicting_duplicate",
            "5 invalid_amount",
            "8 too_old"
        ]
    );
    assert!(outputs.late_postings.is_empty());
    assert_eq!(text_of(&outputs.seals["A:2"]["data"]["closing_balance"]), "1.01");
}

#[test]
fn source_records_are_refused_by_the_first_check_that_fails() {
    let deposit = |account: &str, amount: &str| json!({"account": account, "asset": "A", "amount": amount});
    let trade = |price: &str, quantity: &str| {
        json!({"base_asset": "X", "quote_asset": "A", "price": price, "quantity": quantity,
            "buyer": {"account": "ann"}, "seller": {"account": "ben"}})
    };
    let typed = |kind: &str, data: &Value| event("e", kind, "00:10", data);
    let deposited = |data: &Value| typed("exchange.deposit.v1", data);
    let timed = |time: &str| deposited(&deposit("ann", "1")).replace("\"2026-11-01T00:00:10Z\"", time);
    let with = |data: &Value, name: &str, value: Value| {
        let mut data = data.clone();
        data[name] = value;
        data
    };
    let cases: Vec<(String, &str)> = vec![
        ("oops".to_owned(), "invalid_json"),
        ("{} {}".to_owned(), "invalid_json"),
        ("{\"a\":\"\u{1}\"}".to_owned(), "invalid_json"),
        ("[01]".to_owned(), "invalid_json"),
        ("[1]".to_owned(), "invalid_event"),
        (
            format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
            "invalid_event",
        ),
        (
            deposited(&deposit("ann", "1")).replace("\"1.0\"", "\"1.1\""),
            "invalid_event",
        ),
        (
            deposited(&deposit("ann", "1")).replace("\"/test\"", "\"\""),
            "invalid_event",
        ),
        (
            deposited(&deposit("ann", "1")).replace("\"/test\"", "\"\\ud800\""),
            "invalid_event",
        ),
        (
            deposited(&deposit("ann", "1")).replace("{\"data\"", "{\"id\":\"f\",\"data\""),
            "invalid_event",
        ),
        (
            deposited(&deposit("ann", "1")).replace("\"time\"", "\"tome\""),
            "invalid_event",
        ),
        (typed("exchange.deposit.v2", &json!({})), "unsupported_type"),
        (typed("softstake.epoch_close.v1", &json!({})), "wrong_topic"),
        (timed("\"2026-11-01\""), "invalid_time"),
        (timed("\"\\ud800\""), "invalid_time"),
        (timed("null"), "invalid_time"),
        (deposited(&json!({"account": "ann", "asset": "A"})), "invalid_event"),
        (deposited(&deposit("", "1")), "invalid_event"),
        (deposited(&deposit("a\u{200b}", "1")), "invalid_event"),
        (deposited(&deposit(&"ä".repeat(65), "1")), "invalid_event"),
        (
            deposited(&with(&deposit("ann", "1"), "asset", json!("atom"))),
            "invalid_event",
        ),
        (
            deposited(&deposit("ann", "1")).replace("\"account\"", "\"account\":\"ann\",\"account\""),
            "invalid_event",
        ),
        (
            deposited(&with(&deposit("ann", "1"), "amount", json!(1))),
            "invalid_amount",
        ),
        (
            deposited(&with(&deposit("ann", "1"), "amount", json!(null))),
            "invalid_amount",
        ),
        (deposited(&deposit("ann", "0.00")), "invalid_amount"),
        (deposited(&deposit("ann", "-1")), "invalid_amount"),
        (deposited(&deposit("ann", "1.")), "invalid_amount"),
        (deposited(&deposit("ann", "1e2")), "invalid_amount"),
        (deposited(&deposit("ann", "1.001")), "invalid_amount"),
        (
            deposited(&deposit("ann", "10000000000000000000000000000.01")),
            "invalid_amount",
        ),
        (
            typed(
                "exchange.withdrawal.v1",
                &with(&deposit("ann", "1"), "fee", json!(null)),
            ),
            "invalid_event",
        ),
        (typed("exchange.trade.v1", &trade("0.01", "0.5")), "invalid_amount"),
        (typed("exchange.trade.v1", &trade("0", "1")), "invalid_amount"),
        (
            typed("exchange.trade.v1", &trade("1", &format!("1.{}1", "0".repeat(76)))),
            "invalid_amount",
        ),
        (
            typed(
                "exchange.balance_adjustment.v1",
                &json!({"account": "ann", "asset": "A", "delta": "--1", "reason": "x"}),
            ),
            "invalid_amount",
        ),
        (
            typed(
                "exchange.account_status.v1",
                &json!({"account": "ann", "status": "away"}),
            ),
            "invalid_event",
        ),
        (timed("\"2026-11-01T06:41:00Z\""), "too_far_ahead"),
        // The fee of an asset that is not listed is ignored, but does not save the rest.
        (
            typed(
                "exchange.withdrawal.v1",
                &with(
                    &deposit("ann", "0.001"),
                    "fee",
                    json!({"asset": "X", "amount": "0.001"}),
                ),
            ),
            "invalid_amount",
        ),
    ];
    let bus = Bus::listing(&json!({"mode": "pool"}));
    for (line, _) in &cases {
        bus.line("exchange.deposits", line);
    }
    bus.write("exchange.deposits", "0.jsonl", b"\xff\n \t\r\n\n{\"not\":\"there yet");
    let outputs = bus.expected();
    let mut wanted: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(offset, (_, code))| format!("{offset} {code}"))
        .collect();
    wanted.push(format!("{} invalid_json", cases.len()));
    assert_eq!(codes(&outputs, "exchange.deposits"), wanted);
    let not_utf8 = &outputs.dead_letters[&format!("exchange.deposits:0:{}", cases.len())]["data"];
    assert_eq!(
        (not_utf8.get("payload"), text_of(&not_utf8["payload_base64"])),
        (None, "/w==".to_owned())
    );
    assert_eq!(
        text_of(&outputs.dead_letters["exchange.deposits:0:0"]["data"]["payload"]),
        "oops"
    );
}

#[test]
fn source_records_are_applied() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.deposit("d-0", "06:40", "ann", "0001.010"); // zeros are fine
    let far = event(
        "d-1",
        "exchange.deposit.v1",
        "00:10",
        &json!({"account": "ann", "asset": "A", "amount": "1"}),
    )
    .replace("00:00:10Z", "06:40:59.9999+00:00"); // 400 epochs ahead is not too far
    bus.line("exchange.deposits", &far);
    let data = json!({"account": "ann", "asset": "A", "amount": "10000000000000000000000000000", "x": {"y": []}});
    bus.line(
        "exchange.deposits",
        &event("d-2", "exchange.opening_balance.v1", "59:59", &data),
    );
    let data = json!({"base_asset": "A", "quote_asset": "X", "price": "1", "quantity": "1", "quote_quantity": "0.0001",
        "buyer": {"account": "ann"}, "seller": {"account": "ann"}});
    bus.line("exchange.deposits", &event("d-3", "exchange.trade.v1", "00:00", &data));
    bus.close(0, "0", 4);
    let outputs = bus.expected();
    assert_eq!(codes(&outputs, "exchange.deposits"), Vec::<String>::new());
    let names = ["closing_balance", "eligible_balance_seconds"];
    let seal = &outputs.seals["A:0"]["data"];
    assert_eq!(
        fields(seal, names),
        ["10000000000000000000000000000", "600000000000000000000000000000"]
    );
}

#[test]
fn control_records_are_refused_by_the_first_check_that_fails() {
    let listing = |asset: &str, programme: Value| ("softstake.asset.v1", list(asset, &programme));
    let changed = |name: &str, value: Value| {
        let mut data = list("B", &json!({"mode": "pool"}));
        data[name] = value;
        ("softstake.asset.v1", data)
    };
    let tiers = |tiers: Value| listing("B", json!({"mode": "pool", "tiers": tiers}));
    let close = |asset: &str, epoch: Value| ("softstake.epoch_close.v1", json!({"asset": asset, "epoch": epoch}));
    let reward = |amount: &str| {
        (
            "softstake.validator_reward.v1",
            json!({"asset": "A", "amount": amount, "validator": "v"}),
        )
    };
    let cases: Vec<((&str, Value), &str)> = vec![
        (("exchange.deposit.v1", json!({})), "wrong_topic"),
        (("softstake.asset.v2", json!({})), "unsupported_type"),
        (changed("asset", json!("b")), "invalid_event"),
        (changed("decimals", json!(19)), "invalid_programme"),
        (changed("decimals", json!(-1)), "invalid_event"),
        (changed("decimals", json!("2")), "invalid_event"),
        (changed("anchor", json!("today")), "invalid_time"),
        (changed("epoch_seconds", json!(59)), "invalid_programme"),
        (changed("epoch_seconds", json!(2_678_401)), "invalid_programme"),
        (changed("programme", json!([])), "invalid_event"),
        (listing("B", json!({})), "invalid_event"),
        (listing("B", json!({"mode": "lottery"})), "invalid_programme"),
        (
            listing("B", json!({"mode": "pool", "from_epoch": 1})),
            "invalid_programme",
        ),
        (listing("B", json!({"mode": "pool", "apr": "0.1"})), "invalid_programme"),
        (listing("B", json!({"mode": "apr"})), "invalid_programme"),
        (
            listing("B", json!({"mode": "apr", "apr": "1000.1"})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "apr", "apr": "1", "commission_rate": "0.1"})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "pool", "commission_rate": "1.1"})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "pool", "commission_rate": 0.1})),
            "invalid_event",
        ),
        (
            listing("B", json!({"mode": "pool", "commission_rate": "0.0000000000000000001"})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "pool", "min_balance": "0.001"})),
            "invalid_amount",
        ),
        (
            listing("B", json!({"mode": "pool", "min_balance": 1})),
            "invalid_amount",
        ),
        (
            listing("B", json!({"mode": "pool", "max_balance": "0"})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "pool", "max_balance": "1", "min_balance": "2"})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "pool", "min_payout": null})),
            "invalid_amount",
        ),
        (
            listing("B", json!({"mode": "pool", "payout_decimals": 3})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "pool", "enrolment": "always"})),
            "invalid_programme",
        ),
        (
            listing("B", json!({"mode": "pool", "late_policy": "drop"})),
            "invalid_programme",
        ),
        (tiers(json!([])), "invalid_programme"),
        (tiers(json!({})), "invalid_event"),
        (tiers(json!([{"up_to": "1", "multiplier": "1"}])), "invalid_programme"),
        (
            tiers(json!([{"up_to": null, "multiplier": "100.1"}])),
            "invalid_programme",
        ),
        (
            tiers(json!([{"up_to": null, "multiplier": "0.0000001"}])),
            "invalid_programme",
        ),
        (
            tiers(
                json!([{"up_to": "1", "multiplier": "1"}, {"up_to": "1", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]),
            ),
            "invalid_programme",
        ),
        (listing("A", json!({"mode": "pool"})), "invalid_programme"),
        (close("B", json!(0)), "unknown_asset"),
        (close("A", json!(1)), "epoch_out_of_order"),
        (close("A", json!("0")), "invalid_event"),
        (
            (
                "softstake.epoch_close.v1",
                json!({"asset": "A", "epoch": 0, "reward_pool": "-1"}),
            ),
            "invalid_amount",
        ),
        (
            (
                "softstake.epoch_close.v1",
                json!({"asset": "A", "epoch": 0, "reward_pool": "0.001"}),
            ),
            "invalid_amount",
        ),
        (close("A", json!(0)), "epoch_not_over"),
        (reward("0"), "invalid_amount"),
        (reward("0.001"), "invalid_amount"),
        (
            (
                "softstake.validator_reward.v1",
                json!({"asset": "B", "amount": "1", "validator": "v"}),
            ),
            "unknown_asset",
        ),
        (
            ("softstake.validator_reward.v1", json!({"asset": "A", "amount": "1"})),
            "invalid_event",
        ),
    ];
    let bus = Bus::listing(&json!({"mode": "pool"}));
    for ((kind, data), _) in &cases {
        bus.control("c", kind, "00:59.999", data);
    }
    let mut wanted: Vec<String> = (1..)
        .zip(&cases)
        .map(|(offset, (_, code))| format!("{offset} {code}"))
        .collect();

    // What comes after a close, and a change that differs in more than its programme.
    bus.close(0, "0", 0);
    bus.control("e-1", "softstake.epoch_close.v1", "59:00", &close("A", json!(0)).1);
    bus.control(
        "e-2",
        "softstake.asset.v1",
        "59:00",
        &list("A", &json!({"mode": "pool", "from_epoch": 1})),
    );
    bus.control(
        "e-3",
        "softstake.asset.v1",
        "59:00",
        &list("A", &json!({"mode": "pool", "from_epoch": 3})),
    );
    bus.control(
        "e-4",
        "softstake.asset.v1",
        "59:00",
        &list("A", &json!({"mode": "pool", "from_epoch": 3})),
    );
    let mut other_length = list("A", &json!({"mode": "pool", "from_epoch": 4}));
    other_length["epoch_seconds"] = json!(61);
    bus.control("e-5", "softstake.asset.v1", "59:00", &other_length);
    bus.control(
        "e-3",
        "softstake.asset.v1",
        "59:00",
        &list("A", &json!({"mode": "pool", "from_epoch": 5})),
    );
    let next = cases.len() + 2;
    for (after, code) in [
        (0, "epoch_already_closed"),
        (1, "invalid_programme"),
        (3, "invalid_programme"),
        (4, "invalid_programme"),
        (5, "conflicting_duplicate"),
    ] {
        wanted.push(format!("{} {code}", next + after));
    }
    bus.line("exchange.deposits", ""); // the partition the cut speaks of
    assert_eq!(codes(&bus.expected(), "softstake.control"), wanted);
}

#[test]
fn a_listing_may_come_too_late() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.deposit("d-0", "00:10", "ann", "1");
    let dead_letter = json!({"id": "softstake.control:0:0", "data": {"code": "listing_too_late"}});
    bus.line("softstake.dead-letters", &dead_letter.to_string());
    let mut later = list("A", &json!({"mode": "pool"}));
    later["anchor"] = json!("2026-11-01T00:01:00Z");
    bus.control("list-again", "softstake.asset.v1", "00:00", &later);
    bus.deposit("d-1", "01:00", "ann", "2");
    bus.close(0, "1", 2);
    let outputs = bus.expected();
    assert_eq!(codes(&outputs, "softstake.control"), ["0 listing_too_late"]);
    assert_eq!(text_of(&outputs.seals["A:0"]["data"]["closing_balance"]), "2");
}

#[test]
fn what_cannot_be_judged_is_an_error() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.close(0, "0", 0);
    assert!(expected(&bus.path, 7).is_err_and(|error| error.contains("past the partition's end")));
    bus.line("exchange.deposits", "");
    assert!(expected(&bus.path, 7).is_ok());
    bus.control(
        "close-1",
        "softstake.epoch_close.v1",
        "59:00",
        &json!({"asset": "A", "epoch": 1}),
    );
    assert!(expected(&bus.path, 7).is_err_and(|error| error.contains("the seal A:1 is missing")));
    bus.line("softstake.late-postings", "{\"id\":\"x\"}");
    bus.line("softstake.late-postings", "{\"id\":\"x\"}");
    assert!(published(&bus.path).is_err_and(|error| error.contains("the id x is there twice")));
    bus.write("softstake.distributions", "0.jsonl", b"{\"id\":\"x\"}");
    assert!(published(&bus.path).is_err_and(|error| error.contains("no newline")));
}

#[test]
fn differences_name_record_and_field() {
    let dead_letter = |reason: &str, time: &str| json!({"id": "t:0:0", "time": time, "data": {"code": "too_old", "reason": reason, "offset": 0}});
    let outputs = |record: Value| Outputs {
        dead_letters: [("t:0:0".to_owned(), record)].into(),
        ..Outputs::default()
    };
    let expected = outputs(dead_letter("one", "then"));
    assert!(differences(&expected, &outputs(dead_letter("another", "now"))).is_empty());
    let found = differences(&expected, &outputs(dead_letter("", "now")));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("softstake.dead-letters t:0:0: data.reason: "),
        "{found:?}"
    );
    assert!(differences(&expected, &Outputs::default())[0].contains("missing"));
    assert!(differences(&Outputs::default(), &expected)[0].contains("not expected"));
}

#[test]
fn json_values_are_the_same_by_value() {
    let same = |a: &str, b: &str| text::parse(a).expect("JSON").same(&text::parse(b).expect("JSON"));
    for (a, b) in [
        ("1", "1.0"),
        ("1", "1e0"),
        ("-0", "0.0e7"),
        ("1e400", "10E+399"),
        ("0.001", "1e-3"),
        (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
        (r#"{"a":1,"b":[2]}"#, r#" { "b" : [ 2.0 ] , "\u0061" : 1 } "#),
    ] {
        assert!(same(a, b), "{a} {b}");
    }
    for (a, b) in [
        ("1", "-1"),
        ("1e400", "1e401"),
        ("1.00000000000000000001", "1"),
        ("1", "\"1\""),
        (r#""\ud800""#, r#""\ud801""#),
        ("[1,2]", "[2,1]"),
        (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        ("null", "false"),
    ] {
        assert!(!same(a, b), "{a} {b}");
    }
    for no_json in [
        "",
        "+1",
        "01",
        ".5",
        "1.",
        "1e",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"\\x\"",
        "\"\t\"",
        "nul",
    ] {
        assert!(text::parse(no_json).is_err(), "{no_json}");
    }
}

#[test]
fn times_are_read_to_the_millisecond() {
    for (written, read) in [
        ("2026-11-01T12:00:00.5009Z", Some("2026-11-01T12:00:00.500Z")),
        ("2026-11-01t12:00:00z", Some("2026-11-01T12:00:00.000Z")),
        ("2026-11-01T00:30:00+01:00", Some("2026-10-31T23:30:00.000Z")),
        ("2026-10-31T23:30:00-23:59", Some("2026-11-01T23:29:00.000Z")),
        ("2024-02-29T00:00:00-00:00", Some("2024-02-29T00:00:00.000Z")),
        ("1969-12-31T23:59:59.999Z", Some("1969-12-31T23:59:59.999Z")),
        ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000Z")),
        ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59.000Z")),
        ("2016-12-31T23:59:60Z", Some("2017-01-01T00:00:00.000Z")),
        ("2016-12-31T18:59:60-05:00", Some("2017-01-01T00:00:00.000Z")),
        ("2016-12-30T23:59:60Z", None),
        ("2016-12-31T23:58:60Z", None),
        ("2023-02-29T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-11-31T00:00:00Z", None),
        ("2026-11-01T24:00:00Z", None),
        ("2026-11-01 00:00:00Z", None),
        ("2026-11-01T00:00:00.Z", None),
        ("2026-11-01T00:00:00", None),
        ("2026-11-01T00:00:00+24:00", None),
        ("2026-11-01T00:00:00Z ", None),
    ] {
        assert_eq!(time::parse(written).map(time::format).as_deref(), read, "{written}");
    }
}

/// The eight leaves that Certificate Transparency's own test programs use.
#[test]
fn merkle_tree_of_rfc_6962() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let first_bytes = |count: usize| merkle::tree_hash(&leaves[..count])[..4].to_vec();
    assert_eq!(first_bytes(0), [0xe3, 0xb0, 0xc4, 0x42]);
    assert_eq!(first_bytes(1), [0x6e, 0x34, 0x0b, 0x9c]);
    assert_eq!(first_bytes(3), [0xae, 0xb6, 0xbc, 0xfe]);
    assert_eq!(first_bytes(8), [0x5d, 0xc9, 0xda, 0x79]);
}
