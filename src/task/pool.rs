//! A few threads that step many tasks. A task that has something to do gets a turn; an idle task waits until the bus has news.
//!
//! The pool asks again and again which tasks this process has to run. It starts the tasks that were assigned to this process, and closes and
//! releases those that went to another. An error stops its task only, unless it concerns the whole process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::{Log, Membership, Reaction, TaskId};
use crate::task::error::TaskError;
use crate::task::task_states::{TaskStates, TroubleKind};

/// A task, as the pool steps it.
pub trait Task: Send {
    fn id(&self) -> TaskId;

    /// Does a limited piece of work.
    ///
    /// # Errors
    /// What stops the task. It must not be stepped again.
    fn step(&mut self) -> Result<Progress, TaskError>;

    /// Persists what is in memory, before a clean end.
    ///
    /// # Errors
    /// If that fails. Nothing is lost, because the bus has it.
    fn close(&mut self) -> Result<(), TaskError>;
}

/// The result of one step of a task.
#[derive(Debug)]
pub enum Progress {
    /// There was nothing to do.
    Idle,
    /// There was nothing to do but what this error keeps the task from. It goes on by itself once a decision or the bus allows it.
    Blocked(TaskError),
    /// There may be more to do.
    Worked,
    /// New source partitions were found. Their tasks must be started.
    FoundSources,
}

/// The longest wait for news from the bus; a stop is noticed within this time.
const WAIT: Duration = Duration::from_millis(200);
/// The pause before the first restart of a task; it doubles with every restart.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The time between two log lines about the same stopped task.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// Why a pool ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolEnd {
    /// It was told to stop.
    Stopped,
    /// No task had anything to do, and the bus had no news; or the deployment has caught up.
    Idle,
}

/// When a pool ends by itself.
#[derive(Debug, Clone, Copy)]
pub enum PoolGoal<'a> {
    /// Never: only when it is told to stop.
    Never,
    /// When no task has anything to do. This process has all tasks, and the first error ends the pool, too.
    Idle,
    /// When this is set: the deployment, which other processes share, has caught up. Before, an error that stops a task ends the pool, and one that may
    /// pass does not.
    CaughtUp(&'a AtomicBool),
}

/// The tasks to step, and when to end.
pub struct TaskPool<'a> {
    pub log: &'a dyn Log,
    /// This process's part of the deployment; `None` if it runs all tasks.
    pub membership: Option<&'a dyn Membership>,
    pub threads: usize,
    pub until: PoolGoal<'a>,
    /// Set to end the pool.
    pub stop: &'a AtomicBool,
    /// The tasks that this process has to run now.
    pub tasks_to_run: &'a (dyn Fn() -> Result<BTreeSet<TaskId>, TaskError> + Sync),
    /// Starts a task from its store.
    pub start: &'a (dyn Fn(TaskId) -> Result<Box<dyn Task>, TaskError> + Sync),
    /// Learns which tasks are assigned, stopped or restart, and why.
    pub task_states: &'a TaskStates,
}

/// The next piece of work of a thread.
enum Turn {
    Start(TaskId),
    Step(Box<dyn Task>),
}

impl Turn {
    fn task(&self) -> TaskId {
        match self {
            Self::Start(id) => *id,
            Self::Step(task) => task.id(),
        }
    }
}

#[derive(Default)]
struct PoolState {
    ready: VecDeque<Turn>,
    /// Tasks that had nothing to do, each with the version of the bus before it looked.
    idle: Vec<(u64, Box<dyn Task>)>,
    /// Tasks to restart, each with the time.
    restarts: Vec<(Instant, TaskId)>,
    /// The number of restarts of a task since it last worked.
    attempts: BTreeMap<TaskId, u32>,
    /// Tasks that an error stopped, each with the time of the last log line about it.
    stopped: BTreeMap<TaskId, (Instant, TaskError)>,
    /// The same of tasks that wait for a decision about an error.
    blocked: BTreeMap<TaskId, (Instant, TaskError)>,
    /// The tasks that this process has to run.
    to_run: BTreeSet<TaskId>,
    /// The tasks that are ready, idle, starting, being stepped, or waiting for a restart.
    active: BTreeSet<TaskId>,
    /// The number of tasks that a thread is starting or stepping.
    busy: usize,
    /// The number of those that are being started.
    starting: usize,
    /// Whether a thread waits on the bus for all threads.
    watching: bool,
    /// The assignment of the bus for which `to_run` was asked.
    assignment: Option<u64>,
    end: Option<Result<PoolEnd, TaskError>>,
}

