//! Whether the deployment has the epochs of a period of time.

use crate::audit::asked::period::AskedPeriod;
use crate::audit::asked::{Asked, AskedError, AssetProgress, EpochProgress, Inventory, MissingEpochs};
use crate::core::values::asset::Asset;
use crate::core::values::calendar::Calendar;
use crate::core::values::ids::Epoch;
use crate::core::values::period::TimePeriod;
use crate::core::values::time::TimeMs;

/// The answer to whether the epochs of a period are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPeriod {
    asked: AskedPeriod,
    /// How many of its epochs are there.
    there: u64,
    missing: Vec<MissingEpochs>,
    /// Assets that were asked for by name, and have no epoch of the period.
    without_epoch: Vec<Asset>,
}

impl AskedPeriod {
    /// A question about the epochs of a period: those whose last moment is in it.
    ///
    /// # Errors
    /// If no moment is in the period.
    pub fn new(assets: impl IntoIterator<Item = Asset>, period: TimePeriod) -> Result<Self, AskedError> {
        if let (Some(from), Some(to)) = (period.from, period.to)
            && period.is_empty()
        {
            return Err(AskedError::EmptyPeriod { from, to });
        }
        let assets = assets.into_iter().collect();
        Ok(Self { assets, period })
    }
}

impl Inventory {
    #[must_use]
    pub fn is_sealed(&self, asset: Asset, epoch: Epoch) -> bool {
        let progress = self.0.get(&asset);
        progress.is_some_and(|progress| progress.sealed.contains(&epoch))
    }

    /// Finds which epochs of a period are as far as `needed`, and which are not. Without an end, the question is about all epochs that are closed.
    ///
    /// # Errors
    /// If an asset is not listed, or none is.
    pub fn resolve_period(&self, asked: AskedPeriod, needed: EpochProgress) -> Result<ResolvedPeriod, AskedError> {
        for asset in &asked.assets {
            self.check_asset(*asset)?;
        }
        if self.0.is_empty() {
            return Err(AskedError::NoAssets);
        }
        let mut resolved = ResolvedPeriod {
            asked,
            there: 0,
            missing: Vec::new(),
            without_epoch: Vec::new(),
        };
        let asked = resolved.asked.clone();
        for (asset, progress) in self.0.iter().filter(|(asset, _)| asked.has_asset(**asset)) {
            let Some((from, to)) = progress.of_period(asked.period) else {
                if !asked.assets.is_empty() {
                    resolved.without_epoch.push(*asset);
                }
                continue;
            };
            let of_asset = self.resolve(Asked::new(Some(*asset), from, to)?, needed)?;
            resolved.there = resolved.there.saturating_add(of_asset.there);
            resolved.missing.extend(of_asset.missing);
        }
        Ok(resolved)
    }
}

impl AssetProgress {
    /// The first and the last epoch of a period, if it has a bound there; `None` if it has no epoch.
    fn of_period(&self, period: TimePeriod) -> Option<(Option<Epoch>, Option<Epoch>)> {
        if period.is_everything() || self.listings.is_empty() {
            return Some((None, None));
        }
        let (mut first, mut last): (Option<Epoch>, Option<Epoch>) = (None, None);
        for (begins, ends) in self.periods() {
            let listed = self
                .listings
                .iter()
                .rev()
                .find(|listed| listed.calendar.first() <= begins)?;
            let from = period
                .from
                .map_or(begins, |from| epoch_of(&listed.calendar, from).max(begins));
            // An end is excluded: the last epoch is the one before the first whose last moment is there or later.
            let to = match period.to.map(|to| epoch_of(&listed.calendar, to).get().checked_sub(1)) {
                None => ends,
                Some(Some(to)) => Epoch::new(to).min(ends),
                Some(None) => continue,
            };
            if from <= to {
                first = first.or(Some(from));
                last = Some(to);
            }
        }
        let (first, last) = (first?, last?);
        Some((period.from.map(|_| first), period.to.map(|_| last)))
    }
}

/// The first epoch whose last moment is at a time, or later: the one that has the time.
fn epoch_of(calendar: &Calendar, time: TimeMs) -> Epoch {
    calendar.epoch_of(time).unwrap_or(calendar.first())
}

