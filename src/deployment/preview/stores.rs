//! The stores of a state directory, opened for reading beside a running deployment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::bus::Position;
use crate::core::accrue::Accrue;
use crate::core::coordinate::Coordinator;
use crate::core::fault::impossible;
use crate::core::protocol::messages::Settlement;
use crate::core::values::bucket::Partitions;
use crate::core::values::time::timestamp;
use crate::deployment::account::next_unsealed;
use crate::deployment::layout::LedgerLayout;
use crate::deployment::preview::error::PreviewError;
use crate::deployment::preview::report::ReadTo;
use crate::deployment::state_directory::{StoreOwner, folder, newest_generation};
use crate::store::Store;
use crate::store::rocks::{MemoryLimits, RocksStore, StoreKind, StoreResources};
use crate::task::TaskError;
use crate::task::accrue_store::load_accrue;
use crate::task::fold::load_state;

/// The store of a ledger partition.
pub(super) struct LedgerStore {
    pub(super) store: RocksStore,
    pub(super) accrue: Accrue,
}

/// Opens the stores of a state directory for reading.
pub(super) struct Opener<'a> {
    state: &'a Path,
    scratch: &'a Path,
    resources: StoreResources,
    generation: u32,
}

impl<'a> Opener<'a> {
    pub(super) fn new(state: &'a Path, scratch: &'a Path) -> Result<Self, PreviewError> {
        let resources = StoreResources::new(MemoryLimits {
            cache_bytes: 64 << 20,
            buffer_bytes: 4 << 20,
            ..MemoryLimits::default()
        });
        Ok(Self {
            state,
            scratch,
            resources: resources.map_err(TaskError::from)?,
            generation: newest_generation(state),
        })
    }

    fn open(&self, owner: StoreOwner, kind: StoreKind, number: usize) -> Result<RocksStore, PreviewError> {
        let scratch = self.scratch.join(number.to_string());
        fs::create_dir_all(&scratch).map_err(TaskError::io("create", &scratch))?;
        let opened = RocksStore::open_for_reading(&folder(self.state, owner), kind, &self.resources, &scratch);
        Ok(opened.map_err(TaskError::from)?)
    }

    /// The coordinator, and how far it has read.
    pub(super) fn coordinator(&self) -> Result<(Coordinator, Position), PreviewError> {
        let store = self.open(StoreOwner::Coordinate(self.generation), StoreKind::Coordinate, 0)?;
        let coordinator: Option<Coordinator> = load_state(&store, "the state of the coordinator")?;
        let coordinator = coordinator.ok_or(PreviewError::NotListed { listed: Vec::new() })?;
        Ok((coordinator, store.position().clone()))
    }

    fn layout(&self, partitions: u32) -> Result<LedgerLayout, PreviewError> {
        let partitions = Partitions::new(partitions).map_err(|error| impossible(error.to_string()))?;
        Ok(LedgerLayout {
            generation: self.generation,
            partitions,
        })
    }

    /// The stores of all ledger partitions. In each, all epochs before the one that is previewed are emitted.
    pub(super) fn ledger_stores(
        &self,
        partitions: u32,
        settlement: &Settlement,
    ) -> Result<Vec<LedgerStore>, PreviewError> {
        let layout = self.layout(partitions)?;
        let mut stores = Vec::new();
        for partition in 0..layout.partitions.count() {
            let number = usize::from(partition) + 1;
            let store = self.open(StoreOwner::Accrue(partition, layout), StoreKind::Accrue, number)?;
            let first = settlement.terms.calendar.first();
            let found = next_unsealed(&store, settlement.at.number())?.max(first);
            let expected = settlement.at.epoch();
            if found != expected {
                return Err(PreviewError::Apart {
                    asset: settlement.terms.asset,
                    partition,
                    found,
                    expected,
                });
            }
            let accrue = load_accrue(&store)?;
            stores.push(LedgerStore { store, accrue });
        }
        Ok(stores)
    }

    pub(super) fn read_to(&self, coordinator: &Coordinator, stores: &[LedgerStore]) -> Result<ReadTo, PreviewError> {
        let mut read_to = ReadTo::default();
        for store in stores {
            read_to.add(store.store.position());
        }
        for (number, source) in coordinator.sources().iter().enumerate() {
            let owner = StoreOwner::Ingest(*source);
            // On Kafka, other instances have the others.
            if folder(self.state, owner).join("CURRENT").exists() {
                let number = number + stores.len() + 1;
                let store = self.open(owner, StoreKind::Ingest, number)?;
                read_to
                    .sources
                    .insert(source.to_string(), store.position().offset(*source));
            }
        }
        let layout = self.layout(coordinator.partitions())?;
        let written = (0..layout.partitions.count()).filter_map(|partition| {
            let owner = StoreOwner::Accrue(partition, layout);
            last_written(&folder(self.state, owner))
        });
        read_to.persisted_at = written.max().and_then(|time| {
            let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(timestamp(i128::try_from(since_1970.as_millis()).ok()?))
        });
        Ok(read_to)
    }
}

/// When RocksDB last wrote data of a store.
fn last_written(store: &Path) -> Option<SystemTime> {
    let is_data = |path: &PathBuf| path.extension().is_some_and(|end| end == "log" || end == "sst");
    let entries = fs::read_dir(store).ok()?.flatten();
    entries
        .filter(|entry| is_data(&entry.path()))
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max()
}
