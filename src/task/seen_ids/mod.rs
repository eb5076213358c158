//! The ids of the events that a source partition applied, by which copies are recognised.
//!
//! There is one for each event of the dedup window, so they are most of what an ingest task keeps. All but a few are looked up once, in vain: when
//! their event arrives. So they are no keys of the store.
//!
//! - **Recent** ids are in memory. At each persist, those applied since the last one are written as a [`log`], in the order of their events. A restart
//!   reads the logs.
//! - When there are enough recent ids, they become a sorted [`run`](SortedRuns), and their logs are deleted. A run has blocks of ids, and a
//!   [`filter`] in memory: of the ids that it does not have, one in some 400 is looked up on disk.
//! - Runs are merged, so that there are few of them, and dropped when all their ids have expired. None is ever changed.
//!
//! An id costs some 26 bytes on disk. In memory, it costs some 48 bytes while it is recent, then less than 2, for the filter.

mod entry;
mod filter;
mod log;
mod recent;
mod run;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::sync::Arc;

use crate::core::dedup::{DedupIndex, PostingEpochs, SeenEvent};
use crate::core::protocol::codec;
use crate::core::values::ids::Epoch;
use crate::store::{Changes, SortedRuns, Store, tables};
use crate::task::fold::FoldError;
use crate::task::seen_ids::entry::{EpochsTable, Id, IdEntry, Kept, seen_event};
use crate::task::seen_ids::log::{log, read_log};
use crate::task::seen_ids::recent::{RECENT_BYTES, RecentIds};
use crate::task::seen_ids::run::{IdRun, NewRun, RunContents, merge};

/// How many ids a log has at most: some 1.6 MB.
const LOG_IDS: usize = 1 << 16;

/// When runs are written and merged.
#[derive(Debug, Clone, Copy)]
struct RunSizes {
    /// So many recent ids become a run at the next persist.
    from: usize,
    /// So many runs of about one size are merged.
    fan_in: usize,
    /// A merge takes no more ids. The task waits for it, some 60 ns for each.
    merged: u64,
}

impl RunSizes {
    /// For a task that may keep so many bytes of changes in memory: a sixth of it for recent ids.
    fn within(bytes: usize) -> Self {
        Self {
            from: (bytes / 6 / RECENT_BYTES).clamp(1 << 12, 1 << 17),
            fan_in: 8,
            merged: 1 << 22,
        }
    }
}

/// An identity is the start of a SHA-256, so any eight bytes of it are a hash already.
#[derive(Debug, Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length of the array, which comes before its bytes, is always the same.
    fn write_usize(&mut self, _: usize) {}
}

type ById<T> = HashMap<Id, T, BuildHasherDefault<FirstBytes>>;

/// The seen ids of an ingest task.
pub struct SeenIds {
    on_disk: Arc<dyn SortedRuns>,
    sizes: RunSizes,
    recent: RecentIds,
    /// The posting epochs of the recent ids.
    table: EpochsTable,
    /// So many of the recent ids are in a log.
    logged: usize,
    next_log: u64,
    runs: Vec<IdRun>,
    next_run: u32,
    /// Whether there may be runs on disk that the last commit does not name.
    has_unnamed: bool,
    /// Found on disk for what is applied next.
    loaded: ById<Vec<SeenEvent>>,
    /// The oldest epoch in the dedup window of each asset, by number, as of the last persist.
    oldest_kept: Vec<Epoch>,
}

impl SeenIds {
    /// Opens the seen ids of a store, for a task that may keep so many bytes of changes in memory.
    pub fn open(store: &dyn Store, changes_bytes: usize) -> Result<Self, FoldError> {
        Self::with_sizes(store, RunSizes::within(changes_bytes))
    }

    fn with_sizes(store: &dyn Store, sizes: RunSizes) -> Result<Self, FoldError> {
        let mut ids = Self {
            on_disk: store.runs()?,
            sizes,
            recent: RecentIds::expecting(sizes.from),
            table: EpochsTable::default(),
            logged: 0,
            next_log: 0,
            runs: Vec::new(),
            next_run: 0,
            has_unnamed: true,
            loaded: ById::default(),
            oldest_kept: Vec::new(),
        };
        let (from, to) = tables::all_id_runs();
        let mut scan = store.scan(&from, &to)?;
        while let Some((key, value)) = scan.next()? {
            let number = tables::id_run_number(key)?;
            let contents: RunContents = codec::decode(value, "a run of ids")?;
            ids.runs.push(IdRun::open(number, contents, ids.on_disk.as_ref())?);
            ids.next_run = number.saturating_add(1);
        }
        let (from, to) = tables::all_id_logs();
        let mut scan = store.scan(&from, &to)?;
        while let Some((key, value)) = scan.next()? {
            ids.next_log = tables::id_log_number(key)?.saturating_add(1);
            let (table, entries) = read_log(value)?;
            for entry in entries {
                if let Some(epochs) = table.get(entry.kept.epochs as usize) {
                    let epochs = ids.table.number(epochs);
                    let kept = Kept { epochs, ..entry.kept };
                    ids.recent.push(IdEntry { kept, ..entry });
                }
            }
        }
        ids.logged = ids.recent.entries().len();
        ids.remove_unnamed()?;
        Ok(ids)
    }

