//! The boundary at which results and messages leave the program.
//!
//! Names, ids, reasons and file names come from outside, so they may hold control characters, line feeds or characters that change the
//! direction of text. A command does not write bytes: it writes lines and JSON through [`Output`], which escapes all of them. So no command
//! can forget it, and no text from outside can begin a line of its own.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::message::escaped_line;
use crate::cli::outcome::Outcome;
use crate::core::values::printable::escape_json;

/// What a command writes its results to.
pub(super) struct Output<'a> {
    to: &'a mut dyn Write,
    /// The width of the terminal that shows the results. Without a terminal there is no limit.
    columns: Option<usize>,
}

impl<'a> Output<'a> {
    pub(super) fn new(to: &'a mut dyn Write, columns: Option<usize>) -> Self {
        Self { to, columns }
    }

    pub(super) const fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Writes one line; [`write_line!`] formats it.
    pub(super) fn line(&mut self, text: fmt::Arguments<'_>) -> Outcome {
        Ok(self.to.write_all(escaped_line(text).as_bytes())?)
    }

    /// Writes a value as indented JSON. Characters that are not printable have JSON's own escapes, so the value is the same.
    pub(super) fn json<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        serde_json::to_writer_pretty(PrintableJson(self.to), value)?;
        Ok(self.to.write_all(b"\n")?)
    }

    /// Writes a text of our own as it is.
    pub(super) fn verbatim(&mut self, text: &[u8]) -> Outcome {
        Ok(self.to.write_all(text)?)
    }

    pub(super) fn flush(&mut self) -> Outcome {
        Ok(self.to.flush()?)
    }
}

/// Writes one line of results; without a text, an empty one.
macro_rules! write_line {
    ($out:expr $(,)?) => {
        $out.line(format_args!(""))
    };
    ($out:expr, $($text:tt)+) => {
        $out.line(format_args!($($text)+))
    };
}

pub(super) use write_line;

/// Escapes JSON on its way to a writer.
struct PrintableJson<'a>(&'a mut dyn Write);

impl Write for PrintableJson<'_> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        // serde_json writes whole characters.
        let text = std::str::from_utf8(json).map_err(io::Error::other)?;
        self.0.write_all(escape_json(text).as_bytes())?;
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text that `write` writes, and its result.
#[cfg(test)]
pub(super) fn captured<T>(write: impl FnOnce(&mut Output<'_>) -> T) -> (T, String) {
    captured_at(None, write)
}

/// The same on a terminal of this width.
#[cfg(test)]
pub(super) fn captured_at<T>(columns: Option<usize>, write: impl FnOnce(&mut Output<'_>) -> T) -> (T, String) {
    let mut bytes = Vec::new();
    let result = write(&mut Output::new(&mut bytes, columns));
    (result, String::from_utf8(bytes).unwrap())
}

/// The text that `write` writes, which must succeed.
#[cfg(test)]
pub(super) fn text(write: impl FnOnce(&mut Output<'_>) -> Outcome) -> String {
    let (outcome, text) = captured(write);
    outcome.unwrap();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_begin_a_line_or_reach_the_terminal() {
        let name = "a\nEQUAL\r\u{1b}[2J\u{202e}";
        assert_eq!(
            text(|out| write_line!(out, "{name} differs")),
            "a\\u{a}EQUAL\\u{d}\\u{1b}[2J\\u{202e} differs\n"
        );
        assert_eq!(text(|out| write_line!(out)), "\n");
    }

    #[test]
    fn json_keeps_its_value() {
        let name = "ü \u{7f}\u{9b}\u{202e}\u{e0001}\n\"";
        let json = text(|out| out.json(&[name]));
        assert_eq!(json, "[\n  \"ü \\u007f\\u009b\\u202e\\udb40\\udc01\\n\\\"\"\n]\n");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [name]);
    }
}
