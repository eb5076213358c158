//! Progress of a run: a bar on a terminal until the run has caught up, otherwise a log line every few seconds.

use std::io::{self, IsTerminal};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::cli::table::counted;
use crate::config::LogFormat;
use crate::core::values::printable::escape_for_terminal;
use crate::task::settlements::SettlementProgress;
use crate::task::stats::Stats;

/// How often the bar is updated.
const TICK: Duration = Duration::from_millis(100);

/// How often a line is logged, if a count changed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// A run has caught up after this many ticks with nothing left to read: tasks discover their partitions one by one.
const CAUGHT_UP_TICKS: u32 = 10;

/// The bar of settlements appears after so many ticks with a settlement, and goes after so many without one: most settlements are short.
const SETTLING_TICKS: u32 = 5;

/// Does `work` on this thread, and shows the counts of `stats` meanwhile.
pub(super) fn watched<T>(stats: &Stats, bars: &MultiProgress, format: LogFormat, work: impl FnOnce() -> T) -> T {
    let (working, ended) = mpsc::channel::<()>();
    let shown = (format == LogFormat::Human && io::stderr().is_terminal()).then(|| RunBars::new(bars));
    thread::scope(|scope| {
        scope.spawn(move || report(stats, shown, &ended));
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

fn report(stats: &Stats, mut bars: Option<RunBars<'_>>, ended: &Receiver<()>) {
    let mut logged_at = Instant::now();
    let mut logged = marks(stats);
    while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        if bars.as_mut().is_some_and(|bars| bars.tick(stats)) {
            continue;
        }
        let now = marks(stats);
        let [records, _, distributions, seals] = now;
        let known = stats.known.load(Relaxed).max(records);
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
    if let Some(bars) = bars {
        bars.clear();
    }
}

/// The bars of a run on a terminal: one for the records until the run has caught up, and one for each time of settlements.
struct RunBars<'a> {
    all: &'a MultiProgress,
    /// None after the run has caught up.
    records: Option<ProgressBar>,
    /// Ticks with nothing left to read.
    quiet_ticks: u32,
    settlements: Option<ProgressBar>,
    /// Ticks with a settlement if there is no bar for it, or without one if there is.
    settling_ticks: u32,
}

impl<'a> RunBars<'a> {
    fn new(all: &'a MultiProgress) -> Self {
        Self {
            all,
            records: Some(all.add(bar("records", 0))),
            quiet_ticks: 0,
            settlements: None,
            settling_ticks: 0,
        }
    }

    /// Shows the present counts. Returns whether a bar is drawn.
    fn tick(&mut self, stats: &Stats) -> bool {
        let reads = self.show_records(stats);
        let settles = self.show_settlements(stats.settlements.progress());
        reads || settles
    }

    fn show_records(&mut self, stats: &Stats) -> bool {
        let records = stats.records.load(Relaxed);
        let known = stats.known.load(Relaxed).max(records);
        let Some(bar) = self.records.as_ref().filter(|_| known > 0) else {
            return false;
        };
        bar.set_length(known);
        bar.set_position(records);
        self.quiet_ticks = if records < known { 0 } else { self.quiet_ticks + 1 };
        if self.quiet_ticks >= CAUGHT_UP_TICKS {
            self.remove(self.records.as_ref());
            self.records = None;
        }
        self.records.is_some()
    }

    fn show_settlements(&mut self, progress: Option<SettlementProgress>) -> bool {
        let waits = self.settlements.is_some() == progress.is_none();
        self.settling_ticks = if waits { self.settling_ticks + 1 } else { 0 };
        let Some(progress) = progress else {
            if self.settling_ticks >= SETTLING_TICKS {
                self.remove(self.settlements.as_ref());
                self.settlements = None;
                self.settling_ticks = 0;
            }
            return self.settlements.is_some();
        };
        if self.settlements.is_none() && self.settling_ticks < SETTLING_TICKS {
            return false;
        }
        self.settling_ticks = 0;
        if let Some(bar) = &self.settlements {
            bar.set_message(settled_epochs(&progress));
            bar.set_length(progress.all);
            bar.set_position(progress.done);
        } else {
            self.settlements = Some(self.all.add(settlement_bar(&progress)));
        }
        true
    }

    fn remove(&self, bar: Option<&ProgressBar>) {
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.all.remove(bar);
        }
    }

    fn clear(self) {
        self.remove(self.records.as_ref());
        self.remove(self.settlements.as_ref());
    }
}

/// A bar for the settlements under way.
fn settlement_bar(progress: &SettlementProgress) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {percent}% settled of {msg}, {eta} left");
    ProgressBar::new(progress.all)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(settled_epochs(progress))
        .with_position(progress.done)
}