    /// Looks up on disk the events with these identities, before their records are applied. They replace those looked up before.
    pub fn load<'a>(&mut self, identities: impl Iterator<Item = &'a Id>) -> Result<(), FoldError> {
        self.loaded.clear();
        let identities: Vec<&Id> = identities.collect();
        // They are looked up among the recent ones when they are applied, one by one. A look at all of them first brings what is needed for that into
        // the processor's cache, and it need not wait for one before it asks for the next.
        black_box(identities.iter().filter(|id| self.recent.get(id).is_some()).count());
        if self.runs.is_empty() {
            return Ok(());
        }
        let mut hits = Vec::new();
        for run in &self.runs {
            let passed = identities.iter().filter(|id| run.filter.may_have(id));
            hits.extend(passed.map(|id| (run.block_of(id), **id)));
            // By block, so that each is read once.
            hits.sort_unstable();
            hits.dedup();
            for in_block in hits.chunk_by(|(a, _), (b, _)| a == b) {
                let Some((number, _)) = in_block.first() else { continue };
                let block = self.on_disk.block(run.number, *number)?;
                for (_, id) in in_block {
                    for seen in run.find(&block, id)? {
                        self.loaded.entry(*id).or_default().push(seen);
                    }
                }
            }
            hits.clear();
        }
        Ok(())
    }

    /// The recent ids that are in no log yet.
    fn unlogged(&self) -> &[IdEntry] {
        self.recent.entries().get(self.logged..).unwrap_or_default()
    }

    /// Bytes that the ids take that are not written yet, about.
    pub fn unwritten_bytes(&self) -> usize {
        self.unlogged().len() * RECENT_BYTES
    }

    /// Writes the ids of the events applied since the last persist, given the oldest epoch in the dedup window of each asset, by number.
    pub fn write(&mut self, oldest_kept: impl Iterator<Item = Epoch>, changes: &mut Changes) -> Result<(), FoldError> {
        self.remove_unnamed()?;
        self.oldest_kept.clear();
        self.oldest_kept.extend(oldest_kept);
        if self.recent.entries().len() >= self.sizes.from {
            self.write_run(changes)?;
        } else {
            self.write_logs(changes);
        }
        self.merge_runs(changes)
    }

    /// Removes the runs that no commit names any more, or yet. All commits are done when this is called.
    fn remove_unnamed(&mut self) -> Result<(), FoldError> {
        if self.has_unnamed {
            let named = self.runs.iter().map(|run| run.number).collect();
            self.on_disk.keep_only(&named)?;
            self.has_unnamed = false;
        }
        Ok(())
    }

    fn write_logs(&mut self, changes: &mut Changes) {
        let mut number = self.next_log;
        for entries in self.unlogged().chunks(LOG_IDS) {
            changes.put(&tables::id_log(number), &log(entries, self.table.all()));
            number += 1;
        }
        (self.next_log, self.logged) = (number, self.recent.entries().len());
    }

    /// Makes a run of the recent ids, in place of their logs.
    fn write_run(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        let entries = self.recent.sort();
        let mut lists: Vec<(PostingEpochs, u64)> = self.table.all().iter().map(|epochs| (epochs.clone(), 0)).collect();
        for entry in entries {
            if let Some((_, ids)) = lists.get_mut(entry.kept.epochs as usize) {
                *ids += 1;
            }
        }
        let new = NewRun {
            number: self.next_run,
            lists,
        };
        let all = std::iter::once(Ok(Cow::Borrowed(entries)));
        let run = IdRun::write(new, all, self.on_disk.as_ref())?;
        self.recent.clear();
        self.table.clear();
        self.logged = 0;
        let (from, to) = tables::all_id_logs();
        changes.delete_range(&from, &to);
        self.next_log = 0;
        self.add_run(run, changes)
    }

    fn add_run(&mut self, run: IdRun, changes: &mut Changes) -> Result<(), FoldError> {
        changes.put(&tables::id_run(run.number), &codec::encode(&run.contents)?);
        self.next_run = run.number + 1;
        self.runs.push(run);
        Ok(())
    }

    /// Drops runs whose ids have all expired, and merges some of the others, if there are many of about one size, or if most of their ids have expired.
    fn merge_runs(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        let number = self.next_run;
        let oldest_kept = &self.oldest_kept;
        let is_live = |epochs: &PostingEpochs| {
            epochs.iter().all(|at| {
                let oldest = oldest_kept.get(usize::from(at.number()));
                oldest.is_none_or(|oldest| at.epoch() >= *oldest)
            })
        };
        let live: Vec<u64> = self.runs.iter().map(|run| run.count(is_live)).collect();
        let sizes = self
            .runs
            .iter()
            .zip(&live)
            .map(|(run, live)| (run.contents.ids(), *live));
        let merged = self.sizes.choose(&sizes.collect::<Vec<_>>());
        let new = if merged.is_empty() {
            None
        } else {
            let runs: Vec<&IdRun> = merged.iter().filter_map(|at| self.runs.get(*at)).collect();
            Some(merge(number, &runs, is_live, self.on_disk.as_ref())?)
        };
        let mut kept = Vec::new();
        for ((at, run), live) in self.runs.drain(..).enumerate().zip(live) {
            if live == 0 || merged.contains(&at) {
                changes.delete(&tables::id_run(run.number));
                self.has_unnamed = true;
            } else {
                kept.push(run);
            }
        }
        self.runs = kept;
        match new {
            Some(run) => self.add_run(run, changes),
            None => Ok(()),
        }
    }
}

