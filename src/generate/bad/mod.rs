//! Records made to be rejected, each for one reason only.

pub(super) mod control;
mod data_kinds;
mod defect;
mod envelope_kinds;
mod source;

pub use control::bad_control_kinds;
pub(super) use source::BadRecords;
pub use source::bad_kinds;
