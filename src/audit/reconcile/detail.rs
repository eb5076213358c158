//! Compares the records of two sides one by one.
//!
//! The records of both sides go into a temporary store under their ids. The store sorts them, so a scan meets all records of one id together.

use std::collections::BTreeSet;
use std::path::Path;

use crate::audit::error::AuditError;
use crate::audit::reconcile::classify::ComparedSide;
use crate::audit::reconcile::digest::SideRecords;
use crate::audit::reconcile::report::{DifferenceKind, ReconcileReport, RecordDifference, RecordGroup};
use crate::audit::reconcile::scope::ComparisonScope;
use crate::audit::record_fields::{FieldDifference, different_fields};
use crate::bus::scan::scan_range;
use crate::bus::{Mark, Position, Topic};
use crate::store::rocks::{MemoryLimits, RocksStore, StoreKind, StoreResources, StoreSettings};
use crate::store::{Changes, Store};

/// Bytes of records that wait in memory.
const BATCH_BYTES: usize = 32 << 20;
/// The only table of the store.
const RECORDS: u8 = 1;

/// Compares the records of `groups`, and adds the differences to `report`.
pub(crate) fn compare(
    scope: &ComparisonScope<'_>,
    sides: &[SideRecords<'_>; 2],
    groups: &BTreeSet<RecordGroup>,
    work: &Path,
    report: &mut ReconcileReport,
) -> Result<(), AuditError> {
    let folder = work.join("differences");
    // An interrupted comparison starts again.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(AuditError::io("remove", &folder))?;
    }
    let settings = StoreSettings::new(StoreResources::new(MemoryLimits::default())?, "a comparison");
    let mut store = RocksStore::open(&folder, StoreKind::Coordinate, settings)?;
    load(scope, sides, groups, &mut store)?;
    compare_sorted(scope, &store, report)?;
    drop(store);
    std::fs::remove_dir_all(&folder).map_err(AuditError::io("remove", &folder))
}

/// Puts the records of `groups` into the store.
fn load(
    scope: &ComparisonScope<'_>,
    sides: &[SideRecords<'_>; 2],
    groups: &BTreeSet<RecordGroup>,
    store: &mut RocksStore,
) -> Result<(), AuditError> {
    let mut changes = Changes::default();
    let mut number = 0_u64;
    let mut group = RecordGroup {
        topic: Topic::Distributions,
        of: String::new(),
    };
    let mut key = Vec::new();
    for SideRecords { side, bus, ends } in sides {
        for (partition, end) in *ends {
            group.topic = partition.topic;
            scan_range(*bus, *partition, &Mark::default(), *end, |record| {
                let Some(id) = scope.identify(*side, partition.topic, record.value, &mut group.of) else {
                    return Ok(());
                };
                if !groups.contains(&group) {
                    return Ok(());
                }
                number += 1;
                write_key(&mut key, &group, &id, *side, number);
                changes.put(&key, record.value);
                if changes.bytes() > BATCH_BYTES {
                    store.commit(&mut changes, &Position::default())?;
                }
                Ok::<_, AuditError>(())
            })?;
        }
    }
    store.commit(&mut changes, &Position::default())?;
    Ok(())
}

/// Writes a key: table, topic, group, zero, id, zero, side, number.
fn write_key(key: &mut Vec<u8>, group: &RecordGroup, id: &str, side: ComparedSide, number: u64) {
    key.clear();
    key.extend([RECORDS, group.topic as u8]);
    // Softstake writes no name or id with a zero. A foreign one with a zero is only sorted elsewhere.
    for part in [group.of.as_bytes(), id.as_bytes()] {
        key.extend_from_slice(part);
        key.push(0);
    }
    key.push(u8::from(side == ComparedSide::Replayed));
    key.extend(number.to_be_bytes());
}

/// The bytes of a key after the zero that ends the id: side and number.
const KEY_TAIL: usize = 1 + size_of::<u64>();

/// All records with the same id.
#[derive(Default)]
struct SameId {
    /// The key without its tail.
    key: Vec<u8>,
    published: Vec<Vec<u8>>,
    replayed: Option<Vec<u8>>,
}

fn compare_sorted(
    scope: &ComparisonScope<'_>,
    store: &RocksStore,
    report: &mut ReconcileReport,
) -> Result<(), AuditError> {
    let mut scan = store.scan(&[RECORDS], &[RECORDS + 1])?;
    let mut records = SameId::default();
    while let Some((key, value)) = scan.next()? {
        let (name, tail) = key.split_at(key.len().saturating_sub(KEY_TAIL));
        if name != records.key {
            std::mem::take(&mut records).compare(scope, report);
            records.key = name.to_vec();
        }
        if tail.first() == Some(&0) {
            records.published.push(value.to_vec());
        } else {
            records.replayed = Some(value.to_vec());
        }
    }
    records.compare(scope, report);
    Ok(())
}

impl SameId {
    fn compare(self, scope: &ComparisonScope<'_>, report: &mut ReconcileReport) {
        let mut parts = self.key.get(2..).unwrap_or_default().split(|byte| *byte == 0);
        let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let (of, id) = (text(), text());
        let Some(topic) = self.key.get(1).and_then(|number| Topic::from_number(*number)) else {
            return;
        };
        let group = RecordGroup { topic, of };
        let mut add = |kind, fields| {
            let difference = RecordDifference {
                kind,
                topic: topic.name(),
                id: id.clone(),
                fields,
            };
            report.add_difference(group.clone(), difference);
        };
        let replayed = self.replayed.as_deref();
        let Some((first, copies)) = self.published.split_first() else {
            match replayed {
                Some(_) if scope.is_due(&group) => add(DifferenceKind::Missing, different_fields(None, replayed)),
                Some(_) => report.groups.entry(group).or_default().under_way += 1,
                None => {}
            }
            return;
        };
        for copy in copies {
            add(DifferenceKind::Doubled, different_fields(Some(copy), Some(first)));
        }
        if replayed == Some(first.as_slice()) {
            report.groups.entry(group).or_default().equal += 1;
            return;
        }
        let mut fields = different_fields(Some(first), replayed);
        if fields.is_empty() {
            // Equal values are not enough: readers differ in what they make of a field that is there twice.
            let text = |record: &[u8]| Some(String::from_utf8_lossy(record).into_owned());
            fields.push(FieldDifference {
                field: "the record's text".into(),
                published: text(first),
                replayed: replayed.and_then(text),
            });
        }
        let kind = if replayed.is_none() {
            DifferenceKind::Extra
        } else {
            DifferenceKind::Different
        };
        add(kind, fields);
    }
}
