//! Notices that others have appended something, by the sizes of the files.

use std::fs;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::bus::dir::committed::lock;
use crate::bus::dir::layout::Layout;
use crate::bus::error::BusError;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

/// What the files looked like last time.
pub(super) struct Watch {
    topics: Vec<Topic>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    sizes: Vec<(TopicPartition, u64)>,
    at: Option<Instant>,
}

impl Watch {
    /// A watch over the topics that others append to: all of them if we only read.
    pub(super) fn new(reading_only: bool) -> Self {
        let others = |topic: &Topic| reading_only || topic.kind() == TopicKind::Input;
        Self {
            topics: Topic::ALL.into_iter().filter(others).collect(),
            seen: Mutex::default(),
        }
    }

    /// Whether anything changed since the last look; does not look again if that is younger than `age`.
    pub(super) fn look(&self, layout: &Layout, age: Duration) -> Result<bool, BusError> {
        let mut seen = lock(&self.seen);
        if seen.at.is_some_and(|at| at.elapsed() < age) {
            return Ok(false);
        }
        let mut now = Vec::with_capacity(seen.sizes.len());
        for topic in &self.topics {
            for partition in layout.partitions(*topic)? {
                let partition = topic.partition(partition);
                let path = layout.file(partition);
                match fs::metadata(&path) {
                    Ok(metadata) => now.push((partition, metadata.len())),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(BusError::io("look at", path)(error)),
                }
            }
        }
        let changed = seen.sizes != now;
        seen.sizes = now;
        seen.at = Some(Instant::now());
        Ok(changed)
    }
}
