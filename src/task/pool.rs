//! A few threads that step many tasks: whoever has something to do gets its turn, the rest waits until the bus has something new.
//!
//! Which tasks there are is asked of the bus again and again: one that is assigned to this process is started, one that has gone to another is
//! closed and given back. What stops a task stops that task; only what concerns the whole process ends it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::{Log, Membership, Reaction, TaskId};
use crate::task::{Progress, Task, TaskError};

/// How long a wait for something new lasts at most; a stop is noticed that soon.
const WAIT: Duration = Duration::from_millis(200);
/// How long a task waits before it is taken up again the first time; twice as long each time after that.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How long a task waits at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often a task that is stopped is spoken of again.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// Why a pool ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolEnd {
    /// It was asked to.
    Asked,
    /// No task had anything to do, and nothing new came.
    Idle,
}

/// What a pool steps, and until when.
pub struct TaskPool<'a> {
    /// The bus, to read.
    pub log: &'a dyn Log,
    /// This process's part of the deployment; `None` if it runs all tasks.
    pub membership: Option<&'a dyn Membership>,
    /// How many threads work.
    pub threads: usize,
    /// Whether to end when nothing is left to do. The first error ends it then, too.
    pub until_idle: bool,
    /// Set to make it stop.
    pub stop: &'a AtomicBool,
    /// The tasks that this process is to run now.
    pub wanted: &'a (dyn Fn() -> Result<BTreeSet<TaskId>, TaskError> + Sync),
    /// Takes a task up from its store.
    pub start: &'a (dyn Fn(TaskId) -> Result<Box<dyn Task>, TaskError> + Sync),
}

/// A thread's next piece of work.
enum Turn {
    Start(TaskId),
    Step(Box<dyn Task>),
}

#[derive(Default)]
struct State {
    ready: VecDeque<Turn>,
    /// Tasks that had nothing to do, and the bus's version before they looked.
    idle: Vec<(u64, Box<dyn Task>)>,
    /// Tasks to be taken up again, and when.
    later: Vec<(Instant, TaskId)>,
    /// How often a task has been taken up again since it last worked.
    attempts: BTreeMap<TaskId, u32>,
    /// Tasks that an error stopped, and when that was last said.
    stopped: BTreeMap<TaskId, (Instant, TaskError)>,
    wanted: BTreeSet<TaskId>,
    /// All tasks that are ready, idle, being stepped, or to be taken up later.
    taken: BTreeSet<TaskId>,
    /// Tasks that are being started or stepped.
    busy: usize,
    /// Those of them that are being started.
    starting: usize,
    /// Whether a thread is waiting on the bus for all.
    watching: bool,
    /// The bus's assignment that `wanted` was asked under.
    assignment: Option<u64>,
    end: Option<Result<PoolEnd, TaskError>>,
}

impl TaskPool<'_> {
    /// Steps the tasks until `stop` is set, something ends the process, or, with `until_idle`, there is nothing left to do. A clean end closes the
    /// tasks.
    ///
    /// # Errors
    /// What ended it; with `stop`, what stopped a task before.
    pub fn run(&self) -> Result<PoolEnd, TaskError> {
        let state = Mutex::new(State::default());
        let turns = Turns {
            pool: self,
            state,
            changed: Condvar::new(),
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| turns.work());
            }
        });
        let state = turns.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ended = state.end.unwrap_or(Ok(PoolEnd::Asked));
        let idle = state.idle.into_iter().map(|(_, task)| task);
        let ready = state.ready.into_iter().filter_map(|turn| match turn {
            Turn::Step(task) => Some(task),
            Turn::Start(_) => None,
        });
        let mut closed = Ok(());
        for mut task in ready.chain(idle) {
            let id = task.id();
            // After an error nothing more is written: the next start goes on from what is there.
            if ended.is_ok() && closed.is_ok() {
                closed = task.close();
            }
            drop(task);
            self.release(id);
        }
        let ended = ended?;
        if let Some((_, (_, error))) = state.stopped.into_iter().next() {
            return Err(error);
        }
        match closed {
            // Whoever has the task now goes on from what was committed.
            Err(error) if error.reaction() == Reaction::LeaveOff => Ok(ended),
            closed => closed.map(|()| ended),
        }
    }
}

