//! The settings of a tape's bus, and the counts of what was written.

use crate::generate::error::GenerateError;

/// The market of a tape, and the accounts that trade on it.
#[derive(Debug, Clone)]
pub struct Tape {
    /// The asset that is bought and sold, such as `XRP`.
    pub base: String,
    /// The asset in which it is paid, such as `ETH`.
    pub quote: String,
    /// Decimals of the base asset's unit, 0 to 18.
    pub base_decimals: u8,
    /// Decimals of the quote asset's unit, 0 to 18.
    pub quote_decimals: u8,
    /// Accounts, at least 8. The last eighth of them hold and never trade.
    pub accounts: u64,
    /// Partitions of each source topic, 1 to 128.
    pub partitions: u32,
    /// Equal tapes with equal settings and an equal seed give equal bytes.
    pub seed: u64,
}

/// Counts of what was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TapeSummary {
    /// Trades of the tape.
    pub trades: u64,
    /// Opening balances, deposits, withdrawals and transfers.
    pub transfers: u64,
    /// Status events.
    pub statuses: u64,
    /// Deposits that reach the bus a day after their time.
    pub behind: u64,
    /// Second copies. The last one differs from its first.
    pub duplicates: u64,
    /// Records made to be rejected.
    pub bad: u64,
    /// Records on the control topic.
    pub control: u64,
    /// Epochs (days) that the tape covers completely, and so closes per asset.
    pub epochs: u32,
    /// Start of epoch 0: the UTC midnight before the first row, in milliseconds since 1970.
    pub anchor_ms: i64,
    /// Bytes written.
    pub bytes: u64,
}

impl Tape {
    pub(super) fn check(&self) -> Result<(), GenerateError> {
        for (setting, name) in [("base", &self.base), ("quote", &self.quote)] {
            let wrong = |character: char| character.is_control() || character.is_whitespace() || character == ':';
            if !(1..=32).contains(&name.len()) || name.contains(wrong) {
                let expected = "1 to 32 bytes of printable UTF-8, without white space and without `:`";
                return Err(GenerateError::setting(setting, name, expected));
            }
        }
        if self.base == self.quote {
            let expected = "another asset than the base";
            return Err(GenerateError::setting("quote", &self.quote, expected));
        }
        GenerateError::check_ranges([
            ("base_decimals", u64::from(self.base_decimals), 0, 18, "0 to 18"),
            ("quote_decimals", u64::from(self.quote_decimals), 0, 18, "0 to 18"),
            ("accounts", self.accounts, 8, 100_000_000, "8 to 100,000,000"),
            ("partitions", u64::from(self.partitions), 1, 128, "1 to 128"),
        ])
    }
}
