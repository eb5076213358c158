//! The keys that a store keeps for itself. Keys of tables begin with a byte other than zero.

use std::path::Path;

use crate::bus::Position;
use crate::store::error::StoreError;

pub(super) const FORMAT: &[u8] = b"\0format";
pub(super) const OWNER: &[u8] = b"\0owner";
pub(super) const POSITION: &[u8] = b"\0position";
pub(super) const AFTER_OWN_KEYS: &[u8] = &[1];

/// The position of a store, from the value of [`POSITION`]; that of a new store without one.
pub(super) fn decode_position(stored: Option<Vec<u8>>, path: &Path) -> Result<Position, StoreError> {
    match stored {
        None => Ok(Position::default()),
        Some(bytes) => postcard::from_bytes(&bytes)
            .map_err(|error| StoreError::damaged(path, format!("its position is unreadable: {error}"))),
    }
}
