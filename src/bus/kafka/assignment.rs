//! Which tasks this process may run, and which of them may commit.
//!
//! Each assignment of a partition is a *grant* with a number of its own: a fencing token. A task keeps the number that it was started with. When
//! that grant ends, the task can commit nothing more, even if the partition has come back under another grant.
//!
//! **A valid generation is not enough.** The group may evict a member while its rebalance callback waits for tasks to close. The member then
//! rejoins before the callback can tell it what it lost. Its generation is valid, but its partitions belong to others. So grants belong to a
//! *membership*, whose id the brokers give out only once. A task commits only under the membership that its grant was made in.
//!
//! A static member that misses a rebalance keeps its id. It can miss one only if its callback waits too long. So a member that waited too long
//! gives up all its grants and rejoins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::kafka::client::Signal;
use crate::bus::position::TaskId;
use crate::core::contract::topic::{Topic, TopicPartition};

/// The topics whose partitions tasks follow. The group keeps the position of each partition; decisions have the deployment record.
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

/// The state of the assignment. One lock guards all of it.
#[derive(Debug, Default)]
pub(super) struct Grants {
    granted: BTreeMap<TopicPartition, Grant>,
    /// The tasks that run here, each with the number of the grant it was started with.
    running: BTreeMap<TopicPartition, u64>,
    next: u64,
    /// The id of the membership that all grants belong to.
    membership: String,
    /// Set when this process and the group may disagree about its grants.
    must_rejoin: bool,
    /// Whether the group has made an assignment, even an empty one.
    assigned: bool,
    /// Why this process is no longer part of the deployment.
    pub(super) expelled: Option<Expelled>,
}

/// A fencing token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    number: u64,
    /// The group revokes the partition. The task has to close, and may commit its finished work until then.
    revoked: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Expelled {
    /// By another process of the same name.
    Replaced,
    /// By the brokers.
    Rejected(String),
}

