use std::borrow::Cow;

use ruint::aliases::U512;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::Offsets;
use crate::core::contract::records::{
    DeadLetter, Distribution, DistributionWriter, Ineligible, LatePosting, Seal, parse_id, read_data, read_id,
    read_with_id,
};
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::Topic;
use crate::core::values::amount::WideNumber;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;

fn asset() -> Asset {
    Asset::parse("ATOM").unwrap()
}

fn distribution(account: &str) -> Distribution<'_> {
    Distribution {
        account: account.into(),
        asset: asset(),
        reward_asset: asset(),
        epoch: Epoch::new(3),
        epoch_start: "2026-11-01T00:00:00.000Z".into(),
        epoch_end: "2026-11-02T00:00:00.000Z".into(),
        amount: "0.9007".into(),
        rewarded: "0.8".into(),
        made_good: "-0.2".into(),
        adjusted: "0".into(),
        withheld_before: "0.3007".into(),
        balance_seconds: "7775784".into(),
        average_balance: "89.9975".into(),
        programme_from_epoch: Epoch::FIRST,
    }
}

#[test]
fn a_distribution_is_read_as_it_was_written() {
    for account in ["alice", "a\"b\\c", "Ünal"] {
        let distribution = distribution(account);
        let mut record = Vec::new();
        distribution.write(&mut record, &distribution.id()).unwrap();
        let (id, data) = read_with_id::<Distribution<'_>>(&record).unwrap();
        assert_eq!((id.as_ref(), &data), (distribution.id().as_str(), &distribution));
        assert_eq!(read_id(&record).unwrap(), id);
        assert_eq!(parse_id(&record).unwrap(), id);
        assert_eq!(data.into_owned(), distribution);
    }
}

#[test]
fn a_writer_writes_what_a_distribution_writes() {
    let number = |units: i128, decimals| WideNumber {
        is_negative: units < 0,
        magnitude: U512::from(units.unsigned_abs()),
        decimals,
    };
    // The longest asset, made of what the writer looks for.
    let dots = Asset::parse(&".".repeat(32)).unwrap();
    for asset in [asset(), Asset::parse("\"币\\").unwrap(), dots] {
        let mut writer = DistributionWriter::new(Distribution {
            asset,
            reward_asset: asset,
            ..distribution("")
        })
        .unwrap();
        for (account, units) in [("alice", 9007), ("a\"b\\c", -12), ("Ünal", 0), ("....", i128::MAX)] {
            let text = |decimals| String::from(number(units, decimals)).into();
            let expected = Distribution {
                asset,
                reward_asset: asset,
                amount: text(4),
                rewarded: text(0),
                made_good: text(1),
                adjusted: text(2),
                withheld_before: text(3),
                balance_seconds: text(5),
                average_balance: text(6),
                ..distribution(account)
            };
            let (mut record, mut written) = (Vec::new(), b"before".to_vec());
            expected.write(&mut record, &expected.id()).unwrap();
            let numbers = [4, 0, 1, 2, 3, 5, 6].map(|decimals| number(units, decimals));
            let leaf = writer.write(&mut written, account, &numbers).unwrap();
            assert_eq!(leaf, format!("{}|{}", expected.id(), expected.amount).as_bytes());
            assert_eq!(written, [b"before", &record[..]].concat());
        }
    }
}

#[test]
fn a_distribution_has_its_fields_in_the_order_of_the_contract() {
    let distribution = distribution("alice");
    let mut record = Vec::new();
    distribution.write(&mut record, &distribution.id()).unwrap();
    assert_eq!(
        String::from_utf8(record).unwrap(),
        concat!(
            r#"{"specversion":"1.0","id":"ATOM:3:alice","source":"/softstake","type":"softstake.distribution.v1","#,
            r#""time":"2026-11-02T00:00:00.000Z","data":{"account":"alice","asset":"ATOM","#,
            r#""reward_asset":"ATOM","epoch":3,"epoch_start":"2026-11-01T00:00:00.000Z","#,
            r#""epoch_end":"2026-11-02T00:00:00.000Z","amount":"0.9007","rewarded":"0.8","made_good":"-0.2","adjusted":"0","#,
            r#""withheld_before":"0.3007","balance_seconds":"7775784","average_balance":"89.9975","programme_from_epoch":0}}"#
        )
    );
}

#[test]
fn texts_are_borrowed_where_they_hold_no_escape() {
    let distribution = distribution("alice");
    let mut record = Vec::new();
    distribution.write(&mut record, &distribution.id()).unwrap();
    let (id, data) = read_with_id::<Distribution<'_>>(&record).unwrap();
    assert!(matches!(id, Cow::Borrowed(_)));
    assert!(matches!(data.account, Cow::Borrowed(_)));
    assert!(matches!(data.amount, Cow::Borrowed(_)));
}

