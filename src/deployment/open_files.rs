//! The open files of a process: how many its stores need, and how many it may have.
//!
//! [`raise_limit`] is called once, at the start of the program. Most systems start a program with a soft limit of 1,024 and a much higher hard one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::store::rocks::{MIN_TABLES, OTHER_FILES};

/// Files that belong to no store: libraries, the terminal, uploads, and the sockets and pipes of the Kafka clients, some 100 with three brokers.
const OTHERS: u64 = 128;
/// The bus keeps at most this many files open for writing.
const WRITTEN: u64 = 256;
/// Each task has at most two inputs.
const READ: u64 = 2;
/// No deployment needs more.
const MOST: u64 = 1 << 20;

/// The files that `stores` open stores need if each keeps `tables` tables open.
fn files(stores: u64, tables: u64) -> u64 {
    let shared = OTHERS + stores.min(WRITTEN);
    let each = u64::from(OTHER_FILES) + READ + tables;
    stores.saturating_mul(each).saturating_add(shared)
}

/// The least number of open files with which `stores` stores work.
pub(super) fn needed(stores: u64) -> u64 {
    files(stores, MIN_TABLES.into())
}

/// The number of tables that each of `stores` stores may keep open within `limit` open files; `None` if the limit is too low.
pub(super) fn tables(stores: u64, limit: u64) -> Option<u16> {
    let left = limit.checked_sub(needed(stores))?;
    let more = left / stores.max(1);
    Some(u16::try_from(more).unwrap_or(u16::MAX).saturating_add(MIN_TABLES))
}

/// The limit of open files of this process.
pub(super) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // Without a hard limit, the system has one all the same, and refuses more.
    let wanted = maximum.unwrap_or(MOST).min(MOST);
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    if current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!("cannot raise the soft limit of open files to {wanted}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_gets_its_share() {
        assert_eq!(tables(1, needed(1) - 1), None);
        assert_eq!(tables(1, needed(1)), Some(MIN_TABLES));
        assert_eq!(tables(19, 1_024), Some(37));
        assert_eq!(tables(44, 1_024), Some(10));
        assert_eq!(tables(45, 1_024), None);
        assert_eq!(tables(3, u64::MAX), Some(u16::MAX));
        assert_eq!(needed(4_107), 78_417);
        for stores in [1, 7, 300, 4_107] {
            for limit in [needed(stores), needed(stores) + 5_000] {
                let tables = tables(stores, limit).unwrap();
                assert!(files(stores, tables.into()) <= limit);
            }
        }
    }
}
