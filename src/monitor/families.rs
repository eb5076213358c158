//! The metrics of the endpoint. `docs/metrics.md` has the same table, with what to do when one is bad; a test compares the two.
//!
//! Labels are bounded: topics, partitions, listed assets, and words of this program. No label comes from an event, as an account or an id would.

use crate::metrics::{BUILD, Family, FamilyKind};

pub const UPTIME: Family = Family {
    name: "softstake_uptime_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &[],
    help: "Time since the process started",
};

pub const READY: Family = Family {
    name: "softstake_ready",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &[],
    help: "Whether /readyz says that the process is ready: 1 or 0",
};

pub const TASKS: Family = Family {
    name: "softstake_tasks",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["task", "state"],
    help: "Tasks that this process has to run, by what they do",
};

pub const RESTARTS: Family = Family {
    name: "softstake_task_restarts",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &["reason"],
    help: "Errors after which a task was started again, by the kind of the error",
};

pub const LAG: Family = Family {
    name: "softstake_input_lag_records",
    kind: FamilyKind::Gauge,
    unit: "records",
    labels: &["topic", "partition"],
    help: "Records of an input topic that can be read and are not applied. On Kafka, a few offsets of transactions count too",
};

pub const INNER_LAG: Family = Family {
    name: "softstake_inner_lag_offsets",
    kind: FamilyKind::Gauge,
    unit: "offsets",
    labels: &["topic", "partition"],
    help: "Offsets of the ledger or the inbox that can be read and are not applied: about records on Kafka, bytes on a directory bus",
};

pub const LAG_AGE: Family = Family {
    name: "softstake_lag_age_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &[],
    help: "Time since the ends of all inputs were looked up, or since the bus answered an instance without inputs. It is asked every 2 s",
};

pub const DELAY: Family = Family {
    name: "softstake_event_time_delay_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &["topic", "partition"],
    help: "How old the newest applied event was when it was applied. While records wait: how old it is now",
};

pub const RECORDS: Family = Family {
    name: "softstake_source_records",
    kind: FamilyKind::Counter,
    unit: "records",
    labels: &["topic", "outcome"],
    help: "Records of source topics whose outcome was published since the process started",
};

pub const POSTINGS: Family = Family {
    name: "softstake_postings",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &["topic", "outcome"],
    help: "Postings since the process started: applied, of an unlisted asset, or before the anchor of their asset",
};

pub const LATE: Family = Family {
    name: "softstake_late_postings",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &["topic"],
    help: "Postings applied to a later epoch than theirs, since the process started. They are among the applied ones",
};

pub const DEAD_LETTERS: Family = Family {
    name: "softstake_dead_letters",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &["topic", "code"],
    help: "Records rejected since the process started, by code",
};

pub const CONTROL_RECORDS: Family = Family {
    name: "softstake_control_records",
    kind: FamilyKind::Counter,
    unit: "records",
    labels: &["outcome"],
    help: "Records of the control topic that were decided since the process started",
};

pub const ACCRUED: Family = Family {
    name: "softstake_accrued_postings",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &[],
    help: "Postings added to balances by this process; those of a recovery count again",
};

pub const DISTRIBUTIONS: Family = Family {
    name: "softstake_distributions",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &[],
    help: "Distributions published since the process started",
};

pub const SEALS: Family = Family {
    name: "softstake_seals",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &[],
    help: "Epochs sealed since the process started",
};

pub const BATCH: Family = Family {
    name: "softstake_batch_seconds",
    kind: FamilyKind::Histogram,
    unit: "seconds",
    labels: &["task"],
    help: "Time to apply a batch of records",
};

pub const TRANSACTION: Family = Family {
    name: "softstake_transaction_seconds",
    kind: FamilyKind::Histogram,
    unit: "seconds",
    labels: &["task"],
    help: "Time until the bus has committed the outputs and position of a task",
};

pub const PERSIST: Family = Family {
    name: "softstake_persist_seconds",
    kind: FamilyKind::Histogram,
    unit: "seconds",
    labels: &["task"],
    help: "Time to write the changes of a task into its store",
};

pub const UNDER_WAY: Family = Family {
    name: "softstake_epochs_under_way",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["asset", "waits_for"],
    help: "Closed epochs on their way to the seal, by what they wait for. Only the instance with the coordinator has it",
};

pub const CONTROL_WAITING: Family = Family {
    name: "softstake_control_events_waiting",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["event"],
    help: "Listings, withdrawals, rules and losses that are proposed and wait for answers",
};

