//! Records with numbers at the ends of their types, as another program may write them: every command ends with a sentence.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use softstake::core::protocol::codec;
use softstake::core::protocol::messages::Inbox;
use softstake::core::values::ids::AssetEpoch;
use softstake::core::values::offset::Offset;
use softstake::generate::Synthetic;

use crate::common::records::text;
use crate::common::{Place, copy, on_bus};

const INBOX: &str = "softstake.inbox/0.log";
/// The length and the checksum before each record of an inner topic.
const HEADER: usize = 8;

fn small() -> Place {
    let place = Place::new();
    let spec = Synthetic {
        events: 300,
        accounts: 10,
        assets: 1,
        epochs: 2,
        bad: 0.0,
        ..Synthetic::default()
    };
    place.grow(&spec, Some(2));
    place
}

/// The reading commands for a payout of the bus, without the bus.
fn commands(paid: &Value, out: &Path) -> Vec<Vec<String>> {
    let [asset, account] = ["asset", "account"].map(|field| text(&paid[field]).to_owned());
    let epoch = paid["epoch"].to_string();
    let csv = out.join("report.csv").display().to_string();
    let html = out.join("report.html").display().to_string();
    [
        vec!["reconcile", "--csv", &csv, "--html", &html],
        vec!["statement", "--check-distributions"],
        vec!["explain", &asset, &epoch, &account],
        vec!["prove", &asset, &epoch, &account],
        vec!["query", "epochs", &asset],
        vec!["query", "distributions", &account],
    ]
    .map(|words| words.into_iter().map(str::to_owned).collect())
    .to_vec()
}

/// Runs the commands, which must end by themselves with one of their exit statuses.
fn run_all(what: &str, bus: &Path, commands: &[Vec<String>]) {
    for words in commands {
        let mut command = on_bus(&words[0], bus);
        if words[0] == "query" {
            command = crate::common::softstake();
            command
                .args(&words[..2])
                .arg("--bus")
                .arg(format!("dir:{}", bus.display()));
            command.args(&words[2..]);
        } else {
            command.args(&words[1..]);
        }
        let output = command.output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(0..=3)) && !said.contains("panicked"),
            "{what}: {words:?}: {}: {said}",
            output.status
        );
    }
}

