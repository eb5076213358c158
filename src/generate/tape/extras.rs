//! What customers do on a tape's bus besides trading. The draws of these events follow the draws of the rows.

use crate::generate::draws::Draws;
use crate::generate::tape::act::{Act, ODDITIES, TapeEntry};
use crate::generate::tape::plan::TapePlan;
use crate::generate::text::DAY_MS;

/// The events added to the trades. Their order, and the order of the draws, are part of the bytes.
pub(super) fn extras(plan: &TapePlan) -> Vec<TapeEntry> {
    let last_ms = plan.rows.iter().map(|row| row.time_ms).max().unwrap_or(plan.anchor_ms);
    let mut extras = Extras {
        plan,
        draws: plan.draws(plan.rows.len()),
        span_ms: (last_ms - plan.anchor_ms).unsigned_abs().max(1),
        entries: Vec::new(),
    };
    let count = usize::try_from(plan.tape.accounts).unwrap_or(usize::MAX);
    extras.movements(count);
    extras.statuses();
    extras.oddities();
    extras.held_up(count * 2);
    extras.entries
}

/// The events so far, and the draws for the next ones.
struct Extras<'a> {
    plan: &'a TapePlan<'a>,
    draws: Draws,
    /// From the anchor to the last trade, in milliseconds.
    span_ms: u64,
    entries: Vec<TapeEntry>,
}

impl Extras<'_> {
    fn sometime(&mut self) -> i64 {
        self.plan.anchor_ms + i64::try_from(self.draws.below(self.span_ms)).unwrap_or(0)
    }

    /// Adds an act at a drawn time.
    fn add(&mut self, act: Act) {
        let time_ms = self.sometime();
        self.entries.push(TapeEntry::at(time_ms, act));
    }

    fn account(&mut self) -> u64 {
        self.draws.below(self.plan.tape.accounts)
    }

    /// Draws an account, a side and an amount of 1 to `most` mean trades.
    fn holding(&mut self, most: u64) -> (u64, usize, u128) {
        let (account, side) = (self.account(), self.draws.index(2));
        let times = 1 + self.draws.below(most);
        (account, side, self.plan.amount(side, times, &mut self.draws))
    }

    fn movements(&mut self, count: usize) {
        for number in 0..count * 2 {
            let (account, side, units) = self.holding(12);
            self.add(Act::Deposit {
                account,
                side,
                units,
                number,
            });
        }
        for number in 0..count {
            let (account, side, units) = self.holding(8);
            self.add(Act::Withdrawal {
                account,
                side,
                units,
                number,
            });
        }
        let accounts = self.plan.tape.accounts;
        for number in 0..count / 8 + 1 {
            let (from, side) = (self.account(), self.draws.index(2));
            let to = (from + 1 + self.draws.below(accounts - 1)) % accounts;
            let units = self.plan.amount(side, 3, &mut self.draws);
            self.add(Act::Transfer {
                from,
                to,
                side,
                units,
                number,
            });
        }
    }

    fn statuses(&mut self) {
        let anchor_ms = self.plan.anchor_ms;
        let mut statuses = Vec::new();
        for account in 0..self.plan.tape.accounts {
            // Most accounts enrolled before the anchor. Some enrol during the first days, which counts from the next midnight.
            match self.draws.below(10) {
                0..7 => statuses.push((anchor_ms - 3_600_000, account, "enrolled")),
                7 => statuses.push((self.sometime(), account, "enrolled")),
                _ => {}
            }
        }
        let (first_day, second_day) = (anchor_ms + DAY_MS / 2, anchor_ms + DAY_MS * 3 / 2);
        statuses.push((first_day, 3, "opted_out"));
        statuses.push((second_day, 6, "opted_out"));
        statuses.push((second_day, 5, "excluded"));
        for (number, (time_ms, account, status)) in statuses.into_iter().enumerate() {
            let act = Act::Status {
                account,
                status,
                number,
            };
            self.entries.push(TapeEntry::at(time_ms, act));
        }
    }

    fn oddities(&mut self) {
        for number in 0..ODDITIES {
            // The time is drawn before the account.
            let time_ms = self.sometime();
            let account = self.account();
            self.entries
                .push(TapeEntry::at(time_ms, Act::Unlisted { account, number }));
            self.add(Act::Bad { number });
        }
    }

    /// Deposits that reach the bus a day after their time. Their numbers start at `first`.
    fn held_up(&mut self, first: usize) {
        for n in 0..ODDITIES {
            let (account, side) = (self.account(), n % 2);
            let units = self.plan.amount(side, 4, &mut self.draws);
            let time_ms = self.sometime();
            self.entries.push(TapeEntry {
                written_ms: time_ms + DAY_MS,
                time_ms,
                act: Act::Deposit {
                    account,
                    side,
                    units,
                    number: first + n,
                },
            });
        }
    }
}
