//! Opens the bus that an address names.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::bus::archive::ArchiveBus;
use crate::bus::dir::{DirBus, Options, ReadOnlyDir};
use crate::bus::kafka::{KafkaBus, Patience, ReadOnlyKafka};
use crate::bus::patient::{Limit, PatientLog};
use crate::bus::{Bus, CommitError, Log, OpenError};
use crate::cli::outcome::Failure;
use crate::config::{BusAddress, Config};

/// A bus on which this process works.
pub(super) enum OpenBus {
    Dir(Arc<DirBus>),
    Kafka(Arc<KafkaBus>),
}

impl OpenBus {
    pub(super) fn bus(&self) -> Arc<dyn Bus> {
        match self {
            Self::Dir(bus) => Arc::clone(bus) as Arc<dyn Bus>,
            Self::Kafka(bus) => Arc::clone(bus) as Arc<dyn Bus>,
        }
    }

    /// Closes a bus that nothing else holds any more.
    pub(super) fn close(self) -> Result<(), CommitError> {
        match self {
            Self::Dir(bus) => Arc::into_inner(bus).map_or(Ok(()), DirBus::close),
            Self::Kafka(bus) => {
                bus.close();
                Ok(())
            }
        }
    }
}

/// Opens a bus to work on it: locks a directory for this process, or joins the consumer group on Kafka. `None` if `stop`
/// was set first.
pub(super) fn open(
    address: &BusAddress,
    config: &Config,
    stop: &Arc<AtomicBool>,
) -> Result<Option<OpenBus>, OpenError> {
    match address {
        BusAddress::Dir(path) if ArchiveBus::is_at(path) => Err(OpenError::Archive { path: path.clone() }),
        BusAddress::Dir(path) => {
            let options = Options { sync: config.dir.sync };
            DirBus::open(path, options).map(|bus| Some(OpenBus::Dir(Arc::new(bus))))
        }
        BusAddress::Kafka => {
            let bus = KafkaBus::open(config.kafka.clone(), stop)?;
            Ok(bus.map(|bus| OpenBus::Kafka(Arc::new(bus))))
        }
    }
}

/// The directory that an address names, for commands that work on files.
pub(super) fn directory(address: &BusAddress) -> Result<&Path, Failure> {
    match address {
        BusAddress::Dir(path) if ArchiveBus::is_at(path) => Err(Failure::Usage(format!(
            "{} is an archive: it can be reconciled and explained, but this command needs a directory bus",
            path.display()
        ))),
        BusAddress::Dir(path) => Ok(path),
        BusAddress::Kafka => Err(Failure::Usage(
            "this command works on a directory bus: name it as --bus dir:PATH".into(),
        )),
    }
}

/// Opens a directory bus for reading, while other processes may work on it.
pub(super) fn read_only_directory(address: &BusAddress) -> Result<ReadOnlyDir, Failure> {
    Ok(ReadOnlyDir::open(directory(address)?)?)
}

/// Opens any bus for reading, while other processes may work on it. `None` if `stop` was set first.
pub(super) fn read_only(
    address: &BusAddress,
    config: &Config,
    stop: &AtomicBool,
) -> Result<Option<Arc<dyn Log>>, OpenError> {
    open_to_read(address, config, &Patience { stop, timeout: None })
}

/// The same for a command that only reads: it waits for brokers and records, tells what it waits for, and gives up after the limit.
pub(super) fn read_patiently(
    address: &BusAddress,
    config: &Config,
    limit: Limit,
) -> Result<Option<Arc<dyn Log>>, OpenError> {
    let patience = Patience {
        stop: &limit.stop,
        timeout: limit.timeout,
    };
    let opened = open_to_read(address, config, &patience)?;
    Ok(opened.map(|log| match address {
        BusAddress::Kafka => Arc::new(PatientLog::new(log, limit)) as Arc<dyn Log>,
        BusAddress::Dir(_) => log,
    }))
}

fn open_to_read(
    address: &BusAddress,
    config: &Config,
    patience: &Patience<'_>,
) -> Result<Option<Arc<dyn Log>>, OpenError> {
    match address {
        BusAddress::Dir(path) if ArchiveBus::is_at(path) => Ok(Some(Arc::new(ArchiveBus::open(path)?))),
        BusAddress::Dir(path) => Ok(Some(Arc::new(ReadOnlyDir::open(path)?))),
        BusAddress::Kafka => {
            let bus = ReadOnlyKafka::open(config.kafka.clone(), patience)?;
            Ok(bus.map(|bus| Arc::new(bus) as Arc<dyn Log>))
        }
    }
}
