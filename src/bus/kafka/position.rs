//! A task's position as the metadata of a committed offset (KIP-98, KIP-447): what a consumer group keeps for a partition is an offset and a string.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::bus::error::BusError;
use crate::bus::position::{Position, TaskId};

/// Brokers refuse more (`offset.metadata.max.bytes`).
const MAX_METADATA_BYTES: usize = 4096;

/// The start of the metadata: a format's number.
const VERSION: &str = "softstake.1:";

/// The metadata that keeps `position`.
pub(super) fn write(task: TaskId, position: &Position) -> Result<String, BusError> {
    let refused = |why: String| BusError::Kafka {
        action: format!("commit the position of {task}"),
        why,
    };
    let bytes = postcard::to_stdvec(position).map_err(|error| refused(error.to_string()))?;
    let text = format!("{VERSION}{}", STANDARD_NO_PAD.encode(bytes));
    if text.len() > MAX_METADATA_BYTES {
        return Err(refused(format!(
            "it takes {} bytes, {MAX_METADATA_BYTES} are possible",
            text.len()
        )));
    }
    Ok(text)
}

/// The position that `metadata` keeps.
pub(super) fn read(task: TaskId, metadata: &str) -> Result<Position, BusError> {
    let refused = |why: &str| BusError::Kafka {
        action: format!("read the committed position of {task}"),
        why: format!(
            "{why}: somebody else commits offsets under this group's name, or another version of softstake does; give this deployment a name of its own"
        ),
    };
    let text = metadata
        .strip_prefix(VERSION)
        .ok_or_else(|| refused("its metadata is not ours"))?;
    let bytes = STANDARD_NO_PAD
        .decode(text)
        .map_err(|_| refused("its metadata is damaged"))?;
    postcard::from_bytes(&bytes).map_err(|_| refused("its metadata is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::position::{Cursor, Mark};
    use crate::core::contract::topic::Topic;

    #[test]
    fn comes_back() {
        let source = Topic::Trades.partition(31);
        let mark = Mark {
            offset: u64::MAX,
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
        let text = write(task, &position).unwrap();
        assert_eq!(read(task, &text).unwrap(), position);
        for foreign in ["", "hello", "softstake.1:%", "softstake.1:////"] {
            let error = read(task, foreign).unwrap_err().to_string();
            assert!(error.contains("ingest exchange.trades:31"), "{error}");
        }
        let long = Position {
            cursor: Cursor {
                job: 0,
                reached: vec![0; 5000],
            },
            ..Position::default()
        };
        assert!(write(task, &long).unwrap_err().to_string().contains("4096"));
    }
}
