//! How far a run has come, while it runs: a bar on a terminal as long as it catches up, a log line every few seconds otherwise.

use std::io::{self, IsTerminal};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::config::LogFormat;
use crate::task::stats::Stats;

/// How often the bar is moved.
const TICK: Duration = Duration::from_millis(100);

/// How often a line is logged, if there is anything new.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// After so many ticks with nothing left to read, the run has caught up: tasks find their partitions one by one.
const CAUGHT_UP_TICKS: u32 = 10;

/// Does `work` on this thread, and shows meanwhile what `stats` say.
pub(super) fn watched<T>(stats: &Stats, bars: &MultiProgress, format: LogFormat, work: impl FnOnce() -> T) -> T {
    let (working, ended) = mpsc::channel::<()>();
    let bar = (format == LogFormat::Human && io::stderr().is_terminal()).then(|| bars.add(bar("records", 0)));
    thread::scope(|scope| {
        scope.spawn(move || report(stats, bar, &ended));
        let result = work();
        drop(working);
        result
    })
}

/// A bar for so many things, on stderr if that is a terminal.
pub(super) fn bar(things: &str, length: u64) -> ProgressBar {
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // The cast saturates, and a failure to write is indicatif's to deal with.
        let _ = write!(
            out,
            "{}",
            crate::cli::table::count(state.per_sec().max(0.0).round() as u64)
        );
    };
    let template = format!("{{bar:30}} {{human_pos}} of {{human_len}} {things}, {{rate}}/s, {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.with_key("rate", rate))
}

/// What tells that something happened.
fn marks(stats: &Stats) -> [u64; 4] {
    [&stats.records, &stats.accrued, &stats.distributions, &stats.seals].map(|counter| counter.load(Relaxed))
}

fn report(stats: &Stats, mut bar: Option<ProgressBar>, ended: &Receiver<()>) {
    let mut logged_at = Instant::now();
    let mut logged = marks(stats);
    let mut quiet_ticks = 0;
    while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let now = marks(stats);
        let [records, _, distributions, seals] = now;
        let known = stats.known.load(Relaxed).max(records);
        if let Some(shown) = bar.as_ref().filter(|_| known > 0) {
            shown.set_length(known);
            shown.set_position(records);
            quiet_ticks = if records < known { 0 } else { quiet_ticks + 1 };
            if quiet_ticks < CAUGHT_UP_TICKS {
                continue;
            }
            shown.finish_and_clear();
            bar = None;
        }
        let since = logged_at.elapsed();
        if since >= LINE_EVERY && now != logged {
            let read = records.saturating_sub(logged[0]);
            let per_second = u128::from(read) * 1_000 / since.as_millis().max(1);
            let per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
            let left_seconds = known.saturating_sub(records).checked_div(per_second);
            tracing::info!(
                records,
                known,
                per_second,
                left_seconds,
                distributions,
                seals,
                "under way"
            );
            (logged_at, logged) = (Instant::now(), now);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}
