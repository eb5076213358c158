//! Judges what a run published: every record against its schema, and all of them against the model.

use crate::common::schemas::check_record;
use crate::common::{OUTPUTS, Place};
use crate::model;

/// The default deduplication window, in epochs.
pub const DEDUP_DAYS: u64 = 7;

/// Fails the test unless everything published is valid and as the model says. Returns what was published.
pub fn judge(place: &Place) -> model::Outputs {
    for topic in OUTPUTS.into_iter().chain(["softstake.decisions"]) {
        for record in place.records(topic) {
            check_record(&record).unwrap_or_else(|fault| panic!("{topic}: {fault}: {record}"));
        }
    }
    let expected = model::expected(&place.bus(), DEDUP_DAYS).expect("the model's outcome");
    let published = model::published(&place.bus()).expect("the outcome");
    let differences = model::differences(&expected, &published);
    assert!(
        differences.is_empty(),
        "the model disagrees:\n{}",
        differences.join("\n")
    );
    published
}
