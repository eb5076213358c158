//! The tables of the screen, each with its worst row first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::instances::{
    InstanceSample, PartitionAt, SafeText, Severity, SnapshotDocument, StatusDocument, UNKNOWN, bytes, count, duration,
    epochs_since, instance_state, is_seal_late, known, percent, rate, statuses, tasks_by_state, version,
    worst_partitions,
};
use crate::top::screen::{ColumnForm, ScreenSection, SectionRow, Tab, number, text};

const INSTANCES: &[ColumnForm] = &[
    text("instance", 0),
    text("state", 0),
    text("tasks", 1),
    number("uptime", 2),
    text("version", 3),
    text("address", 4),
];

const PARTITIONS: &[ColumnForm] = &[
    text("task", 0),
    text("state", 1),
    number("lag", 0),
    number("rec/s", 3),
    number("delay", 2),
    number("to recover", 2),
    text("instance", 4),
];

const UNDER_WAY: &[ColumnForm] = &[
    text("asset", 0),
    number("epoch", 0),
    number("waits", 1),
    text("for", 2),
    text("missing", 0),
];

const STOPPED: &[ColumnForm] = &[text("asset", 0), number("epoch", 0), text("state", 0)];

const SETTLEMENTS: &[ColumnForm] = &[
    text("asset", 0),
    number("epoch", 0),
    number("done", 0),
    text("slowest", 2),
    number("instances", 1),
];

const SEALS: &[ColumnForm] = &[
    text("asset", 0),
    number("sealed", 1),
    number("age", 0),
    number("epoch length", 2),
    number("epochs ago", 0),
];

const STORES: &[ColumnForm] = &[
    text("type", 0),
    number("stores", 1),
    number("size", 0),
    number("to compact", 0),
    number("level 0", 2),
];

const DISKS: &[ColumnForm] = &[
    text("instance", 0),
    number("free", 0),
    number("stores", 2),
    number("snapshots", 3),
    number("failed", 1),
    number("oldest", 1),
];

pub(super) fn sections(samples: &[InstanceSample]) -> Vec<ScreenSection> {
    let section = |tab, title, columns, rows| ScreenSection {
        tab,
        title,
        columns,
        rows,
    };
    vec![
        section(Tab::Instances, "instances", INSTANCES, instances(samples)),
        section(
            Tab::Epochs,
            "epochs under way, and other control events",
            UNDER_WAY,
            under_way(samples),
        ),
        section(Tab::Epochs, "held, void and halted epochs", STOPPED, stopped(samples)),
        section(Tab::Epochs, "settlements", SETTLEMENTS, settlements(samples)),
        section(Tab::Partitions, "partitions", PARTITIONS, partitions(samples)),
        section(Tab::Seals, "last seals", SEALS, seals(samples)),
        section(Tab::Disks, "disks and snapshots", DISKS, disks(samples)),
        section(Tab::Disks, "stores", STORES, stores(samples)),
    ]
}

fn shown(text: Option<&SafeText>) -> String {
    text.map_or_else(|| UNKNOWN.into(), ToString::to_string)
}

fn plain(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.into(), |number| number.to_string())
}

fn instances(samples: &[InstanceSample]) -> Vec<SectionRow> {
    let mut rows: Vec<SectionRow> = samples.iter().map(instance).collect();
    rows.sort_by_key(|row| Reverse(row.mark));
    rows
}

fn instance(sample: &InstanceSample) -> SectionRow {
    let (mark, state) = instance_state(sample);
    let status = sample.status();
    SectionRow {
        mark,
        cells: vec![
            sample.name(),
            state.into(),
            status.map_or_else(|| UNKNOWN.into(), tasks_in_words),
            duration(status.and_then(|status| status.uptime_seconds)),
            status.and_then(version).unwrap_or_else(|| UNKNOWN.into()),
            sample.address.to_string(),
        ],
    }
}

/// `11 working, 1 recovering`.
fn tasks_in_words(status: &StatusDocument) -> String {
    let numbers = tasks_by_state([status]);
    if numbers.is_empty() {
        return "none".into();
    }
    let each = numbers
        .iter()
        .map(|(state, number)| format!("{} {state}", count(*number)));
    each.collect::<Vec<_>>().join(", ")
}

