//! The program against the model and the schemas.
//!
//! Whoever includes this includes `common` and `model` as well, and `common/schemas.rs` as `schemas`.

use crate::common::{OUTPUTS, Place};
use crate::{model, schemas};

/// For how many epochs duplicates are recognised unless the configuration says otherwise.
pub const DEDUP_EPOCHS: u64 = 7;

/// Holds all that was published against the model, and each record against its schema.
pub fn judge(place: &Place) -> model::Outputs {
    for topic in OUTPUTS.into_iter().chain(["softstake.decisions"]) {
        for record in place.records(topic) {
            schemas::check_record(&record).unwrap_or_else(|fault| panic!("{topic}: {fault}: {record}"));
        }
    }
    let expected = model::expected(&place.bus(), DEDUP_EPOCHS).expect("the model's outcome");
    let published = model::published(&place.bus()).expect("the outcome");
    let differences = model::differences(&expected, &published);
    assert!(
        differences.is_empty(),
        "the model disagrees:\n{}",
        differences.join("\n")
    );
    published
}
