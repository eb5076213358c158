//! The encoding of inner records and of stored state: a version byte, then postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::fault::Fault;

/// The version of the encoding: the first byte of each record.
const VERSION: u8 = 3;

/// Encodes an inner record or the state of a task.
///
/// # Errors
/// None in practice.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    postcard::to_extend(value, vec![VERSION]).map_err(|error| Fault::Undecodable {
        what: "an inner record",
        why: error.to_string(),
    })
}

/// Decodes an inner record or the state of a task. `what` names it in the error.
///
/// # Errors
/// If the bytes are something else, or of another version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Fault> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|error| Fault::Undecodable {
            what,
            why: error.to_string(),
        }),
        Some((version, _)) => Err(Fault::Undecodable {
            what,
            why: format!("its format version is {version}, this softstake knows {VERSION}"),
        }),
        None => Err(Fault::Undecodable {
            what,
            why: "it is empty".into(),
        }),
    }
}
