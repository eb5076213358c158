//! Follows the published topics of a bus, and fills the view.
//!
//! Each round looks at the ends of all partitions, at the seals first, and reads up to these ends, the seals last. So a seal that the view shows
//! comes after all its distributions, and after the decisions that it follows from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::bus::scan::{CHUNK, next_batch};
use crate::bus::{Batch, Log, Mark, Reaction, ReadError, Reader, Topic, TopicPartition};
use crate::core::values::offset::Offset;
use crate::serve::view::credits::CreditSource;
use crate::serve::view::error::ViewError;
use crate::serve::view::kept::View;
use crate::serve::view::rows::DistributionRows;
use crate::serve::view::small_topics::SmallBatch;

/// Threads that read distributions.
const THREADS: usize = 2;
/// Distributions in memory for each of these threads, before they are committed.
const ROWS: usize = 200_000;
/// How long one look for news waits.
const WAIT: Duration = Duration::from_millis(500);
/// The pause after an error that passes by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// The topics in the order in which they are read.
const TOPICS: [Topic; 5] = [
    Topic::Distributions,
    Topic::Decisions,
    Topic::DeadLetters,
    Topic::LatePostings,
    Topic::Epochs,
];

impl View {
    /// Follows `log` until `stop` is set. `credits` are the payout service's acknowledgements, if they are to be read.
    ///
    /// # Errors
    /// If the view is not of this log, or an operator has to act: the bus, the disk or the view cannot be used.
    pub fn follow(
        &self,
        log: &dyn Log,
        credits: Option<Box<dyn CreditSource>>,
        stop: &AtomicBool,
    ) -> Result<(), ViewError> {
        ViewFollower::new(self, log, stop)?.run(credits)
    }

    /// Reads up to the ends of the bus as they are now, and returns.
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub fn catch_up(&self, log: &dyn Log, credits: Option<&mut (dyn CreditSource + 'static)>) -> Result<(), ViewError> {
        ViewFollower::new(self, log, &AtomicBool::new(false))?.round(credits)?;
        self.database.flush()
    }
}

/// A partition that is followed.
struct ViewFeed {
    partition: TopicPartition,
    mark: Mark,
    end: Offset,
    reader: Option<Box<dyn Reader>>,
}

impl ViewFeed {
    fn is_behind(&self) -> bool {
        self.mark.offset < self.end
    }

    fn read(&mut self, log: &dyn Log) -> Result<Batch, ReadError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            reader => reader.insert(log.open(self.partition, &self.mark)?),
        };
        let batch = next_batch(log, self.partition, reader.as_mut(), CHUNK, self.end)?;
        self.mark = batch.next.clone();
        Ok(batch)
    }

    fn recycle(&mut self, batch: Batch) {
        if let Some(reader) = &mut self.reader {
            reader.recycle(batch);
        }
    }
}

/// Follows a bus into a view.
pub(super) struct ViewFollower<'a> {
    view: &'a View,
    log: &'a dyn Log,
    stop: &'a AtomicBool,
    feeds: BTreeMap<TopicPartition, ViewFeed>,
}

impl<'a> ViewFollower<'a> {
    /// Begins where the view is.
    ///
    /// # Errors
    /// If the records that the view was made of are not those of the log.
    pub(super) fn new(view: &'a View, log: &'a dyn Log, stop: &'a AtomicBool) -> Result<Self, ViewError> {
        for (partition, mark) in view.marks()? {
            log.check(partition, &mark).map_err(|why| match why.reaction() {
                Reaction::TryAgain => ViewError::Read(why),
                _ => ViewError::Changed {
                    path: view.database.path().to_owned(),
                    why,
                },
            })?;
        }
        Ok(Self {
            view,
            log,
            stop,
            feeds: BTreeMap::new(),
        })
    }

