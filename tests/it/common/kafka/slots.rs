//! A limit on the brokers that run at the same time, over all tests of this process.
//!
//! A test takes the slots of its cluster before it starts a broker, and gives them back when the cluster is dropped. So
//! a test must not have two clusters at the same time: it could wait for itself.

use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread::available_parallelism;

/// Slots in all: one a core, and enough for three single brokers beside a cluster of three.
static ALL: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(6, |cores| cores.get().max(6)));

struct Queue {
    taken: usize,
    /// The next ticket to hand out, and the one whose holder is served next.
    next: u64,
    served: u64,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    taken: 0,
    next: 0,
    served: 0,
});
static CHANGED: Condvar = Condvar::new();

/// Taken slots, given back when dropped.
pub struct Slots(usize);

impl Slots {
    /// Waits for one slot a broker.
    pub fn take(brokers: usize) -> Self {
        // First come, first served: a large request is never starved by small ones.
        let mut queue = QUEUE.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = queue.next;
        queue.next += 1;
        let mut queue = CHANGED
            .wait_while(queue, |queue| queue.served != ticket || queue.taken + brokers > *ALL)
            .unwrap_or_else(PoisonError::into_inner);
        queue.taken += brokers;
        queue.served += 1;
        drop(queue);
        CHANGED.notify_all();
        Self(brokers)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        QUEUE.lock().unwrap_or_else(PoisonError::into_inner).taken -= self.0;
        CHANGED.notify_all();
    }
}
