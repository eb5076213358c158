//! Notices new records of other processes, by the sizes of the files.

use std::fs;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::bus::dir::committed::{Committed, lock};
use crate::bus::dir::layout::DirLayout;
use crate::bus::error::FileError;
use crate::core::contract::topic::{Topic, TopicPartition};

/// How often the files are looked at while a task waits for something to read.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Watch {
    topics: Vec<Topic>,
    last: Mutex<LastLook>,
}

#[derive(Default)]
struct LastLook {
    sizes: Vec<(TopicPartition, u64)>,
    at: Option<Instant>,
}

impl Watch {
    /// A watch over `topics`: those that other processes append to.
    pub(super) fn new(topics: impl IntoIterator<Item = Topic>) -> Self {
        Self {
            topics: topics.into_iter().collect(),
            last: Mutex::default(),
        }
    }

    /// Waits until the version of `committed` is past `seen`, or `at_most` is over. A change of a file advances the version.
    pub(super) fn wait(
        &self,
        layout: &DirLayout,
        committed: &Committed,
        seen: u64,
        at_most: Duration,
    ) -> Result<u64, FileError> {
        let start = Instant::now();
        let mut age = Duration::ZERO;
        loop {
            if self.look(layout, age)? {
                committed.bump();
            }
            // The first look is ours. After it, one thread's look serves all that wait.
            age = LOOK_EVERY;
            let left = at_most.saturating_sub(start.elapsed());
            let version = committed.wait(seen, left.min(LOOK_EVERY));
            if version > seen || start.elapsed() >= at_most {
                return Ok(version);
            }
        }
    }

    /// Whether a file changed since the last look. If that look is younger than `age`, does not look again.
    fn look(&self, layout: &DirLayout, age: Duration) -> Result<bool, FileError> {
        let mut last = lock(&self.last);
        if last.at.is_some_and(|at| at.elapsed() < age) {
            return Ok(false);
        }
        let mut now = Vec::with_capacity(last.sizes.len());
        for topic in &self.topics {
            for partition in layout.partitions(*topic)? {
                let partition = topic.partition(partition);
                let path = layout.file(partition);
                match fs::metadata(&path) {
                    Ok(metadata) => now.push((partition, metadata.len())),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(FileError::io("look at", path)(error)),
                }
            }
        }
        let changed = last.sizes != now;
        last.sizes = now;
        last.at = Some(Instant::now());
        Ok(changed)
    }
}
