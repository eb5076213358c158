//! Reading a stretch of a partition that is known to be there.

use std::time::{Duration, Instant};

use crate::bus::{Bus, BusError, Mark, Record, TopicPartition};

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
/// What the bus says, what `take` says, or `Unavailable` if a minute goes by without anything coming.
pub fn stretch<E: From<BusError>>(
    bus: &dyn Bus,
    partition: TopicPartition,
    from: &Mark,
    end: u64,
    mut take: impl FnMut(Record<'_>) -> Result<(), E>,
) -> Result<(), E> {
    if from.offset >= end {
        return Ok(());
    }
    let mut reader = bus.open(partition, from)?;
    let mut heard = Instant::now();
    while reader.mark().offset < end {
        let before = reader.mark().offset;
        let seen = bus.version();
        let batch = reader.read(CHUNK, end)?;
        batch.iter().try_for_each(&mut take)?;
        let moved = reader.mark().offset > before;
        reader.recycle(batch);
        if moved {
            heard = Instant::now();
            continue;
        }
        if heard.elapsed() > PATIENCE {
            return Err(BusError::Unavailable {
                action: format!("read {partition} from offset {before} to {end}"),
                why: "nothing comes".into(),
            }
            .into());
        }
        bus.wait(seen, LOOK_EVERY)?;
    }
    Ok(())
}
