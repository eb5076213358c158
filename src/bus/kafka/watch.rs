//! Whether the records that a running process has read are still there.
//!
//! If a topic is deleted and created again, the consumer goes on at the old offset of the new log, without an error. So records that were read are
//! looked at again: before an answer about an offset is published, after a connection failed, and every few seconds.
//!
//! **Two records.** The last record that was read may already be of the new log. So an older one is kept with it, the *checked* record: it moves up
//! to the last one only when both are as they were read. A mark keeps both, so a restart forgets nothing. If retention has deleted a record, it
//! cannot be compared.
//!
//! **A missing record** may come back: a new leader first knows an older end, though it then refuses to tell its offsets (KIP-207). Only if the
//! record stays away while the leader tells them, the log is another one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::bus::error::{LogName, ReadError};
use crate::bus::kafka::evidence::{Evidence, Finding};
use crate::bus::position::Mark;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// A record counts as lost if it is missing for this long.
const MISSING_FOR: Duration = Duration::from_secs(3);

/// What a look at the log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The records are there, unchanged, or cannot be compared any more.
    Same,
    /// Another record is there, or none.
    Replaced,
    /// A record is missing, but perhaps only for a moment.
    Missing,
    /// The brokers did not answer.
    Unknown,
}

/// The records by which a reader knows its log.
pub(super) struct Watched {
    pub(super) partition: TopicPartition,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    /// The last record at which both were compared.
    checked: Option<Evidence>,
    /// The last record that was read.
    latest: Option<Evidence>,
    read_to: Offset,
    missing_since: Option<Instant>,
    /// The record that is not there any more.
    replaced: Option<Evidence>,
}

