//! Distributions on their way into the view: each record becomes two rows, in sorted files if there are many.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use crate::bus::{Mark, TopicPartition};
use crate::core::contract::records::{Distribution, read_data};
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;
use crate::serve::view::database::ViewDatabase;
use crate::serve::view::error::ViewError;
use crate::serve::view::keys;
use crate::serve::view::packed::{pack, unpack};

/// From this number of distributions on, files are faster than a batch.
const FILES_FROM: usize = 10_000;

/// What all distributions of an epoch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EpochFrame {
    pub(super) start: TimeMs,
    pub(super) end: TimeMs,
    pub(super) reward_asset: Asset,
    pub(super) programme_from_epoch: Epoch,
}

/// By asset and epoch.
pub(super) type EpochFrames = BTreeMap<(Asset, Epoch), EpochFrame>;

/// Rows of one table.
#[derive(Debug, Default)]
struct RowBuffer {
    bytes: Vec<u8>,
    /// Where each begins, and the lengths of its key and its value.
    rows: Vec<(usize, u16, u16)>,
}

impl RowBuffer {
    /// Adds a row of the bytes that were written after `start`, of which `key` bytes are the key.
    fn push(&mut self, start: usize, key: usize) -> bool {
        let value = self.bytes.len().saturating_sub(start.saturating_add(key));
        match (u16::try_from(key), u16::try_from(value)) {
            (Ok(key), Ok(value)) => {
                self.rows.push((start, key, value));
                true
            }
            _ => false,
        }
    }

    fn row(&self, (start, key, value): (usize, u16, u16)) -> (&[u8], &[u8]) {
        let middle = start + usize::from(key);
        let key = self.bytes.get(start..middle).unwrap_or_default();
        (
            key,
            self.bytes.get(middle..middle + usize::from(value)).unwrap_or_default(),
        )
    }

    /// Sorts the rows by their keys. Of several with one key the last stays.
    fn sort(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        // A partition has its distributions in runs that are sorted, one for each epoch. A stable sort merges them.
        rows.sort_by(|a, b| self.row(*a).0.cmp(self.row(*b).0));
        rows.reverse();
        rows.dedup_by(|a, b| self.row(*a).0 == self.row(*b).0);
        rows.reverse();
        self.rows = rows;
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.rows.iter().map(|row| self.row(*row))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }
}

/// The epoch of the last distribution: most have the same as the one before.
struct LastEpoch {
    asset: Asset,
    epoch: Epoch,
    start: String,
    end: String,
    frame: EpochFrame,
}

/// Distributions of one partition that are not yet in the view.
#[derive(Default)]
pub(super) struct DistributionRows {
    by_account: RowBuffer,
    by_epoch: RowBuffer,
    pub(super) frames: EpochFrames,
    last: Option<LastEpoch>,
}

impl DistributionRows {
    pub(super) fn len(&self) -> usize {
        self.by_account.rows.len()
    }

