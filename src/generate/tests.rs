//! What both generators promise, checked on what they write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::generate::*;

/// Every file under the bus, by its path there.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for topic in fs::read_dir(root).unwrap() {
        let topic = topic.unwrap().path();
        for partition in fs::read_dir(&topic).unwrap() {
            let path = partition.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

fn lines(files: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = (&str, &[u8])> {
    files.iter().flat_map(|(name, bytes)| {
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "{name} ends in a torn line");
        bytes
            .split(|&byte| byte == b'\n')
            .map(move |line| (name.as_str(), line))
    })
}

fn synthetic(spec: &Synthetic) -> (BTreeMap<String, Vec<u8>>, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let summary = write(folder.path(), spec, 0..spec.epochs, &mut |_| ()).unwrap();
    (files(folder.path()), summary)
}

fn small() -> Synthetic {
    Synthetic {
        events: 20_000,
        accounts: 300,
        assets: 7,
        epochs: 10,
        ..Synthetic::default()
    }
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let other = Synthetic { seed: 2, ..small() };
    assert_eq!(synthetic(&small()), synthetic(&small()));
    assert_ne!(synthetic(&small()).0, synthetic(&other).0);
}

/// A change here changes every bus that was ever generated: tests and measurements that name a seed mean these bytes.
#[test]
fn a_seed_gives_these_bytes_for_ever() {
    let sum = |files: &BTreeMap<String, Vec<u8>>| {
        let mut crc = flate2::Crc::new();
        files.values().for_each(|file| crc.update(file));
        crc.sum()
    };
    assert_eq!(sum(&synthetic(&small()).0), 3_037_341_852);
    assert_eq!(sum(&tape_bus(&xrp_eth()).0), 2_027_344_862);
}

#[test]
fn stage_by_stage_appends_the_same_bytes_as_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = 0;
    for stage in 0..small().epochs {
        bytes += write(folder.path(), &small(), stage..stage + 1, &mut |_| ())
            .unwrap()
            .bytes;
    }
    let (at_once, summary) = synthetic(&small());
    assert_eq!(files(folder.path()), at_once);
    assert_eq!(bytes, summary.bytes);
    assert_eq!(bytes, at_once.values().map(|file| file.len() as u64).sum::<u64>());
}

#[test]
fn a_bus_is_not_begun_twice() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &small(), 0..1, &mut |_| ()).unwrap();
    let error = write(folder.path(), &small(), 0..1, &mut |_| ()).unwrap_err();
    assert!(matches!(error, GenerateError::NotEmpty { .. }), "{error}");
}

#[test]
fn settings_out_of_range_are_named() {
    let cases = [
        (Synthetic { assets: 0, ..small() }, "assets is 0"),
        (
            Synthetic {
                epoch_seconds: 59,
                ..small()
            },
            "epoch_seconds is 59",
        ),
        (
            Synthetic {
                late: f64::NAN,
                ..small()
            },
            "late is NaN",
        ),
        (Synthetic { bad: 0.99, ..small() }, "duplicates + late + bad is 1.01"),
    ];
    for (spec, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = write(folder.path(), &spec, 0..1, &mut |_| ()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(files(folder.path()).is_empty());
    }
}

/// Members with these names hold amounts at any depth, except in unknown fields. A pool adjustment has a sign.
fn check_amounts(value: &Value) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("amount", Value::String(text)) if members.contains_key("reason") => {
                assert!(is_amount(text.strip_prefix(['-', '+']).unwrap_or(text)), "{text}");
            }
            ("amount" | "quantity", Value::String(text)) => {
                assert!(is_amount(text), "{text}");
            }
            ("price" | "quote_quantity", Value::String(text)) => {
                assert!(is_number(text), "{text}");
            }
            ("fee", Value::Object(fee)) => {
                let amount = fee["amount"].as_str().unwrap();
                assert!(is_number(amount.strip_prefix(['-', '+']).unwrap_or(amount)), "{amount}");
            }
            ("delta", Value::String(text)) => {
                assert!(is_amount(text.strip_prefix(['-', '+']).unwrap_or(text)), "{text}");
            }
            ("meta" | "memo", _) => {}
            _ => check_amounts(value),
        }
    }
}

fn is_amount(text: &str) -> bool {
    is_number(text) && text.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// Zero or more.
fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}