/// The assignment, shared by the group's consumer, the tasks, and the transactions.
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

    fn notify(&self, signal: &Signal) {
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_all();
        signal.raise();
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The tasks to run now: granted and not revoked. A task that still runs under an earlier grant is not among them: it has to close first.
    pub(super) fn to_run(grants: &Grants) -> BTreeSet<TaskId> {
        let runs_under_this_grant = |home: &TopicPartition, grant: &Grant| {
            grants.running.get(home).is_none_or(|number| *number == grant.number)
        };
        let to_run = grants.granted.iter();
        to_run
            .filter(|(home, grant)| !grant.revoked && runs_under_this_grant(home, grant))
            .map(|(home, _)| TaskId::following(*home))
            .collect()
    }

    pub(super) fn acquire(&self, task: TaskId) -> bool {
        let mut grants = self.lock();
        let home = task.home();
        match grants.granted.get(&home) {
            Some(grant) if !grant.revoked && !grants.running.contains_key(&home) => {
                let number = grant.number;
                grants.running.insert(home, number);
                true
            }
            _ => false,
        }
    }

    pub(super) fn release(&self, task: TaskId, signal: &Signal) {
        if self.lock().running.remove(&task.home()).is_some() {
            self.notify(signal);
        }
    }

    pub(super) fn may_commit(grants: &Grants, home: TopicPartition, membership: &str) -> bool {
        match (grants.granted.get(&home), grants.running.get(&home)) {
            (Some(grant), Some(number)) => {
                grant.number == *number && grants.membership == membership && !membership.is_empty()
            }
            _ => false,
        }
    }

    /// Whether the group has ever made an assignment.
    pub(super) fn is_assigned(&self) -> bool {
        self.lock().assigned
    }

    pub(super) fn grant(&self, homes: &[TopicPartition], membership: &str, signal: &Signal) {
        let mut grants = self.lock();
        grants.assigned = true;
        if grants.membership != membership {
            // The partitions of an earlier membership belong to other members now.
            grants.must_rejoin |= !grants.granted.is_empty();
            grants.granted.clear();
            membership.clone_into(&mut grants.membership);
        }
        // Other topics are subscribed to for the rebalance alone, and have no tasks.
        for home in homes.iter().filter(|home| FOLLOWED.contains(&home.topic)) {
            grants.next += 1;
            let number = grants.next;
            let grant = Grant { number, revoked: false };
            grants.granted.insert(*home, grant);
        }
        drop(grants);
        self.notify(signal);
    }

    /// Revokes partitions, and waits until their tasks are closed. After `at_most` this process gives up all its grants, as the group may have
    /// continued without it.
    pub(super) fn revoke(&self, homes: &[TopicPartition], at_most: Duration, signal: &Signal) {
        let began = Instant::now();
        let mut grants = self.lock();
        for home in homes {
            if let Some(grant) = grants.granted.get_mut(home) {
                grant.revoked = true;
            }
        }
        drop(grants);
        self.notify(signal);
        let running = |grants: &mut Grants| homes.iter().any(|home| grants.running.contains_key(home));
        let (mut grants, _) = self
            .changed
            .wait_timeout_while(self.lock(), at_most, running)
            .unwrap_or_else(PoisonError::into_inner);
        for home in homes {
            grants.granted.remove(home);
        }
        // The clock decides, not the running tasks: the whole process may have been paused.
        if began.elapsed() >= at_most {
            tracing::warn!(
                "tasks did not close within {} ms; this process commits nothing until it has rejoined the group",
                at_most.as_millis()
            );
            grants.granted.clear();
            grants.must_rejoin = true;
        }
        drop(grants);
        self.notify(signal);
    }

    /// Ends the grants of these partitions at once: they belong to other members already, or their topics are gone. An evicted member loses all that it
    /// has. A topic that is deleted takes only its own partitions: the group does not grant the others anew.
    pub(super) fn lose(&self, homes: &[TopicPartition], signal: &Signal) {
        self.lock().granted.retain(|home, _| !homes.contains(home));
        self.notify(signal);
    }

    /// Whether this process has to rejoin: it waited too long, or its membership is not the one that the grants were made in. All grants end then.
    pub(super) fn take_must_rejoin(&self, membership: &str, signal: &Signal) -> bool {
        let mut grants = self.lock();
        // Between two memberships there is no id. The next id decides.
        let other = !membership.is_empty() && !grants.granted.is_empty() && grants.membership != membership;
        if !other && !grants.must_rejoin {
            return false;
        }
        grants.granted.clear();
        grants.must_rejoin = false;
        drop(grants);
        self.notify(signal);
        true
    }

    /// Whether any task runs here.
    pub(super) fn has_running_tasks(&self) -> bool {
        !self.lock().running.is_empty()
    }

    /// Ends this process's part in the deployment, for good. The first reason counts.
    pub(super) fn expel(&self, why: Expelled, signal: &Signal) {
        let mut grants = self.lock();
        grants.granted.clear();
        grants.expelled.get_or_insert(why);
        drop(grants);
        self.notify(signal);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const ID: &str = "member-1";

    fn homes() -> [TopicPartition; 2] {
        [Topic::Trades.partition(3), Topic::Ledger.partition(1)]
    }

    fn may_commit(assignment: &Assignment, home: TopicPartition) -> bool {
        Assignment::may_commit(&assignment.lock(), home, ID)
    }

    fn to_run(assignment: &Assignment) -> Vec<TopicPartition> {
        Assignment::to_run(&assignment.lock())
            .into_iter()
            .map(TaskId::home)
            .collect()
    }

    #[test]
    fn a_task_commits_under_its_own_grant_only() {
        let (assignment, signal) = (Assignment::default(), Signal::default());
        let [trades, ledger] = homes();
        let task = TaskId::following(trades);
        assert!(!assignment.acquire(task), "nothing is granted");
        assignment.grant(&[trades, ledger], ID, &signal);
        assert_eq!(to_run(&assignment), [trades, ledger]);
        assert!(!may_commit(&assignment, trades), "it is not acquired");
        assert!(assignment.acquire(task) && !assignment.acquire(task));
        assert!(may_commit(&assignment, trades));
        // Lost and granted again while the task still runs: the task has the old grant.
        assignment.lose(&[trades], &signal);
        assert!(!may_commit(&assignment, trades));
        assert_eq!(to_run(&assignment), [ledger], "what was not lost stays");
        assignment.grant(&[trades], ID, &signal);
        assert!(!may_commit(&assignment, trades));
        assert_eq!(to_run(&assignment), [ledger], "the old task has to be closed first");
        assignment.release(task, &signal);
        assert_eq!(to_run(&assignment), [trades, ledger]);
        assert!(assignment.acquire(task) && may_commit(&assignment, trades));
    }

    #[test]
    fn revoking_waits_for_the_task_which_may_commit_until_then() {
        let assignment = Arc::new(Assignment::default());
        let signal = Arc::new(Signal::default());
        let [trades, ledger] = homes();
        let task = TaskId::following(trades);
        assignment.grant(&[trades, ledger], ID, &signal);
        assert!(assignment.acquire(task));
        let seen = assignment.version();
        let revoking = std::thread::spawn({
            let (assignment, signal) = (Arc::clone(&assignment), Arc::clone(&signal));
            move || assignment.revoke(&homes(), Duration::from_secs(60), &signal)
        });
        while assignment.version() == seen {
            std::thread::yield_now();
        }
        assert_eq!(to_run(&assignment), []);
        assert!(!assignment.acquire(TaskId::following(ledger)), "it is revoked");
        assert!(may_commit(&assignment, trades) && !revoking.is_finished());
        assignment.release(task, &signal);
        revoking.join().unwrap();
        assert!(!may_commit(&assignment, trades));
    }

    #[test]
    fn nothing_is_committed_under_another_membership() {
        let (assignment, signal) = (Assignment::default(), Signal::default());
        let [trades, ledger] = homes();
        assignment.grant(&[trades], ID, &signal);
        assert!(assignment.acquire(TaskId::following(trades)));
        let may = |id| Assignment::may_commit(&assignment.lock(), trades, id);
        assert!(may(ID) && !may("") && !may("member-2"));
        // While the process has no id, its grants may still be valid. Under another id they are not.
        assert!(!assignment.take_must_rejoin(ID, &signal) && !assignment.take_must_rejoin("", &signal) && may(ID));
        assert!(assignment.take_must_rejoin("member-2", &signal) && !may(ID));
        assert!(!assignment.take_must_rejoin("member-2", &signal), "once is enough");
        assignment.release(TaskId::following(trades), &signal);
        // An assignment under a new id, while a partition of the old one is still granted.
        assignment.grant(&[trades], "member-2", &signal);
        assignment.grant(&[ledger], "member-3", &signal);
        assert_eq!(to_run(&assignment), [ledger]);
        assert!(assignment.take_must_rejoin("member-3", &signal));
    }

    #[test]
    fn a_member_that_waited_too_long_for_its_tasks_has_no_grants() {
        let (assignment, signal) = (Assignment::default(), Signal::default());
        let [trades, ledger] = homes();
        assignment.grant(&homes(), ID, &signal);
        assert!(assignment.acquire(TaskId::following(trades)) && assignment.acquire(TaskId::following(ledger)));
        assignment.revoke(&[ledger], Duration::from_millis(1), &signal);
        assert!(!may_commit(&assignment, trades) && !may_commit(&assignment, ledger));
        assert!(assignment.take_must_rejoin(ID, &signal) && assignment.has_running_tasks());
    }
}
