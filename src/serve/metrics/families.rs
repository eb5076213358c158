//! The metrics of the endpoint. `docs/serve.md` has the same table, with what to do when one is bad; a test compares the two.

use crate::metrics::{BUILD, Family, FamilyKind};

/// A gauge without labels.
const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: FamilyKind::Gauge,
        unit,
        labels: &[],
        help,
    }
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Family {
    Family {
        name,
        kind: FamilyKind::Counter,
        unit,
        labels,
        help,
    }
}

pub const STARTED: Family = gauge(
    "softstake_process_start_time_seconds",
    "seconds",
    "When the process started, since 1970",
);
pub const RESIDENT: Family = gauge(
    "softstake_process_resident_bytes",
    "bytes",
    "Memory that the process has in use",
);
pub const OPEN_FILES: Family = gauge("softstake_process_open_files", "", "Open files and connections");
pub const MOST_OPEN_FILES: Family = gauge(
    "softstake_process_max_open_files",
    "",
    "How many files and connections the process may have open",
);
pub const READY: Family = gauge(
    "softstake_view_ready",
    "",
    "Whether /readyz says that the process is ready: 1 or 0",
);
pub const LAG: Family = Family {
    labels: &["topic", "partition"],
    ..gauge(
        "softstake_view_lag_records",
        "records",
        "Records of a published topic that the view has not read, at the last look at the ends of the bus",
    )
};
pub const LOOK_AGE: Family = gauge(
    "softstake_view_look_age_seconds",
    "seconds",
    "Time since the ends of the bus were looked up, or since the start. It is done twice a second",
);
pub const RECORDS: Family = counter(
    "softstake_view_records",
    "records",
    &["topic"],
    "Records that this process has brought into the view",
);
pub const UNREADABLE: Family = gauge(
    "softstake_view_unreadable_records",
    "records",
    "Records of published topics that no Softstake wrote. The view leaves them out",
);
pub const EXECUTIONS_AGE: Family = gauge(
    "softstake_view_executions_age_seconds",
    "seconds",
    "Time since the topic of --executions was read, or since the start. It is done each 10 s",
);
pub const VIEW_SIZE: Family = gauge("softstake_view_size_bytes", "bytes", "Bytes of the files of the view");
pub const VIEW_FREE: Family = gauge(
    "softstake_view_disk_free_bytes",
    "bytes",
    "Free bytes of the disk with the view",
);
pub const REQUESTS: Family = counter(
    "softstake_serve_requests",
    "",
    &["route", "status"],
    "Requests that were answered, by route and class of the status",
);
pub const REQUEST_SECONDS: Family = Family {
    name: "softstake_serve_request_seconds",
    kind: FamilyKind::Histogram,
    unit: "seconds",
    labels: &["route"],
    help: "Time from the head of a request to the head of its answer",
};
pub const REFUSED_TOKENS: Family = counter(
    "softstake_serve_refused_tokens",
    "",
    &["reason"],
    "Requests without a valid token, by what is wrong with it",
);
pub const LIMITED: Family = counter(
    "softstake_serve_limited_requests",
    "",
    &["limit"],
    "Requests over a limit: of a subject, of an address without valid tokens, of reads at a time",
);
pub const AUDIT_LINES: Family = counter(
    "softstake_serve_audit_lines",
    "",
    &["outcome"],
    "Lines of the audit log: written, or failed, which refuses the read",
);
pub const KEYS_AGE: Family = gauge(
    "softstake_serve_keys_age_seconds",
    "seconds",
    "Time since the issuer gave the keys in force, or since the start if it has given none. It is asked every 10 minutes",
);
pub const KEY_FETCHES: Family = counter(
    "softstake_serve_key_fetches",
    "",
    &["outcome"],
    "Requests to the issuer for its keys: fetched or failed",
);

/// Every family, in the order of the endpoint.
pub const SERVE_FAMILIES: [Family; 20] = [
    BUILD,
    STARTED,
    RESIDENT,
    OPEN_FILES,
    MOST_OPEN_FILES,
    READY,
    LAG,
    LOOK_AGE,
    RECORDS,
    UNREADABLE,
    EXECUTIONS_AGE,
    VIEW_SIZE,
    VIEW_FREE,
    REQUESTS,
    REQUEST_SECONDS,
    REFUSED_TOKENS,
    LIMITED,
    AUDIT_LINES,
    KEYS_AGE,
    KEY_FETCHES,
];
