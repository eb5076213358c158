//! Measures how a record of a source topic is read: nanoseconds of processor time per event, the median of five rounds.
//!
//! `cargo bench --bench decode`; settings: EVENTS (1,000,000), ROUNDS (5), BATCH (4,096): so many records are decoded before the first
//! of them is applied, as in the ingest task.

#[path = "../tests/it/common/program.rs"]
#[allow(dead_code, reason = "a benchmark uses a part of the tests' helpers")]
mod program;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use bumpalo::Bump;
use program::setting;
use softstake::core::contract::decoded::Decoded;
use softstake::core::contract::envelope::Envelope;
use softstake::core::contract::event::SourceEvent;
use softstake::core::contract::fingerprint::{fingerprint, identity};
use softstake::core::contract::members::Members;
use softstake::core::contract::rules::NEWEST_RULES;
use softstake::core::ingest::judge::read_event;
use softstake::core::values::account::AccountName;
use softstake::core::values::amount::Amount;
use softstake::core::values::asset::Asset;
use softstake::core::values::bucket::bucket;
use softstake::core::values::time::TimeMs;
use softstake::generate::{Synthetic, write};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The source records of a synthetic bus.
fn records(events: u64) -> Outcome<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let spec = Synthetic {
        events,
        accounts: (events / 4).max(1),
        ..Synthetic::default()
    };
    write(folder.path(), &spec, 0..spec.epochs, &mut |_| ())?;
    let mut records = Vec::new();
    for topic in fs::read_dir(folder.path())? {
        let topic = topic?.path();
        let is_source = topic
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("exchange."));
        if is_source {
            read_lines(&topic, &mut records)?;
        }
    }
    Ok(records)
}

fn read_lines(topic: &Path, records: &mut Vec<Vec<u8>>) -> Outcome {
    for partition in fs::read_dir(topic)? {
        let bytes = fs::read(partition?.path())?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        records.extend(lines.map(<[u8]>::to_vec));
    }
    Ok(())
}

/// Nanoseconds that this thread has run.
fn processor_ns() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace()
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0)
}

/// Runs `each` over all items, and prints the median of the rounds.
fn measure<T>(what: &str, items: &[T], mut each: impl FnMut(&T)) {
    measure_all(what, items.len(), || items.iter().for_each(&mut each));
}

fn measure_all(what: &str, count: usize, mut all: impl FnMut()) {
    let mut rounds: Vec<u64> = (0..setting("ROUNDS", 5).max(1))
        .map(|_| {
            let start = processor_ns();
            all();
            processor_ns().saturating_sub(start)
        })
        .collect();
    rounds.sort_unstable();
    let per = |total: u64| total as f64 / count.max(1) as f64;
    println!(
        "{what:<52} {:>8.1} {:>8.1} {:>8.1}",
        per(rounds[rounds.len() / 2]),
        per(rounds[0]),
        per(rounds[rounds.len() - 1])
    );
}

fn whole(records: &[Vec<u8>]) {
    let batch = usize::try_from(setting("BATCH", 4_096)).unwrap_or(1).max(1);
    for batch in records.chunks(batch) {
        let memory = Bump::new();
        let read = |record| Decoded::read_with_event(record, &memory);
        let decoded: Vec<Decoded<'_>> = batch.iter().map(|record| read(record)).collect();
        for decoded in &decoded {
            if let Decoded::Event(envelope, identity) = decoded {
                black_box((envelope.fingerprint, identity));
                let _ = black_box(read_event(envelope, NEWEST_RULES));
            }
        }
    }
}

fn main() -> Outcome {
    let records = records(setting("EVENTS", 1_000_000))?;
    let bytes: usize = records.iter().map(Vec::len).sum();
    let common = records.iter().filter(|record| Members::default().read(record)).count();
    println!(
        "{} records, {} bytes each, {:.1} % of the common shape",
        records.len(),
        bytes / records.len().max(1),
        common as f64 * 100.0 / records.len().max(1) as f64
    );
    println!("{:<52} {:>8} {:>8} {:>8}", "ns each", "median", "least", "most");
    measure("serde_json: envelope, fingerprint", &records, |record| {
        let _ = black_box(Envelope::of_text(record));
    });
    measure("serde_json: envelope, fingerprint, fields", &records, |record| {
        if let Ok(envelope) = Envelope::of_text(record) {
            let _ = black_box(read_event(&envelope, NEWEST_RULES));
        }
    });
    measure("members", &records, |record| {
        let mut members = Members::default();
        black_box(members.read(record));
        black_box(&members);
    });
    measure("members, envelope, fingerprint", &records, |record| {
        let _ = black_box(Envelope::read(record));
    });
    measure("members, envelope, fingerprint, fields", &records, |record| {
        let _ = black_box(Envelope::read_with_event(record, &Bump::new()));
    });
    measure_all("all, and identity, in batches", records.len(), || whole(&records));

    let envelopes: Vec<Envelope<'_>> = records
        .iter()
        .filter_map(|record| Envelope::read(record).ok())
        .collect();
    measure("fingerprint of the text", &envelopes, |envelope| {
        black_box(fingerprint(&envelope.event_type, envelope.time, envelope.data));
    });
    measure("identity", &envelopes, |envelope| {
        black_box(identity(&envelope.id, &envelope.source));
    });
    measure_values(&records);
    Ok(())
}

/// The values that all deposits have.
fn measure_values(records: &[Vec<u8>]) {
    let mut texts: Vec<[String; 4]> = Vec::new();
    for record in records {
        if let Ok(envelope) = Envelope::read_with_event(record, &Bump::new())
            && let Some(read) = &envelope.source_event
            && let SourceEvent::Deposit(balance) = &read.event
            && let Ok(data) = serde_json::from_str::<serde_json::Value>(envelope.data)
        {
            texts.push([
                envelope.time.trim_matches('"').to_owned(),
                data["amount"].as_str().unwrap_or_default().to_owned(),
                balance.account.as_str().to_owned(),
                balance.asset.as_str().to_owned(),
            ]);
        }
    }
    measure("a time", &texts, |[time, ..]| {
        let _ = black_box(TimeMs::parse(time));
    });
    measure("an amount", &texts, |[_, amount, ..]| {
        let _ = black_box(Amount::parse(amount));
    });
    measure("an account", &texts, |[_, _, account, _]| {
        let _ = black_box(AccountName::new(account.as_str()));
    });
    measure("an asset", &texts, |[.., asset]| {
        let _ = black_box(Asset::parse(asset));
    });
    measure("a bucket", &texts, |[_, _, account, _]| {
        black_box(bucket(account));
    });
}
