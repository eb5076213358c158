//! What was found, as tables, JSON and CSV.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::audit::reconcile::report::{GroupCounts, RecordDifference};
use crate::cli::Outcome;
use crate::cli::failure::Failure;
use crate::cli::query::write_json;
use crate::cli::reconcile::Findings;
use crate::cli::table::{Table, count, counted};
use crate::core::values::ids::Epoch;

/// So many differences are shown one by one.
const SHOWN: usize = 20;

impl Findings {
    /// The counts of each topic.
    pub(super) fn topics(&self) -> BTreeMap<&'static str, GroupCounts> {
        let mut topics: BTreeMap<&'static str, GroupCounts> = BTreeMap::new();
        for (group, counts) in &self.report.groups {
            let sum = topics.entry(group.topic.name()).or_default();
            *sum = sum.plus(counts);
        }
        topics
    }

    /// The verdict in a sentence.
    pub(super) fn verdict(&self) -> String {
        let total = self.report.total();
        if let Some(deviation) = &self.deviation {
            return format!(
                "NOT EQUAL: at decision {} the log leads to something else than what is on record; nothing after it could be compared.",
                deviation.number
            );
        }
        if self.is_clean() {
            return format!(
                "EQUAL: all {} follow from the log.",
                counted(total.equal, "record", "records")
            );
        }
        format!(
            "NOT EQUAL: {} missing, {} extra, {} different, {} doubled; {} equal.",
            count(total.missing),
            count(total.extra),
            count(total.different),
            count(total.doubled),
            count(total.equal)
        )
    }
}

fn cells(counts: &GroupCounts) -> [String; 8] {
    [
        counts.published,
        counts.replayed,
        counts.equal,
        counts.missing,
        counts.extra,
        counts.different,
        counts.doubled,
        counts.under_way,
    ]
    .map(count)
}

const COLUMNS: [&str; 8] = [
    ">published",
    ">replayed",
    ">equal",
    ">missing",
    ">extra",
    ">different",
    ">doubled",
    ">under way",
];

/// Writes tables.
pub(super) fn tables(findings: &Findings, out: &mut dyn Write) -> Outcome {
    writeln!(out, "{}", findings.verdict())?;
    writeln!(
        out,
        "{} and {} of {} were gone through again; {} not taken in yet.\n",
        counted(findings.records, "source record", "source records"),
        counted(findings.decisions as u64, "decision", "decisions"),
        findings.bus,
        if findings.not_taken_in == 1 {
            "1 is".into()
        } else {
            format!("{} are", count(findings.not_taken_in))
        },
    )?;
    let mut topics = Table::new(&[&["topic"][..], &COLUMNS[..]].concat());
    for (topic, counts) in findings.topics() {
        topics.row([&[topic.to_owned()][..], &cells(&counts)[..]].concat());
    }
    topics.write(out)?;
    if !findings.report.seals.is_empty() {
        writeln!(out)?;
        let mut epochs = Table::new(&["asset", ">epoch", "ended", ">payouts", ">distributed", ">replayed", ""]);
        for seal in &findings.report.seals {
            epochs.row([
                seal.asset.clone(),
                seal.epoch.to_string(),
                seal.epoch_end.clone(),
                count(seal.distributions),
                seal.published.clone().unwrap_or_else(|| "no seal".into()),
                seal.replayed.clone().unwrap_or_else(|| "no seal".into()),
                findings.of_epoch(&seal.asset, seal.epoch).to_owned(),
            ]);
        }
        epochs.write(out)?;
    }
    for alarm in &findings.alarms {
        writeln!(out, "\nStopped by a failed check, then and now: {alarm}")?;
    }
    if findings.report.later > 0 {
        let later = counted(findings.report.later, "record was", "records were");
        writeln!(out, "\n{later} published while this was looked at, and not compared.")?;
    }
    if let Some(deviation) = &findings.deviation {
        writeln!(out, "\nDecision {}", deviation.number)?;
        writeln!(out, "  on record: {}", serde_json::to_string(&deviation.recorded)?)?;
        writeln!(out, "  replayed:  {}", serde_json::to_string(&deviation.replayed)?)?;
    }
    differences(findings, out)
}