impl ResolvedPeriod {
    /// Whether no epoch is there.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.there == 0
    }

    /// Epochs of the period that are not there.
    #[must_use]
    pub fn missing(&self) -> &[MissingEpochs] {
        &self.missing
    }

    /// Checks that the question can be answered in full. A question without bounds is about the epochs that are there.
    ///
    /// # Errors
    /// `Nothing`, `Incomplete` or `NoEpoch`.
    pub fn check(&self) -> Result<(), AskedError> {
        let is_bounded = !self.asked.period.is_everything();
        match (self.is_nothing(), self.missing.is_empty()) {
            (true, true) if is_bounded => self.check_exists(),
            (true, _) => Err(AskedError::Nothing(self.missing.clone())),
            (false, false) if is_bounded => Err(AskedError::Incomplete(self.missing.clone())),
            (false, _) => self.check_exists(),
        }
    }

    /// Checks that the period has epochs, whether they are there or not: some, and some of each asset that was named.
    ///
    /// # Errors
    /// `NoEpoch`.
    pub fn check_exists(&self) -> Result<(), AskedError> {
        let exists = !self.is_nothing() || !self.missing.is_empty() || self.asked.period.is_everything();
        if exists && self.without_epoch.is_empty() {
            return Ok(());
        }
        let asked = AskedPeriod {
            assets: self.without_epoch.iter().copied().collect(),
            period: self.asked.period,
        };
        Err(AskedError::NoEpoch { asked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    /// Daily epochs from day 10 on: 3 to 7, then a listing with epochs of half a day, 8 and later. Epochs up to 9 are closed, and all but 5 are sealed.
    fn inventory() -> (Inventory, Asset) {
        let asset = Asset::parse("ATOM").unwrap();
        let mut progress = AssetProgress::default();
        let listed = |number, day: i64, seconds, first| crate::audit::asked::ListedPeriod {
            number,
            calendar: Calendar::new(TimeMs::from(day * DAY), seconds, Epoch::new(first)),
            withdrawn: None,
        };
        progress.list(listed(0, 10, 86_400, 3));
        progress.withdraw(0, Epoch::new(8));
        progress.list(listed(1, 20, 43_200, 8));
        progress.close(Epoch::new(9));
        progress.sealed = [3, 4, 6, 7, 8, 9].map(Epoch::new).into();
        (Inventory([(asset, progress)].into()), asset)
    }

    fn between(from: Option<i64>, to: Option<i64>) -> TimePeriod {
        let time = |half_days: i64| TimeMs::from(half_days * DAY / 2);
        TimePeriod {
            from: from.map(time),
            to: to.map(time),
        }
    }

    fn checked(period: TimePeriod, named: bool) -> String {
        let (inventory, asset) = inventory();
        let asked = AskedPeriod::new(named.then_some(asset), period).unwrap();
        let resolved = inventory.resolve_period(asked, EpochProgress::Sealed).unwrap();
        let verdict = resolved
            .check()
            .map_or_else(|error| error.to_string(), |()| "right".into());
        format!("{}: {verdict}", resolved.there)
    }

    #[test]
    fn the_epochs_whose_last_moment_is_in_a_period() {
        // Bounds in half days. Epochs 3 to 7 end at 22, 24, 26, 28 and 30; 8 and 9 at 41 and 42.
        for (from, to, expected) in [
            (None, None, "6: right"),
            (Some(21), Some(25), "2: right"),
            (Some(22), Some(24), "1: right"),
            (Some(23), Some(24), "1: right"),
            (Some(22), Some(23), "0: no epoch of ATOM has its last moment from"),
            (
                Some(22),
                Some(27),
                "1: not everything that was asked for is there: ATOM epoch 5",
            ),
            (Some(26), Some(42), "4: right"),
            (Some(26), None, "4: right"),
            (None, Some(25), "2: right"),
            (None, Some(22), "1: right"),
            (None, Some(21), "0: no epoch of ATOM has its last moment before"),
            (Some(31), Some(41), "1: right"),
            (Some(30), Some(40), "0: no epoch of ATOM has its last moment from"),
            (
                Some(41),
                Some(44),
                "1: not everything that was asked for is there: ATOM epochs 10 to 11",
            ),
            (
                Some(42),
                Some(44),
                "0: nothing of what was asked for is there: ATOM epochs 10 to 11",
            ),
            (
                Some(42),
                None,
                "0: nothing of what was asked for is there: ATOM epoch 10",
            ),
            (
                Some(60),
                Some(i64::MAX / DAY),
                "0: nothing of what was asked for is there: ATOM epoch",
            ),
        ] {
            let found = checked(between(from, to), true);
            assert!(found.starts_with(expected), "{from:?} to {to:?}: {found}");
        }
        let found = checked(between(Some(22), Some(23)), false);
        assert!(
            found.starts_with("0: no epoch of any asset has its last moment from"),
            "{found}"
        );
    }

    #[test]
    fn what_no_moment_is_in_is_refused() {
        for (from, to) in [(5, 4), (5, 5)] {
            let error = AskedPeriod::new([], between(Some(from), Some(to))).unwrap_err();
            assert!(error.to_string().contains("no moment is in the period"), "{error}");
        }
        let dot = Asset::parse("ATMO").unwrap();
        let asked = AskedPeriod::new([dot], TimePeriod::default()).unwrap();
        let (inventory, _) = inventory();
        let error = inventory.resolve_period(asked, EpochProgress::Sealed).unwrap_err();
        assert!(error.to_string().contains("did you mean ATOM?"), "{error}");
        let none = Inventory::default().resolve_period(AskedPeriod::default(), EpochProgress::Sealed);
        assert_eq!(none.unwrap_err(), AskedError::NoAssets);
    }
}
