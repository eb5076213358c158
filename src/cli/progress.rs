//! Progress of a run: a bar on a terminal until the run has caught up, otherwise a log line every few seconds.

use std::io::{self, IsTerminal};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::config::LogFormat;
use crate::task::stats::Stats;

/// How often the bar is updated.
const TICK: Duration = Duration::from_millis(100);

/// How often a line is logged, if a count changed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A run has caught up after this many ticks with nothing left to read: tasks discover their partitions one by one.
const CAUGHT_UP_TICKS: u32 = 10;

/// Does `work` on this thread, and shows the counts of `stats` meanwhile.
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

/// A bar for `length` things. It is drawn only if stderr is a terminal.
pub(super) fn bar(things: &str, length: u64) -> ProgressBar {
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // The cast saturates, and indicatif handles a failure to write.
        let _ = write!(out, "{}", HumanCount(state.per_sec().max(0.0).round() as u64));
    };
    // The bar takes the width that the text leaves.
    let template = format!("{{wide_bar}} {{human_pos}} of {{human_len}} {things}, {{rate}}/s, {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style.with_key("rate", rate))
}

/// The counts whose change is worth a log line.
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
                "progress"
            );
            (logged_at, logged) = (Instant::now(), now);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}
