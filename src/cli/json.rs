//! Results as JSON.

use std::io::Write;

use serde::Serialize;

use crate::cli::outcome::Outcome;

/// Writes a value as indented JSON.
pub(super) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut dyn Write) -> Outcome {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}
