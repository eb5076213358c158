//! What happens on a tape's bus: its trades, and what customers do beside trading.

use crate::generate::draws::Draws;
use crate::generate::tape::csv::Row;
use crate::generate::tape::{Plan, Tape};
use crate::generate::text::{DAY_MS, power_of_ten};

/// How many records of each oddity there are.
pub(crate) const ODDITIES: usize = 5;

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
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

/// An act, when it happened and where among the others it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) written_ms: i64,
    pub(crate) time_ms: i64,
    pub(crate) act: Act,
}

/// The two amounts of a trade, in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sides {
    pub(crate) base: u128,
    pub(crate) quote: u128,
    /// Whether the quote amount is just price times quantity.
    pub(crate) exact: bool,
}

impl Sides {
    /// The amounts of a row, or the index of the column at fault and what is wrong with it.
    pub(crate) fn of(tape: &Tape, row: &Row) -> Result<Self, (usize, String)> {
        let (price, quantity) = (row.price, row.quantity);
        let most = power_of_ten(30);
        let Some(finer) = tape.base_decimals.checked_sub(quantity.scale) else {
            let reason = format!("more than {} decimals", tape.base_decimals);
            return Err((2, reason));
        };
        let base = quantity.digits.checked_mul(power_of_ten(finer.into()));
        let base = base.filter(|&base| base <= most);
        let base = base.ok_or((2, "more than 10^30 units".to_owned()))?;
        let too_large = || (1, "price times quantity is too large".to_owned());
        let product = price.digits.checked_mul(quantity.digits).ok_or_else(too_large)?;
        let scale = u32::from(price.scale) + u32::from(quantity.scale);
        let decimals = u32::from(tape.quote_decimals);
        let (quote, exact) = if scale <= decimals {
            let quote = product.checked_mul(power_of_ten(decimals - scale));
            (quote.ok_or_else(too_large)?, true)
        } else {
            // The product is below 2^128, so a grain beyond that leaves nothing.
            let grain = 10_u128.checked_pow(scale - decimals).unwrap_or(u128::MAX);
            ((product / grain).max(1), product.is_multiple_of(grain))
        };
        if quote > most {
            return Err(too_large());
        }
        Ok(Self { base, quote, exact })
    }
}

/// One trade between accounts that are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deal {
    pub(crate) sides: Sides,
    pub(crate) buyer: u64,
    pub(crate) seller: u64,
    /// The taker's fee in units of what it receives; 0 if less than one.
    pub(crate) fee: u128,
    pub(crate) buyer_is_maker: bool,
}

impl Deal {
    pub(crate) fn of(plan: &Plan, row: usize) -> Self {
        let at = &plan.rows[row];
        let mut draws = plan.draws(row);
        let buyer = draws.skewed(plan.traders());
        let mut seller = draws.skewed(plan.traders());
        if seller == buyer {
            seller = (buyer + 1) % plan.traders();
        }
        // Every row was checked when it was read.
        let sides = Sides::of(plan.tape, at).unwrap_or(Sides {
            base: 0,
            quote: 0,
            exact: true,
        });
        let received = if at.buyer_is_maker { sides.quote } else { sides.base };
        Self {
            sides,
            buyer,
            seller,
            fee: received / 1_000,
            buyer_is_maker: at.buyer_is_maker,
        }
    }
}

/// What is added to the trades. Their draws come after those of the rows.
pub(crate) fn extras(plan: &Plan) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut draws = plan.draws(plan.rows.len());
    let accounts = plan.tape.accounts;
    let last_ms = plan.rows.iter().map(|row| row.time_ms).max().unwrap_or(plan.anchor_ms);
    let span = (last_ms - plan.anchor_ms).unsigned_abs().max(1);
    let sometime = |draws: &mut Draws| plan.anchor_ms + i64::try_from(draws.below(span)).unwrap_or(0);
    let mut add = |time_ms: i64, act: Act| {
        entries.push(Entry {
            written_ms: time_ms,
            time_ms,
            act,
        })
    };
    let count = usize::try_from(accounts).unwrap_or(usize::MAX);
    for number in 0..count * 2 {
        let (account, side) = (draws.below(accounts), draws.index(2));
        let times = 1 + draws.below(12);
        let units = plan.amount(side, times, &mut draws);
        add(
            sometime(&mut draws),
            Act::Deposit {
                account,
                side,
                units,
                number,
            },
        );
    }
    for number in 0..count {
        let (account, side) = (draws.below(accounts), draws.index(2));
        let times = 1 + draws.below(8);
        let units = plan.amount(side, times, &mut draws);
        add(
            sometime(&mut draws),
            Act::Withdrawal {
                account,
                side,
                units,
                number,
            },
        );
    }
    for number in 0..count / 8 + 1 {
        let (from, side) = (draws.below(accounts), draws.index(2));
        let to = (from + 1 + draws.below(accounts - 1)) % accounts;
        let units = plan.amount(side, 3, &mut draws);
        add(
            sometime(&mut draws),
            Act::Transfer {
                from,
                to,
                side,
                units,
                number,
            },
        );
    }
    let mut statuses = Vec::new();
    for account in 0..accounts {
        // Most had enrolled before; some do so on the first days, which counts from the next midnight.
        match draws.below(10) {
            0..7 => statuses.push((plan.anchor_ms - 3_600_000, account, "enrolled")),
            7 => statuses.push((sometime(&mut draws), account, "enrolled")),
            _ => {}
        }
    }
    let (first_day, second_day) = (plan.anchor_ms + DAY_MS / 2, plan.anchor_ms + DAY_MS * 3 / 2);
    statuses.push((first_day, 3, "opted_out"));
    statuses.push((second_day, 6, "opted_out"));
    statuses.push((second_day, 5, "excluded"));
    for (number, (time_ms, account, status)) in statuses.into_iter().enumerate() {
        add(
            time_ms,
            Act::Status {
                account,
                status,
                number,
            },
        );
    }
    for number in 0..ODDITIES {
        add(
            sometime(&mut draws),
            Act::Unlisted {
                account: draws.below(accounts),
                number,
            },
        );
        add(sometime(&mut draws), Act::Bad { number });
    }
    for n in 0..ODDITIES {
        // Held up on its way for a day.
        let (account, side, number) = (draws.below(accounts), n % 2, count * 2 + n);
        let units = plan.amount(side, 4, &mut draws);
        let time_ms = sometime(&mut draws);
        let act = Act::Deposit {
            account,
            side,
            units,
            number,
        };
        entries.push(Entry {
            written_ms: time_ms + DAY_MS,
            time_ms,
            act,
        });
    }
    entries
}

/// Withdrawals cost a thousandth, in the asset withdrawn and on top.
pub(crate) fn withdrawal_fee(units: u128) -> u128 {
    units / 1_000
}