/// The paths of all whole numbers of a record. Elements of arrays are alike, and so are the offsets of source partitions.
fn numbers(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Number(_) => _ = found.insert(path.to_owned()),
        Value::Array(values) => values
            .first()
            .into_iter()
            .for_each(|value| numbers(value, &format!("{path}/0"), found)),
        Value::Object(fields) => {
            let are_alike = ["/cut", "/in_force_from", "/answered_at"]
                .iter()
                .any(|offsets| path.contains(offsets));
            for (name, value) in fields.iter().take(if are_alike { 1 } else { usize::MAX }) {
                numbers(value, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Copies of the bus in which one number of one topic's records is the largest, wherever it occurs.
fn with_one_number(place: &Place, topic: &str, commands: &[Vec<String>]) {
    let records = place.records(topic);
    let mut paths = BTreeSet::new();
    records.iter().for_each(|record| numbers(record, "", &mut paths));
    assert!(!paths.is_empty(), "{topic} has numbers");
    for path in paths {
        let copied = Place::new();
        copy(&place.bus(), &copied.bus());
        let mut file = String::new();
        for record in &records {
            let mut record = record.clone();
            if let Some(number) = record.pointer_mut(&path) {
                *number = u64::MAX.into();
            }
            file.push_str(&format!("{record}\n"));
        }
        let folder = copied.bus().join(topic);
        for entry in fs::read_dir(&folder).expect("files") {
            fs::write(entry.expect("a file").path(), "").expect("an empty file");
        }
        fs::write(folder.join("0.jsonl"), file).expect("changed records");
        run_all(&format!("{topic}{path}"), &copied.bus(), commands);
    }
}

#[test]
fn the_largest_number_in_any_field_is_never_a_panic() {
    let place = small();
    let paid = place.records("softstake.distributions")[0]["data"].clone();
    let out = tempfile::tempdir().expect("a folder");
    let commands = commands(&paid, out.path());
    with_one_number(&place, "softstake.decisions", &commands[..3]);
    with_one_number(&place, "softstake.epochs", &commands);
    with_one_number(&place, "softstake.distributions", &commands);
}

#[test]
fn sums_of_the_largest_numbers_are_an_error_in_a_sentence() {
    let place = small();
    let seals = place.bus().join("softstake.epochs/0.jsonl");
    let mut lines = String::new();
    for mut seal in place.records("softstake.epochs") {
        seal["data"]["distributions"] = u64::MAX.into();
        lines.push_str(&format!("{seal}\n"));
    }
    assert!(lines.lines().count() > 1, "{lines}");
    fs::write(seals, lines).expect("changed seals");
    let said = crate::common::fail(&mut on_bus("statement", &place.bus()), 1);
    assert!(said.contains("do not fit into") && !said.contains("panicked"), "{said}");
}

/// The records of an inner topic's file.
fn frames(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let end = HEADER + u32::from_le_bytes(*length) as usize;
        frames.push(rest[HEADER..end].to_vec());
        rest = &rest[end..];
    }
    frames
}

fn framed(records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let length = u32::try_from(record.len()).expect("a short record").to_le_bytes();
        let mut sum = crc32fast::Hasher::new();
        sum.update(&length);
        sum.update(record);
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&sum.finalize().to_le_bytes());
        bytes.extend_from_slice(record);
    }
    bytes
}

/// Sets one number of a record of the inbox to its largest value; `false` if there are fewer numbers.
fn enlarge(record: &mut Inbox, which: usize) -> bool {
    let last = |at: &mut AssetEpoch| *at = AssetEpoch::last_of(at.number());
    match (record, which) {
        (Inbox::Control { read_to, .. }, 0) => *read_to = Offset::NO_LIMIT,
        (Inbox::Control { records, .. }, 1) => records.iter_mut().for_each(|record| record.offset = Offset::NO_LIMIT),
        (Inbox::ListingAnswer { control_offset, .. }, 0) => *control_offset = Offset::NO_LIMIT,
        (Inbox::ListingAnswer { from, .. }, 1) => *from = Offset::NO_LIMIT,
        (Inbox::ListingAnswer { unlisted, .. }, 2) => unlisted.newest_counted_ms = Some(i64::MAX),
        (Inbox::CutAnswer { cut, .. }, 0) => *cut = Offset::NO_LIMIT,
        (Inbox::CutAnswer { at, .. } | Inbox::Subtotal { at, .. } | Inbox::Receipt { at, .. }, 1) => last(at),
        (Inbox::Subtotal { partition, .. } | Inbox::Receipt { partition, .. }, 0) => *partition = u32::MAX,
        (Inbox::Subtotal { sums, .. }, 2) => sums.excluded = u64::MAX,
        (Inbox::Receipt { emitted, .. }, 2) => emitted.distributions = u64::MAX,
        (Inbox::Sources(sources), 0) => sources.iter_mut().for_each(|source| source.partition = u32::MAX),
        _ => return false,
    }
    true
}

#[test]
fn the_largest_number_in_a_record_of_the_inbox_is_never_a_panic() {
    let place = small();
    let paid = place.records("softstake.distributions")[0]["data"].clone();
    let out = tempfile::tempdir().expect("a folder");
    let all = commands(&paid, out.path());
    let inbox = fs::read(place.bus().join(INBOX)).expect("the inbox");
    let records: Vec<Inbox> = frames(&inbox)
        .iter()
        .map(|record| codec::decode(record, "a record").expect("a record of the inbox"))
        .collect();
    let encode = |records: &[Inbox]| {
        let records: Vec<_> = records
            .iter()
            .map(|record| codec::encode(record).expect("a record"))
            .collect();
        framed(&records)
    };
    assert_eq!(encode(&records), inbox);
    let kinds: BTreeSet<String> = records.iter().map(kind).collect();
    assert!(
        kinds.contains("Control") && kinds.contains("CutAnswer") && kinds.contains("Receipt"),
        "{kinds:?}"
    );
    for kind_of in &kinds {
        for which in 0.. {
            let mut changed = records.clone();
            let mut any = false;
            for record in changed.iter_mut().filter(|record| kind(record) == *kind_of) {
                any |= enlarge(record, which);
            }
            if !any {
                break;
            }
            let copied = Place::new();
            copy(&place.bus(), &copied.bus());
            fs::write(copied.bus().join(INBOX), encode(&changed)).expect("a changed inbox");
            run_all(&format!("{kind_of} {which}"), &copied.bus(), &all[..1]);
            let state = copied.state().display().to_string();
            run_all(
                &format!("{kind_of} {which}"),
                &copied.bus(),
                &[vec!["rebuild".to_owned(), "--state".to_owned(), state]],
            );
        }
    }
}

/// The name of the variant.
fn kind(record: &Inbox) -> String {
    let shown = format!("{record:?}");
    shown
        .split(|character: char| !character.is_alphanumeric())
        .next()
        .unwrap_or_default()
        .to_owned()
}
