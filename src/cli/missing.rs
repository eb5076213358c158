//! Epochs that were asked for and are not there, in front of the results.

use crate::audit::asked::MissingEpochs;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};

/// Says first which epochs the results below do not cover.
pub(super) fn show(missing: &[MissingEpochs], out: &mut Output<'_>) -> Outcome {
    if missing.is_empty() {
        return Ok(());
    }
    write_line!(out, "Not covered below:")?;
    for missing in missing {
        write_line!(out, "  {missing}")?;
    }
    write_line!(out)
}
