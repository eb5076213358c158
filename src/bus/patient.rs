//! A log that waits for what is away, tells what it waits for, and gives up after a time without progress.
//!
//! For commands that only read. Tasks have their own way: each starts again, and waits for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::batch::Batch;
use crate::bus::error::{BrokerError, ReadError};
use crate::bus::interface::{Log, Reader};
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// A wait is told after this long, and then again each time this long has passed.
const TELL_AFTER: Duration = Duration::from_secs(3);
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a command waits.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Set when the process is to stop.
    pub stop: Arc<AtomicBool>,
    /// The longest time without progress; `None` for ever.
    pub timeout: Option<Duration>,
    /// Whether the log tells of a wait. Else the caller tells of the error that it ends with.
    pub tells: bool,
}

/// An error of a request, which may pass by itself.
pub(in crate::bus) trait MayPass: From<BrokerError> {
    /// The action and the reason, if the error passes by itself.
    fn passing(&self) -> Option<(&str, &str)>;
}

impl MayPass for BrokerError {
    fn passing(&self) -> Option<(&str, &str)> {
        match self {
            Self::Unavailable { action, why } | Self::Unauthenticated { action, why, .. } => Some((action, why)),
            _ => None,
        }
    }
}

impl MayPass for ReadError {
    fn passing(&self) -> Option<(&str, &str)> {
        match self {
            Self::Broker(error) => error.passing(),
            _ => None,
        }
    }
}

/// When something last came, from anywhere on the log.
#[derive(Debug)]
pub(in crate::bus) struct ReadProgress {
    limit: Limit,
    last: Mutex<Instant>,
}

impl ReadProgress {
    pub(in crate::bus) fn new(limit: Limit) -> Self {
        let last = Mutex::new(Instant::now());
        Self { limit, last }
    }

    pub(in crate::bus) fn made(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// An error that does not pass by itself, or if nothing has come for the longest time.
    pub(in crate::bus) fn ask<T, E: MayPass>(&self, question: impl Fn() -> Result<T, E>) -> Result<T, E> {
        let mut wait = ReadWait::new();
        loop {
            match question() {
                Ok(answer) => {
                    self.made();
                    return Ok(answer);
                }
                Err(error) => {
                    let Some((action, why)) = error.passing() else {
                        return Err(error);
                    };
                    wait.go_on(self, action, why)?;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// How long nothing has come since `since`.
    fn silent_since(&self, since: Instant) -> Duration {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.max(since).elapsed()
    }
}

/// One wait.
#[derive(Debug)]
pub(in crate::bus) struct ReadWait {
    since: Instant,
    told: Option<Instant>,
}

impl ReadWait {
    pub(in crate::bus) fn new() -> Self {
        Self {
            since: Instant::now(),
            told: None,
        }
    }

    /// Tells what is waited for: `read the ledger from offset 3 to 9`, and why nothing has come.
    ///
    /// # Errors
    /// If nothing has come for the longest time, or the process is to stop.
    pub(in crate::bus) fn go_on(
        &mut self,
        progress: &ReadProgress,
        action: &str,
        why: &str,
    ) -> Result<(), BrokerError> {
        let silent = progress.silent_since(self.since);
        let Limit { stop, timeout, tells } = &progress.limit;
        if stop.load(Ordering::Relaxed) || timeout.is_some_and(|timeout| silent >= timeout) {
            return Err(BrokerError::GaveUp {
                action: action.to_owned(),
                why: why.to_owned(),
                seconds: silent.as_secs(),
            });
        }
        if *tells && silent >= TELL_AFTER && self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!("cannot {action} for {} s: {why}; trying again", silent.as_secs());
        }
        Ok(())
    }
}

/// Reads from another log, and waits for it.
pub struct PatientLog {
    log: Arc<dyn Log>,
    progress: Arc<ReadProgress>,
}

impl PatientLog {
    #[must_use]
    pub fn new(log: Arc<dyn Log>, limit: Limit) -> Self {
        Self {
            log,
            progress: Arc::new(ReadProgress::new(limit)),
        }
    }

    /// Asks until there is an answer.
    fn ask<T>(&self, question: impl Fn(&dyn Log) -> Result<T, ReadError>) -> Result<T, ReadError> {
        self.progress.ask(|| question(self.log.as_ref()))
    }
}

impl Log for PatientLog {
    fn identity(&self) -> &str {
        self.log.identity()
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        self.ask(|log| log.partitions(topic))
    }

    fn refresh(&self) {
        self.log.refresh();
    }

    fn gives_up(&self) -> bool {
        true
    }

    fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.ask(|log| log.start(partition))
    }

    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.ask(|log| log.readable_end(partition))
    }

    fn written_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.ask(|log| log.written_end(partition))
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
        let reader = self.ask(|log| log.open(partition, from))?;
        Ok(Box::new(PatientReader {
            log: Arc::clone(&self.log),
            progress: Arc::clone(&self.progress),
            partition,
            mark: from.clone(),
            reader: Some(reader),
            wait: None,
            failed: None,
        }))
    }

    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), ReadError> {
        self.ask(|log| log.check(partition, mark))
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        self.ask(|log| log.committed(task))
    }