#[test]
fn a_seal_is_read_as_it_was_written() {
    let cut = Offsets(
        [
            (Topic::Trades.partition(10), Offset::new(7)),
            (Topic::Trades.partition(2), Offset::new(8)),
        ]
        .into(),
    );
    let seal = Seal {
        asset: asset(),
        reward_asset: asset(),
        epoch: Epoch::new(3),
        epoch_start: "2026-11-01T00:00:00.000Z".into(),
        epoch_end: "2026-11-02T00:00:00.000Z".into(),
        mode: "pool".into(),
        programme_from_epoch: Epoch::FIRST,
        apr: None,
        reward_rate: Some("0.5".into()),
        reward_pool: "10".into(),
        commission: "1".into(),
        carried_in: "0".into(),
        carried_out: "0.1".into(),
        returned: "0".into(),
        rewarded: "8.9".into(),
        made_good: "0".into(),
        adjusted: "-1".into(),
        distributed: "8.9".into(),
        withheld_before: "0".into(),
        withheld_after: "0".into(),
        distributions: 2,
        ineligible: Ineligible {
            status: 1,
            negative: 0,
            below_minimum: 3,
        },
        eligible_balance_seconds: "5".into(),
        closing_balance: "-1".into(),
        cut: Cow::Borrowed(&cut),
        root: "00".into(),
    };
    let mut record = Vec::new();
    seal.write(&mut record).unwrap();
    let (id, data) = read_with_id::<Seal<'_>>(&record).unwrap();
    assert_eq!((id.as_ref(), &data), ("ATOM:3", &seal));
    assert_eq!(data.into_owned(), seal);
    let text = String::from_utf8(record).unwrap();
    assert!(
        text.contains(r#""cut":{"exchange.trades":{"10":7,"2":8}},"root""#),
        "{text}"
    );
}

#[test]
fn a_late_posting_is_read_as_it_was_written() {
    let late = LatePosting {
        event_id: "e".into(),
        event_source: "/exchange".into(),
        account: "alice".into(),
        asset: asset(),
        delta: "-2.5".into(),
        event_time: "2026-11-01T00:00:00.000Z".into(),
        missed_epoch: Epoch::new(1),
        applied_epoch: Epoch::new(2),
        policy: "carry".into(),
    };
    let mut record = Vec::new();
    late.write(&mut record, "exchange.trades:0:5:1", "2026-11-03T00:00:00.000Z")
        .unwrap();
    let (id, data) = read_with_id::<LatePosting<'_>>(&record).unwrap();
    assert_eq!((id.as_ref(), &data), ("exchange.trades:0:5:1", &late));
    assert_eq!(data.into_owned(), late);
}

#[test]
fn a_dead_letter_holds_the_record_as_text_or_in_base64() {
    let rejection = Code::InvalidJson.because("the record is not JSON");
    for (payload, text, base64) in [
        (&b"{ \"a\""[..], Some("{ \"a\""), None),
        (&b"\xff\x00"[..], None, Some("/wA=")),
        // As a string, each would have six characters more.
        (&b"a\x00\x00"[..], None, Some("YQAA")),
    ] {
        let letter = DeadLetter::new(Topic::Deposits.partition(4), Offset::new(9), payload, &rejection);
        let mut out = Outputs::default();
        letter.append(Some(TimeMs::from(0)), &mut out).unwrap();
        let (to, key, record) = out.iter().next().unwrap();
        assert_eq!(
            (to, key),
            (Topic::DeadLetters.partition(0), &b"exchange.deposits:4:9"[..])
        );
        assert_eq!(read_data::<DeadLetter<'_>>(record).unwrap(), letter);
        assert_eq!(
            (letter.payload.as_deref(), letter.payload_base64.as_deref()),
            (text, base64)
        );
        let json: Value = serde_json::from_slice(record).unwrap();
        assert_eq!(json["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(json["data"]["code"], "invalid_json");
        assert_eq!(json["data"]["topic"], "exchange.deposits");
        assert_eq!(json["data"].get("payload"), text.map(|text| json!(text)).as_ref());
    }
}

#[test]
fn a_dead_letter_takes_the_shorter_form_and_always_fits_its_topic() {
    let rejection = Code::InvalidJson.because("the record is not JSON");
    let letter = |record: &[u8]| {
        let mut out = Outputs::default();
        let letter = DeadLetter::new(Topic::Deposits.partition(0), Offset::new(1), record, &rejection);
        letter.append(None, &mut out).unwrap();
        let (_, _, written) = out.iter().next().unwrap();
        assert!(written.len() < 16 << 20, "{} bytes", written.len());
        letter.into_owned()
    };
    // Each byte of every kind is as long as `serde_json` writes it.
    for byte in 0..0x80_u8 {
        let text = format!("{}{}", char::from(byte), "a".repeat(20));
        let escaped = serde_json::to_string(&text).unwrap().len() - 2;
        assert_eq!(letter(text.as_bytes()).payload.is_some(), escaped <= 28, "byte {byte}");
    }
    // Three megabytes of control characters were eighteen as a string.
    let control = vec![1; 3 << 20];
    assert_eq!(letter(&control).record().unwrap(), control);
    // What is too large in both forms is cut, and its length and sum are told.
    for (record, whole) in [
        (vec![b'a'; 12 << 20], true),
        (vec![b'a'; (12 << 20) + 1], false),
        (vec![0xff; 9 << 20], true),
        (vec![0xff; (9 << 20) + 1], false),
    ] {
        let letter = letter(&record);
        let kept = letter.record().unwrap();
        assert_eq!(kept.len(), if whole { record.len() } else { 1 << 20 });
        assert!(record.starts_with(&kept));
        assert_eq!(letter.payload_bytes, (!whole).then_some(record.len() as u64));
        let sum = hex::encode(Sha256::digest(&record));
        assert_eq!(letter.payload_sha256.as_deref(), (!whole).then_some(sum.as_str()));
    }
}
