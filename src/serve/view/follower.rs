//! Follows the published topics of a bus, and fills the view.
//!
//! Each round looks at the ends of all partitions, at the seals first, and reads up to these ends, the seals last. So a seal that the view shows
//! comes after all its distributions, and after the decisions that it follows from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bus::scan::{CHUNK, next_batch};
use crate::bus::{Batch, Log, Mark, ReadError, Reader, Topic, TopicPartition};
use crate::core::values::offset::Offset;
use crate::outage::Outage;
use crate::serve::view::credit_reader::CreditReader;
use crate::serve::view::credits::{CreditSource, CreditsError};
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

/// The time between two looks at the disk with the view.
const LOOK_AT_DISK_EVERY: Duration = Duration::from_secs(10);

/// The topics in the order in which they are read.
const TOPICS: [Topic; 5] = [
    Topic::Distributions,
    Topic::Decisions,
    Topic::DeadLetters,
    Topic::LatePostings,
    Topic::Epochs,
];

impl View {
    /// Follows `log` until `stop` is set. `credits` are the payout service's acknowledgements, if they are to be read. An error that may pass is told
    /// in the log when it begins and when it is over, and waited for.
    ///
    /// # Errors
    /// If the view is not of this log or damaged, or the bus has other records than were read ([`ViewError::may_pass`]).
    pub fn follow(
        &self,
        log: &dyn Log,
        credits: Option<Box<dyn CreditSource>>,
        stop: &AtomicBool,
    ) -> Result<(), ViewError> {
        ViewFollower::new(self, log, stop).run(credits.map(CreditReader::new))
    }

    /// Reads up to the ends of the bus as they are now, and returns.
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub fn catch_up(&self, log: &dyn Log, credits: Option<&mut (dyn CreditSource + 'static)>) -> Result<(), ViewError> {
        ViewFollower::new(self, log, &AtomicBool::new(false)).round()?;
        if let Some(source) = credits {
            self.read_credits(source).map_err(|error| match error {
                CreditsError::View(error) => error,
                CreditsError::Away(why) | CreditsError::Wrong(why) => ViewError::Credits(why),
            })?;
        }
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
    /// Whether the records that the view was made of were found on the log.
    is_checked: bool,
    outage: Outage,
    looked_at_disk: Option<Instant>,
}

impl<'a> ViewFollower<'a> {
    /// Begins where the view is.
    pub(super) fn new(view: &'a View, log: &'a dyn Log, stop: &'a AtomicBool) -> Self {
        Self {
            view,
            log,
            stop,
            feeds: BTreeMap::new(),
            is_checked: false,
            outage: Outage::default(),
            looked_at_disk: None,
        }
    }

    /// Follows until `stop` is set.
    fn run(&mut self, mut credits: Option<CreditReader>) -> Result<(), ViewError> {
        if credits.is_some() {
            self.view.followed().note_credits();
        }
        while !self.stop.load(Ordering::Relaxed) {
            self.look_at_disk();
            match self.step(credits.as_mut()) {
                Ok(()) => self.goes_on(),
                Err(error) if error.may_pass() => self.waits(&error),
                Err(error) => return Err(error),
            }
        }
        match self.view.database.flush() {
            // What is not on the disk is read again.
            Err(error) if error.may_pass() => Ok(()),
            flushed => flushed,
        }
    }

    /// Reads up to the ends, or waits for news.
    fn step(&mut self, credits: Option<&mut CreditReader>) -> Result<(), ViewError> {
        let seen = self.log.version();
        let news = self.round()?;
        let credited = match credits {
            Some(credits) => credits.read(self.view, self.stop)?,
            None => false,
        };
        if news || credited {
            return Ok(());
        }
        self.wait(seen)
    }

    /// Looks at the disk with the view now and then, so that those who look at the view never wait for it.
    fn look_at_disk(&mut self) {
        if self
            .looked_at_disk
            .is_none_or(|looked| looked.elapsed() >= LOOK_AT_DISK_EVERY)
        {
            self.looked_at_disk = Some(Instant::now());
            // A disk that does not answer fails the next commit, which tells of it.
            if let Ok(disk) = self.view.database.disk() {
                self.view.followed().note_disk(disk);
            }
        }
    }

    fn goes_on(&self) {
        if let Some(lasted) = self.outage.ends() {
            tracing::info!("the view goes on after {} s", lasted.as_secs());
        }
    }

    fn waits(&mut self, why: &ViewError) {
        if self.outage.begins() {
            tracing::warn!("the view waits, and shows what it has: {why}");
        }
        // The next round opens them anew, where the view is.
        self.feeds.clear();
        thread::sleep(PAUSE);
    }

    /// Reads up to the ends as they are now. Returns whether there was anything new.
    pub(super) fn round(&mut self) -> Result<bool, ViewError> {
        if !self.is_checked {
            for (partition, mark) in self.view.marks()? {
                check(self.view, self.log, partition, &mark)?;
            }
            self.is_checked = true;
        }
        self.log.refresh();
        // The seals' end first: what they seal is below the other ends.
        for topic in TOPICS.into_iter().rev() {
            self.look(topic)?;
        }
        let behind = self.feeds.values().any(ViewFeed::is_behind);
        self.view.followed().note_looked();
        if behind {
            self.read_distributions()?;
            for topic in TOPICS.into_iter().skip(1) {
                self.read_small(topic)?;
            }
        }
        Ok(behind)
    }

    fn wait(&self, seen: u64) -> Result<(), ViewError> {
        let waited = Instant::now();
        self.log.wait(seen, WAIT)?;
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
        let mut partitions: BTreeSet<TopicPartition> =
            numbers.into_iter().map(|number| topic.partition(number)).collect();
        // One that was read and is not there any more is looked at, too: nothing would tell that it is gone.
        let known = self.view.progress().partitions.into_iter().map(|one| one.partition);
        partitions.extend(known.filter(|known| known.topic == topic));
        for partition in partitions {
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
            if end < feed.mark.offset {
                check(self.view, self.log, partition, &feed.mark)?;
            }
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
                self.view.followed().count(topic, records.len());
                feed.recycle(records);
            }
        }
        Ok(())
    }
}

/// Checks that the records before a mark are those that the view was made of.
fn check(view: &View, log: &dyn Log, partition: TopicPartition, mark: &Mark) -> Result<(), ViewError> {
    log.check(partition, mark)
        .map_err(|why| match ViewError::read_may_pass(&why) {
            true => ViewError::Read(why),
            false => ViewError::Changed {
                path: view.database.path().to_owned(),
                why,
            },
        })
}

/// Reads the distributions of one partition up to its end.
fn read_feed(
    view: &View,
    log: &dyn Log,
    stop: &AtomicBool,
    feed: &mut ViewFeed,
    rows: &mut DistributionRows,
) -> Result<(), ViewError> {
    let mut uncommitted = 0;
    while feed.is_behind() && !stop.load(Ordering::Relaxed) {
        let batch = feed.read(log)?;
        uncommitted += batch.len();
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
            view.followed()
                .count(Topic::Distributions, std::mem::take(&mut uncommitted));
        }
    }
    if rows.len() > 0 {
        view.commit_distributions(rows, feed.partition, &feed.mark)?;
    }
    Ok(())
}