impl RunSizes {
    /// The size class of a run: each is eight times as large as the one before.
    fn class(self, live: u64) -> u32 {
        (live / self.from as u64).max(1).ilog(self.fan_in as u64)
    }

    /// Which of these runs to merge, given how many ids they have and how many of those are live.
    fn choose(self, runs: &[(u64, u64)]) -> Vec<usize> {
        let mut smallest_first: Vec<(usize, u64)> = Vec::new();
        for (at, (ids, live)) in runs.iter().enumerate() {
            if *live > 0 && live * 2 < *ids {
                smallest_first.push((at, *live));
            }
        }
        if smallest_first.is_empty() {
            let classes = runs
                .iter()
                .filter(|(_, live)| *live > 0)
                .map(|(_, live)| self.class(*live));
            let mut counts = std::collections::BTreeMap::<u32, usize>::new();
            classes.for_each(|class| *counts.entry(class).or_default() += 1);
            let crowded = counts.into_iter().find(|(_, count)| *count >= self.fan_in);
            let Some((crowded, _)) = crowded else { return Vec::new() };
            let of_class = runs
                .iter()
                .enumerate()
                .filter(|(_, (_, live))| *live > 0 && self.class(*live) == crowded);
            smallest_first.extend(of_class.map(|(at, (_, live))| (at, *live)));
        }
        smallest_first.sort_unstable_by_key(|(_, live)| *live);
        let mut room = self.merged;
        let fitting = smallest_first.into_iter().map_while(|(at, live)| {
            room = room.checked_sub(live)?;
            Some(at)
        });
        let merged: Vec<usize> = fitting.take(self.fan_in).collect();
        // One alone is written anew only if most of it has expired.
        let is_worth_it = merged.len() > 1
            || merged
                .iter()
                .any(|at| runs.get(*at).is_some_and(|(ids, live)| live * 2 < *ids));
        if is_worth_it { merged } else { Vec::new() }
    }
}

impl DedupIndex for SeenIds {
    fn find(&self, identity: &Id, is_live: impl Fn(&SeenEvent) -> bool) -> Option<SeenEvent> {
        let recent = self.recent.get(identity);
        let recent = recent.and_then(|kept| seen_event(kept, self.table.all()));
        let loaded = || self.loaded.get(identity)?.iter().find(|seen| is_live(seen)).cloned();
        recent.filter(|seen| is_live(seen)).or_else(loaded)
    }

    fn insert(&mut self, identity: Id, seen: SeenEvent) {
        let kept = Kept {
            fingerprint: seen.fingerprint,
            epochs: self.table.number(&seen.postings),
        };
        self.recent.push(IdEntry { id: identity, kept });
    }
}
