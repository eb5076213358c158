//! Logs go to stderr, as lines for people or as JSON objects. A log line never overwrites a progress bar.
//!
//! This is a boundary like [`output`](crate::cli::output): whatever a field quotes from outside is escaped here,
//! and credentials in URLs are hidden.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing::field::Field;
use tracing::subscriber::set_global_default;
use tracing::{Level, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;

use crate::cli::outcome::Failure;
use crate::config::{Loaded, LogConfig, LogFormat, level};
use crate::core::values::credentials::without_credentials;
use crate::core::values::printable::{escape_for_terminal, escape_json};
use crate::monitor::Traces;
use crate::spans::SPANS;

/// Starts logging for this process, as its configuration says, and tells of a file that was not read.
pub(super) fn begin(loaded: &Loaded) -> Result<MultiProgress, Failure> {
    begin_with(loaded, None)
}

/// The same, and spans go to a collector of traces.
pub(super) fn begin_with(loaded: &Loaded, traces: Option<&Traces>) -> Result<MultiProgress, Failure> {
    let bars = start_with(&loaded.config.log, traces)?;
    if let Some(notice) = loaded.notice() {
        tracing::warn!("{notice}");
    }
    Ok(bars)
}

/// Starts logging for this process. Returns the bars, which are hidden while a line is written.
pub(super) fn start(config: &LogConfig) -> Result<MultiProgress, Failure> {
    start_with(config, None)
}

fn start_with(config: &LogConfig, traces: Option<&Traces>) -> Result<MultiProgress, Failure> {
    let bars = MultiProgress::new();
    let targets = level::targets(&config.level).map_err(Failure::Failed)?;
    // indicatif's own events would be logged while it draws. Spans are for traces, and no part of a line.
    let filter = targets
        .with_target("indicatif", LevelFilter::OFF)
        .with_target(SPANS, LevelFilter::OFF);
    let format = config.format;
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(LogLines {
            bars: bars.clone(),
            format,
            is_journal: is_journal(),
        })
        // It would panic if stderr is closed.
        .log_internal_errors(false);
    // `try_init` would also take the lines of libraries. They are not wanted, and each would swallow the next line of ours on its thread.
    let registry = tracing_subscriber::registry().with(traces.map(Traces::layer));
    match format {
        LogFormat::Human => {
            let layer = layer.with_ansi(io::stderr().is_terminal()).with_target(false);
            let layer = layer.fmt_fields(debug_fn(write_field).delimited(" "));
            set_global_default(registry.with(layer.with_filter(filter)))
        }
        LogFormat::Json => set_global_default(registry.with(layer.json().flatten_event(true).with_filter(filter))),
    }
    .map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(bars)
}

/// Writes a field of a line for people. Its value is escaped, so it can neither end the line nor change a terminal.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let value = format!("{value:?}");
    let value = without_credentials(&value);
    let value = escape_for_terminal(&value);
    match field.name() {
        "message" => write!(out, "{value}"),
        name if out.has_ansi_escapes() => write!(out, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        name => write!(out, "{name}={value}"),
    }
}

/// Writes whole lines to stderr.
struct LogLines {
    bars: MultiProgress,
    format: LogFormat,
    /// Whether the journal of systemd reads them.
    is_journal: bool,
}

/// A line that is written when it is complete.
struct LogLine<'a> {
    bars: &'a MultiProgress,
    format: LogFormat,
    /// What the journal is told first: the level, as sd-daemon(3) has it.
    prefix: &'static str,
    text: Vec<u8>,
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine {
            bars: &self.bars,
            format: self.format,
            prefix: "",
            text: Vec::new(),
        }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> LogLine<'a> {
        let mut line = self.make_writer();
        if self.is_journal {
            line.prefix = priority(*event.level());
        }
        line
    }
}

/// The level as the journal takes it, so that `journalctl -p warning` finds warnings.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Whether stderr is the journal of systemd, by systemd.exec(5): `JOURNAL_STREAM` has the device and the inode of its stream.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
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
        let text = String::from_utf8_lossy(&self.text);
        let text = match self.format {
            // The fields are escaped already, and the rest may hold colours.
            LogFormat::Human => text,
            LogFormat::Json => escape_json(&without_credentials(&text)).into_owned().into(),
        };
        // If stderr is closed, the error cannot be reported anywhere.
        let _ = if io::stderr().is_terminal() {
            // Unlike `suspend`, this does not panic if the terminal is gone.
            self.bars.println(text.trim_end_matches('\n'))
        } else {
            io::stderr().write_all(format!("{}{text}", self.prefix).as_bytes())
        };
    }
}
