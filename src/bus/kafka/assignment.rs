//! Which partitions a process has been given, and what may be committed of them.
//!
//! Each time a partition is assigned it is a *grant* with a number of its own. A task holds the grant it was started under; once that one is gone,
//! nothing of the task is committed any more, even if the same partition has come back meanwhile under another grant.
//!
//! **The generation is not enough.** A member that is put out of the group while its rebalance callback waits for tasks to close joins anew before
//! its callback can tell it what it lost, and then has a generation that is valid and partitions that are others'. So grants belong to a
//! *membership*, which has an id that the brokers give out once: nothing is committed but under the id that the grants were made under. A static
//! member that misses a rebalance keeps its id; it can miss one only by waiting too long in its callback, and whoever waited too long holds
//! nothing any more, and joins anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::kafka::client::Signal;
use crate::bus::position::TaskId;
use crate::core::contract::topic::{Topic, TopicPartition};

/// The topics whose partitions tasks follow, and decisions: the group keeps the position of each.
pub(super) const FOLLOWED: [Topic; 9] = [
    Topic::Deposits,
    Topic::Withdrawals,
    Topic::Trades,
    Topic::Transfers,
    Topic::Accounts,
    Topic::Control,
    Topic::Decisions,
    Topic::Ledger,
    Topic::Inbox,
];

/// What is known about the assignment. Everything about it is asked and changed under one lock.
#[derive(Debug, Default)]
pub(super) struct Grants {
    granted: BTreeMap<TopicPartition, Grant>,
    /// The tasks that run here, and the grant each was started under.
    held: BTreeMap<TopicPartition, u64>,
    next: u64,
    /// The id of the membership that all grants belong to.
    membership: String,
    /// Set when what is held here and what the group thinks may differ: the process is to join anew.
    adrift: bool,
    /// Whether the group has assigned anything, be it nothing.
    assigned: bool,
    /// Why this process has no part in the deployment any more.
    pub(super) ended: Option<Ended>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    number: u64,
    /// Asked back: the task is to close, and may still commit what it has done.
    leaving: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Ended {
    Replaced,
    Refused(String),
}

/// The assignment, shared by the group's consumer and everybody else.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    grants: Mutex<Grants>,
    changed: Condvar,
    version: AtomicU64,
}

impl Assignment {
    pub(super) fn lock(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, signal: &Signal) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_all();
        signal.raise();
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The tasks to run now: what is granted and not asked back. A task of an earlier grant has to be closed first, so it is not among them.
    pub(super) fn wanted(grants: &Grants) -> BTreeSet<TaskId> {
        grants
            .granted
            .iter()
            .filter(|(home, grant)| {
                !grant.leaving && grants.held.get(home).is_none_or(|number| *number == grant.number)
            })
            .map(|(home, _)| TaskId::following(*home))
            .collect()
    }

    pub(super) fn acquire(&self, task: TaskId) -> bool {
        let mut grants = self.lock();
        let home = task.home();
        match grants.granted.get(&home) {
            Some(grant) if !grant.leaving && !grants.held.contains_key(&home) => {
                let number = grant.number;
                grants.held.insert(home, number);
                true
            }
            _ => false,
        }
    }

    pub(super) fn release(&self, task: TaskId, signal: &Signal) {
        if self.lock().held.remove(&task.home()).is_some() {
            self.change(signal);
        }
    }

    pub(super) fn may_commit(grants: &Grants, home: TopicPartition, membership: &str) -> bool {
        match (grants.granted.get(&home), grants.held.get(&home)) {
            (Some(grant), Some(number)) => {
                grant.number == *number && grants.membership == membership && !membership.is_empty()
            }
            _ => false,
        }
    }

    /// Whether anything was ever assigned.
    pub(super) fn is_assigned(&self) -> bool {
        self.lock().assigned
    }

    pub(super) fn grant(&self, homes: &[TopicPartition], membership: &str, signal: &Signal) {
        let mut grants = self.lock();
        grants.assigned = true;
        if grants.membership != membership {
            // What an earlier membership had is somebody else's.
            grants.adrift |= !grants.granted.is_empty();
            grants.granted.clear();
            membership.clone_into(&mut grants.membership);
        }
        // What is followed for no task's sake has none.
        for home in homes.iter().filter(|home| FOLLOWED.contains(&home.topic)) {
            grants.next += 1;
            let number = grants.next;
            grants.granted.insert(*home, Grant { number, leaving: false });
        }
        drop(grants);
        self.change(signal);
    }

    /// Asks partitions back and waits until their tasks are closed; past `at_most`, nothing at all is held here any more, as the group may have
    /// gone on without this process.
    pub(super) fn ask_back(&self, homes: &[TopicPartition], at_most: Duration, signal: &Signal) {
        let began = Instant::now();
        let mut grants = self.lock();
        for home in homes {
            if let Some(grant) = grants.granted.get_mut(home) {
                grant.leaving = true;
            }
        }
        drop(grants);
        self.change(signal);
        let running = |grants: &mut Grants| homes.iter().any(|home| grants.held.contains_key(home));
        let (mut grants, _) = self
            .changed
            .wait_timeout_while(self.lock(), at_most, running)
            .unwrap_or_else(PoisonError::into_inner);
        for home in homes {
            grants.granted.remove(home);
        }
        // By the clock, not by what is still held: the whole process may have stood still.
        if began.elapsed() >= at_most {
            tracing::warn!(
                "tasks did not close within {} ms; nothing is committed any more until this process has joined the group anew",
                at_most.as_millis()
            );
            grants.granted.clear();
            grants.adrift = true;
        }
        drop(grants);
        self.change(signal);
    }

    /// Takes partitions away that are somebody else's already.
    pub(super) fn take_away(&self, signal: &Signal) {
        self.lock().granted.clear();
        self.change(signal);
    }

    /// Whether this process has to join anew: it waited too long, or is a member under another id than the grants were made under. Nothing is
    /// held any more then.
    pub(super) fn is_adrift(&self, membership: &str, signal: &Signal) -> bool {
        let mut grants = self.lock();
        // Between two memberships there is no id; the next one will tell.
        let other = !membership.is_empty() && !grants.granted.is_empty() && grants.membership != membership;
        if !other && !grants.adrift {
            return false;
        }
        grants.granted.clear();
        grants.adrift = false;
        drop(grants);
        self.change(signal);
        true
    }

    /// Whether a task runs.
    pub(super) fn is_at_work(&self) -> bool {
        !self.lock().held.is_empty()
    }

    pub(super) fn end(&self, why: Ended, signal: &Signal) {
        let mut grants = self.lock();
        grants.granted.clear();
        grants.ended.get_or_insert(why);
        drop(grants);
        self.change(signal);
    }
}
