//! Transactions: each has the outputs and positions of many tasks.
//!
//! One thread has the producer. A task hands its commit to that thread, and gathers the next one meanwhile. All commits that arrive while a transaction is in progress
//! share the next one, up to a size, and it waits a moment for more. So they share its cost, and no reader waits long for its records.
//!
//! The outcome of a transaction is never guessed. If an error requires an abort before the commit was requested, the transaction is aborted, and
//! repeated if the tasks are still ours. If only the brokers know the outcome, the producer is dropped. A new producer with the same transactional
//! id makes the brokers commit or abort the transaction. The committed positions then tell the outcome. A task whose position is not there
//! restarts from its store.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bus::error::{CommitError, OpenError};
use crate::bus::kafka::brokers::Brokers;
use crate::bus::kafka::member::Member;
use crate::bus::kafka::position;
use crate::bus::kafka::producer::{CommitRequest, TOLD_TO_STOP, TransactionError, TransactionalProducer, Transactor};
use crate::bus::pending::PendingCommit;
use crate::bus::position::{Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::Topic;

/// A transaction accepts commits until it has this many bytes.
const TRANSACTION_BYTES: usize = 8 << 20;
/// Time-out of a whole transaction. It is longer than the brokers' own time-out, after which they abort the transaction.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait for a transaction when the process is to stop. Who runs the task next waits until the brokers have ended it.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// After a transaction of this size, there is a backlog.
const BACKLOG_BYTES: usize = 256 << 10;
/// In a backlog, this is enough for a transaction.
const ENOUGH_BYTES: usize = 4 << 20;
/// In a backlog, a commit waits for others for this time at most.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// Pause after a transaction that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Commits of many threads, one transaction at a time.
pub(super) struct Transactions {
    /// `None` after `close`.
    requests: Mutex<Option<Sender<CommitRequest>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Transactions {
    /// Starts the thread that has the producer.
    pub(super) fn new(brokers: Arc<Brokers>, member: Arc<Member>, stop: Arc<AtomicBool>) -> Result<Self, OpenError> {
        let (requests, queue) = channel();
        let worker = TransactionThread {
            transactor: Transactor {
                transactional_id: brokers.transactional_id.clone(),
                brokers,
                member,
                stop,
                rate_limit: Arc::default(),
            },
            producer: None,
        };
        let name = "kafka publisher";
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || worker.run(&queue))
            .map_err(|source| OpenError::Thread { name, source })?;
        Ok(Self {
            requests: Mutex::new(Some(requests)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Begins to append `outputs` and to move `task` to `position`. If the outcome is `Unconfirmed`: both or neither, and the task restarts
    /// from its store to learn which.
    pub(super) fn begin(
        &self,
        task: TaskId,
        outputs: Arc<Outputs>,
        position: &Position,
    ) -> Result<PendingCommit, CommitError> {
        let closed = || CommitError::NotOurs { task };
        let (reply, outcome) = sync_channel(1);
        let request = CommitRequest {
            task,
            metadata: position::encode(task, position)?,
            outputs,
            position: position.clone(),
            reply,
        };
        {
            let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests
                .as_ref()
                .ok_or_else(closed)?
                .send(request)
                .map_err(|_| closed())?;
        }
        Ok(PendingCommit::new(task, outcome))
    }

    /// Finishes the commits that were handed over, and accepts no more.
    pub(super) fn close(&self) {
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in it is already logged.
            let _ = thread.join();
        }
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        self.close();
    }
}

struct TransactionThread {
    transactor: Transactor,
    producer: Option<TransactionalProducer>,
}

type Group = Vec<Arc<CommitRequest>>;

impl TransactionThread {
    fn run(mut self, queue: &Receiver<CommitRequest>) {
        // A process of this name that was killed may have left a transaction open. Until it is ended, nobody reads the positions in it, nor the
        // records after it. If this fails, the first commit tries again, and tells why.
        self.producer = self.with_timeout(Transactor::producer).ok();
        let mut patience = Patience::USUAL;
        while let Ok(first) = queue.recv() {
            let group = gather(first, queue, &patience);
            let bytes: usize = group.iter().map(|request| request.outputs.bytes()).sum();
            let began = Instant::now();
            let commits = group.len();
            self.commit(group);
            // Their tasks learn of it.
            self.transactor.brokers.signal.raise();
            let took = began.elapsed();
            patience = Patience::after(bytes, took);
            tracing::trace!(
                "a transaction of {commits} commits, {bytes} bytes, took {} ms",
                took.as_millis()
            );
        }
    }

    /// Commits a group, and replies to each of its requests.
    fn commit(&mut self, mut group: Group) {
        let began = Instant::now();
        while !group.is_empty() {
            if self.transactor.is_stopped() && began.elapsed() > STOP_TIMEOUT {
                // Nothing was committed. The task restarts from its store, here or in the process that runs it next, and commits it again.
                self.producer = None;
                return reply_unconfirmed(group, TOLD_TO_STOP);
            }
            match self.try_commit(&group) {
                Ok(()) => return reply(group, |_| Ok(())),
                Err(TransactionError::Again(why)) => {
                    if self.transactor.rate_limit.allows(&why) {
                        tracing::warn!("a transaction was not committed and is repeated: {why}");
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(TransactionError::NotOurs(home)) => {
                    let (gone, rest) = group.into_iter().partition(|request| request.task.home() == home);
                    group = rest;
                    reply(gone, |task| Err(CommitError::NotOurs { task }));
                }
                Err(TransactionError::Rejected(error)) => return self.reject(group, error),
                Err(TransactionError::Unconfirmed(why)) => {
                    tracing::warn!("looking up whether a transaction was committed: {why}");
                    return self.look_up(group, &why);
                }
            }
        }
    }

    /// Only one request of a group may be the cause of an error, so the requests of a group are tried one by one.
    fn reject(&mut self, group: Group, error: CommitError) {
        if group.len() > 1 {
            for request in group {
                self.commit(vec![request]);
            }
            return;
        }
        let mut error = Some(error);
        reply(group, |task| Err(error.take().unwrap_or(CommitError::NotOurs { task })));
    }

    /// Makes the brokers commit or abort the transaction, and learns which from the committed positions. No two commits of a task have the same
    /// position, because the harness commits only a step that moves it. So an equal position is this commit's.
    fn look_up(&mut self, group: Group, why: &str) {
        loop {
            let failed = match self.with_timeout(Transactor::producer) {
                Ok(producer) => break self.producer = Some(producer),
                Err(failed) => failed,
            };
            if self.transactor.is_stopped() {
                return reply_unconfirmed(group, why);
            }
            // Before a producer is registered, the old transaction may still be open: it can yet be committed.
            let failed = failed.to_string();
            if self.transactor.rate_limit.allows(&failed) {
                tracing::warn!("cannot look up whether a transaction was committed yet: {failed}");
            }
            std::thread::sleep(PAUSE);
        }
        for request in group {
            let task = request.task;
            match self.transactor.brokers.committed(task) {
                // A process that lost the task meanwhile must not go on, even if its successor committed the same position.
                Ok(Some(position)) if position == request.position && self.still_ours(task) => {
                    tracing::info!(%task, "the transaction was committed");
                    reply(vec![request], |_| Ok(()));
                }
                // Not there, not readable, or no longer ours: the task restarts from its store and reads its position again.
                _ => reply_unconfirmed(vec![request], why),
            }
        }
    }

    fn still_ours(&self, task: TaskId) -> bool {
        self.transactor.member.generation(&[task.home()]).is_ok()
    }

    /// One transaction with all of the group. The producer is used again only after a commit: otherwise a new producer with the same id makes the
    /// brokers end the transaction of the old one.
    fn try_commit(&mut self, group: &Group) -> Result<(), TransactionError> {
        // Registered in a call of its own, not in the one that sends. Otherwise an abandoned call could register late, get the newest epoch, and
        // commit after the outcome was looked up.
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.with_timeout(Transactor::producer)?,
        };
        let group = group.clone();
        let producer = self.with_timeout(move |transactor| transactor.transaction(producer, &group))?;
        self.producer = Some(producer);
        Ok(())
    }

    /// Runs `work` on a thread of its own, with a time-out. In tests, librdkafka's transaction calls did not return after a coordinator went
    /// away, whatever time-out they had. An abandoned transaction can do no harm, as the next producer with the same id fences it.
    fn with_timeout(
        &self,
        work: impl FnOnce(&Transactor) -> Result<TransactionalProducer, TransactionError> + Send + 'static,
    ) -> Result<TransactionalProducer, TransactionError> {
        let (sender, outcome) = sync_channel(1);
        let transactor = self.transactor.clone();
        std::thread::Builder::new()
            .name("kafka transaction".into())
            .spawn(move || {
                // If nothing waits any more, this drops the producer.
                let _ = sender.send(work(&transactor));
            })
            .map_err(|error| TransactionError::Again(format!("cannot start a thread for a transaction: {error}")))?;
        let began = Instant::now();
        let mut stopped = None;
        loop {
            let waited = match outcome.recv_timeout(PAUSE) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(TransactionError::Unconfirmed("its thread ended".into()));
                }
                Err(RecvTimeoutError::Timeout) if self.transactor.is_stopped() => {
                    let at = *stopped.get_or_insert_with(Instant::now);
                    (at.elapsed() > STOP_TIMEOUT).then_some(at.elapsed())
                }
                Err(RecvTimeoutError::Timeout) => (began.elapsed() > TRANSACTION_TIMEOUT).then_some(began.elapsed()),
            };
            if let Some(waited) = waited {
                let why = format!("it did not end within {} s", waited.as_secs());
                return Err(TransactionError::Unconfirmed(why));
            }
        }
    }
}

/// How long a commit waits for others, to share a transaction with them.
#[derive(Debug, PartialEq, Eq)]
struct Patience {
    /// It waits no longer once they have this many bytes.
    enough: usize,
    /// It waits no longer once none has come for this time.
    pause: Duration,
    /// It waits for this time at most.
    longest: Duration,
}

impl Patience {
    /// The tasks that a transaction wakes commit again at about the same time.
    const USUAL: Self = Self {
        enough: BACKLOG_BYTES,
        pause: Duration::from_millis(1),
        longest: Duration::from_millis(3),
    };

    /// Patience after a transaction of this size. In a backlog it waits for many commits, but not longer than that transaction took. So the brokers have fewer
    /// transactions to end, and records are at most about twice as late.
    fn after(bytes: usize, took: Duration) -> Self {
        if bytes < BACKLOG_BYTES {
            return Self::USUAL;
        }
        let longest = took.min(LONGEST_WAIT);
        Self {
            enough: ENOUGH_BYTES,
            pause: longest,
            longest,
        }
    }
}

/// The first commit, and those that come right after it. With `patience` if it is of a source: commits of a settlement are large, and the next ones are made
/// only when they are done.
fn gather(first: CommitRequest, queue: &Receiver<CommitRequest>, patience: &Patience) -> Group {
    let is_of_source = Topic::SOURCES.contains(&first.task.home().topic);
    let patience = if is_of_source { patience } else { &Patience::USUAL };
    let began = Instant::now();
    let mut bytes = first.outputs.bytes();
    let mut group = vec![Arc::new(first)];
    while bytes < TRANSACTION_BYTES {
        let left = if bytes < patience.enough {
            patience.longest.saturating_sub(began.elapsed()).min(patience.pause)
        } else {
            Duration::ZERO
        };
        let Ok(next) = queue.recv_timeout(left) else { break };
        bytes += next.outputs.bytes();
        group.push(Arc::new(next));
    }
    group
}

fn reply(group: Group, mut outcome: impl FnMut(TaskId) -> Result<(), CommitError>) {
    for request in group {
        // The task may have gone.
        let _ = request.reply.send(outcome(request.task).map(|()| Instant::now()));
    }
}

fn reply_unconfirmed(group: Group, why: &str) {
    reply(group, |task| {
        Err(CommitError::Unconfirmed {
            task,
            why: why.to_owned(),
        })
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(number: u32, bytes: usize) -> CommitRequest {
        let mut outputs = Outputs::default();
        outputs.push(Topic::Ledger.partition(0), &[], &vec![0; bytes]);
        CommitRequest {
            task: TaskId::ingest(Topic::Trades.partition(number)),
            outputs: Arc::new(outputs),
            position: Position::default(),
            metadata: String::new(),
            // Nobody waits for the outcome.
            reply: sync_channel(1).0,
        }
    }

    fn numbers(group: &Group) -> Vec<u32> {
        group.iter().map(|request| request.task.home().partition).collect()
    }

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn commits_that_wait_share_a_transaction_up_to_a_size() {
        let (requests, queue) = channel();
        for number in 1..5 {
            requests.send(request(number, TRANSACTION_BYTES / 3)).unwrap();
        }
        // The third one brings it just below the size, so one more is taken.
        let group = gather(request(0, TRANSACTION_BYTES / 3), &queue, &Patience::USUAL);
        assert_eq!(numbers(&group), [0, 1, 2, 3]);
        // It does not wait for ever.
        assert_eq!(numbers(&gather(queue.recv().unwrap(), &queue, &Patience::USUAL)), [4]);
    }

    #[test]
    fn in_a_backlog_a_commit_waits_for_others_until_they_are_enough() {
        let patience = Patience::after(BACKLOG_BYTES, LONG);
        assert_eq!(patience.longest, LONGEST_WAIT);
        let (requests, queue) = channel();
        let sender = std::thread::spawn(move || {
            for number in 1..4 {
                std::thread::sleep(Patience::USUAL.longest);
                requests.send(request(number, ENOUGH_BYTES / 3)).unwrap();
            }
            requests
        });
        let unhurried = Patience {
            pause: LONG,
            longest: LONG,
            ..patience
        };
        let group = gather(request(0, ENOUGH_BYTES / 3), &queue, &unhurried);
        let _requests = sender.join().unwrap();
        assert_eq!(numbers(&group), [0, 1, 2, 3]);
        let hurried = Patience::after(BACKLOG_BYTES, Duration::ZERO);
        assert_eq!(numbers(&gather(request(9, 1), &queue, &hurried)), [9]);
        // One of a settlement does not wait as long.
        let of_settlement = CommitRequest {
            task: TaskId::accrue(3),
            ..request(0, 1)
        };
        assert_eq!(numbers(&gather(of_settlement, &queue, &unhurried)), [3]);
        assert_eq!(Patience::after(BACKLOG_BYTES - 1, LONG), Patience::USUAL);
    }
}