    /// Follows until `stop` is set.
    pub(super) fn run(&mut self, mut credits: Option<Box<dyn CreditSource>>) -> Result<(), ViewError> {
        while !self.is_stopped() {
            let seen = self.log.version();
            match self.round(credits.as_deref_mut()) {
                Ok(true) => {}
                Ok(false) => self.wait(seen)?,
                Err(ViewError::Read(error)) if error.reaction() == Reaction::TryAgain => {
                    tracing::warn!("the view waits: {error}");
                    // The next round opens them anew, where the view is.
                    self.feeds.clear();
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        self.view.database.flush()
    }

    /// Reads up to the ends as they are now. Returns whether there was anything new.
    pub(super) fn round(&mut self, credits: Option<&mut (dyn CreditSource + 'static)>) -> Result<bool, ViewError> {
        self.log.refresh();
        // The seals' end first: what they seal is below the other ends.
        for topic in TOPICS.into_iter().rev() {
            self.look(topic)?;
        }
        let behind = self.feeds.values().any(ViewFeed::is_behind);
        self.view.note_looked();
        if behind {
            self.read_distributions()?;
            for topic in TOPICS.into_iter().skip(1) {
                self.read_small(topic)?;
            }
        }
        let credited = match credits {
            Some(source) => self.view.read_credits(source)?,
            None => false,
        };
        Ok(behind || credited)
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wait(&self, seen: u64) -> Result<(), ViewError> {
        let waited = std::time::Instant::now();
        match self.log.wait(seen, WAIT) {
            Ok(_) => {}
            Err(error) if error.reaction() == Reaction::TryAgain => tracing::warn!("the view waits: {error}"),
            Err(error) => return Err(error.into()),
        }
        // An archive never has news, and does not wait.
        if waited.elapsed() < Duration::from_millis(1) && self.log.version() == seen {
            thread::sleep(WAIT);
        }
        Ok(())
    }

    /// Looks at the ends of a topic.
    fn look(&mut self, topic: Topic) -> Result<(), ViewError> {
        let numbers = match self.log.partitions(topic) {
            // An archive may hold some topics alone.
            Err(ReadError::NotArchived { .. }) => Vec::new(),
            numbers => numbers?,
        };
        for number in numbers {
            let partition = topic.partition(number);
            let end = self.log.readable_end(partition)?;
            let feed = match self.feeds.entry(partition) {
                std::collections::btree_map::Entry::Occupied(feed) => feed.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let mark = match self.view.mark(partition)? {
                        Some(mark) => mark,
                        // What retention has deleted already is not in the view.
                        None => Mark::beginning(self.log.start(partition)?),
                    };
                    place.insert(ViewFeed {
                        partition,
                        mark,
                        end,
                        reader: None,
                    })
                }
            };
            feed.end = end.max(feed.mark.offset);
            self.view.note(partition, feed.mark.offset, feed.end);
        }
        Ok(())
    }

    /// Reads the distributions of all partitions, on several threads.
    fn read_distributions(&mut self) -> Result<(), ViewError> {
        let behind: Vec<&mut ViewFeed> = self
            .feeds
            .values_mut()
            .filter(|feed| feed.partition.topic == Topic::Distributions && feed.is_behind())
            .collect();
        let records: u64 = behind.iter().map(|feed| feed.end.get() - feed.mark.offset.get()).sum();
        let threads = if records < 1_000 { 1 } else { THREADS.min(behind.len()) };
        let queue = Mutex::new(behind);
        let (view, log, stop) = (self.view, self.log, self.stop);
        let work = || -> Result<(), ViewError> {
            let mut rows = DistributionRows::default();
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(feed) = next else { return Ok(()) };
                read_feed(view, log, stop, feed, &mut rows)?;
            }
        };
        if threads <= 1 {
            return work();
        }
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let theirs = others.into_iter().map(|other| {
                other
                    .join()
                    .unwrap_or_else(|_| Err(ViewError::Figure("a thread that reads distributions panicked".into())))
            });
            theirs.fold(mine, |all, one| all.and(one))
        })
    }

    fn read_small(&mut self, topic: Topic) -> Result<(), ViewError> {
        let all = topic.partition(0)..=topic.partition(u32::MAX);
        for (partition, feed) in self.feeds.range_mut(all) {
            while feed.is_behind() && !self.stop.load(Ordering::Relaxed) {
                let records = feed.read(self.log)?;
                let mut totals = self.view.totals_to_change();
                let mut batch = SmallBatch::new(&mut totals);
                batch.add(*partition, &records);
                let SmallBatch { batch, unreadable, .. } = batch;
                self.view
                    .commit_small(batch, totals, *partition, &feed.mark, &unreadable)?;
                self.view.note(*partition, feed.mark.offset, feed.end);
                feed.recycle(records);
            }
        }
        Ok(())
    }
}

/// Reads the distributions of one partition up to its end.
fn read_feed(
    view: &View,
    log: &dyn Log,
    stop: &AtomicBool,
    feed: &mut ViewFeed,
    rows: &mut DistributionRows,
) -> Result<(), ViewError> {
    while feed.is_behind() && !stop.load(Ordering::Relaxed) {
        let batch = feed.read(log)?;
        let mut unreadable = Vec::new();
        for record in batch.iter().filter(|record| !record.value.is_empty()) {
            if let Err(why) = rows.add(record.value) {
                unreadable.push((record.offset, why));
            }
        }
        feed.recycle(batch);
        view.commit_unreadable(feed.partition, &unreadable)?;
        if rows.len() >= ROWS || !feed.is_behind() {
            view.commit_distributions(rows, feed.partition, &feed.mark)?;
            view.note(feed.partition, feed.mark.offset, feed.end);
        }
    }
    if rows.len() > 0 {
        view.commit_distributions(rows, feed.partition, &feed.mark)?;
    }
    Ok(())
}
