//! A few threads that step many tasks: whoever has something to do gets its turn, the rest waits until the bus has something new.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bus::{Bus, TopicPartition};

use super::{Progress, Task, TaskError};

/// How long a wait for something new lasts at most; a stop is noticed that soon.
const WAIT: Duration = Duration::from_millis(200);

/// Why a pool ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// No task had anything to do, and nothing new came.
    Idle,
}

/// Tasks and the threads that step them.
#[derive(Default)]
pub struct Pool {
    tasks: Vec<Box<dyn Task>>,
}

/// Makes the tasks of source partitions that were found.
type Found<'a> = dyn Fn(Vec<TopicPartition>) -> Result<Vec<Box<dyn Task>>, TaskError> + Sync + 'a;

#[derive(Default)]
struct State {
    ready: VecDeque<Box<dyn Task>>,
    /// Tasks that had nothing to do, and the bus's version before they looked.
    idle: Vec<(u64, Box<dyn Task>)>,
    /// Tasks that are being stepped.
    busy: usize,
    /// Whether a thread is waiting on the bus for all.
    watching: bool,
    end: Option<Result<Stopped, TaskError>>,
}

struct Turns<'a> {
    bus: &'a dyn Bus,
    until_idle: bool,
    stop: &'a AtomicBool,
    found: &'a Found<'a>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Pool {
    /// Adds a task.
    pub fn add(&mut self, task: Box<dyn Task>) {
        self.tasks.push(task);
    }

    /// Steps the tasks on `threads` threads until `stop` is set, a task fails, or, with `until_idle`, there is nothing left to do. A clean
    /// end closes the tasks.
    pub fn run(
        self,
        bus: &dyn Bus,
        threads: usize,
        until_idle: bool,
        stop: &AtomicBool,
        found: &Found<'_>,
    ) -> Result<Stopped, TaskError> {
        let state = State {
            ready: self.tasks.into(),
            ..State::default()
        };
        let turns = Turns {
            bus,
            until_idle,
            stop,
            found,
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| turns.work());
            }
        });
        let state = turns.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ended = state.end.unwrap_or(Ok(Stopped::Asked))?;
        for mut task in state
            .ready
            .into_iter()
            .chain(state.idle.into_iter().map(|(_, task)| task))
        {
            task.close()?;
        }
        Ok(ended)
    }
}

impl Turns<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while state.end.is_none() {
            if self.stop.load(Ordering::Relaxed) {
                self.finish(&mut state, Ok(Stopped::Asked));
                break;
            }
            self.rouse(&mut state);
            if let Some(mut task) = state.ready.pop_front() {
                state.busy += 1;
                drop(state);
                let seen = self.bus.version();
                let outcome = self.step(task.as_mut());
                state = self.lock();
                state.busy -= 1;
                match outcome {
                    Ok((Progress::Idle, _)) => state.idle.push((seen, task)),
                    Ok((_, more)) => {
                        state.ready.push_back(task);
                        state.ready.extend(more);
                        self.changed.notify_all();
                    }
                    Err(error) => self.finish(&mut state, Err(error)),
                }
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

    fn step(&self, task: &mut dyn Task) -> Result<(Progress, Vec<Box<dyn Task>>), TaskError> {
        match task.step()? {
            Progress::Found(sources) => Ok((Progress::Worked, (self.found)(sources)?)),
            progress => Ok((progress, Vec::new())),
        }
    }

    /// Gives the idle tasks a turn for which there may be something new.
    fn rouse(&self, state: &mut State) {
        let version = self.bus.version();
        let (woken, asleep) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|(seen, _)| *seen < version);
        state.idle = asleep;
        let woken: Vec<(u64, Box<dyn Task>)> = woken;
        state.ready.extend(woken.into_iter().map(|(_, task)| task));
    }

    /// All tasks are idle: waits on the bus for all threads, or ends.
    fn watch<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.watching = true;
        drop(state);
        let seen = self.bus.version();
        let at_most = if self.until_idle { Duration::ZERO } else { WAIT };
        let outcome = self.bus.wait(seen, at_most);
        let mut state = self.lock();
        state.watching = false;
        match outcome {
            Err(error) => self.finish(&mut state, Err(error.into())),
            Ok(version) if version == seen && self.until_idle => self.finish(&mut state, Ok(Stopped::Idle)),
            // A turn for everybody now and then: what waits in memory is persisted.
            Ok(version) if version == seen => {
                let idle = std::mem::take(&mut state.idle);
                state.ready.extend(idle.into_iter().map(|(_, task)| task));
            }
            Ok(_) => {}
        }
        self.changed.notify_all();
        state
    }

    fn finish(&self, state: &mut State, end: Result<Stopped, TaskError>) {
        // The first error is the one to tell.
        if state.end.is_none() || end.is_err() && !matches!(state.end, Some(Err(_))) {
            state.end = Some(end);
        }
        self.changed.notify_all();
    }
}
