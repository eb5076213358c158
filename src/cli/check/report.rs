//! `softstake check --bus`: judges every source and control record as a run would, and compares what softstake wrote with its journal.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::forecast::{Forecast, ForecastOutcome};
use crate::bus::dir::ReadOnlyDir;
use crate::bus::{Log, ReadError, Topic, TopicPartition};
use crate::cli::check::files;
use crate::cli::check::files::FileFindings;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::table::{TextTable, count, counted};
use crate::cli::{bus, progress};
use crate::config::BusAddress;
use crate::core::values::asset::Asset;
use crate::core::values::offset::Offset;

/// How many examples of each code are shown.
const EXAMPLES: usize = 3;

#[derive(Debug, Default, Serialize)]
struct BusReport {
    bus: String,
    dedup_days: u64,
    /// Whether softstake has worked on the bus.
    has_run: bool,
    topics: Vec<TopicReport>,
    /// Rejections, by code.
    refused: BTreeMap<&'static str, Refused>,
    /// Ignored postings, by asset.
    unlisted: BTreeMap<Asset, u64>,
    /// The output and inner files.
    written: WrittenReport,
    /// Files that keep records from being read.
    problems: Vec<String>,
    notes: Vec<String>,
}

impl BusReport {
    /// The report on a bus whose records could not be judged.
    fn unjudged(address: &BusAddress) -> Self {
        Self {
            bus: address.to_string(),
            ..Self::default()
        }
    }

    fn is_empty(&self) -> bool {
        self.topics.iter().all(|topic| topic.records == 0)
    }
}

#[derive(Debug, Default, Serialize)]
struct TopicReport {
    topic: &'static str,
    partitions: usize,
    records: u64,
    blank: u64,
    duplicates: u64,
    refused: u64,
}

#[derive(Debug, Default, Serialize)]
struct WrittenReport {
    files: u64,
    /// As committed.
    bytes: u64,
    damaged: usize,
}

#[derive(Debug, Default, Serialize)]
struct Refused {
    count: u64,
    examples: Vec<Example>,
}

#[derive(Debug, Serialize)]
struct Example {
    file: String,
    /// From 1.
    line: u64,
    reason: String,
}

pub(super) fn check(address: &BusAddress, dedup_days: Option<u64>, json: bool, out: &mut Output<'_>) -> Outcome {
    let opened = bus::read_only_directory(address)?;
    let root = bus::directory(address)?;
    let mut findings = files::look(&opened, root)?;
    let written = check_written(&opened, &mut findings)?;
    let mut report = match read(&opened, address, dedup_days) {
        Ok(report) => report,
        // What softstake wrote is read to foretell a run. Damage comes first, because it explains the error.
        Err(Failure::Failed(error)) if written.damaged > 0 => {
            findings.notes.push(format!("the records were not judged: {error}"));
            BusReport::unjudged(address)
        }
        Err(error) => return Err(error),
    };
    report.written = written;
    report.problems = findings.problems;
    report.notes = findings.notes;
    if json {
        out.json(&report)?;
    } else {
        show(&report, out)?;
    }
    if !report.refused.is_empty() || !report.problems.is_empty() {
        Err(Failure::Found)
    } else if report.is_empty() {
        Err(Failure::Absent(format!(
            "there is no source or control record on {address}"
        )))
    } else {
        Ok(())
    }
}

fn read(bus: &ReadOnlyDir, address: &BusAddress, dedup_days: Option<u64>) -> Result<BusReport, Failure> {
    let mut sources = Vec::new();
    for topic in Topic::SOURCES {
        let partitions = files::partitions(bus, topic)?;
        sources.extend(partitions.into_iter().map(|number| topic.partition(number)));
    }
    let bar = progress::bar("records", 0);
    for partition in sources.iter().copied().chain([Topic::Control.partition(0)]) {
        bar.inc_length(bus.readable_end(partition)?.since(Offset::START));
    }
    let forecast = Forecast::new(bus, &sources, dedup_days)?;
    if let Some(given) = dedup_days.filter(|given| *given != forecast.dedup_days()) {
        return Err(Failure::Usage(format!(
            "--dedup-days is {given}, but softstake has run on this bus with {}: leave it out",
            forecast.dedup_days()
        )));
    }
    let mut report = BusReport {
        bus: address.to_string(),
        dedup_days: forecast.dedup_days(),
        has_run: forecast.is_deployed(),
        ..BusReport::default()
    };
    let control = Topic::Control.partition(0);
    let has_control = !files::partitions(bus, Topic::Control)?.is_empty();
    let mut counts = TopicReport::of(Topic::Control, usize::from(has_control));
    for (offset, outcome) in forecast.control() {
        bar.inc(1);
        counts.count(control, *offset, outcome.clone(), &mut report.refused);
    }
    report.topics.push(counts);
    for topic in Topic::SOURCES {
        let partitions = sources.iter().copied().filter(|source| source.topic == topic);
        let mut counts = TopicReport::of(topic, partitions.clone().count());
        for partition in partitions {
            forecast.source(partition, &mut report.unlisted, |offset, outcome| {
                bar.inc(1);
                counts.count(partition, offset, outcome, &mut report.refused);
            })?;
        }
        report.topics.push(counts);
    }
    bar.finish_and_clear();
    Ok(report)
}