    fn version(&self) -> u64 {
        self.log.version()
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        self.log.wait(seen, at_most)
    }
}

struct PatientReader {
    log: Arc<dyn Log>,
    progress: Arc<ReadProgress>,
    partition: TopicPartition,
    mark: Mark,
    /// `None` after an error, until it is opened again at the mark: what an unfinished read has taken is lost.
    reader: Option<Box<dyn Reader>>,
    /// While nothing comes, though there should be something.
    wait: Option<ReadWait>,
    /// Why the reader had to be opened again.
    failed: Option<String>,
}

impl PatientReader {
    /// Does something with the reader; `None` if it cannot be read now.
    fn with<T>(&mut self, work: impl FnOnce(&mut dyn Reader) -> Result<T, ReadError>) -> Result<Option<T>, ReadError> {
        let reader = match self.reader.take() {
            Some(reader) => Ok(reader),
            None => self.log.open(self.partition, &self.mark),
        };
        let done = reader.and_then(|mut reader| {
            let done = work(reader.as_mut())?;
            Ok((done, reader))
        });
        match done {
            Ok((done, reader)) => {
                self.reader = Some(reader);
                Ok(Some(done))
            }
            Err(error) => {
                let Some((_, why)) = error.passing() else {
                    return Err(error);
                };
                self.failed = Some(why.to_owned());
                Ok(None)
            }
        }
    }

    fn arrived(&mut self) {
        self.progress.made();
        (self.wait, self.failed) = (None, None);
    }

    /// Nothing has come, with records known to exist below `until`.
    fn waits(&mut self, until: Offset) -> Result<(), ReadError> {
        let from = self.mark.offset;
        let action = match until == Offset::NO_LIMIT {
            true => format!("read {} from offset {from}", self.partition),
            false => format!("read {} from offset {from} to {until}", self.partition),
        };
        let why = self.failed.as_deref().unwrap_or("no record arrives");
        let wait = self.wait.get_or_insert_with(ReadWait::new);
        Ok(wait.go_on(&self.progress, &action, why)?)
    }
}

