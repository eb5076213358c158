//! The pool for reads that block, so that the threads which serve never wait for a disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::serve::answer::Problem;

/// How long a read may wait until one of the pool is free.
const FREE_WITHIN: Duration = Duration::from_secs(5);

/// A bounded number of reads at a time. The rest wait in the order in which they came.
#[derive(Debug, Clone)]
pub struct Readers {
    free: Arc<Semaphore>,
    /// Reads that did not find a free place in time.
    refused: Arc<AtomicU64>,
}

impl Readers {
    #[must_use]
    pub fn new(at_a_time: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(at_a_time.max(1))),
            refused: Arc::default(),
        }
    }

    /// How many reads were refused, because too many waited.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Runs a read on a thread that may block. A client that goes away does not end it, and it counts until it ends.
    ///
    /// # Errors
    /// 503 if too many reads wait already; 500 if the read panics.
    pub async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let free = Arc::clone(&self.free).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(FREE_WITHIN, free).await else {
            self.refused.fetch_add(1, Relaxed);
            return Err(Problem::unavailable("Too many reads wait; try again in a moment.", 2));
        };
        let work = move || {
            let _permit = permit;
            read()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Problem::internal(&format!("a read ended without an answer: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap()
    }

    #[test]
    fn no_more_read_at_a_time_than_allowed() {
        let (readers, now, most) = (
            Readers::new(2),
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicUsize::new(0)),
        );
        runtime().block_on(async {
            let reads = (0..20).map(|number| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                readers.run(move || {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    std::thread::sleep(Duration::from_millis(3));
                    now.fetch_sub(1, SeqCst);
                    number
                })
            });
            let answers: Vec<i32> = futures::future::join_all(reads)
                .await
                .into_iter()
                .map(Result::unwrap)
                .collect();
            assert_eq!(answers, (0..20).collect::<Vec<_>>());
        });
        assert_eq!(most.load(SeqCst), 2);
    }

    #[test]
    fn a_read_that_panics_is_a_problem_and_frees_its_place() {
        let readers = Readers::new(1);
        runtime().block_on(async {
            let broken = readers.run(|| panic!("broken")).await;
            assert_eq!(broken.map(|()| 0).unwrap_err().status().as_u16(), 500);
            assert_eq!(readers.run(|| 7).await.unwrap(), 7);
        });
    }
}