#[test]
fn valid_records_are_events_with_proper_amounts() {
    let (files, summary) = synthetic(&Synthetic { bad: 0.0, ..small() });
    let (mut records, mut kinds) = (0, BTreeSet::new());
    for (name, line) in lines(&files) {
        if line.trim_ascii().is_empty() || String::from_utf8_lossy(line).contains(&"[".repeat(99)) {
            continue;
        }
        let event: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(event["specversion"], "1.0");
        for field in ["id", "source", "type", "time"] {
            assert!(
                event[field].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {event}"
            );
        }
        check_amounts(&event["data"]);
        kinds.insert(event["type"].as_str().unwrap().to_owned());
        records += 1;
    }
    // No asset of this bus has a gate, and none is withdrawn.
    assert_eq!(kinds.len(), 8 + 4);
    assert!(summary.events == 20_000 && summary.bad == 0);
    // The deepest nest is more than this parser takes, and rare.
    assert!((summary.events + summary.control - 10..).contains(&records));
}

/// Every kind of trade and fee that the contract allows is there, and none is frequent.
#[test]
fn trades_with_one_customer_rebates_and_amounts_of_zero_appear() {
    let (files, _) = synthetic(&Synthetic { bad: 0.0, ..small() });
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, line) in lines(&files) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let data = &event["data"];
        let zero = |value: &Value| value.as_str().is_some_and(|text| is_number(text) && !is_amount(text));
        let fees = [&data["fee"], &data["buyer"]["fee"], &data["seller"]["fee"]];
        let mut fees = fees.map(|fee| fee["amount"].as_str().unwrap_or_default()).into_iter();
        let trade = event["type"] == "exchange.trade.v1";
        for (kind, is_there) in [
            ("buyer alone", trade && data["seller"].is_null()),
            ("seller alone", trade && data["buyer"].is_null()),
            (
                "null for a side",
                trade && data.get("buyer").or(data.get("seller")) == Some(&Value::Null),
            ),
            ("null for a fee", data.get("fee") == Some(&Value::Null)),
            ("price of zero", zero(&data["price"])),
            ("quote quantity of zero", zero(&data["quote_quantity"])),
            (
                "rebate",
                fees.clone().any(|fee| fee.starts_with('-') && is_amount(&fee[1..])),
            ),
            ("fee of zero", fees.any(|fee| fee == "0" || fee == "-0.000")),
        ] {
            *counts.entry(kind).or_default() += u32::from(is_there);
        }
    }
    assert!(counts.values().all(|count| (10..2_000).contains(count)), "{counts:?}");
}

/// The types of the events of a bus without bad records, and how many there are of each.
fn types(spec: &Synthetic) -> BTreeMap<String, u32> {
    let (files, _) = synthetic(spec);
    let mut types = BTreeMap::new();
    for (_, line) in lines(&files) {
        let event: Value = serde_json::from_slice(line).unwrap_or_default();
        if let Some(name) = event["type"].as_str() {
            *types.entry(name.to_owned()).or_default() += 1;
        }
    }
    types
}

#[test]
fn all_types_appear_with_all_assets_of_the_catalogue() {
    let types = types(&Synthetic {
        assets: 12,
        bad: 0.0,
        ..small()
    });
    let count = |name: &str| types.get(name).copied().unwrap_or(0);
    assert_eq!(types.len(), 8 + 7, "{types:?}");
    assert_eq!(count("softstake.asset_withdrawn.v1"), 1);
    // Twelve listings, ATOM's two changes, ADA's two, NEAR's, and the listing of what was withdrawn.
    assert_eq!(count("softstake.asset.v1"), 12 + 5 + 1);
    // Of the ten epochs of SUI, two are void; of TON, all but the last are decided on.
    assert_eq!(count("softstake.epoch_void.v1"), 2);
    assert_eq!(count("softstake.epoch_release.v1"), 10 + 9);
    assert!(count("softstake.pool_adjustment.v1") > 40);
    assert!(
        (100..1_000).contains(&count("exchange.reward_adjustment.v1")),
        "{types:?}"
    );
}

