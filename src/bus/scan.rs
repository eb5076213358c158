//! Reads an offset range whose records are known to exist.

use std::time::{Duration, Instant};

use crate::bus::batch::{Batch, Record};
use crate::bus::error::ReadError;
use crate::bus::interface::{Log, Reader};
use crate::bus::position::Mark;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// Bytes read at a time, about.
pub const CHUNK: usize = 1 << 20;
/// Time-out for records that are known to exist.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two reads that find nothing.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Calls `take` with each record of `partition` from `from` on and below `end`, which is at most the readable end. A blank line is a record without
/// bytes.
///
/// # Errors
/// An error of the bus or of `take`; `Silent` if no record arrives for a minute.
pub fn scan_range<E: From<ReadError>>(
    bus: &dyn Log,
    partition: TopicPartition,
    from: &Mark,
    end: Offset,
    mut take: impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if from.offset >= end {
        return Ok(());
    }
    let mut reader = bus.open(partition, from)?;
    while reader.mark().offset < end {
        let batch = next_batch(bus, partition, reader.as_mut(), CHUNK, end)?;
        batch.iter().try_for_each(&mut take)?;
        reader.recycle(batch);
    }
    Ok(())
}

/// Reads the next records of `partition` below `end`, which is at most the readable end. Waits until there are some.
///
/// # Errors
/// An error of the bus; `Silent` if no record arrives for a minute.
pub fn next_batch(
    bus: &dyn Log,
    partition: TopicPartition,
    reader: &mut dyn Reader,
    limit: usize,
    end: Offset,
) -> Result<Batch, ReadError> {
    let began = Instant::now();
    let from = reader.mark().offset;
    loop {
        let seen = bus.version();
        let batch = reader.read(limit, end)?;
        if !batch.is_empty() || batch.next.offset > from || from >= end {
            return Ok(batch);
        }
        reader.recycle(batch);
        if began.elapsed() > ARRIVAL_TIMEOUT && !bus.gives_up() {
            return Err(ReadError::Silent {
                partition,
                from,
                end,
                seconds: ARRIVAL_TIMEOUT.as_secs(),
            });
        }
        bus.wait(seen, POLL_EVERY)?;
    }
}
