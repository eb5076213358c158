//! The sorted runs of a store on disk: each is one file of a column family, which RocksDB never rewrites.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rocksdb::{ColumnFamily, DB, IngestExternalFileOptions, Options, SstFileWriter};

use crate::store::error::StoreError;
use crate::store::runs::{SortedRuns, block_key};

/// The column family of the runs.
pub(super) const RUNS: &str = "runs";

/// The sorted runs of an open store. It keeps the store open, so it must be dropped before the store.
#[derive(Clone)]
pub(super) struct RocksRuns {
    pub(super) db: Arc<DB>,
    pub(super) path: PathBuf,
    /// Where a run is written before it becomes part of the store.
    pub(super) incoming: PathBuf,
    pub(super) options: Options,
}

impl RocksRuns {
    fn family(&self) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(RUNS)
            .ok_or_else(|| StoreError::damaged(&self.path, "its column family of runs is missing"))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(rocksdb::Error) -> StoreError {
        StoreError::rocks(action, &self.path)
    }

    /// The numbers of all runs.
    fn numbers(&self) -> Result<Vec<u32>, StoreError> {
        let mut numbers = Vec::new();
        let mut cursor = self.db.raw_iterator_cf(self.family()?);
        cursor.seek_to_first();
        while let Some(run) = cursor.key().and_then(|key| key.first_chunk()) {
            let run = u32::from_be_bytes(*run);
            numbers.push(run);
            let Some(next) = run.checked_add(1) else { break };
            cursor.seek(block_key(next, 0));
        }
        cursor.status().map_err(self.failed("read from"))?;
        Ok(numbers)
    }
}

impl SortedRuns for RocksRuns {
    fn add(&self, run: u32, blocks: &mut dyn Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        let file = self.incoming.join("run.sst");
        let mut writer = SstFileWriter::create(&self.options);
        writer.open(&file).map_err(self.failed("write a file for"))?;
        for (block, number) in blocks.zip(0..) {
            writer
                .put(block_key(run, number), block)
                .map_err(self.failed("write a file for"))?;
        }
        writer.finish().map_err(self.failed("write a file for"))?;
        // No run lies between the keys of another. So RocksDB puts the file at its lowest level, and never rewrites it.
        let mut ingestion = IngestExternalFileOptions::default();
        ingestion.set_move_files(true);
        self.db
            .ingest_external_file_cf_opts(self.family()?, &ingestion, vec![&file])
            .map_err(self.failed("add a run to"))
    }

    fn block(&self, run: u32, block: u32) -> Result<Vec<u8>, StoreError> {
        let found = self
            .db
            .get_cf(self.family()?, block_key(run, block))
            .map_err(self.failed("read from"))?;
        found.ok_or_else(|| StoreError::damaged(&self.path, format!("block {block} of run {run} is missing")))
    }

    fn keep_only(&self, kept: &BTreeSet<u32>) -> Result<(), StoreError> {
        let mut unwanted = self.numbers()?;
        unwanted.retain(|run| !kept.contains(run));
        if unwanted.is_empty() {
            return Ok(());
        }
        self.db.flush_wal(true).map_err(self.failed("commit to"))?;
        for run in unwanted {
            let (from, to) = (block_key(run, 0), block_key(run, u32::MAX));
            self.db
                .delete_file_in_range_cf(self.family()?, from, to)
                .map_err(self.failed("remove a run of"))?;
        }
        Ok(())
    }
}