#[test]
fn shares_are_about_those_asked_for() {
    let spec = Synthetic {
        events: 50_000,
        duplicates: 0.1,
        late: 0.05,
        bad: 0.02,
        ..small()
    };
    let (files, summary) = synthetic(&spec);
    assert_eq!(summary.events, 50_000);
    assert!((4_700..5_300).contains(&summary.duplicates), "{summary:?}");
    assert!((850..1_150).contains(&summary.conflicting), "{summary:?}");
    assert!((2_050..2_450).contains(&summary.late), "{summary:?}");
    assert!((900..1_100).contains(&summary.bad), "{summary:?}");
    let blank = lines(&files).filter(|(_, line)| line.trim_ascii().is_empty()).count() as u64;
    // What follows the last line end of a file counts as one here.
    assert_eq!(blank, summary.blank_lines + files.len() as u64);
    let written = files
        .values()
        .map(|file| file.iter().filter(|&&byte| byte == b'\n').count());
    assert_eq!(
        written.sum::<usize>() as u64,
        summary.events + summary.control + summary.blank_lines
    );
}

#[test]
fn every_bad_kind_appears_and_is_json_or_not_as_its_code_says() {
    let (files, _) = synthetic(&Synthetic {
        events: 30_000,
        ..small()
    });
    let names: BTreeSet<&str> = bad_kinds().map(|(name, _)| name).collect();
    assert_eq!(names.len(), bad_kinds().count(), "a name given twice");
    let mut seen = BTreeSet::new();
    for (_, line) in lines(&files) {
        let text = String::from_utf8_lossy(line);
        let Some((_, rest)) = text.split_once("\"bad-") else {
            continue;
        };
        let found = bad_kinds()
            .chain(bad_control_kinds())
            .filter(|(name, _)| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['-', '"'])));
        let Some((name, code)) = found.max_by_key(|(name, _)| name.len()) else {
            continue;
        };
        // Whether it is JSON by the grammar; half a surrogate pair is, though no value can hold it.
        let parsed = std::str::from_utf8(line)
            .ok()
            .and_then(|text| serde_json::from_str::<IgnoredAny>(text).ok());
        assert_eq!(parsed.is_none(), code == "invalid_json", "{name}: {text}");
        seen.insert(name);
    }
    // Some kinds leave nothing of the id to be recognised by.
    let unseen: Vec<&&str> = names.difference(&seen).collect();
    assert!(unseen.len() <= 24, "{unseen:?}");
    assert!(bad_control_kinds().filter(|(name, _)| !seen.contains(name)).count() <= 1);
}

fn xrp_eth() -> Tape {
    Tape {
        base: "XRP".to_owned(),
        quote: "ETH".to_owned(),
        base_decimals: 6,
        quote_decimals: 18,
        accounts: 64,
        partitions: 2,
        seed: 7,
    }
}

/// Three days of made-up trades.
fn csv() -> String {
    let row = |n: u64| {
        let time = 1_570_752_011_620 + n * 171_717;
        let (price, quantity) = (140_000 + n * 37 % 9_000, 1 + n * 7_919 % 900);
        format!(
            "{n},0.00{price},{quantity}.00000000,{n},{n},{time},{},True\n",
            ["True", "False"][n as usize % 2]
        )
    };
    (1..1_400).map(row).collect()
}

fn tape_bus(tape: &Tape) -> (BTreeMap<String, Vec<u8>>, TapeSummary) {
    let folder = tempfile::tempdir().unwrap();
    let summary = write_tape(folder.path(), csv().as_bytes(), tape, &mut |_| ()).unwrap();
    (files(folder.path()), summary)
}

/// `text` in units of 10^-18.
fn atto(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{:0<18}", fraction.trim_end_matches('0'))
        .parse()
        .unwrap()
}

