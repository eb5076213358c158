//! Reads the records of the output topics.

use crate::audit::published::read_all;
use crate::bus::Log;
use crate::cli::outcome::{Failure, Outcome};
use crate::core::contract::records::PublishedRecord;

/// Calls `take` with the data of every record of an output topic; with `text`, only of those that hold this JSON string somewhere.
pub(super) fn each<R: PublishedRecord>(
    bus: &dyn Log,
    text: Option<&str>,
    mut take: impl FnMut(R::Borrowed<'_>) -> Outcome,
) -> Outcome {
    read_all::<R, Failure>(bus, text, |place, data| {
        take(
            data.map_err(|error| {
                Failure::Failed(format!("{place}: not a record that softstake writes there ({error})"))
            })?,
        )
    })
}

/// All data of an output topic that `keep` wants.
pub(super) fn all<R: PublishedRecord>(
    bus: &dyn Log,
    text: Option<&str>,
    keep: impl Fn(&R::Borrowed<'_>) -> bool,
) -> Result<Vec<R>, Failure> {
    let mut kept = Vec::new();
    each::<R>(bus, text, |data| {
        if keep(&data) {
            kept.push(R::to_owned(data));
        }
        Ok(())
    })?;
    Ok(kept)
}
