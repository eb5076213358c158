//! Reading a stretch of a partition that is known to be there.

use std::time::{Duration, Instant};

use crate::bus::batch::{Batch, Record};
use crate::bus::error::ReadError;
use crate::bus::interface::{Log, Reader};
use crate::bus::position::Mark;
use crate::core::contract::topic::TopicPartition;

/// About so many bytes are read at a time.
pub const CHUNK: usize = 1 << 20;
/// How long nothing has to come of what is there for it to be an error.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a bus that brings nothing is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Calls `take` with every record of `partition` from `from` on and below the offset `end`, which the bus said to be there: the end of a
/// partition, or less. A blank line is a record without bytes.
///
/// # Errors
/// What the bus says, what `take` says, or `Silent` if a minute goes by without anything coming.
pub fn scan_range<E: From<ReadError>>(
    bus: &dyn Log,
    partition: TopicPartition,
    from: &Mark,
    end: u64,
    mut take: impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if from.offset >= end {
        return Ok(());
    }
    let mut reader = bus.open(partition, from)?;
    while reader.mark().offset < end {
        let batch = some(bus, partition, reader.as_mut(), CHUNK, end)?;
        batch.iter().try_for_each(&mut take)?;
        reader.recycle(batch);
    }
    Ok(())
}

/// Reads on in `partition` below the offset `end`, which is there: waits until something comes.
///
/// # Errors
/// What the bus says, or `Silent` if a minute goes by without anything coming.
pub fn some(
    bus: &dyn Log,
    partition: TopicPartition,
    reader: &mut dyn Reader,
    limit: usize,
    end: u64,
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
        if began.elapsed() > PATIENCE {
            return Err(ReadError::Silent {
                partition,
                from,
                end,
                seconds: PATIENCE.as_secs(),
            });
        }
        bus.wait(seen, LOOK_EVERY)?;
    }
}
