//! Opening the bus that was named.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::bus::archive::ArchiveBus;
use crate::bus::dir::{DirBus, Options, ReadOnlyDir};
use crate::bus::kafka::{KafkaBus, ReadOnlyKafka};
use crate::bus::{Bus, CommitError, Log, OpenError};
use crate::cli::failure::Failure;
use crate::config::{BusAddress, Config};

/// A bus that this process works on.
pub(super) enum Opened {
    Dir(Arc<DirBus>),
    Kafka(Arc<KafkaBus>),
}

impl Opened {
    /// The bus, as the tasks see it.
    pub(super) fn bus(&self) -> Arc<dyn Bus> {
        match self {
            Self::Dir(bus) => Arc::clone(bus) as Arc<dyn Bus>,
            Self::Kafka(bus) => Arc::clone(bus) as Arc<dyn Bus>,
        }
    }

    /// Ends the work on a bus that no one else holds any more.
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

/// Opens a bus to work on it: a directory for this process alone, a place in the deployment on Kafka. `None` if it was told to stop before.
pub(super) fn open(address: &BusAddress, config: &Config, stop: &Arc<AtomicBool>) -> Result<Option<Opened>, OpenError> {
    match address {
        BusAddress::Dir(path) if ArchiveBus::is_at(path) => Err(OpenError::Archive { path: path.clone() }),
        BusAddress::Dir(path) => {
            let options = Options { sync: config.dir.sync };
            DirBus::open(path, options).map(|bus| Some(Opened::Dir(Arc::new(bus))))
        }
        BusAddress::Kafka => {
            let bus = KafkaBus::open(config.kafka.clone(), stop)?;
            Ok(bus.map(|bus| Opened::Kafka(Arc::new(bus))))
        }
    }
}

/// The directory that an address names, for commands that work on files alone.
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

/// Opens a directory bus to look at it, beside whoever works on it.
pub(super) fn open_for_reading(address: &BusAddress) -> Result<ReadOnlyDir, Failure> {
    Ok(ReadOnlyDir::open(directory(address)?)?)
}

/// Opens any bus to read it, beside whoever works on it. `None` if it was told to stop before.
pub(super) fn view(
    address: &BusAddress,
    config: &Config,
    stop: &AtomicBool,
) -> Result<Option<Arc<dyn Log>>, OpenError> {
    match address {
        BusAddress::Dir(path) if ArchiveBus::is_at(path) => Ok(Some(Arc::new(ArchiveBus::open(path)?))),
        BusAddress::Dir(path) => Ok(Some(Arc::new(ReadOnlyDir::open(path)?))),
        BusAddress::Kafka => {
            let view = ReadOnlyKafka::open(config.kafka.clone(), stop)?;
            Ok(view.map(|view| Arc::new(view) as Arc<dyn Log>))
        }
    }
}