/// The epochs that are settled.
fn settled_epochs(progress: &SettlementProgress) -> String {
    match progress.epochs {
        1 => format!(
            "{} epoch {}",
            escape_for_terminal(progress.asset.as_str()),
            progress.epoch
        ),
        epochs => counted(epochs as u64, "epoch", "epochs"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::core::values::asset::Asset;
    use crate::core::values::ids::{AssetEpoch, Epoch};
    use crate::task::settlements::SettlementScan;

    /// A terminal of 80 columns that keeps what it shows.
    #[derive(Debug, Clone, Default)]
    struct Recorded(Arc<Mutex<Vec<String>>>);

    impl TermLike for Recorded {
        fn width(&self) -> u16 {
            80
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.to_owned());
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What was drawn last, without blanks at its end.
    fn drawn(terminal: &Recorded) -> String {
        let texts = terminal.0.lock().unwrap();
        let shown = texts.iter().rfind(|text| text.contains(['░', '█']));
        shown.cloned().unwrap_or_default().trim_end().to_owned()
    }

    fn draw(bar: &ProgressBar) -> String {
        let terminal = Recorded::default();
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
        bar.tick();
        drawn(&terminal)
    }

    #[test]
    fn the_longest_bars_fit_80_columns() {
        let records = bar("records", 999_999_999_999);
        records.set_position(999_999_999_998);
        let settlements = settlement_bar(&SettlementProgress {
            asset: Asset::parse(&"A".repeat(32)).unwrap(),
            epoch: Epoch::new(u32::MAX.into()),
            epochs: 1,
            done: 4096,
            all: 8192,
        });
        for (bar, expected) in [
            (records, "999,999,999,998 of 999,999,999,999 records"),
            (
                settlements,
                "50% settled of AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA epoch 4294967295",
            ),
        ] {
            let text = draw(&bar);
            assert!(text.contains(expected), "{text:?}");
            assert!(text.width() <= 80 && text.starts_with('█'), "{text:?}");
        }
    }

    #[test]
    fn a_long_settlement_has_a_bar_and_a_short_one_has_none() {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let stats = Stats::default();
        stats.settlements.begin(0, &(0..4096));
        let note = |epoch: u64, scan: SettlementScan, done: u64| {
            let at = AssetEpoch::new(0, Epoch::new(epoch)).unwrap();
            stats.settlements.note(at, Asset::parse("ATOM").unwrap(), 0, scan, done);
        };
        let mut bars = RunBars::new(&all);
        let ticks = |bars: &mut RunBars<'_>, number: u32| (0..number).filter(|_| bars.tick(&stats)).count();
        note(0, SettlementScan::Sum, 100);
        assert_eq!(ticks(&mut bars, SETTLING_TICKS - 1), 0);
        note(0, SettlementScan::Emit, 4096);
        assert_eq!(ticks(&mut bars, 1), 0, "it was short");

        note(1, SettlementScan::Sum, 0);
        assert_eq!(ticks(&mut bars, SETTLING_TICKS + 2), 3);
        note(1, SettlementScan::Emit, 2048);
        assert_eq!(ticks(&mut bars, 1), 1);
        let bar = bars.settlements.clone().unwrap();
        assert_eq!((bar.position(), bar.length()), (6144, Some(8192)));
        assert_eq!(bar.message(), "ATOM epoch 1");
        note(2, SettlementScan::Sum, 0);
        assert_eq!(ticks(&mut bars, 1), 1);
        assert_eq!(bar.message(), "2 epochs");
        note(1, SettlementScan::Emit, 4096);
        note(2, SettlementScan::Emit, 4096);
        assert_eq!(ticks(&mut bars, 2 * SETTLING_TICKS), 4, "it goes, and stays away");
        assert!(bar.is_finished() && bars.settlements.is_none());
        bars.clear();
    }
}
