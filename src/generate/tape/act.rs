//! What happens on a tape's bus.

/// The number of records of each oddity.
pub(super) const ODDITIES: usize = 5;

/// Something that happens on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Trade {
        row: usize,
    },
    /// `side` 0 is the base asset, 1 the quote asset.
    Opening {
        account: u64,
        side: usize,
        units: u128,
    },
    Deposit {
        account: u64,
        side: usize,
        units: u128,
        number: usize,
    },
    Withdrawal {
        account: u64,
        side: usize,
        units: u128,
        number: usize,
    },
    Transfer {
        from: u64,
        to: u64,
        side: usize,
        units: u128,
        number: usize,
    },
    Unlisted {
        account: u64,
        number: usize,
    },
    Status {
        account: u64,
        status: &'static str,
        number: usize,
    },
    Bad {
        number: usize,
    },
}

/// An act, the time of its event, and the time that gives its place among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TapeEntry {
    pub(super) written_ms: i64,
    pub(super) time_ms: i64,
    pub(super) act: Act,
}

impl TapeEntry {
    /// An act that reaches the bus at its own time.
    pub(super) fn at(time_ms: i64, act: Act) -> Self {
        Self {
            written_ms: time_ms,
            time_ms,
            act,
        }
    }
}

/// The fee of a withdrawal: a thousandth of it, in the same asset, on top.
pub(super) fn withdrawal_fee(units: u128) -> u128 {
    units / 1_000
}
