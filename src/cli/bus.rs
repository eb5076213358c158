//! Opening the bus that was named.

use std::sync::Arc;

use crate::bus::BusError;
use crate::bus::dir::{DirBus, Options};
use crate::config::BusAddress;

/// Opens a bus for this process alone.
pub(super) fn open(address: &BusAddress, sync: bool) -> Result<Arc<DirBus>, BusError> {
    let BusAddress::Dir(path) = address;
    DirBus::open(path, Options { sync }).map(Arc::new)
}

/// Opens a bus to look at it, beside whoever works on it.
pub(super) fn open_for_reading(address: &BusAddress) -> Result<DirBus, BusError> {
    let BusAddress::Dir(path) = address;
    DirBus::open_for_reading(path)
}

/// Ends the work on a bus that no one else holds any more.
pub(super) fn close(bus: Arc<DirBus>) -> Result<(), BusError> {
    Arc::into_inner(bus).map_or(Ok(()), DirBus::close)
}