impl TaskPool<'_> {
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

struct Turns<'a> {
    pool: &'a TaskPool<'a>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Turns<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while state.end.is_none() {
            if self.pool.stop.load(Ordering::Relaxed) {
                self.finish(&mut state, Ok(PoolEnd::Asked));
                break;
            }
            if state.assignment != Some(self.pool.assignment()) {
                self.assign(&mut state);
                continue;
            }
            self.rouse(&mut state);
            if let Some(turn) = self.next_turn(&mut state) {
                let starts = usize::from(matches!(turn, Turn::Start(_)));
                state.busy += 1;
                state.starting += starts;
                state = self.take_turn(state, turn);
                state.busy -= 1;
                state.starting -= starts;
                if state.busy == 0 {
                    self.changed.notify_all();
                }
                continue;
            }
            if state.busy > 0 || state.watching {
                // Another thread is at work, or waits for all.
                state = self
                    .changed
                    .wait_timeout(state, WAIT)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
                continue;
            }
            state = self.watch(state);
        }
    }

    /// What is next. Where one process runs all tasks, none works while another is being taken up: that finds out whether its inputs are what they
    /// were, and if they are not, nothing more may be published by any of them.
    fn next_turn(&self, state: &mut State) -> Option<Turn> {
        if self.pool.membership.is_some() || state.starting == 0 {
            return state.ready.pop_front();
        }
        let start = state.ready.iter().position(|turn| matches!(turn, Turn::Start(_)))?;
        state.ready.remove(start)
    }

    /// Asks which tasks this process is to run, and has the new ones started and the others closed.
    fn assign(&self, state: &mut State) {
        state.assignment = Some(self.pool.assignment());
        match (self.pool.wanted)() {
            Ok(wanted) => state.wanted = wanted,
            Err(error) => return self.finish(state, Err(error)),
        }
        let (wanted, taken) = (&state.wanted, &state.taken);
        // A task that was stopped here, went away and came back is tried again.
        state.stopped.retain(|task, _| wanted.contains(task));
        let new: Vec<TaskId> = wanted
            .iter()
            .filter(|task| !taken.contains(task) && !state.stopped.contains_key(task))
            .copied()
            .collect();
        for task in new {
            state.taken.insert(task);
            state.ready.push_back(Turn::Start(task));
        }
        // Those that are to be closed get a turn for it.
        let idle = std::mem::take(&mut state.idle);
        let (stay, leave): (Vec<_>, Vec<_>) = idle
            .into_iter()
            .partition(|(_, task)| state.wanted.contains(&task.id()));
        state.idle = stay;
        state.ready.extend(leave.into_iter().map(|(_, task)| Turn::Step(task)));
        let (wait, forget): (Vec<_>, Vec<_>) = std::mem::take(&mut state.later)
            .into_iter()
            .partition(|(_, task)| state.wanted.contains(task));
        state.later = wait;
        for (_, task) in forget {
            state.taken.remove(&task);
        }
        self.changed.notify_all();
    }

    fn take_turn<'s>(&'s self, state: MutexGuard<'s, State>, turn: Turn) -> MutexGuard<'s, State> {
        let id = match &turn {
            Turn::Start(id) => *id,
            Turn::Step(task) => task.id(),
        };
        let wanted = state.wanted.contains(&id);
        let seen = self.pool.log.version();
        drop(state);
        let outcome = match turn {
            Turn::Start(_) if !wanted || !self.pool.acquire(id) => Ok(None),
            Turn::Start(_) => self.started(id).map(|task| Some((Progress::Worked, task))),
            Turn::Step(mut task) if !wanted => {
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
            Ok(Some((Progress::Idle, task))) => state.idle.push((seen, task)),
            Ok(Some((progress, task))) => {
                if progress == Progress::Found {
                    state.assignment = None;
                }
                state.attempts.remove(&id);
                state.ready.push_back(Turn::Step(task));
                self.changed.notify_all();
            }
            Ok(None) => self.gave_back(&mut state, id),
            Err(error) => self.failed(&mut state, id, error),
        }
        state
    }

    fn started(&self, id: TaskId) -> Result<Box<dyn Task>, TaskError> {
        let began = Instant::now();
        let task = (self.pool.start)(id)?;
        tracing::debug!(task = %id, "taken up in {} ms", began.elapsed().as_millis());
        Ok(task)
    }

    /// A task of which nothing runs any more here.
    fn gave_back(&self, state: &mut State, id: TaskId) {
        state.taken.remove(&id);
        // It may have come back meanwhile.
        state.assignment = None;
        self.changed.notify_all();
    }

    fn failed(&self, state: &mut State, id: TaskId, error: TaskError) {
        let alone = self.pool.until_idle;
        match error.reaction() {
            Reaction::LeaveOff => {
                tracing::debug!(task = %id, "left off: {error}");
                state.wanted.remove(&id);
                self.gave_back(state, id);
            }
            Reaction::TryAgain if !alone => {
                let attempt = state.attempts.entry(id).or_default();
                let pause = FIRST_PAUSE.saturating_mul(1 << (*attempt).min(8)).min(LONGEST_PAUSE);
                *attempt = attempt.saturating_add(1);
                tracing::warn!(task = %id, "{error}; taken up again in {} ms", pause.as_millis());
                state.later.push((Instant::now() + pause, id));
            }
            Reaction::StopTask if !alone && self.pool.is_member() => {
                tracing::error!(task = %id, "stopped, the others go on: {error}");
                state.taken.remove(&id);
                state.stopped.insert(id, (Instant::now(), error));
            }
            _ => self.finish(state, Err(error)),
        }
    }

    /// Gives the idle tasks a turn for which there may be something new, and those whose pause is over.
    fn rouse(&self, state: &mut State) {
        let version = self.pool.log.version();
        let (woken, asleep): (Vec<_>, Vec<_>) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|(seen, _)| *seen < version);
        state.idle = asleep;
        state.ready.extend(woken.into_iter().map(|(_, task)| Turn::Step(task)));
        if state.later.is_empty() {
            return;
        }
        let now = Instant::now();
        let (due, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut state.later)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        state.later = wait;
        state.ready.extend(due.into_iter().map(|(_, task)| Turn::Start(task)));
    }

    /// All tasks are idle: waits on the bus for all threads, or ends.
    fn watch<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.watching = true;
        drop(state);
        let seen = self.pool.log.version();
        let at_most = if self.pool.until_idle { Duration::ZERO } else { WAIT };
        let outcome = self.pool.log.wait(seen, at_most);
        let mut state = self.lock();
        state.watching = false;
        match outcome {
            Err(error) => self.finish(&mut state, Err(error.into())),
            Ok(version) if version == seen && self.pool.until_idle => self.finish(&mut state, Ok(PoolEnd::Idle)),
            // A turn for everybody now and then: what waits in memory is persisted.
            Ok(version) if version == seen => {
                let idle = std::mem::take(&mut state.idle);
                state.ready.extend(idle.into_iter().map(|(_, task)| Turn::Step(task)));
                self.remind(&mut state);
            }
            Ok(_) => {}
        }
        self.changed.notify_all();
        state
    }

    fn remind(&self, state: &mut State) {
        for (task, (said, error)) in &mut state.stopped {
            if said.elapsed() > REMIND_EVERY {
                *said = Instant::now();
                tracing::error!(%task, "still stopped, the others go on: {error}");
            }
        }
    }

    fn finish(&self, state: &mut State, end: Result<PoolEnd, TaskError>) {
        // The first error is the one to tell.
        if state.end.is_none() || end.is_err() && !matches!(state.end, Some(Err(_))) {
            state.end = Some(end);
        }
        self.changed.notify_all();
    }
}