#[test]
fn the_tape_drives_no_balance_below_zero() {
    let (files, summary) = tape_bus(&xrp_eth());
    assert_eq!((summary.trades, summary.epochs, summary.bad), (1_399, 2, 5));
    assert_eq!((summary.duplicates, summary.behind, summary.control), (5, 5, 9));
    let (mut ids, mut moves) = (BTreeSet::new(), Vec::new());
    for (_, line) in lines(&files) {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let id = text(&event["id"]);
        let data = &event["data"];
        if id.starts_with("bad-") || data["account"].is_null() && !text(&event["type"]).starts_with("exchange.tra") {
            continue;
        }
        // Only the first copy counts.
        if !ids.insert((id, text(&event["source"]))) {
            continue;
        }
        let kind = text(&event["type"]);
        let time = if kind == "exchange.opening_balance.v1" {
            String::new()
        } else {
            text(&event["time"])
        };
        let mut post = |account: &Value, asset: &Value, delta: i128| {
            moves.push((time.clone(), delta < 0, text(account), text(asset), delta));
        };
        match kind.as_str() {
            "exchange.trade.v1" => {
                let (price, quantity) = (atto(&text(&data["price"])), atto(&text(&data["quantity"])));
                let quote = price / 10_000_000_000 * (quantity / 10_000_000_000) * 100;
                for (side, sign) in [("buyer", 1), ("seller", -1)] {
                    let party = &data[side];
                    post(&party["account"], &data["base_asset"], sign * quantity);
                    post(&party["account"], &data["quote_asset"], -sign * quote);
                    if let Some(fee) = party["fee"]["amount"].as_str() {
                        post(&party["account"], &party["fee"]["asset"], -atto(fee));
                    }
                }
            }
            "exchange.transfer.v1" => {
                let amount = atto(&text(&data["amount"]));
                post(&data["from_account"], &data["asset"], -amount);
                post(&data["to_account"], &data["asset"], amount);
            }
            "exchange.withdrawal.v1" => {
                let amount = atto(&text(&data["amount"])) + data["fee"]["amount"].as_str().map_or(0, atto);
                post(&data["account"], &data["asset"], -amount);
            }
            "exchange.deposit.v1" | "exchange.opening_balance.v1" => {
                post(&data["account"], &data["asset"], atto(&text(&data["amount"])));
            }
            _ => {}
        }
    }
    moves.sort();
    let mut balances: BTreeMap<(String, String), i128> = BTreeMap::new();
    for (time, _, account, asset, delta) in moves {
        let balance = balances.entry((account.clone(), asset.clone())).or_default();
        *balance += delta;
        assert!(*balance >= 0, "{time} {account} {asset} {balance}");
    }
    assert!(balances.len() > 100);
}

#[test]
fn the_tape_gives_the_same_bytes_again_packed_or_not() {
    use std::io::Write;
    assert_eq!(tape_bus(&xrp_eth()), tape_bus(&xrp_eth()));
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("tape.csv.gz");
    let file = fs::File::create(&packed).unwrap();
    let mut writer = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    writer.write_all(csv().as_bytes()).unwrap();
    writer.finish().unwrap();
    let root = folder.path().join("bus");
    write_tape(&root, open(&packed).unwrap(), &xrp_eth(), &mut |_| ()).unwrap();
    assert_eq!(files(&root), tape_bus(&xrp_eth()).0);
}

#[test]
fn a_tape_of_any_decimals_has_exact_or_given_quote_amounts() {
    let tape = Tape {
        quote_decimals: 4,
        base_decimals: 0,
        ..xrp_eth()
    };
    let (files, _) = tape_bus(&tape);
    for line in files["exchange.trades/0.jsonl"].split(|&byte| byte == b'\n') {
        if let Ok(event) = serde_json::from_slice::<Value>(line) {
            let given = event["data"]["quote_quantity"].as_str();
            assert!(given.is_none_or(is_amount), "{event}");
        }
    }
    let empty = write_tape(tempfile::tempdir().unwrap().path(), &b""[..], &tape, &mut |_| ());
    assert!(matches!(empty, Err(GenerateError::EmptyTape)));
    let fine = b"1,0.5,1.5,1,1,1570752011620,True,True\n";
    let error = write_tape(tempfile::tempdir().unwrap().path(), &fine[..], &tape, &mut |_| ());
    assert_eq!(
        error.unwrap_err().to_string(),
        "line 1, column 3 (quantity): more than 0 decimals"
    );
}

#[test]
fn a_refused_bus_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bus = folder.path().join("a/bus");
    // A file is where the last folder must be.
    fs::create_dir_all(&bus).unwrap();
    fs::write(bus.join("softstake.control"), "").unwrap();
    write(&bus, &small(), 0..1, &mut |_| ()).unwrap_err();
    let left: Vec<_> = fs::read_dir(&bus)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["softstake.control"]);

    // An older bus with fewer partitions gets no more of them.
    let older = folder.path().join("older");
    write(
        &older,
        &Synthetic {
            partitions: 1,
            ..small()
        },
        0..1,
        &mut |_| (),
    )
    .unwrap();
    let before = files(&older);
    write(&older, &small(), 0..1, &mut |_| ()).unwrap_err();
    assert_eq!(files(&older), before);
}
