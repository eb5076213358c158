//! The records that no bus of files can hold.

use crate::bus::error::CommitError;
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::TopicKind;

/// Rejects records on an input topic, and records with a line feed on a topic of lines.
pub(super) fn check(outputs: &Outputs) -> Result<(), CommitError> {
    for (partition, _key, value) in outputs.iter() {
        let what = match partition.topic.kind() {
            TopicKind::Input => "others write this topic, softstake only reads it",
            TopicKind::Output if memchr::memchr(b'\n', value).is_some() => "it holds a line feed",
            TopicKind::Output | TopicKind::Inner => continue,
        };
        return Err(CommitError::Rejected {
            partition,
            what: what.to_owned(),
        });
    }
    Ok(())
}
