//! Whether statuses let an account earn in an epoch, and be paid (contract, end of section 4).

use std::collections::BTreeMap;

use super::bus::Offsets;
use super::calendar::owner;
use super::event::Status;
use super::ledger::StatusEvent;

/// The statuses as they count for one epoch of one asset.
#[derive(Clone, Copy)]
pub struct Statuses<'a> {
    pub by_account: &'a BTreeMap<String, Vec<StatusEvent>>,
    pub asset: &'a str,
    pub cut: &'a Offsets,
    pub start: i64,
    pub end: i64,
}

impl<'a> Statuses<'a> {
    fn counted(self, account: &str) -> impl Iterator<Item = &'a StatusEvent> {
        let all = self.by_account.get(account).into_iter().flatten();
        all.filter(move |event| {
            let is_for_asset = event.asset.as_deref().is_none_or(|asset| asset == self.asset);
            is_for_asset && event.is_below(self.cut)
        })
    }

    /// The statuses that decide at the epoch's start: the latest for this asset, and the latest for all assets.
    fn deciding(self, account: &str) -> Vec<Status> {
        let latest = |for_all: bool| {
            self.counted(account)
                .filter(|event| event.time <= self.start && event.asset.is_none() == for_all)
                .max_by_key(|event| (event.time, event.id.as_bytes(), event.status))
        };
        [latest(false), latest(true)]
            .into_iter()
            .flatten()
            .map(|event| event.status)
            .collect()
    }

    fn is_itself_excluded(self, account: &str) -> bool {
        let is_inside = |event: &StatusEvent| self.start < event.time && event.time < self.end;
        self.deciding(account).contains(&Status::Excluded)
            || self
                .counted(account)
                .any(|event| event.status == Status::Excluded && is_inside(event))
    }

    /// Whether an `excluded` of the account or of its owner's own account counts.
    pub fn is_excluded(self, account: &str) -> bool {
        self.is_itself_excluded(account) || self.is_itself_excluded(owner(account))
    }

    pub fn allows(self, account: &str, enrolment_is_opt_in: bool) -> bool {
        let deciding = self.deciding(account);
        let is_enrolled = if deciding.is_empty() {
            !enrolment_is_opt_in
        } else {
            deciding.iter().all(|status| *status == Status::Enrolled)
        };
        is_enrolled && !self.is_excluded(account)
    }
}
