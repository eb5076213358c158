//! A scan of a range of keys.

use std::path::Path;

use rocksdb::DBRawIterator;

use crate::store::Scan;
use crate::store::error::StoreError;

/// A scan whose cursor is at its first key.
pub(super) struct RocksScan<'a> {
    cursor: DBRawIterator<'a>,
    started: bool,
    path: &'a Path,
}

impl<'a> RocksScan<'a> {
    pub(super) const fn new(cursor: DBRawIterator<'a>, path: &'a Path) -> Self {
        Self {
            cursor,
            started: false,
            path,
        }
    }
}

impl Scan for RocksScan<'_> {
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, StoreError> {
        if self.started && self.cursor.valid() {
            self.cursor.next();
        }
        self.started = true;
        if !self.cursor.valid() {
            return match self.cursor.status() {
                Ok(()) => Ok(None),
                Err(error) => Err(StoreError::rocks("read from", self.path)(error)),
            };
        }
        Ok(self.cursor.item())
    }
}