impl TaskPool<'_> {
    /// Steps the tasks until `stop` is set, an error ends the process, or the goal is reached.
    /// A clean end closes the tasks.
    ///
    /// # Errors
    /// What ended the pool. After `stop`: what stopped a task before.
    pub fn run(&self) -> Result<PoolEnd, TaskError> {
        let threads = PoolThreads {
            pool: self,
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| threads.work());
            }
        });
        let mut state = threads.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = state.end.take().unwrap_or(Ok(PoolEnd::Stopped));
        let mut stopped = std::mem::take(&mut state.stopped);
        stopped.append(&mut state.blocked);
        let closed = self.close_tasks(state, end.is_ok());
        let end = end?;
        if let Some((_, (_, error))) = stopped.into_iter().next() {
            return Err(error);
        }
        match closed {
            // Another process has the task now, and continues after its last commit.
            Err(error) if error.reaction() == Reaction::LeaveOff => Ok(end),
            // A stop does not wait for brokers. The next start continues from the store, up to what was committed. All that a catch-up waited for is
            // committed.
            Err(error)
                if (end == PoolEnd::Stopped || matches!(self.until, PoolGoal::CaughtUp(_)))
                    && error.reaction() == Reaction::TryAgain =>
            {
                tracing::info!("stopped with work that the next start does again: {error}");
                Ok(end)
            }
            closed => closed.map(|()| end),
        }
    }

    /// Closes the tasks if the end is clean, and releases them.
    fn close_tasks(&self, state: PoolState, clean: bool) -> Result<(), TaskError> {
        let idle = state.idle.into_iter().map(|(_, task)| task);
        let ready = state.ready.into_iter().filter_map(|turn| match turn {
            Turn::Step(task) => Some(task),
            Turn::Start(_) => None,
        });
        let mut closed = Ok(());
        for mut task in ready.chain(idle) {
            let id = task.id();
            // After an error nothing more is written: the next start recovers.
            if clean && closed.is_ok() {
                closed = task.close();
            }
            drop(task);
            self.release(id);
        }
        closed
    }

    fn assignment(&self) -> u64 {
        self.membership.map_or(0, |membership| membership.assignment())
    }

    fn acquire(&self, task: TaskId) -> bool {
        self.membership.is_none_or(|membership| membership.acquire(task))
    }

    fn release(&self, task: TaskId) {
        if let Some(membership) = self.membership {
            membership.release(task);
        }
    }

    /// Whether other processes share the deployment, and this one is still part of it.
    fn is_member(&self) -> bool {
        self.membership.is_some_and(|membership| membership.assigned().is_ok())
    }
}

/// What the threads of a pool share.
struct PoolThreads<'a> {
    pool: &'a TaskPool<'a>,
    state: Mutex<PoolState>,
    changed: Condvar,
}