fn differences(findings: &Findings, out: &mut dyn Write) -> Outcome {
    let report = &findings.report;
    if report.differences.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&["", "topic", "id", "field", "published", "replayed"]);
    for RecordDifference {
        kind,
        topic,
        id,
        fields,
    } in report.differences.iter().take(SHOWN)
    {
        let mut first = [kind.name(), *topic, id.as_str()];
        for field in fields {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
            let (published, replayed) = (side(&field.published), side(&field.replayed));
            let [kind, topic, id] = first;
            table.row([kind, topic, id, &field.field, &published, &replayed]);
            first = ["", "", ""];
        }
        if fields.is_empty() {
            let [kind, topic, id] = first;
            table.row([kind, topic, id, "", "", ""]);
        }
    }
    table.write(out)?;
    let more = (report.differences.len() as u64 + report.more_differences).saturating_sub(SHOWN as u64);
    if more > 0 {
        let more = counted(more, "difference", "differences");
        writeln!(out, "… and {more} more; --csv, --json and --html have them.")?;
    }
    Ok(())
}

impl Findings {
    /// What is to be said of an epoch, over all its records.
    pub(super) fn of_epoch(&self, asset: &str, epoch: Epoch) -> &'static str {
        let groups = self.report.groups.iter();
        let counts = groups
            .filter(|(group, _)| group.epoch() == Some((asset, epoch)))
            .fold(GroupCounts::default(), |sum, (_, one)| sum.plus(one));
        match (counts.is_clean(), counts.under_way) {
            (false, _) => "NOT EQUAL",
            (true, 0) => "equal",
            (true, _) => "under way",
        }
    }
}

/// Writes everything as one JSON document.
pub(super) fn json(findings: &Findings, out: &mut dyn Write) -> Outcome {
    #[derive(Serialize)]
    struct Group<'a> {
        topic: &'static str,
        of: &'a str,
        asset: Option<&'a str>,
        epoch: Option<Epoch>,
        #[serde(flatten)]
        counts: &'a GroupCounts,
    }
    let report = &findings.report;
    let groups: Vec<_> = report
        .groups
        .iter()
        .map(|(group, counts)| Group {
            topic: group.topic.name(),
            of: &group.of,
            asset: group.epoch().map(|(asset, _)| asset),
            epoch: group.epoch().map(|(_, epoch)| epoch),
            counts,
        })
        .collect();
    let deviation = findings.deviation.as_ref().map(|deviation| {
        json!({ "number": deviation.number, "recorded": deviation.recorded, "replayed": deviation.replayed })
    });
    write_json(
        &json!({
            "bus": findings.bus,
            "equal": findings.is_clean(),
            "source_records": findings.records,
            "not_taken_in": findings.not_taken_in,
            "decisions": findings.decisions,
            "deviation": deviation,
            "alarms": findings.alarms,
            "total": report.total(),
            "groups": groups,
            "epochs": report.seals,
            "published_later": report.later,
            "differences": report.differences,
            "more_differences": report.more_differences,
        }),
        out,
    )
}

/// Writes the differences as CSV, a line for each field.
pub(super) fn csv(findings: &Findings, path: &Path) -> Outcome {
    let failed = |error: csv::Error| Failure::Failed(format!("cannot write {}: {error}", path.display()));
    let mut file = csv::Writer::from_path(path).map_err(failed)?;
    file.write_record(["kind", "topic", "id", "field", "published", "replayed"])
        .map_err(failed)?;
    for RecordDifference {
        kind,
        topic,
        id,
        fields,
    } in &findings.report.differences
    {
        for field in fields {
            let side = |value: &'_ Option<String>| value.clone().unwrap_or_default();
            let (published, replayed) = (side(&field.published), side(&field.replayed));
            file.write_record([kind.name(), topic, id, &field.field, &published, &replayed])
                .map_err(failed)?;
        }
    }
    file.flush().map_err(|error| failed(error.into()))
}