pub const LONGEST_WAIT: Family = Family {
    name: "softstake_longest_wait_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &[],
    help: "How long the control event waits that waits the longest; 0 if none does",
};

pub const HELD: Family = Family {
    name: "softstake_held_epochs",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["asset", "state"],
    help: "Epochs that the gate holds, or that are void",
};

pub const HALTED: Family = Family {
    name: "softstake_halted_epochs",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["asset"],
    help: "Epochs that a failed check of conservation stopped",
};

pub const SEAL_AGE: Family = Family {
    name: "softstake_last_seal_age_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &["asset"],
    help: "Time since the end of the newest sealed epoch, or since the anchor if none is sealed",
};

pub const EPOCH_LENGTH: Family = Family {
    name: "softstake_epoch_length_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &["asset"],
    help: "The length of an epoch",
};

pub const SETTLEMENT: Family = Family {
    name: "softstake_settlement_progress_ratio",
    kind: FamilyKind::Gauge,
    unit: "ratio",
    labels: &["asset"],
    help: "Part of the accounts that settlements under way have scanned on this instance, of both scans",
};

pub const RECOVERY_LEFT: Family = Family {
    name: "softstake_recovery_remaining_offsets",
    kind: FamilyKind::Gauge,
    unit: "offsets",
    labels: &["topic", "partition"],
    help: "Offsets that a recovering task has to read again",
};

pub const STORES: Family = Family {
    name: "softstake_stores",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["task"],
    help: "Open stores",
};

pub const STORE_PROPERTY: Family = Family {
    name: "softstake_store_property",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["task", "property"],
    help: "Properties of RocksDB, added over the stores of a kind of task. Sizes are in bytes",
};

pub const STORE_BYTES: Family = Family {
    name: "softstake_store_size_bytes",
    kind: FamilyKind::Gauge,
    unit: "bytes",
    labels: &["task"],
    help: "Bytes of the files of all stores",
};

pub const DEBT: Family = Family {
    name: "softstake_compaction_debt_bytes",
    kind: FamilyKind::Gauge,
    unit: "bytes",
    labels: &["task"],
    help: "Bytes that compaction has to rewrite",
};

pub const LEVEL0: Family = Family {
    name: "softstake_level0_files",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &["task"],
    help: "Files at level 0 of the store that has the most",
};

pub const FREE: Family = Family {
    name: "softstake_disk_free_bytes",
    kind: FamilyKind::Gauge,
    unit: "bytes",
    labels: &[],
    help: "Free bytes of the disk with the stores",
};

pub const SNAPSHOT_AGE: Family = Family {
    name: "softstake_snapshot_age_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &[],
    help: "Time since the newest state of a store was known to be in a snapshot, of the store for which it is longest",
};

pub const SNAPSHOT_INTERVAL: Family = Family {
    name: "softstake_snapshot_interval_seconds",
    kind: FamilyKind::Gauge,
    unit: "seconds",
    labels: &[],
    help: "The time from one snapshot of a store to its next, as set",
};

pub const SNAPSHOTS: Family = Family {
    name: "softstake_snapshots",
    kind: FamilyKind::Counter,
    unit: "",
    labels: &["outcome"],
    help: "Snapshots that were due since the process started, by outcome",
};

pub const SNAPSHOTS_REFUSED: Family = Family {
    name: "softstake_snapshots_refused",
    kind: FamilyKind::Gauge,
    unit: "",
    labels: &[],
    help: "Whether this process takes no more snapshots, because the place has some of another deployment: 1 or 0",
};

/// Every family, in the order of the endpoint.
pub const FAMILIES: [Family; 39] = [
    BUILD,
    UPTIME,
    READY,
    TASKS,
    RESTARTS,
    LAG,
    INNER_LAG,
    LAG_AGE,
    DELAY,
    RECORDS,
    POSTINGS,
    LATE,
    DEAD_LETTERS,
    CONTROL_RECORDS,
    ACCRUED,
    DISTRIBUTIONS,
    SEALS,
    BATCH,
    TRANSACTION,
    PERSIST,
    UNDER_WAY,
    CONTROL_WAITING,
    LONGEST_WAIT,
    HELD,
    HALTED,
    SEAL_AGE,
    EPOCH_LENGTH,
    SETTLEMENT,
    RECOVERY_LEFT,
    STORES,
    STORE_PROPERTY,
    STORE_BYTES,
    DEBT,
    LEVEL0,
    FREE,
    SNAPSHOT_AGE,
    SNAPSHOT_INTERVAL,
    SNAPSHOTS,
    SNAPSHOTS_REFUSED,
];
