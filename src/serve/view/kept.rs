//! The view itself: what it keeps, and how it is committed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rocksdb::WriteBatch;

use crate::bus::{Mark, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::values::offset::Offset;
use crate::serve::view::catalogue::ViewCatalogue;
use crate::serve::view::database::ViewDatabase;
use crate::serve::view::error::ViewError;
use crate::serve::view::keys;
use crate::serve::view::progress::{Followed, ViewProgress};
use crate::serve::view::rows::{DistributionRows, EpochFrames};
use crate::serve::view::small_topics::SmallTotals;

/// A part of a list, and where the next part begins.
#[derive(Debug, Clone)]
pub struct ViewPage<T> {
    pub items: Vec<T>,
    /// The key of the last item, if more come after it.
    pub next: Option<Vec<u8>>,
}

/// What was published, as far as it is read. One thread follows the bus; any number may read.
pub struct View {
    pub(super) database: ViewDatabase,
    pub(super) frames: RwLock<EpochFrames>,
    totals: RwLock<Arc<SmallTotals>>,
    followed: Followed,
    unreadable: AtomicU64,
}

impl View {
    /// Opens the view at `path`, or creates it. `log` is the identity of the bus ([`Log::identity`]).
    ///
    /// # Errors
    /// If it is of another bus or version, in use or damaged.
    pub fn open(path: &Path, log: &str) -> Result<Self, ViewError> {
        let database = ViewDatabase::open(path, log)?;
        let (frames, totals) = (read_frames(&database)?, read_totals(&database)?);
        let mut unreadable = 0;
        let mut scan = database.scan_prefix(&keys::all_unreadable().0);
        while scan.next()?.is_some() {
            unreadable += 1;
        }
        drop(scan);
        let view = Self {
            database,
            frames: RwLock::new(frames),
            totals: RwLock::new(Arc::new(totals)),
            followed: Followed::default(),
            unreadable: AtomicU64::new(unreadable),
        };
        for (partition, mark) in view.marks()? {
            view.note(partition, mark.offset, mark.offset);
        }
        Ok(view)
    }

    /// How far the bus is read.
    #[must_use]
    pub fn progress(&self) -> ViewProgress {
        self.followed.progress()
    }

    /// How many records of the published topics no Softstake wrote. They are left out.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// The assets, programmes and epochs on record.
    #[must_use]
    pub fn catalogue(&self) -> CatalogueOfView {
        CatalogueOfView(self.totals())
    }

    pub(super) fn totals(&self) -> Arc<SmallTotals> {
        Arc::clone(&self.totals.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn totals_to_change(&self) -> SmallTotals {
        (*self.totals()).clone()
    }

    pub(super) fn note(&self, partition: TopicPartition, offset: Offset, end: Offset) {
        self.followed.note(partition, offset, end);
    }

    /// What the follower notes.
    pub(super) const fn followed(&self) -> &Followed {
        &self.followed
    }

    /// The mark of a partition; `None` if nothing of it was read.
    pub(super) fn mark(&self, partition: TopicPartition) -> Result<Option<Mark>, ViewError> {
        let stored = self.database.get(&keys::mark(partition))?;
        stored.map(|bytes| self.read_mark(&bytes)).transpose()
    }

    fn read_mark(&self, bytes: &[u8]) -> Result<Mark, ViewError> {
        postcard::from_bytes(bytes).map_err(|error| self.database.damaged(format!("a mark: {error}")))
    }

    pub(super) fn marks(&self) -> Result<BTreeMap<TopicPartition, Mark>, ViewError> {
        let mut marks = BTreeMap::new();
        let mut scan = self.database.scan_prefix(keys::marks());
        while let Some((key, value)) = scan.next()? {
            if let Some(partition) = keys::read_mark(key) {
                marks.insert(partition, self.read_mark(value)?);
            }
        }
        Ok(marks)
    }

    pub(super) fn commit_distributions(
        &self,
        rows: &mut DistributionRows,
        partition: TopicPartition,
        mark: &Mark,
    ) -> Result<(), ViewError> {
        // Before the rows, so that each row that is found has its frame.
        let mut frames = self.frames.write().unwrap_or_else(PoisonError::into_inner);
        for ((asset, epoch), frame) in &rows.frames {
            let known = frames.entry((*asset, *epoch)).or_insert(*frame);
            if known != frame {
                return Err(ViewError::Figure(format!(
                    "distributions of {asset} epoch {epoch} on {partition} have other times, or another reward asset or programme, than \
                     others of this epoch: no softstake writes these; `softstake reconcile` tells more"
                )));
            }
        }
        drop(frames);
        rows.commit(&self.database, partition, mark)?;
        rows.clear();
        Ok(())
    }

    /// Keeps records that no Softstake wrote. Kept twice, they are the same.
    pub(super) fn commit_unreadable(
        &self,
        partition: TopicPartition,
        records: &[(Offset, String)],
    ) -> Result<(), ViewError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        self.put_unreadable(&mut batch, partition, records)?;
        self.database.write(batch)
    }

    fn put_unreadable(
        &self,
        batch: &mut WriteBatch,
        partition: TopicPartition,
        records: &[(Offset, String)],
    ) -> Result<(), ViewError> {
        if !records.is_empty() {
            // Else they are told and counted with each attempt.
            self.database.check_room()?;
        }
        for (offset, why) in records {
            tracing::warn!("{partition}, offset {offset}: no record of softstake ({why}); the view leaves it out");
            let key = keys::unreadable(partition, *offset);
            if self.database.get(&key)?.is_none() {
                self.unreadable.fetch_add(1, Ordering::Relaxed);
            }
            batch.put(key, why.as_bytes());
        }
        Ok(())
    }

    pub(super) fn commit_small(
        &self,
        mut batch: WriteBatch,
        totals: SmallTotals,
        partition: TopicPartition,
        mark: &Mark,
        unreadable: &[(Offset, String)],
    ) -> Result<(), ViewError> {
        self.put_unreadable(&mut batch, partition, unreadable)?;
        let mark = postcard::to_stdvec(mark).map_err(|error| self.database.damaged(error.to_string()))?;
        batch.put(keys::mark(partition), mark);
        self.database.write(batch)?;
        *self.totals.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(totals);
        Ok(())
    }

    /// Reads a part of a range of keys: at most `limit` items after the key `after`. `read` may leave out a row.
    pub(super) fn page<T>(
        &self,
        (from, to): (&[u8], &[u8]),
        after: Option<&[u8]>,
        limit: usize,
        mut read: impl FnMut(&[u8], &[u8]) -> Result<Option<T>, ViewError>,
    ) -> Result<ViewPage<T>, ViewError> {
        let after = after.map(|key| [key, &[0]].concat());
        let begin = after.as_deref().filter(|key| *key > from).unwrap_or(from);
        let (mut items, mut last) = (Vec::new(), None);
        let mut scan = self.database.scan(begin, to);
        while let Some((key, value)) = scan.next()? {
            let Some(item) = read(key, value)? else { continue };
            if items.len() == limit {
                return Ok(ViewPage { items, next: last });
            }
            items.push(item);
            if items.len() == limit {
                last = Some(key.to_vec());
            }
        }
        Ok(ViewPage { items, next: None })
    }
}

/// The catalogue as it was when it was asked for.
#[derive(Debug, Clone)]
pub struct CatalogueOfView(Arc<SmallTotals>);

impl std::ops::Deref for CatalogueOfView {
    type Target = ViewCatalogue;

    fn deref(&self) -> &ViewCatalogue {
        &self.0.catalogue
    }
}

fn read_frames(database: &ViewDatabase) -> Result<EpochFrames, ViewError> {
    let mut frames = EpochFrames::new();
    let mut scan = database.scan_prefix(&keys::frames());
    while let Some((key, value)) = scan.next()? {
        let at = keys::read_asset_epoch(key).ok_or_else(|| database.damaged("a key of an epoch"))?;
        let frame = postcard::from_bytes(value).map_err(|error| database.damaged(format!("an epoch: {error}")))?;
        frames.insert(at, frame);
    }
    Ok(frames)
}

/// Adds up the decisions and seals again, and reads the counts.
fn read_totals(database: &ViewDatabase) -> Result<SmallTotals, ViewError> {
    let mut totals = SmallTotals::default();
    let mut scan = database.scan_prefix(&keys::decisions().0);
    while let Some((_, value)) = scan.next()? {
        totals.catalogue.add(&Decision::read(value)?);
    }
    let mut scan = database.scan_prefix(&keys::seals().0);
    while let Some((key, _)) = scan.next()? {
        let (asset, epoch) = keys::read_asset_epoch(key).ok_or_else(|| database.damaged("a key of a seal"))?;
        totals.catalogue.seal(asset, epoch);
    }
    let count = |value: &[u8]| <[u8; 8]>::try_from(value).map_or(0, u64::from_be_bytes);
    let mut scan = database.scan_prefix(&keys::letter_counts().0);
    while let Some((key, value)) = scan.next()? {
        if let [_, topic, code] = key {
            totals.letters.insert((*topic, *code), count(value));
        }
    }
    let mut scan = database.scan_prefix(&keys::late_counts().0);
    while let Some((key, value)) = scan.next()? {
        let at = keys::read_asset_epoch(key).ok_or_else(|| database.damaged("a count of late postings"))?;
        totals.late.insert(at, count(value));
    }
    Ok(totals)
}