fn partitions(samples: &[InstanceSample]) -> Vec<SectionRow> {
    worst_partitions(samples).iter().map(partition).collect()
}

fn partition(one: &PartitionAt<'_>) -> SectionRow {
    let followed = &one.followed;
    let lag = match followed.partition.map(|home| (home.lag_records, home.lag_offsets)) {
        Some((Some(records), _)) => count(records),
        // Not records: offsets of the ledger or the inbox.
        Some((None, Some(offsets))) => format!("{} o", count(offsets)),
        _ => UNKNOWN.into(),
    };
    SectionRow {
        mark: one.mark,
        cells: vec![
            followed.name(),
            shown(followed.state()),
            lag,
            rate(followed.rate()),
            duration(followed.delay()),
            known(followed.to_recover()),
            one.instance.clone(),
        ],
    }
}

fn under_way(samples: &[InstanceSample]) -> Vec<SectionRow> {
    let mut rows = Vec::new();
    let mark = |seconds: Option<f64>| match seconds {
        Some(seconds) if seconds >= 60.0 => Severity::Warn,
        _ => Severity::Plain,
    };
    for coordinator in statuses(samples).filter_map(|status| status.coordinator.as_ref()) {
        for one in &coordinator.epochs {
            let (waits_for, missing) = (shown(one.waits_for.as_ref()), shown(one.missing.as_ref()));
            let waits = duration(one.waits_seconds);
            let cells = vec![shown(one.asset.as_ref()), plain(one.epoch), waits, waits_for, missing];
            rows.push((
                one.waits_seconds,
                SectionRow {
                    mark: mark(one.waits_seconds),
                    cells,
                },
            ));
        }
        for one in &coordinator.control_events {
            let what = shown(one.what.as_ref());
            let missing = format!("{} for {what}", shown(one.missing.as_ref()));
            let event = shown(one.event.as_ref());
            let cells = vec![
                UNKNOWN.into(),
                UNKNOWN.into(),
                duration(one.waits_seconds),
                event,
                missing,
            ];
            rows.push((
                one.waits_seconds,
                SectionRow {
                    mark: mark(one.waits_seconds),
                    cells,
                },
            ));
        }
    }
    rows.sort_by(|(a, _), (b, _)| b.unwrap_or_default().total_cmp(&a.unwrap_or_default()));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn stopped(samples: &[InstanceSample]) -> Vec<SectionRow> {
    let mut rows = Vec::new();
    for coordinator in statuses(samples).filter_map(|status| status.coordinator.as_ref()) {
        for (mark, all) in [
            (Severity::Bad, &coordinator.halted),
            (Severity::Warn, &coordinator.held),
        ] {
            rows.extend(all.iter().map(|one| SectionRow {
                mark,
                cells: vec![shown(one.asset.as_ref()), plain(one.epoch), shown(one.state.as_ref())],
            }));
        }
    }
    rows.sort_by_key(|row| Reverse(row.mark));
    rows
}

/// One row for each epoch that is settled. The slowest instance decides when it is sealed.
fn settlements(samples: &[InstanceSample]) -> Vec<SectionRow> {
    // The part that each instance has done, and its name.
    let mut epochs: BTreeMap<_, Vec<(f64, String)>> = BTreeMap::new();
    for sample in samples {
        for one in sample.status().iter().flat_map(|status| &status.settlements) {
            let key = (shown(one.asset.as_ref()), one.epoch);
            let done = one.done_ratio.unwrap_or_default();
            epochs.entry(key).or_default().push((done, sample.name()));
        }
    }
    let rows = epochs.into_iter().filter_map(|((asset, epoch), parts)| {
        let (done, slowest) = parts.iter().min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let cells = vec![
            asset,
            plain(epoch),
            percent(*done),
            slowest.clone(),
            parts.len().to_string(),
        ];
        Some(SectionRow {
            mark: Severity::Plain,
            cells,
        })
    });
    rows.collect()
}

fn seals(samples: &[InstanceSample]) -> Vec<SectionRow> {
    let coordinators = statuses(samples).filter_map(|status| status.coordinator.as_ref());
    let mut seals: Vec<_> = coordinators.flat_map(|coordinator| &coordinator.seals).collect();
    let since = |seal| epochs_since(seal).unwrap_or_default();
    seals.sort_by(|a, b| since(b).total_cmp(&since(a)));
    let rows = seals.into_iter().map(|seal| SectionRow {
        mark: if is_seal_late(seal) {
            Severity::Warn
        } else {
            Severity::Plain
        },
        cells: vec![
            shown(seal.asset.as_ref()),
            seal.epoch.map_or_else(|| "none".into(), |epoch| epoch.to_string()),
            duration(seal.age_seconds),
            duration(seal.epoch_seconds),
            epochs_since(seal).map_or_else(|| UNKNOWN.into(), |epochs| format!("{epochs:.1}")),
        ],
    });
    rows.collect()
}

/// Disk and snapshots of each instance, the one with the least room first.
fn disks(samples: &[InstanceSample]) -> Vec<SectionRow> {
    let mut rows = Vec::new();
    for sample in samples {
        let Some(status) = sample.status() else {
            continue;
        };
        let sizes = status.stores.iter().filter_map(|store| store.size_bytes);
        let snapshots = status.snapshots.as_ref();
        let taken = match snapshots {
            None => "none taken".into(),
            Some(snapshots) if snapshots.refused == Some(true) => "refused".into(),
            Some(snapshots) => known(snapshots.taken),
        };
        let figure = |figure: fn(&SnapshotDocument) -> Option<u64>| known(snapshots.and_then(figure));
        let free = status.disk_free_bytes;
        let row = SectionRow {
            mark: of_disk(status),
            cells: vec![
                sample.name(),
                bytes(free),
                bytes(sizes.reduce(u64::saturating_add)),
                taken,
                figure(|snapshots| snapshots.failed),
                duration(snapshots.and_then(|snapshots| snapshots.oldest_seconds)),
            ],
        };
        rows.push((free.unwrap_or(u64::MAX), row));
    }
    rows.sort_by_key(|(free, row)| (Reverse(row.mark), *free));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn of_disk(status: &StatusDocument) -> Severity {
    let snapshots = status.snapshots.as_ref();
    let free = status.disk_free_bytes.unwrap_or(u64::MAX);
    if free < 256 << 20 || snapshots.is_some_and(|snapshots| snapshots.refused == Some(true)) {
        Severity::Bad
    } else if free < 1 << 30 || snapshots.is_some_and(|snapshots| snapshots.failed.unwrap_or_default() > 0) {
        Severity::Warn
    } else {
        Severity::Plain
    }
}

/// The stores of all instances together, by the type of their tasks.
fn stores(samples: &[InstanceSample]) -> Vec<SectionRow> {
    #[derive(Default)]
    struct Sums {
        stores: u64,
        size: u64,
        debt: u64,
        level0: u64,
    }
    let mut kinds: BTreeMap<String, Sums> = BTreeMap::new();
    for store in statuses(samples).flat_map(|status| &status.stores) {
        let sums = kinds.entry(shown(store.kind.as_ref())).or_default();
        sums.stores = sums.stores.saturating_add(store.stores.unwrap_or_default());
        sums.size = sums.size.saturating_add(store.size_bytes.unwrap_or_default());
        sums.debt = sums
            .debt
            .saturating_add(store.compaction_debt_bytes.unwrap_or_default());
        sums.level0 = sums.level0.max(store.level0_files.unwrap_or_default());
    }
    let mut rows: Vec<SectionRow> = kinds
        .into_iter()
        .map(|(kind, sums)| SectionRow {
            mark: if sums.level0 >= 20 {
                Severity::Warn
            } else {
                Severity::Plain
            },
            cells: vec![
                kind,
                count(sums.stores),
                bytes(Some(sums.size)),
                bytes(Some(sums.debt)),
                count(sums.level0),
            ],
        })
        .collect();
    rows.sort_by_key(|row| Reverse(row.mark));
    rows
}