/// Compares the files that softstake wrote with its journal.
fn check_written(bus: &ReadOnlyDir, findings: &mut FileFindings) -> Result<WrittenReport, Failure> {
    let bar = progress::bar("bytes", 0);
    let written = bus.compare_written(&mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let written = written.map_err(ReadError::from)?;
    findings
        .problems
        .extend(written.damaged.iter().map(ToString::to_string));
    for partition in &written.incomplete {
        findings.notes.push(format!(
            "the file of {partition} does not hold its last commits yet: the next start writes them from the journal"
        ));
    }
    Ok(WrittenReport {
        files: written.files,
        bytes: written.bytes,
        damaged: written.damaged.len(),
    })
}

impl TopicReport {
    fn of(topic: Topic, partitions: usize) -> Self {
        Self {
            topic: topic.name(),
            partitions,
            ..Self::default()
        }
    }

    fn count(
        &mut self,
        partition: TopicPartition,
        offset: Offset,
        outcome: ForecastOutcome,
        refused: &mut BTreeMap<&'static str, Refused>,
    ) {
        self.records += 1;
        match outcome {
            ForecastOutcome::Applied | ForecastOutcome::Ignored => {}
            ForecastOutcome::Blank => self.blank += 1,
            ForecastOutcome::Duplicate => self.duplicates += 1,
            ForecastOutcome::Rejected(rejection) => {
                self.refused += 1;
                let refused = refused.entry(rejection.code.name()).or_default();
                refused.count += 1;
                if refused.examples.len() < EXAMPLES {
                    refused.examples.push(Example {
                        file: format!("{}/{}.jsonl", partition.topic, partition.partition),
                        line: offset.line(),
                        reason: rejection.reason,
                    });
                }
            }
        }
    }
}

fn show(report: &BusReport, out: &mut Output<'_>) -> Outcome {
    write_line!(
        out,
        "Judged as by a run that starts now, if nothing is added meanwhile. For {} days it recognises duplicates (dedup_days, {}).",
        report.dedup_days,
        if report.has_run {
            "fixed by the first run"
        } else {
            "--dedup-days sets another number"
        }
    )?;
    write_line!(out)?;
    let mut table = TextTable::new(&[
        "topic",
        ">partitions",
        ">records",
        ">blank",
        ">duplicates",
        ">would be refused",
    ]);
    for topic in &report.topics {
        table.row([
            topic.topic,
            &topic.partitions.to_string(),
            &count(topic.records),
            &count(topic.blank),
            &count(topic.duplicates),
            &count(topic.refused),
        ]);
    }
    table.write(out)?;
    for (code, refused) in &report.refused {
        write_line!(out)?;
        write_line!(out, "{code}: {}", count(refused.count))?;
        for Example { file, line, reason } in &refused.examples {
            write_line!(out, "  {file}:{line}  {}", reason)?;
        }
    }
    if !report.unlisted.is_empty() {
        write_line!(out)?;
        write_line!(out, "Postings ignored, because their asset is not listed:")?;
        for (asset, postings) in &report.unlisted {
            write_line!(out, "  {asset} {}", count(*postings))?;
        }
    }
    for (title, findings) in [("Problems", &report.problems), ("Notes", &report.notes)] {
        if !findings.is_empty() {
            write_line!(out)?;
            write_line!(out, "{title}:")?;
        }
        for finding in findings {
            write_line!(out, "  {}", finding)?;
        }
    }
    let WrittenReport { files, bytes, damaged } = &report.written;
    let files = counted(*files, "file", "files");
    let bytes = counted(*bytes, "byte", "bytes");
    let damaged = match damaged {
        0 => ", all as committed".to_owned(),
        _ => format!("; {} damaged", count(*damaged as u64)),
    };
    write_line!(out)?;
    write_line!(out, "Written by softstake: {files} with {bytes}{damaged}.")?;
    write_line!(out)?;
    let refused = report.refused.values().map(|refused| refused.count).sum();
    if !report.problems.is_empty() {
        write_line!(out, "There are problems: mend them first.")?;
    }
    match refused {
        0 if !report.problems.is_empty() => Ok(()),
        0 if report.is_empty() => write_line!(out, "There is no record to judge."),
        0 => write_line!(out, "A run would reject no record."),
        _ => write_line!(out, "A run would reject {}.", counted(refused, "record", "records")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::cli::output;
    use crate::cli::output::captured;

    const LISTING: &str = r#"{"specversion":"1.0","id":"l","source":"/t","type":"softstake.asset.v1","time":"2026-10-31T00:00:00Z","data":{"asset":"ATOM","decimals":6,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,"programme":{"from_epoch":0,"mode":"pool"}}}"#;

    fn deposit(id: &str, asset: &str, amount: &str) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/d","type":"exchange.deposit.v1","time":"2026-11-01T08:00:00Z","data":{{"account":"a","asset":"{asset}","amount":"{amount}"}}}}"#
        )
    }

    fn close(id: &str, epoch: u64, time: &str) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/t","type":"softstake.epoch_close.v1","time":"{time}","data":{{"asset":"ATOM","epoch":{epoch}}}}}"#
        )
    }

    fn put(root: &Path, topic: &str, lines: &[String]) {
        let folder = root.join(topic);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("0.jsonl"), lines.concat()).unwrap();
    }

    fn checked(root: &Path) -> (Outcome, String) {
        captured(|out| check(&BusAddress::Dir(root.to_path_buf()), None, false, out))
    }

    #[test]
    fn a_valid_bus_passes() {
        let root = tempfile::tempdir().unwrap();
        put(
            root.path(),
            "softstake.control",
            &[format!("{LISTING}\n"), close("c", 0, "2026-11-02T00:00:00Z") + "\n"],
        );
        let lines = [
            deposit("1", "ATOM", "1.5"),
            deposit("1", "ATOM", "1.5"),
            " ".into(),
            deposit("2", "DOGE", "0.1234567"),
        ];
        put(root.path(), "exchange.deposits", &lines.map(|line| line + "\n"));
        let (outcome, text) = checked(root.path());
        assert_eq!(outcome, Ok(()), "{text}");
        assert!(
            text.contains("  DOGE 1\n") && text.contains("A run would reject no record.\n"),
            "{text}"
        );
        let json = output::text(|out| check(&BusAddress::Dir(root.path().to_path_buf()), None, true, out));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let deposits = &json["topics"][1];
        assert_eq!(deposits["topic"], "exchange.deposits");
        assert_eq!(
            (&deposits["records"], &deposits["blank"], &deposits["duplicates"]),
            (&4.into(), &1.into(), &1.into())
        );
    }

    #[test]
    fn a_record_that_would_be_rejected_is_shown_with_its_line() {
        let root = tempfile::tempdir().unwrap();
        let control = [
            LISTING.to_owned(),
            LISTING.replace(r#""id":"l""#, r#""id":"l2""#),
            close("c1", 1, "2026-12-01T00:00:00Z"),
            close("c2", 0, "2026-11-01T23:59:59.999Z"),
            close("c3", 0, "2026-11-02T00:00:00Z"),
            close("c4", 0, "2026-11-02T00:00:00Z"),
            close("c5", 1, "2026-11-03T00:00:00Z").replace("ATOM", "DOGE"),
            deposit("x", "ATOM", "1"),
        ];
        put(root.path(), "softstake.control", &control.map(|line| line + "\n"));
        let deposits = [
            deposit("1", "ATOM", "1.5"),
            deposit("1", "ATOM", "1.6"),
            deposit("2", "ATOM", "0.0000001"),
            "{".into(),
            deposit("3", "ATOM", "1").replace("2026-11-01", "2028-11-01"),
            deposit("4", "ATOM", "1").replace("2026-11-01", "2026-13-01"),
            LISTING.to_owned(),
        ];
        put(root.path(), "exchange.deposits", &deposits.map(|line| line + "\n"));
        let (outcome, text) = checked(root.path());
        assert_eq!(outcome, Err(Failure::Found));
        for expected in [
            "invalid_programme: 1\n  softstake.control/0.jsonl:2  ",
            "epoch_out_of_order: 1\n  softstake.control/0.jsonl:3  ",
            "epoch_not_over: 1\n  softstake.control/0.jsonl:4  ",
            "epoch_already_closed: 1\n  softstake.control/0.jsonl:6  ",
            "unknown_asset: 1\n  softstake.control/0.jsonl:7  ",
            "wrong_topic: 2\n  softstake.control/0.jsonl:8  ",
            "conflicting_duplicate: 1\n  exchange.deposits/0.jsonl:2  ",
            "invalid_amount: 1\n  exchange.deposits/0.jsonl:3  `amount` ",
            "invalid_json: 1\n  exchange.deposits/0.jsonl:4  ",
            "too_far_ahead: 1\n  exchange.deposits/0.jsonl:5  ",
            "invalid_time: 1\n  exchange.deposits/0.jsonl:6  ",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    /// The contract checks the pool of a close before its epoch and its time.
    #[test]
    fn a_wrong_pool_is_found_before_an_epoch_that_is_not_over() {
        let root = tempfile::tempdir().unwrap();
        let wrong_pool = |close: String| close.replace(r#""epoch":"#, r#""reward_pool":"0.0000001","epoch":"#);
        let control = [
            LISTING.to_owned(),
            wrong_pool(close("c1", 0, "2026-11-01T12:00:00Z")),
            wrong_pool(close("c2", 5, "2026-12-01T00:00:00Z")),
        ];
        put(root.path(), "softstake.control", &control.map(|line| line + "\n"));
        let (outcome, text) = checked(root.path());
        assert_eq!(outcome, Err(Failure::Found));
        assert!(
            text.contains("invalid_amount: 2\n  softstake.control/0.jsonl:2  `reward_pool` "),
            "{text}"
        );
        assert!(
            !text.contains("epoch_not_over") && !text.contains("epoch_out_of_order"),
            "{text}"
        );
    }
}