impl Watched {
    /// The records that a mark keeps.
    pub(super) fn at(partition: TopicPartition, mark: &Mark) -> Self {
        let latest = Evidence::read(mark);
        Self {
            partition,
            history: Mutex::new(History {
                checked: Evidence::read_checked(mark).or(latest),
                latest,
                read_to: mark.offset,
                ..History::default()
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the last record that was read. Returns the evidence for the mark after it.
    pub(super) fn note_read(&self, latest: Evidence) -> Vec<u8> {
        let mut history = self.lock();
        history.latest = Some(latest);
        history.read_to = latest.offset.saturating_add(1);
        let checked = *history.checked.get_or_insert(latest);
        drop(history);
        latest.write(checked)
    }

    /// The records to look at: the checked one, and the last one.
    pub(super) fn to_compare(&self) -> Vec<Evidence> {
        let history = self.lock();
        let mut records: Vec<Evidence> = history.checked.into_iter().chain(history.latest).collect();
        records.dedup();
        records
    }

    /// Judges what was found at the offsets of records, of which the last is the newest. `start` looks up the first offset that still exists.
    pub(super) fn judge(
        &self,
        found: impl IntoIterator<Item = (Evidence, Finding)>,
        start: impl Fn() -> Option<Offset>,
    ) -> Verdict {
        let (mut missing, mut unknown, mut newest) = (None, false, None);
        for (record, finding) in found {
            newest = Some(record);
            match finding {
                Finding::Record(there) if there == record => {}
                Finding::Record(there) if there.offset == record.offset => return self.replace(record),
                Finding::Unknown => unknown = true,
                Finding::Failed(error)
                    if !matches!(
                        error.rdkafka_error_code(),
                        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange)
                    ) =>
                {
                    unknown = true;
                }
                Finding::Record(_) | Finding::End(_) | Finding::Failed(_) => match start() {
                    None => unknown = true,
                    // Retention has deleted it.
                    Some(start) if start > record.offset => {}
                    Some(_) => missing = Some(record),
                },
            }
        }
        let mut history = self.lock();
        if let Some(record) = missing {
            let since = *history.missing_since.get_or_insert_with(Instant::now);
            drop(history);
            return if since.elapsed() >= MISSING_FOR {
                self.replace(record)
            } else {
                Verdict::Missing
            };
        }
        history.missing_since = None;
        if unknown {
            return Verdict::Unknown;
        }
        history.checked = newest.or(history.checked);
        Verdict::Same
    }

    fn replace(&self, record: Evidence) -> Verdict {
        self.lock().replaced.get_or_insert(record);
        Verdict::Replaced
    }

    /// Fails if the log is not the one that was read.
    pub(super) fn check(&self) -> Result<(), ReadError> {
        let history = self.lock();
        match history.replaced {
            None => Ok(()),
            Some(record) => Err(ReadError::Replaced {
                partition: self.partition,
                log: LogName::Topic(self.partition.topic),
                offset: record.offset,
                read_to: history.read_to,
            }),
        }
    }
}

/// All that readers of this process watch.
#[derive(Default)]
pub(super) struct WatchList(Mutex<Vec<Weak<Watched>>>);

impl WatchList {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Watched>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, watched: &Arc<Watched>) {
        let mut all = self.lock();
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(watched));
    }

    pub(super) fn all(&self) -> Vec<Arc<Watched>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// What the readers of `partition` watch.
    pub(super) fn of(&self, partition: TopicPartition) -> Vec<Arc<Watched>> {
        let mut all = self.all();
        all.retain(|watched| watched.partition == partition);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::contract::topic::Topic;

    fn record(offset: u64, text: &str) -> Evidence {
        Evidence::of(Offset::new(offset), text.as_bytes())
    }

    fn watched() -> Watched {
        Watched::at(Topic::Trades.partition(3), &Mark::default())
    }

    #[test]
    fn the_checked_record_moves_only_past_records_that_are_unchanged() {
        let watched = watched();
        assert_eq!(watched.to_compare(), []);
        let start = || Some(Offset::START);
        assert_eq!(watched.judge([], start), Verdict::Same);
        let old = [record(4, "a"), record(9, "b")];
        watched.note_read(old[0]);
        watched.note_read(old[1]);
        assert_eq!(watched.to_compare(), old);
        let there = old.map(|record| (record, Finding::Record(record)));
        assert_eq!(watched.judge(there, start), Verdict::Same);
        assert_eq!(watched.to_compare(), [old[1]]);
        // Records of a new log are read. The mark of a restart keeps the checked record as well.
        let new = record(15, "of the new log");
        let mark = Mark {
            offset: Offset::new(16),
            evidence: watched.note_read(new),
            ..Mark::default()
        };
        let restarted = Watched::at(watched.partition, &mark);
        for watched in [watched, restarted] {
            assert_eq!(watched.to_compare(), [old[1], new]);
            assert_eq!(
                watched.judge([(new, Finding::Record(new)), (old[1], Finding::Unknown)], start),
                Verdict::Unknown
            );
            let found = [
                (old[1], Finding::Record(record(9, "another"))),
                (new, Finding::Record(new)),
            ];
            assert_eq!(watched.judge(found, start), Verdict::Replaced);
            let said = watched.check().unwrap_err().to_string();
            assert!(
                said.contains("exchange.trades:3") && said.contains("offset 9"),
                "{said}"
            );
        }
        // An evidence of one record alone is of a version that kept no checked one.
        let mark = Mark {
            evidence: postcard::to_stdvec(&old[1]).unwrap(),
            ..mark
        };
        assert_eq!(Watched::at(Topic::Trades.partition(3), &mark).to_compare(), [old[1]]);
    }

    #[test]
    fn a_missing_record_is_lost_only_if_it_stays_away() {
        let watched = watched();
        let last = record(9, "b");
        watched.note_read(last);
        let end = || [(last, Finding::End(Offset::new(5)))];
        // Deleted by retention, it cannot be compared.
        assert_eq!(watched.judge(end(), || Some(Offset::new(10))), Verdict::Same);
        assert_eq!(watched.judge(end(), || None), Verdict::Unknown);
        assert_eq!(watched.judge(end(), || Some(Offset::START)), Verdict::Missing);
        // Another finding in between ends the wait.
        for (finding, verdict) in [
            (Finding::Record(last), Verdict::Same),
            (Finding::Unknown, Verdict::Unknown),
        ] {
            assert_eq!(watched.judge(end(), || Some(Offset::START)), Verdict::Missing);
            watched.lock().missing_since = Instant::now().checked_sub(MISSING_FOR);
            assert_eq!(watched.judge([(last, finding)], || None), verdict);
        }
        assert_eq!(watched.judge(end(), || Some(Offset::START)), Verdict::Missing);
        watched.lock().missing_since = Instant::now().checked_sub(MISSING_FOR);
        watched.check().unwrap();
        assert_eq!(watched.judge(end(), || Some(Offset::START)), Verdict::Replaced);
        assert!(watched.check().is_err());
    }
}
