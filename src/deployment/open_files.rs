//! The open files of a process: how many its stores need, and how many it may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::store::rocks::{MIN_TABLES, OTHER_FILES};

/// Files that belong to no store: libraries, sockets, the terminal, uploads.
const OTHERS: u64 = 64;
/// The bus keeps at most this many files open for writing.
const WRITTEN: u64 = 256;
/// Each task has at most two inputs.
const READ: u64 = 2;
/// With this many open tables a store is fast.
const GOOD_TABLES: u64 = 86;

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

/// The limit of open files of this process, raised for `stores` stores as far as the hard limit allows.
pub(super) fn raised_limit(stores: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let limit = current.unwrap_or(u64::MAX);
    let good = files(stores, GOOD_TABLES).min(maximum.unwrap_or(u64::MAX));
    let raised = Rlimit {
        current: Some(good),
        maximum,
    };
    if limit < good && setrlimit(Resource::Nofile, raised).is_ok() {
        return good;
    }
    limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_gets_its_share() {
        assert_eq!(tables(1, needed(1) - 1), None);
        assert_eq!(tables(1, needed(1)), Some(MIN_TABLES));
        assert_eq!(tables(19, 1_024), Some(40));
        assert_eq!(tables(48, 1_024), Some(10));
        assert_eq!(tables(49, 1_024), None);
        assert_eq!(tables(3, u64::MAX), Some(u16::MAX));
        assert_eq!(needed(4_107), 78_353);
        for stores in [1, 7, 300, 4_107] {
            for limit in [needed(stores), needed(stores) + 5_000] {
                let tables = tables(stores, limit).unwrap();
                assert!(files(stores, tables.into()) <= limit);
            }
        }
    }
}
