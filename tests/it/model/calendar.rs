//! The terms of an asset that never change, and its epochs (contract, sections 3.2 and 4).

pub const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub decimals: u32,
    pub anchor_ms: i64,
    pub epoch_ms: i64,
    pub first_epoch: u64,
    /// The asset that rewards are paid in, if it is another one, and its decimals.
    pub reward: Option<(String, u32)>,
}

impl Terms {
    pub fn reward_decimals(&self) -> u32 {
        self.reward.as_ref().map_or(self.decimals, |(_, decimals)| *decimals)
    }

    /// The epoch that a time is in. None before the anchor.
    pub fn epoch_of(&self, instant_ms: i64) -> Option<u64> {
        let number = (i128::from(instant_ms) - i128::from(self.anchor_ms)).div_euclid(i128::from(self.epoch_ms));
        u64::try_from(number).ok()?.checked_add(self.first_epoch)
    }

    /// When an epoch starts. Far epochs start beyond all times that can be written.
    pub fn start_of(&self, epoch: u64) -> i128 {
        i128::from(self.anchor_ms) + (i128::from(epoch) - i128::from(self.first_epoch)) * i128::from(self.epoch_ms)
    }

    /// A number of days in whole epochs, rounded up, and at least one.
    pub fn epochs_of_days(&self, days: u64) -> u64 {
        let window = i128::from(days) * i128::from(DAY_MS);
        let epochs = (window + i128::from(self.epoch_ms) - 1) / i128::from(self.epoch_ms);
        u64::try_from(epochs).unwrap_or(u64::MAX).max(1)
    }
}

/// The part of an account's name before the first `/`. A name without one, or that begins with it, is its own owner.
pub fn owner(account: &str) -> &str {
    match account.split_once('/') {
        Some((owner, _)) if !owner.is_empty() => owner,
        _ => account,
    }
}