    pub(super) fn clear(&mut self) {
        self.by_account.clear();
        self.by_epoch.clear();
        self.frames.clear();
        self.last = None;
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Why it is no distribution of ours.
    pub(super) fn add(&mut self, record: &[u8]) -> Result<(), String> {
        let paid: Distribution<'_> = read_data(record).map_err(|error| error.to_string())?;
        let account = AccountName::new(&*paid.account).map_err(|error| format!("`account` {error}"))?;
        let end_ms = self.frame(&paid)?.end.get();
        let (asset, epoch, bucket) = (paid.asset.as_str(), paid.epoch, bucket(account.as_str()));
        let bytes = &mut self.by_account.bytes;
        let start = bytes.len();
        keys::write_by_account(bytes, bucket, account.as_str(), end_ms, asset, epoch);
        let key = bytes.len() - start;
        let numbers: [&str; 7] = [
            &paid.amount,
            &paid.rewarded,
            &paid.made_good,
            &paid.adjusted,
            &paid.withheld_before,
            &paid.balance_seconds,
            &paid.average_balance,
        ];
        if !pack(numbers, bytes) || !self.by_account.push(start, key) {
            self.by_account.bytes.truncate(start);
            return Err("one of its amounts is no plain decimal number".into());
        }
        let bytes = &mut self.by_epoch.bytes;
        let start = bytes.len();
        keys::write_by_epoch(bytes, asset, epoch, bucket, account.as_str());
        let key = bytes.len() - start;
        // The amount was packed above.
        pack([&*paid.amount], bytes);
        self.by_epoch.push(start, key);
        Ok(())
    }

    /// What the distribution has in common with the others of its epoch.
    fn frame(&mut self, paid: &Distribution<'_>) -> Result<EpochFrame, String> {
        let is_last = |last: &&LastEpoch| {
            (last.epoch, last.asset, last.frame.reward_asset) == (paid.epoch, paid.asset, paid.reward_asset)
                && last.frame.programme_from_epoch == paid.programme_from_epoch
                && last.start == paid.epoch_start
                && last.end == paid.epoch_end
        };
        if let Some(last) = self.last.as_ref().filter(is_last) {
            return Ok(last.frame);
        }
        let time = |name: &str, text: &str| match TimeMs::parse(text) {
            Ok(time) if time.to_string() == text => Ok(time),
            Ok(_) => Err(format!("`{name}` is not written as Softstake writes times")),
            Err(error) => Err(format!("`{name}` {error}")),
        };
        let frame = EpochFrame {
            start: time("epoch_start", &paid.epoch_start)?,
            end: time("epoch_end", &paid.epoch_end)?,
            reward_asset: paid.reward_asset,
            programme_from_epoch: paid.programme_from_epoch,
        };
        let known = *self.frames.entry((paid.asset, paid.epoch)).or_insert(frame);
        if known != frame {
            return Err("times, reward asset or programme differ from another distribution of the epoch".into());
        }
        self.last = Some(LastEpoch {
            asset: paid.asset,
            epoch: paid.epoch,
            start: paid.epoch_start.clone().into_owned(),
            end: paid.epoch_end.clone().into_owned(),
            frame,
        });
        Ok(frame)
    }

    /// Commits what was added, with the mark of the partition, in one step.
    pub(super) fn commit(
        &mut self,
        database: &ViewDatabase,
        partition: TopicPartition,
        mark: &Mark,
    ) -> Result<(), ViewError> {
        let encoded =
            |value: Result<Vec<u8>, postcard::Error>| value.map_err(|error| database.damaged(error.to_string()));
        let mut shared = vec![(keys::mark(partition), encoded(postcard::to_stdvec(mark))?)];
        for ((asset, epoch), frame) in &self.frames {
            shared.push((keys::frame(*asset, *epoch), encoded(postcard::to_stdvec(frame))?));
        }
        if self.len() < FILES_FROM {
            let mut batch = WriteBatch::default();
            for (key, value) in self.by_account.iter().chain(self.by_epoch.iter()) {
                batch.put(key, value);
            }
            for (key, value) in &shared {
                batch.put(key, value);
            }
            database.write(batch)?;
        } else {
            self.by_account.sort();
            self.by_epoch.sort();
            let files: Vec<PathBuf> = vec![
                database.write_file(shared.iter().map(|(key, value)| (&key[..], &value[..])))?,
                database.write_file(self.by_account.iter())?,
                database.write_file(self.by_epoch.iter())?,
            ];
            database.add_files(files)?;
        }
        Ok(())
    }
}

/// A distribution from its row.
pub(super) fn read_distribution(
    account: &str,
    asset: Asset,
    epoch: Epoch,
    frame: &EpochFrame,
    value: &[u8],
) -> Option<Distribution<'static>> {
    let [
        amount,
        rewarded,
        made_good,
        adjusted,
        withheld_before,
        balance_seconds,
        average_balance,
    ] = unpack(value)?;
    Some(Distribution {
        account: account.to_owned().into(),
        asset,
        reward_asset: frame.reward_asset,
        epoch,
        epoch_start: frame.start.to_string().into(),
        epoch_end: frame.end.to_string().into(),
        amount: amount.into(),
        rewarded: rewarded.into(),
        made_good: made_good.into(),
        adjusted: adjusted.into(),
        withheld_before: withheld_before.into(),
        balance_seconds: balance_seconds.into(),
        average_balance: average_balance.into(),
        programme_from_epoch: frame.programme_from_epoch,
    })
}
