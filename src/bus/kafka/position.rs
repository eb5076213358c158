//! A task's position as the metadata of a committed offset. A consumer group keeps an offset and a string for each partition (KIP-98, KIP-447).

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::bus::error::{CommitError, ReadError};
use crate::bus::position::{Position, TaskId};

/// Brokers reject longer metadata (`offset.metadata.max.bytes`).
const MAX_METADATA_BYTES: usize = 4096;

/// The start of the metadata: the name and version of the format.
const VERSION: &str = "softstake.2:";

/// The metadata that keeps `position`.
pub(super) fn encode(task: TaskId, position: &Position) -> Result<String, CommitError> {
    let failed = |why: String| CommitError::Position { task, why };
    let bytes = postcard::to_stdvec(position).map_err(|error| failed(error.to_string()))?;
    let text = format!("{VERSION}{}", STANDARD_NO_PAD.encode(bytes));
    if text.len() > MAX_METADATA_BYTES {
        return Err(failed(format!(
            "it takes {} bytes, and {MAX_METADATA_BYTES} are the most",
            text.len()
        )));
    }
    Ok(text)
}

/// The position that `metadata` keeps.
pub(super) fn decode(task: TaskId, metadata: &str) -> Result<Position, ReadError> {
    let failed = |why: &str| ReadError::Position {
        task,
        why: why.to_owned(),
    };
    let text = metadata
        .strip_prefix(VERSION)
        .ok_or_else(|| failed("softstake did not write its metadata"))?;
    let bytes = STANDARD_NO_PAD
        .decode(text)
        .map_err(|_| failed("its metadata is damaged"))?;
    postcard::from_bytes(&bytes).map_err(|_| failed("its metadata is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::position::{Cursor, Mark};
    use crate::bus::running_digest::RunningDigest;
    use crate::core::contract::topic::Topic;
    use crate::core::values::offset::Offset;

    #[test]
    fn a_position_is_decoded_as_it_was_encoded() {
        let source = Topic::Trades.partition(31);
        let mark = Mark {
            offset: Offset::NO_LIMIT,
            digest: Some(RunningDigest::from_bytes([0xab; RunningDigest::LEN])),
            evidence: vec![7; 16],
        };
        let position = Position {
            inputs: [(source, mark.clone()), (Topic::Decisions.partition(0), mark)].into(),
            cursor: Cursor {
                job: u32::MAX,
                reached: vec![255; 2],
            },
        };
        let task = TaskId::ingest(source);
        let text = encode(task, &position).unwrap();
        assert_eq!(decode(task, &text).unwrap(), position);
        for foreign in ["", "hello", "softstake.1:", "softstake.2:%", "softstake.2:////"] {
            let error = decode(task, foreign).unwrap_err().to_string();
            assert!(error.contains("ingest exchange.trades:31"), "{error}");
        }
        let long = Position {
            cursor: Cursor {
                job: 0,
                reached: vec![0; 5000],
            },
            ..Position::default()
        };
        assert!(encode(task, &long).unwrap_err().to_string().contains("4096"));
    }
}
