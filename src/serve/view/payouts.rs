//! Reads distributions and seals.

use std::sync::PoisonError;

use crate::core::contract::records::{Distribution, Seal, read_data};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::TimePeriod;
use crate::serve::view::credits::{Credit, read_credit};
use crate::serve::view::error::ViewError;
use crate::serve::view::kept::{View, ViewPage};
use crate::serve::view::keys;
use crate::serve::view::rows::{EpochFrame, read_distribution};

/// A distribution, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidDistribution {
    pub distribution: Distribution<'static>,
    /// Whether its epoch is sealed. Before that it is not final.
    pub sealed: bool,
    pub credit: Option<Credit>,
}

/// Which distributions of an account are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PayoutFilter {
    pub asset: Option<Asset>,
    /// It has the last moment of their epochs.
    pub period: TimePeriod,
    /// Only those of sealed epochs.
    pub sealed_only: bool,
}

impl View {
    /// The distributions to an account, the newest first.
    ///
    /// # Errors
    /// If the view cannot be read.
    pub fn distributions(
        &self,
        account: &str,
        filter: &PayoutFilter,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<ViewPage<PaidDistribution>, ViewError> {
        let catalogue = self.catalogue();
        let prefix = keys::of_account(account).0;
        // The newest come first, so the range begins with the latest end.
        let (first_end, last_end) = filter.period.epoch_ends();
        let from = match last_end {
            Some(last) => keys::of_account(account).newest_first(last.get()).0,
            None => prefix.clone(),
        };
        let to = match first_end {
            Some(first) => keys::end_of(&keys::of_account(account).newest_first(first.get()).0),
            None => keys::end_of(&prefix),
        };
        if from >= to {
            return Ok(ViewPage {
                items: Vec::new(),
                next: None,
            });
        }
        self.page((&from, &to), after, limit, |key, value| {
            let rest = key.get(prefix.len()..).unwrap_or_default();
            let damaged = || self.database.damaged("a distribution");
            let (_, asset, epoch) = keys::read_by_account(rest).ok_or_else(damaged)?;
            let sealed = catalogue.is_sealed(asset, epoch);
            if filter.asset.is_some_and(|wanted| wanted != asset) || (filter.sealed_only && !sealed) {
                return Ok(None);
            }
            self.paid(account, asset, epoch, value, sealed).map(Some)
        })
    }

    /// The distribution to an account for an epoch.
    ///
    /// # Errors
    /// If the view cannot be read.
    pub fn distribution(
        &self,
        account: &str,
        asset: Asset,
        epoch: Epoch,
    ) -> Result<Option<PaidDistribution>, ViewError> {
        let Some(frame) = self.frame(asset, epoch) else {
            return Ok(None);
        };
        let key = keys::by_account(account, frame.end.get(), asset, epoch);
        let Some(value) = self.database.get(&key)? else {
            return Ok(None);
        };
        let sealed = self.catalogue().is_sealed(asset, epoch);
        self.paid(account, asset, epoch, &value, sealed).map(Some)
    }

    /// The distributions of an epoch, in the order of the Merkle tree.
    ///
    /// # Errors
    /// If the view cannot be read.
    pub fn epoch_distributions(
        &self,
        asset: Asset,
        epoch: Epoch,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<ViewPage<PaidDistribution>, ViewError> {
        let prefix = keys::of_epoch(asset, epoch).0;
        self.page((&prefix, &keys::end_of(&prefix)), after, limit, |key, _| {
            let rest = key.get(prefix.len()..).unwrap_or_default();
            let (_, account) = keys::read_by_epoch(rest).ok_or_else(|| self.database.damaged("a distribution"))?;
            self.distribution(account, asset, epoch)
        })
    }

    fn frame(&self, asset: Asset, epoch: Epoch) -> Option<EpochFrame> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        frames.get(&(asset, epoch)).copied()
    }

    fn paid(
        &self,
        account: &str,
        asset: Asset,
        epoch: Epoch,
        value: &[u8],
        sealed: bool,
    ) -> Result<PaidDistribution, ViewError> {
        let frame = self.frame(asset, epoch);
        let distribution = frame.and_then(|frame| read_distribution(account, asset, epoch, &frame, value));
        let distribution = distribution.ok_or_else(|| self.database.damaged("a distribution"))?;
        let credit = match self.database.get(&keys::credit(&distribution.id()))? {
            Some(value) => Some(read_credit(&self.database, &value)?),
            None => None,
        };
        Ok(PaidDistribution {
            distribution,
            sealed,
            credit,
        })
    }

    /// The seal of an epoch.
    ///
    /// # Errors
    /// If the view cannot be read.
    pub fn seal(&self, asset: Asset, epoch: Epoch) -> Result<Option<Seal<'static>>, ViewError> {
        let Some(record) = self.database.get(&keys::seal(asset, epoch))? else {
            return Ok(None);
        };
        self.read_seal(&record).map(Some)
    }

    /// Calls `take` with the seals of an asset, or of all, by asset and epoch, ascending. It ends early when `take` returns `false`.
    ///
    /// # Errors
    /// If the view cannot be read, or the error that `take` returns.
    pub fn each_seal(
        &self,
        asset: Option<Asset>,
        from: Epoch,
        mut take: impl FnMut(Seal<'static>) -> Result<bool, ViewError>,
    ) -> Result<(), ViewError> {
        let prefix = match asset {
            Some(asset) => keys::seals().asset(asset).0,
            None => keys::seals().0,
        };
        let first = match asset {
            Some(asset) => keys::seal(asset, from),
            None => prefix.clone(),
        };
        let mut scan = self.database.scan(&first, &keys::end_of(&prefix));
        while let Some((_, record)) = scan.next()? {
            let seal = self.read_seal(record)?;
            if seal.epoch >= from && !take(seal)? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_seal(&self, record: &[u8]) -> Result<Seal<'static>, ViewError> {
        let seal: Seal<'_> = read_data(record).map_err(|error| self.database.damaged(format!("a seal: {error}")))?;
        Ok(seal.into_owned())
    }
}
