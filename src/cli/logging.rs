//! Logs: lines for people or JSON objects, always on stderr, and never across a progress bar.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// What `log.level` lets through: a level, or `target=level` pairs, by commas.
///
/// # Errors
/// What it must be instead, as a predicate.
pub fn filter(level: &str) -> Result<Targets, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    for part in level.split(',') {
        let (target, level) = part.split_once('=').unwrap_or(("softstake", part));
        // A bare word that is no level would be taken as a target of which everything is logged.
        if target.is_empty() || !levels.contains(&level) {
            let levels = levels.join(", ");
            return Err(format!(
                "must be one of {levels}, or such as `info,softstake::bus=debug`, not \"{part}\""
            ));
        }
    }
    level.parse().map_err(|error| format!("cannot be read: {error}"))
}

/// Starts logging for this process. The bars are put aside while a line is written.
///
/// # Errors
/// If the level is none, or logging was started before.
pub fn start(config: &LogConfig, bars: &MultiProgress) -> Result<(), String> {
    let filter = filter(&config.level)?.with_target("indicatif", LevelFilter::OFF);
    let lines = Lines(bars.clone());
    let layer = tracing_subscriber::fmt::layer().with_writer(lines);
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Human => {
            let layer = layer.with_ansi(io::stderr().is_terminal()).with_target(false);
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .map_err(|error| error.to_string())
}

/// Whole lines on stderr.
struct Lines(MultiProgress);

/// One line on its way.
struct Line<'a> {
    bars: &'a MultiProgress,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            bars: &self.0,
            text: Vec::new(),
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        // There is nowhere left to complain of a stderr that is closed.
        let _ = self.bars.suspend(|| io::stderr().write_all(&self.text));
    }
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn levels() {
        for right in ["off", "info", "warn,softstake::bus=debug", "softstake=trace"] {
            filter(right).unwrap();
        }
        for wrong in [
            "",
            "inffo",
            "info,",
            "softstake=",
            "=info",
            "INFO",
            "softstake=loud",
            "info, debug",
        ] {
            filter(wrong).unwrap_err();
        }
    }
}
