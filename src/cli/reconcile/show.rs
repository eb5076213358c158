//! A reconciliation as tables, JSON and CSV.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::reconcile::report::{GroupCounts, RecordDifference};
use crate::audit::reconciliation::{ReconciledScope, ReconciliationHead, ReconciliationKind};
use crate::audit::replay::EpochFilter;
use crate::cli::csv_file::{CsvFile, CsvForm};
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::reconcile::findings::Findings;
use crate::cli::table::{TextTable, count, counted};
use crate::cli::{made_at, missing};
use crate::core::values::ids::Epoch;

/// How many differences the table shows.
const SHOWN: usize = 20;

pub(super) fn cells(counts: &GroupCounts) -> [String; 8] {
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

pub(super) const COLUMNS: [&str; 8] = [
    ">published",
    ">replayed",
    ">equal",
    ">missing",
    ">extra",
    ">different",
    ">doubled",
    ">under way",
];

pub(super) fn tables(findings: &Findings, out: &mut Output<'_>) -> Outcome {
    missing::show(&findings.missing, out)?;
    write_line!(out, "{}", findings.verdict())?;
    write_line!(
        out,
        "{} and {} of {} were replayed; {} not taken in yet.",
        counted(findings.records, "source record", "source records"),
        counted(findings.decisions as u64, "decision", "decisions"),
        findings.bus,
        if findings.not_taken_in == 1 {
            "1 is".into()
        } else {
            format!("{} are", count(findings.not_taken_in))
        },
    )?;
    write_line!(out)?;
    let mut topics = TextTable::new(&[&["topic"][..], &COLUMNS[..]].concat());
    for (topic, counts) in findings.topics() {
        topics.row([&[topic.to_owned()][..], &cells(&counts)[..]].concat());
    }
    topics.write(out)?;
    if !findings.report.seals.is_empty() {
        write_line!(out)?;
        let mut epochs = TextTable::new(&["asset", ">epoch", "ended", ">payouts", ">distributed", ">replayed", ""]);
        let verdicts = findings.epoch_verdicts();
        for seal in &findings.report.seals {
            epochs.row([
                seal.asset.clone(),
                seal.epoch.to_string(),
                seal.epoch_end.clone(),
                count(seal.distributions),
                seal.published.clone().unwrap_or_else(|| "no seal".into()),
                seal.replayed.clone().unwrap_or_else(|| "no seal".into()),
                verdicts.of(&seal.asset, seal.epoch).to_owned(),
            ]);
        }
        epochs.write(out)?;
    }
    for alarm in &findings.alarms {
        write_line!(out)?;
        write_line!(out, "Stopped by a failed check, in the run and in the replay: {alarm}")?;
    }
    if findings.report.later > 0 {
        let later = counted(findings.report.later, "record was", "records were");
        write_line!(out)?;
        write_line!(out, "{later} published during the reconciliation, and not compared.")?;
    }
    if let Some(deviation) = &findings.deviation {
        write_line!(out)?;
        write_line!(out, "Decision {}", deviation.number)?;
        write_line!(out, "  on record: {}", serde_json::to_string(&deviation.recorded)?)?;
        write_line!(out, "  replayed:  {}", serde_json::to_string(&deviation.replayed)?)?;
    }
    differences(findings, out)
}

fn differences(findings: &Findings, out: &mut Output<'_>) -> Outcome {
    let report = &findings.report;
    if report.differences.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    let mut table = TextTable::new(&["", "topic", "id", "field", "published", "replayed"]);
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
        write_line!(out, "… and {more} more; --csv, --json and --html show them.")?;
    }
    Ok(())
}

/// Writes everything as one JSON document.
pub(super) fn json(findings: &Findings, made_at: Timestamp, filter: EpochFilter, out: &mut Output<'_>) -> Outcome {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        head: ReconciliationHead,
        differences: &'a [RecordDifference],
        more_differences: u64,
        #[serde(flatten)]
        rest: Value,
    }
    #[derive(Serialize)]
    struct GroupLine<'a> {
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
        .map(|(group, counts)| GroupLine {
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
    let head = ReconciliationHead {
        kind: ReconciliationKind::Records,
        made_at: made_at::text(made_at),
        compared: ReconciledScope {
            bus: findings.bus.clone(),
            with: None,
            asset: filter.asset,
            epoch: filter.epoch,
        },
        agrees: findings.outcome().is_ok(),
        disagreements: findings.disagreements(),
        verdict: findings.verdict(),
    };
    let rest = json!({
        "bus": findings.bus,
        "equal": findings.is_equal(),
        "missing": findings.missing,
        "source_records": findings.records,
        "not_taken_in": findings.not_taken_in,
        "decisions": findings.decisions,
        "deviation": deviation,
        "alarms": findings.alarms,
        "total": report.total(),
        "groups": groups,
        "epochs": report.seals,
        "published_later": report.later,
    });
    out.json(&Document {
        head,
        differences: &report.differences,
        more_differences: report.more_differences,
        rest,
    })
}

/// Writes the differences as CSV, a line for each field.
pub(super) fn csv(findings: &Findings, path: &Path, form: CsvForm) -> Outcome {
    let columns = ["kind", "topic", "id", "field", "published", "replayed"];
    let mut file = CsvFile::create(path, form, &columns)?;
    for difference in &findings.report.differences {
        for field in &difference.fields {
            let side = |value: &Option<String>| value.clone().unwrap_or_default();
            let (published, replayed) = (side(&field.published), side(&field.replayed));
            file.row([
                difference.kind.name(),
                difference.topic,
                &difference.id,
                &field.field,
                &published,
                &replayed,
            ])?;
        }
    }
    file.finish()
}
