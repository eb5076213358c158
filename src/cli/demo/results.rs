//! What the demo left on its bus.

use std::path::Path;

use crate::audit::point_in_time::read_decisions;
use crate::cli::outcome::Failure;
use crate::cli::{bus, records};
use crate::config::BusAddress;
use crate::core::contract::decision::Decision;
use crate::core::contract::records::{DeadLetter, Distribution, LatePosting, Seal};

pub(super) struct DemoResults {
    /// By asset and epoch.
    pub(super) seals: Vec<Seal<'static>>,
    pub(super) distributions: Vec<Distribution<'static>>,
    pub(super) dead_letters: Vec<DeadLetter<'static>>,
    pub(super) late: Vec<LatePosting<'static>>,
    pub(super) decisions: Vec<Decision>,
}

pub(super) fn read(root: &Path) -> Result<DemoResults, Failure> {
    let bus = bus::read_only_directory(&BusAddress::Dir(root.to_path_buf()))?;
    let mut seals = records::all::<Seal>(&bus, None, |_| true)?;
    seals.sort_by(|a, b| (&a.asset, a.epoch).cmp(&(&b.asset, b.epoch)));
    Ok(DemoResults {
        seals,
        distributions: records::all(&bus, None, |_| true)?,
        dead_letters: records::all(&bus, None, |_| true)?,
        late: records::all(&bus, None, |_| true)?,
        decisions: read_decisions(&bus)?,
    })
}
