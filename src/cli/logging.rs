//! Logs go to stderr, as lines for people or as JSON objects. A log line never overwrites a progress bar.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::outcome::Failure;
use crate::config::{LogConfig, LogFormat, level};

/// Starts logging for this process. Returns the bars, which are hidden while a line is written.
pub(super) fn start(config: &LogConfig) -> Result<MultiProgress, Failure> {
    let bars = MultiProgress::new();
    let targets = level::targets(&config.level).map_err(Failure::Failed)?;
    // indicatif's own events would be logged while it draws.
    let filter = targets.with_target("indicatif", LevelFilter::OFF);
    let layer = tracing_subscriber::fmt::layer().with_writer(LogLines(bars.clone()));
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Human => {
            let layer = layer.with_ansi(io::stderr().is_terminal()).with_target(false);
            registry.with(layer).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    }
    .map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(bars)
}

/// Writes whole lines to stderr.
struct LogLines(MultiProgress);

/// A line that is written when it is complete.
struct LogLine<'a> {
    bars: &'a MultiProgress,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine {
            bars: &self.0,
            text: Vec::new(),
        }
    }
}

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine<'_> {
    fn drop(&mut self) {
        // If stderr is closed, the error cannot be reported anywhere.
        let _ = self.bars.suspend(|| io::stderr().write_all(&self.text));
    }
}
