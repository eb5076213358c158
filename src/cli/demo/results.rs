//! What the demo left on its bus.

use std::path::Path;

use crate::bus::Topic;
use crate::cli::outcome::Failure;
use crate::cli::records::{DeadLetter, Distribution, LatePosting, Seal};
use crate::cli::{bus, records};
use crate::config::BusAddress;

pub(super) struct DemoResults {
    /// By asset and epoch.
    pub(super) seals: Vec<Seal>,
    pub(super) distributions: Vec<Distribution>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) late: Vec<LatePosting>,
}

pub(super) fn read(root: &Path) -> Result<DemoResults, Failure> {
    let bus = bus::read_only_directory(&BusAddress::Dir(root.to_path_buf()))?;
    let mut seals: Vec<Seal> = records::all(&bus, Topic::Epochs, None, |_| true)?;
    seals.sort_by(|a, b| (&a.asset, a.epoch).cmp(&(&b.asset, b.epoch)));
    Ok(DemoResults {
        seals,
        distributions: records::all(&bus, Topic::Distributions, None, |_| true)?,
        dead_letters: records::all(&bus, Topic::DeadLetters, None, |_| true)?,
        late: records::all(&bus, Topic::LatePostings, None, |_| true)?,
    })
}
