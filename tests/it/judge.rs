//! Judges what a run published: every record against its schema, and all of them against the model.

use std::path::Path;

use crate::common::schemas::check_record;
use crate::common::{OUTPUTS, Place};
use crate::model::decisions::{decision_differences, on_record};
use crate::model::{Outputs, Settings, differences, expected_on, published};

/// The default deduplication window.
pub const DEDUP_DAYS: u64 = 7;

/// Fails the test unless everything published is valid and as the model says. Returns what was published.
pub fn judge(place: &Place) -> Outputs {
    for topic in OUTPUTS.into_iter().chain(["softstake.decisions"]) {
        for record in place.records(topic) {
            check_record(&record).unwrap_or_else(|fault| panic!("{topic}: {fault}: {record}"));
        }
    }
    compare(&place.bus(), "the model disagrees")
}

/// Fails the test unless everything published and decided on a directory bus is as the model says. Returns what was
/// published.
pub fn compare(bus: &Path, what: &str) -> Outputs {
    let settings = Settings {
        dedup_days: DEDUP_DAYS,
        ..Settings::default()
    };
    let compared = || -> Result<(Outputs, Vec<String>), String> {
        let expected = expected_on(bus, &settings)?;
        let published = published(bus)?;
        let mut found = differences(&expected.outputs, &published);
        found.extend(decision_differences(&expected.decisions, &on_record(bus)?));
        Ok((published, found))
    };
    let (published, found) = compared().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
    published
}
