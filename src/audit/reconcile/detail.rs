//! Finds out record by record what is different between two sides.
//!
//! Both sides' records are put under their ids into a store on disk, which sorts them; a walk over it then meets those of one id together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::audit::published::scan_range;
use crate::audit::reconcile::compare::Judge;
use crate::audit::reconcile::digest::Side;
use crate::audit::reconcile::report::{Difference, DifferenceKind, FieldDifference, Group, Report};
use crate::audit::replay::ReplayError;
use crate::bus::{Log, Mark, Position, Topic, TopicPartition};
use crate::store::rocks::{MemoryLimits, RocksStore, Shared, StoreKind, StoreSettings};
use crate::store::{Changes, Store};

/// Bytes of records that wait in memory.
const BATCH_BYTES: usize = 32 << 20;
/// The only table there is.
const RECORDS: u8 = 1;

/// Compares the records of `groups`, and takes down what is different.
pub(crate) fn compare(
    judge: &Judge<'_>,
    sides: &[(Side, &dyn Log, &BTreeMap<TopicPartition, u64>); 2],
    groups: &BTreeSet<Group>,
    work: &Path,
    report: &mut Report,
) -> Result<(), ReplayError> {
    let folder = work.join("differences");
    // What an interrupted comparison left is of no use.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(ReplayError::io("remove", &folder))?;
    }
    let settings = StoreSettings::new(Shared::new(MemoryLimits::default())?, "a comparison");
    let mut store = RocksStore::open(&folder, StoreKind::Coordinate, settings)?;
    let mut changes = Changes::default();
    let mut number = 0_u64;
    let mut group = Group {
        topic: Topic::Distributions,
        of: String::new(),
    };
    let mut key = Vec::new();
    for (side, bus, ends) in sides {
        for (partition, end) in ends.iter() {
            group.topic = partition.topic;
            scan_range(*bus, *partition, &Mark::default(), *end, |record| {
                let Some(id) = judge.identify(*side, partition.topic, record.value, &mut group.of) else {
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
                Ok::<_, ReplayError>(())
            })?;
        }
    }
    store.commit(&mut changes, &Position::default())?;
    walk(judge, &store, report)?;
    drop(store);
    std::fs::remove_dir_all(&folder).map_err(ReplayError::io("remove", &folder))
}

fn write_key(key: &mut Vec<u8>, group: &Group, id: &str, side: Side, number: u64) {
    key.clear();
    key.extend([RECORDS, group.topic as u8]);
    // Names and ids of ours hold no zero; one that does is nobody's, and only sorts elsewhere.
    for part in [group.of.as_bytes(), id.as_bytes()] {
        key.extend_from_slice(part);
        key.push(0);
    }
    key.push(u8::from(side == Side::Replayed));
    key.extend(number.to_be_bytes());
}

/// How many bytes of a key come after the id's zero.
const KEY_TAIL: usize = 1 + size_of::<u64>();

/// The records of one id.
#[derive(Default)]
struct Same {
    key: Vec<u8>,
    published: Vec<Vec<u8>>,
    replayed: Option<Vec<u8>>,
}

fn walk(judge: &Judge<'_>, store: &RocksStore, report: &mut Report) -> Result<(), ReplayError> {
    let mut scan = store.scan(&[RECORDS], &[RECORDS + 1])?;
    let mut same = Same::default();
    while let Some((key, value)) = scan.next()? {
        let (name, tail) = key.split_at(key.len().saturating_sub(KEY_TAIL));
        if name != same.key {
            std::mem::take(&mut same).judge(judge, report);
            same.key = name.to_vec();
        }
        if tail.first() == Some(&0) {
            same.published.push(value.to_vec());
        } else {
            same.replayed = Some(value.to_vec());
        }
    }
    same.judge(judge, report);
    Ok(())
}

impl Same {
    fn judge(self, judge: &Judge<'_>, report: &mut Report) {
        let mut parts = self.key.get(2..).unwrap_or_default().split(|byte| *byte == 0);
        let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let (of, id) = (text(), text());
        let Some(topic) = self.key.get(1).and_then(|number| Topic::from_number(*number)) else {
            return;
        };
        let group = Group { topic, of };
        let difference = |kind, id: &str, fields| Difference {
            kind,
            topic: topic.name(),
            id: id.to_owned(),
            fields,
        };
        match (self.published.split_first(), &self.replayed) {
            (None, Some(replayed)) => {
                if judge.is_due(&group) {
                    let fields = fields(None, Some(replayed));
                    report.differ(group, difference(DifferenceKind::Missing, &id, fields));
                } else {
                    report.groups.entry(group).or_default().under_way += 1;
                }
            }
            (Some((first, more)), replayed) => {
                for again in more {
                    let fields = fields(Some(again), Some(first));
                    report.differ(group.clone(), difference(DifferenceKind::Doubled, &id, fields));
                }
                match replayed {
                    None => {
                        let fields = fields(Some(first), None);
                        report.differ(group, difference(DifferenceKind::Extra, &id, fields));
                    }
                    Some(replayed) => {
                        let fields = fields(Some(first), Some(replayed));
                        if fields.is_empty() {
                            report.groups.entry(group).or_default().equal += 1;
                        } else {
                            report.differ(group, difference(DifferenceKind::Different, &id, fields));
                        }
                    }
                }
            }
            (None, None) => {}
        }
    }
}

/// The fields in which two records differ; all of the one if there is no other.
fn fields(published: Option<&[u8]>, replayed: Option<&[u8]>) -> Vec<FieldDifference> {
    let flat = |record: Option<&[u8]>| {
        let mut flat = BTreeMap::new();
        if let Some(record) = record {
            match serde_json::from_slice(record) {
                Ok(value) => flatten(String::new(), &value, &mut flat),
                Err(_) => {
                    flat.insert("record".into(), String::from_utf8_lossy(record).into_owned());
                }
            }
        }
        flat
    };
    let (published, replayed) = (flat(published), flat(replayed));
    let names: BTreeSet<&String> = published.keys().chain(replayed.keys()).collect();
    let fields = names.into_iter().map(|name| FieldDifference {
        field: name.clone(),
        published: published.get(name).cloned(),
        replayed: replayed.get(name).cloned(),
    });
    fields.filter(|field| field.published != field.replayed).collect()
}

fn flatten(path: String, value: &Value, flat: &mut BTreeMap<String, String>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                flatten(below(name), value, flat);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                flatten(below(&index.to_string()), value, flat);
            }
        }
        Value::String(text) => {
            flat.insert(path, text.clone());
        }
        other => {
            flat.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_by_their_paths() {
        let published = br#"{"id":"a","data":{"amount":"1","cut":{"t":{"0":3}},"list":[1,2],"gone":"x"}}"#;
        let replayed = br#"{"data":{"cut":{"t":{"0":4}},"amount":"1","list":[1,3]},"id":"a"}"#;
        let found: Vec<_> = fields(Some(published), Some(replayed))
            .into_iter()
            .map(|field| (field.field, field.published, field.replayed))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("data.cut.t.0".to_owned(), some("3"), some("4")),
                ("data.gone".to_owned(), some("x"), None),
                ("data.list.1".to_owned(), some("2"), some("3")),
            ]
        );
        assert!(fields(Some(published), Some(published)).is_empty());
    }
}
