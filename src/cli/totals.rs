//! The totals at the end of a run.

use std::sync::atomic::Ordering::Relaxed;

use crate::cli::message::message;
use crate::cli::table::{count, counted};
use crate::config::LogFormat;
use crate::core::contract::rejection::RejectionCounts;
use crate::core::ingest::IngestCounts;
use crate::task::stats::Stats;

/// Tells the totals. `is_shared`: other instances may have run other partitions of the deployment.
pub(super) fn tell(stats: &Stats, seconds: u64, format: LogFormat, is_shared: bool) {
    match format {
        LogFormat::Json => log(stats, seconds),
        LogFormat::Human => show(stats, seconds, is_shared),
    }
}

fn log(stats: &Stats, seconds: u64) {
    let [records, distributions, seals] = this_run(stats);
    let (all, control) = (stats.counts(), stats.control());
    tracing::info!(
        records,
        distributions,
        seals,
        seconds,
        total_applied = all.applied,
        total_postings = all.postings,
        total_late = all.late,
        total_duplicates = all.duplicates,
        total_dead_letters = all.dead_letters.total(),
        total_unlisted = all.unlisted,
        total_before_anchor = all.before_anchor,
        total_ignored = all.ignored,
        total_blank = all.blank,
        total_control_accepted = control.accepted,
        total_control_duplicates = control.duplicates,
        total_control_dead_letters = control.dead_letters.total(),
        "totals"
    );
    for (topic, counts) in stats.dead_letters() {
        for (code, total) in counts.iter().filter(|(_, total)| *total > 0) {
            tracing::info!(topic = topic.name(), code = code.name(), total, "total of dead letters");
        }
    }
}

fn show(stats: &Stats, seconds: u64, is_shared: bool) {
    let [records, distributions, seals] = this_run(stats);
    message!(
        "This run: {} read in {}, {} and {} written.",
        counted(records, "record", "records"),
        counted(seconds, "second", "seconds"),
        counted(distributions, "distribution", "distributions"),
        counted(seals, "seal", "seals"),
    );
    let of_whom = if is_shared {
        " of the partitions that this instance had"
    } else {
        ""
    };
    message!("Source records since the deployment was created{of_whom}:");
    show_sources(&stats.counts());
    let control = stats.control();
    message!("Control records since the deployment was created:");
    message!("  {:<13} {}", "accepted", count(control.accepted));
    message!("  {:<13} {}", "duplicates", count(control.duplicates));
    message!("  {:<13} {}", "dead letters", count(control.dead_letters.total()));
    let dead_letters = stats.dead_letters();
    if dead_letters.is_empty() {
        return;
    }
    message!("Dead letters by topic and code; softstake.dead-letters has the reasons:");
    for (topic, counts) in dead_letters {
        message!("  {topic}: {}", by_code(counts));
    }
}

fn show_sources(all: &IngestCounts) {
    let applied = format!(
        "{} with {} (late: {})",
        count(all.applied),
        counted(all.postings, "posting", "postings"),
        count(all.late)
    );
    let ignored = format!(
        "{} in total (postings ignored: {} of unlisted assets, {} before the anchor)",
        count(all.ignored),
        count(all.unlisted),
        count(all.before_anchor)
    );
    for (name, what) in [
        ("applied", applied),
        ("duplicates", count(all.duplicates)),
        ("dead letters", count(all.dead_letters.total())),
        ("ignored", ignored),
        ("blank", count(all.blank)),
    ] {
        message!("  {name:<13} {what}");
    }
}

/// Records, distributions and seals of this run.
fn this_run(stats: &Stats) -> [u64; 3] {
    [&stats.records, &stats.distributions, &stats.seals].map(|counter| counter.load(Relaxed))
}

/// `invalid_json 2, too_old 1`
fn by_code(counts: RejectionCounts) -> String {
    let codes: Vec<String> = counts
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(code, number)| format!("{code} {}", count(number)))
        .collect();
    codes.join(", ")
}
