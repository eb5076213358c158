//! Metrics in the text format of OpenMetrics 1.0. What they tell is in `monitor` and in `serve`.
//!
//! Labels are bounded: topics, partitions, routes, listed assets, and words of this program. No label comes from an event or a request, as an
//! account or an id would.

mod family;
mod process;
mod samples;

pub use family::{BUILD, Family, FamilyKind};
pub use process::ProcessFigures;
pub use samples::Samples;

/// The type of the text.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
