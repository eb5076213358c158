//! Messages for people, a line each, on stderr.

use std::fmt;
use std::io::{self, Write};

use crate::core::values::credentials::without_credentials;
use crate::core::values::printable::escape_for_terminal;

/// Writes one line to stderr.
macro_rules! message {
    ($($text:tt)+) => {
        $crate::cli::message::to_stderr(format_args!($($text)+))
    };
}

pub(super) use message;

/// Writes one line to stderr; [`message!`] formats it. If stderr is closed, the exit status still tells.
pub(super) fn to_stderr(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(escaped_line(text).as_bytes());
}

/// One line without credentials, and without any character that a terminal might execute or hide. Its only line feed is at its end.
pub(super) fn escaped_line(text: fmt::Arguments<'_>) -> String {
    let mut line = escaped(&text.to_string());
    line.push('\n');
    line
}

/// A text without credentials, and without any character that a terminal might execute or hide.
pub(super) fn escaped(text: &str) -> String {
    escape_for_terminal(&without_credentials(text)).into_owned()
}