impl PoolThreads<'_> {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn is_until_idle(&self) -> bool {
        matches!(self.pool.until, PoolGoal::Idle)
    }

    fn work(&self) {
        let mut state = self.lock();
        while state.end.is_none() {
            if self.pool.stop.load(Ordering::Relaxed) {
                self.finish(&mut state, Ok(PoolEnd::Stopped));
                break;
            }
            if let PoolGoal::CaughtUp(reached) = self.pool.until
                && reached.load(Ordering::Relaxed)
            {
                self.finish(&mut state, Ok(PoolEnd::Idle));
                break;
            }
            if state.assignment != Some(self.pool.assignment()) {
                self.update_assignment(&mut state);
                continue;
            }
            self.wake_tasks(&mut state);
            if let Some(turn) = self.next_turn(&mut state) {
                let starts = usize::from(matches!(turn, Turn::Start(_)));
                state.busy += 1;
                state.starting += starts;
                state = self.run_turn(state, turn);
                state.busy -= 1;
                state.starting -= starts;
                if state.busy == 0 {
                    self.changed.notify_all();
                }
                continue;
            }
            if state.busy > 0 || state.watching {
                // Another thread works, or waits for all.
                state = self
                    .changed
                    .wait_timeout(state, WAIT)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            }
            state = self.wait_for_bus(state);
        }
    }

    /// The next turn. If this process runs all tasks, no task is stepped while another one starts: a start checks whether the inputs are
    /// unchanged, and if they are not, no task may publish anything.
    fn next_turn(&self, state: &mut PoolState) -> Option<Turn> {
        if self.pool.membership.is_some() || state.starting == 0 {
            return state.ready.pop_front();
        }
        let start = state.ready.iter().position(|turn| matches!(turn, Turn::Start(_)))?;
        state.ready.remove(start)
    }

    /// Asks which tasks this process has to run. Starts the new ones, and gives those that went away a turn to close.
    fn update_assignment(&self, state: &mut PoolState) {
        state.assignment = Some(self.pool.assignment());
        match (self.pool.tasks_to_run)() {
            Ok(to_run) => state.to_run = to_run,
            Err(error) => return self.finish(state, Err(error)),
        }
        self.pool.task_states.assign(&state.to_run);
        let (to_run, active) = (&state.to_run, &state.active);
        // A stopped task that went away is started again when it comes back.
        state.stopped.retain(|task, _| {
            let stays = to_run.contains(task);
            if !stays {
                self.pool.task_states.forget(*task);
            }
            stays
        });
        let new: Vec<TaskId> = to_run
            .iter()
            .filter(|task| !active.contains(task) && !state.stopped.contains_key(task))
            .copied()
            .collect();
        for task in new {
            state.active.insert(task);
            state.ready.push_back(Turn::Start(task));
        }
        let (stay, leave): (Vec<_>, Vec<_>) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|(_, task)| state.to_run.contains(&task.id()));
        state.idle = stay;
        state.ready.extend(leave.into_iter().map(|(_, task)| Turn::Step(task)));
        let (wait, forget): (Vec<_>, Vec<_>) = std::mem::take(&mut state.restarts)
            .into_iter()
            .partition(|(_, task)| state.to_run.contains(task));
        state.restarts = wait;
        for (_, task) in forget {
            state.active.remove(&task);
            self.pool.task_states.forget(task);
        }
        self.changed.notify_all();
    }

    fn run_turn<'s>(&'s self, state: MutexGuard<'s, PoolState>, turn: Turn) -> MutexGuard<'s, PoolState> {
        let id = turn.task();
        let to_run = state.to_run.contains(&id);
        let restarts = state.attempts.contains_key(&id);
        let version = self.pool.log.version();
        drop(state);
        let outcome = match turn {
            Turn::Start(_) if !to_run || !self.pool.acquire(id) => Ok(None),
            Turn::Start(_) => self.start(id, restarts).map(|task| Some((Progress::Worked, task))),
            Turn::Step(mut task) if !to_run => {
                let closed = task.close();
                drop(task);
                closed.map(|()| None)
            }
            Turn::Step(mut task) => match task.step() {
                Ok(progress) => Ok(Some((progress, task))),
                Err(error) => {
                    drop(task);
                    Err(error)
                }
            },
        };
        if !matches!(outcome, Ok(Some(_))) {
            self.pool.release(id);
        }
        let mut state = self.lock();
        match outcome {
            Ok(Some((Progress::Idle, task))) => {
                if state.blocked.remove(&id).is_some() {
                    self.pool.task_states.forget(id);
                }
                state.idle.push((version, task));
            }
            Ok(Some((Progress::Blocked(error), task))) => {
                self.note_blocked(&mut state, id, error);
                state.idle.push((version, task));
            }
            Ok(Some((progress, task))) => {
                if matches!(progress, Progress::FoundSources) {
                    state.assignment = None;
                }
                if state.attempts.remove(&id).is_some() {
                    self.pool.task_states.forget(id);
                }
                state.ready.push_back(Turn::Step(task));
                self.changed.notify_all();
            }
            Ok(None) => self.remove_task(&mut state, id),
            Err(error) => self.handle_error(&mut state, id, error),
        }
        state
    }

    fn start(&self, id: TaskId, restarts: bool) -> Result<Box<dyn Task>, TaskError> {
        let began = Instant::now();
        let task = (self.pool.start)(id)?;
        let ms = began.elapsed().as_millis();
        if self.pool.membership.is_some() && !restarts {
            tracing::info!(task = %id, "this instance has taken over the task, in {ms} ms");
        } else {
            tracing::debug!(task = %id, "started in {ms} ms");
        }
        Ok(task)
    }

    /// Tells of a blocked task, unless it is known to be blocked by the same.
    fn note_blocked(&self, state: &mut PoolState, id: TaskId, error: TaskError) {
        let is_known = |(_, known): &(Instant, TaskError)| known.to_string() == error.to_string();
        if state.blocked.get(&id).is_some_and(is_known) {
            return;
        }
        // Without a wait, the error is the end, and is told as such.
        if !self.is_until_idle() {
            tracing::error!(task = %id, "waits for a decision, the other tasks continue: {error}");
        }
        let why = error.to_string();
        self.pool.task_states.note(id, TroubleKind::Waits, why);
        state.blocked.insert(id, (Instant::now(), error));
    }

    /// Forgets a task that was released.
    fn remove_task(&self, state: &mut PoolState, id: TaskId) {
        state.active.remove(&id);
        if state.blocked.remove(&id).is_some() {
            self.pool.task_states.forget(id);
        }
        // It may have come back meanwhile, so ask for the assignment again.
        state.assignment = None;
        self.changed.notify_all();
    }

    fn handle_error(&self, state: &mut PoolState, id: TaskId, error: TaskError) {
        state.blocked.remove(&id);
        match error.reaction() {
            Reaction::LeaveOff => {
                tracing::debug!(task = %id, "another process has this task: {error}");
                state.to_run.remove(&id);
                self.remove_task(state, id);
            }
            Reaction::TryAgain if !self.is_until_idle() => {
                let attempt = state.attempts.entry(id).or_default();
                let pause = FIRST_PAUSE.saturating_mul(1 << (*attempt).min(8)).min(LONGEST_PAUSE);
                *attempt = attempt.saturating_add(1);
                tracing::warn!(task = %id, "{error}; the task restarts in {} ms", pause.as_millis());
                self.pool.task_states.count_restart(error.reason());
                let why = error.to_string();
                self.pool.task_states.note(id, TroubleKind::Restarts, why);
                state.restarts.push((Instant::now() + pause, id));
            }
            Reaction::StopTask if matches!(self.pool.until, PoolGoal::Never) && self.pool.is_member() => {
                tracing::error!(task = %id, "stopped, the other tasks continue: {error}");
                let why = error.to_string();
                self.pool.task_states.note(id, TroubleKind::Stopped, why);
                state.active.remove(&id);
                state.stopped.insert(id, (Instant::now(), error));
            }
            _ => self.finish(state, Err(error)),
        }
    }

    /// Makes the idle tasks ready for which the bus may have news, and the tasks whose pause before a restart is over.
    fn wake_tasks(&self, state: &mut PoolState) {
        let version = self.pool.log.version();
        let (woken, asleep): (Vec<_>, Vec<_>) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|(seen, _)| *seen < version);
        state.idle = asleep;
        state.ready.extend(woken.into_iter().map(|(_, task)| Turn::Step(task)));
        if state.restarts.is_empty() {
            return;
        }
        let now = Instant::now();
        let (due, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut state.restarts)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        state.restarts = wait;
        state.ready.extend(due.into_iter().map(|(_, task)| Turn::Start(task)));
    }

    /// All tasks are idle: waits on the bus for all threads, or ends the pool.
    fn wait_for_bus<'s>(&'s self, mut state: MutexGuard<'s, PoolState>) -> MutexGuard<'s, PoolState> {
        state.watching = true;
        drop(state);
        let seen = self.pool.log.version();
        let at_most = if self.is_until_idle() { Duration::ZERO } else { WAIT };
        let outcome = self.pool.log.wait(seen, at_most);
        let mut state = self.lock();
        state.watching = false;
        match outcome {
            Err(error) => self.finish(&mut state, Err(error.into())),
            Ok(version) if version == seen && self.is_until_idle() => {
                let end = match state.blocked.pop_first() {
                    Some((_, (_, error))) => Err(error),
                    None => Ok(PoolEnd::Idle),
                };
                self.finish(&mut state, end);
            }
            // Without news every task gets a turn all the same, to persist what is in memory.
            Ok(version) if version == seen => {
                let idle = std::mem::take(&mut state.idle);
                state.ready.extend(idle.into_iter().map(|(_, task)| Turn::Step(task)));
                self.remind_of_stopped_tasks(&mut state);
            }
            Ok(_) => {}
        }
        self.changed.notify_all();
        state
    }

    fn remind_of_stopped_tasks(&self, state: &mut PoolState) {
        let stopped = state.stopped.iter_mut().map(|task| ("still stopped", task));
        let blocked = state.blocked.iter_mut();
        for (how, (task, (logged, error))) in stopped.chain(blocked.map(|task| ("still waits for a decision", task))) {
            if logged.elapsed() > REMIND_EVERY {
                *logged = Instant::now();
                tracing::error!(%task, "{how}, the other tasks continue: {error}");
            }
        }
    }

    fn finish(&self, state: &mut PoolState, end: Result<PoolEnd, TaskError>) {
        // Keep the first error.
        if state.end.is_none() || end.is_err() && !matches!(state.end, Some(Err(_))) {
            state.end = Some(end);
        }
        self.changed.notify_all();
    }
}