impl Reader for PatientReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        let from = self.mark.offset;
        let batch = self.with(|reader| reader.read(limit, until))?;
        let batch = match batch {
            Some(batch) => batch,
            None => {
                self.waits(until)?;
                std::thread::sleep(PAUSE);
                return Ok(Batch::new(Vec::new(), Vec::new(), self.mark.clone()));
            }
        };
        if batch.next.offset > from || !batch.is_empty() {
            self.mark = batch.next.clone();
            self.arrived();
        } else if from < until && until != Offset::NO_LIMIT {
            self.waits(until)?;
        }
        Ok(batch)
    }

    fn has_news(&mut self) -> Result<bool, ReadError> {
        match self.with(|reader| reader.has_news())? {
            Some(true) => {
                self.arrived();
                Ok(true)
            }
            Some(false) => Ok(false),
            None => {
                self.waits(Offset::NO_LIMIT)?;
                std::thread::sleep(PAUSE);
                Ok(false)
            }
        }
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn recycle(&mut self, batch: Batch) {
        if let Some(reader) = &mut self.reader {
            reader.recycle(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::bus::interface::Bus;
    use crate::bus::memory::MemoryBus;
    use crate::bus::scan::scan_range;
    use crate::core::contract::appends::Outputs;

    const SEALS: TopicPartition = Topic::Epochs.partition(0);

    /// A log of which the first answers and reads fail, or of which some reads find nothing.
    struct Faulty {
        log: MemoryBus,
        failures: Arc<AtomicU32>,
        is_silent: bool,
    }

    fn fail(failures: &AtomicU32) -> Result<(), ReadError> {
        let left = failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Err(_) => Ok(()),
            Ok(_) => Err(ReadError::Broker(BrokerError::Unavailable {
                action: "read it".into(),
                why: "a broker is away".into(),
            })),
        }
    }

    impl Log for Faulty {
        fn identity(&self) -> &str {
            self.log.identity()
        }

        fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
            fail(&self.failures)?;
            self.log.partitions(topic)
        }

        fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
            self.log.start(partition)
        }

        fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
            self.log.readable_end(partition)
        }

        fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
            Ok(Box::new(FaultyReader {
                reader: self.log.open(partition, from)?,
                failures: Arc::clone(&self.failures),
                is_silent: self.is_silent,
            }))
        }

        fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
            self.log.committed(task)
        }

        fn version(&self) -> u64 {
            self.log.version()
        }

        fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
            self.log.wait(seen, at_most)
        }
    }

    struct FaultyReader {
        reader: Box<dyn Reader>,
        failures: Arc<AtomicU32>,
        is_silent: bool,
    }

    impl Reader for FaultyReader {
        /// What is read before a failure is lost.
        fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
            if self.is_silent {
                return Ok(Batch::new(Vec::new(), Vec::new(), self.reader.mark().clone()));
            }
            let batch = self.reader.read(limit, until)?;
            fail(&self.failures)?;
            Ok(batch)
        }

        fn mark(&self) -> &Mark {
            self.reader.mark()
        }
    }

    fn patient(failures: u32, is_silent: bool, timeout_ms: u64) -> PatientLog {
        let log = MemoryBus::default();
        let mut outputs = Outputs::default();
        for record in ["1", "2", "3"] {
            outputs.push_with(SEALS, b"key", |bytes| bytes.extend(record.bytes()));
        }
        log.commit(TaskId::COORDINATE, &outputs, &Position::default()).unwrap();
        let log = Faulty {
            log,
            failures: Arc::new(AtomicU32::new(failures)),
            is_silent,
        };
        let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
        let stop = Arc::default();
        let limit = Limit {
            stop,
            timeout,
            tells: true,
        };
        PatientLog::new(Arc::new(log), limit)
    }

    fn read(log: &PatientLog) -> Result<Vec<String>, ReadError> {
        let mut records = Vec::new();
        scan_range(log, SEALS, &Mark::default(), Offset::new(3), |record| {
            records.push(String::from_utf8_lossy(record.value).into_owned());
            Ok::<_, ReadError>(())
        })?;
        Ok(records)
    }

    #[test]
    fn a_failure_that_passes_loses_and_doubles_nothing() {
        for timeout_ms in [0, 60_000] {
            let log = patient(3, false, timeout_ms);
            assert_eq!(log.partitions(Topic::Epochs).unwrap(), [0]);
            let log = patient(3, false, timeout_ms);
            assert_eq!(read(&log).unwrap(), ["1", "2", "3"]);
        }
    }

    #[test]
    fn a_log_gives_up_after_the_longest_time_without_progress() {
        let away = patient(u32::MAX, false, 500);
        let told = away.partitions(Topic::Epochs).unwrap_err().to_string();
        assert!(
            told.ends_with("without progress: cannot read it: a broker is away"),
            "{told}"
        );
        let told = read(&away).unwrap_err().to_string();
        assert!(
            told.ends_with("cannot read softstake.epochs:0 from offset 0 to 3: a broker is away"),
            "{told}"
        );
        let told = read(&patient(0, true, 500)).unwrap_err().to_string();
        assert!(told.ends_with("from offset 0 to 3: no record arrives"), "{told}");
        let stopped = patient(u32::MAX, false, 0);
        stopped.progress.limit.stop.store(true, Ordering::Relaxed);
        assert!(stopped.partitions(Topic::Epochs).is_err());
    }
}
