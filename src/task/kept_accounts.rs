//! What the sum of an epoch keeps of its accounts: the emission that follows need not read and measure them again.
//!
//! It is a copy in memory of what the store says. A restart loses it, and what does not fit is not kept. Then the emission scans the store again.

use std::collections::{BTreeMap, btree_map};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::core::accrue::assess::Account;
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::settle::Measure;
use crate::core::accrue::wide::{magnitude, signed};
use crate::core::fault::{Fault, impossible};
use crate::store::row::{decode_number, encode_number};

/// Bytes that all tasks of a process keep together, at most.
const MOST_BYTES: usize = 128 << 20;

/// What a bucket takes besides its accounts, about.
const BUCKET_BYTES: usize = 64;

/// Eligibility, in the low bits of the first byte of an account.
const ELIGIBLE: u8 = 0;
const EMPTY: u8 = 1;
const EXCLUDED: u8 = 2;
const NEGATIVE: u8 = 3;
const BELOW_MINIMUM: u8 = 4;
const ELIGIBILITY: u8 = 0x07;
/// Whether it is paid nothing: [`Measure::is_excluded`].
const IS_EXCLUDED: u8 = 0x08;
/// Whether all of S counts.
const ALL_COUNTS: u8 = 0x10;

/// The bytes that the tasks of a process keep.
#[derive(Debug, Default)]
pub struct KeptBytes(AtomicUsize);

impl KeptBytes {
    /// Takes so many bytes, if there is room for them.
    fn take(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= MOST_BYTES);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Takes all but so many bytes.
    #[cfg(test)]
    pub fn leave(&self, bytes: usize) -> bool {
        self.take(MOST_BYTES - bytes)
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The accounts of an epoch with their measures, up to some bucket.
#[derive(Debug)]
pub struct KeptAccounts {
    buckets: BTreeMap<u16, Box<[u8]>>,
    is_complete: bool,
    memory: Arc<KeptBytes>,
}

impl KeptAccounts {
    /// Whether it holds all accounts that were summed.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Drops the accounts before a bucket.
    pub fn drop_before(&mut self, bucket: u16) {
        let rest = self.buckets.split_off(&bucket);
        let dropped = std::mem::replace(&mut self.buckets, rest);
        self.memory
            .give_back(dropped.values().map(|bytes| taken_by(bytes)).sum());
    }

    /// A scan of them.
    pub fn scan(&self) -> Result<KeptScan<'_>, Fault> {
        let mut scan = KeptScan {
            buckets: self.buckets.iter(),
            bucket: [0; 2],
            rest: &[],
            first: 0,
            key: Vec::new(),
        };
        scan.advance()?;
        Ok(scan)
    }
}

impl Drop for KeptAccounts {
    fn drop(&mut self) {
        self.memory
            .give_back(self.buckets.values().map(|bytes| taken_by(bytes)).sum());
    }
}

fn taken_by(bucket: &[u8]) -> usize {
    bucket.len().saturating_add(BUCKET_BYTES)
}

/// Keeps accounts while they are summed.
#[derive(Debug)]
pub struct AccountKeeper {
    kept: KeptAccounts,
    bucket: u16,
    /// The accounts of the present bucket.
    buffer: Vec<u8>,
}

impl AccountKeeper {
    #[must_use]
    pub fn new(memory: Arc<KeptBytes>) -> Self {
        Self {
            kept: KeptAccounts {
                buckets: BTreeMap::new(),
                is_complete: true,
                memory,
            },
            bucket: 0,
            buffer: Vec::new(),
        }
    }

    /// Keeps the next accounts, in the order of bucket and name, unless some before them did not fit.
    pub fn keep(&mut self, accounts: &[Account], measures: &[Measure]) {
        for (account, measure) in accounts.iter().zip(measures) {
            if account.bucket != self.bucket {
                self.end_bucket();
                self.bucket = account.bucket;
            }
            if !self.kept.is_complete {
                return;
            }
            if write(&mut self.buffer, account, measure).is_err() {
                self.give_up();
            }
        }
    }

    fn end_bucket(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if self.kept.memory.take(taken_by(&self.buffer)) {
            self.kept.buckets.insert(self.bucket, self.buffer.as_slice().into());
            self.buffer.clear();
        } else {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        self.kept.is_complete = false;
        self.buffer = Vec::new();
    }

    #[must_use]
    pub fn end(mut self) -> KeptAccounts {
        self.end_bucket();
        self.kept
    }
}

/// Appends an account: a byte of flags, the length of its name, the name, and numbers as in a row.
fn write(out: &mut Vec<u8>, account: &Account, measure: &Measure) -> Result<(), Fault> {
    let (eligibility, more) = match measure.eligibility {
        Eligibility::Eligible { counted, weight } => (ELIGIBLE, Some((signed(counted)?, signed(weight)?))),
        Eligibility::Empty => (EMPTY, None),
        Eligibility::Excluded => (EXCLUDED, None),
        Eligibility::Negative => (NEGATIVE, None),
        Eligibility::BelowMinimum => (BELOW_MINIMUM, None),
    };
    let mut first = eligibility;
    if measure.is_excluded {
        first |= IS_EXCLUDED;
    }
    let all_counts = more.is_some_and(|(counted, _)| counted == measure.held);
    if all_counts {
        first |= ALL_COUNTS;
    }
    out.extend_from_slice(&[first, account.name.length()]);
    out.extend_from_slice(account.name.as_str().as_bytes());
    for number in [
        account.opening,
        account.withheld,
        account.adjusted,
        measure.held,
        measure.closing,
    ] {
        encode_number(number, out);
    }
    if let Some((counted, weight)) = more {
        if !all_counts {
            encode_number(counted, out);
        }
        encode_number(weight, out);
    }
    Ok(())
}

/// A scan of kept accounts, with the one that it has reached.
pub struct KeptScan<'a> {
    buckets: btree_map::Iter<'a, u16, Box<[u8]>>,
    bucket: [u8; 2],
    /// What follows the name of the present account in its bucket.
    rest: &'a [u8],
    /// The first byte of the present account.
    first: u8,
    /// Bucket and name of the present account; empty at the end.
    key: Vec<u8>,
}

impl KeptScan<'_> {
    /// Bucket and name of the present account; `None` at the end.
    #[must_use]
    pub fn account_key(&self) -> Option<&[u8]> {
        (!self.key.is_empty()).then_some(&self.key)
    }

    fn advance(&mut self) -> Result<(), Fault> {
        self.key.clear();
        if self.rest.is_empty() {
            let Some((bucket, bytes)) = self.buckets.next() else {
                return Ok(());
            };
            self.bucket = bucket.to_be_bytes();
            self.rest = bytes;
        }
        let [first, length, rest @ ..] = self.rest else {
            return Err(cut_short());
        };
        let (name, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(cut_short)?;
        self.first = *first;
        self.key.extend_from_slice(&self.bucket);
        self.key.extend_from_slice(name);
        self.rest = rest;
        Ok(())
    }

    /// Takes all but the name and bucket of the present account, and goes on to the next one.
    pub fn take(&mut self, account: &mut Account) -> Result<(), Fault> {
        let mut number = || {
            let (number, rest) = decode_number(self.rest).ok_or_else(cut_short)?;
            self.rest = rest;
            Ok::<_, Fault>(number)
        };
        account.opening = number()?;
        account.withheld = number()?;
        account.adjusted = number()?;
        let (held, closing) = (number()?, number()?);
        let eligibility = match self.first & ELIGIBILITY {
            ELIGIBLE => Eligibility::Eligible {
                counted: magnitude(if self.first & ALL_COUNTS == 0 { number()? } else { held }),
                weight: magnitude(number()?),
            },
            EMPTY => Eligibility::Empty,
            EXCLUDED => Eligibility::Excluded,
            NEGATIVE => Eligibility::Negative,
            _ => Eligibility::BelowMinimum,
        };
        account.measured = Some(Measure {
            held,
            closing,
            eligibility,
            is_excluded: self.first & IS_EXCLUDED != 0,
        });
        self.advance()
    }
}

fn cut_short() -> Fault {
    impossible("accounts in memory that are cut short")
}

#[cfg(test)]
mod tests {
    use ethnum::I256;
    use proptest::prelude::*;
    use ruint::aliases::U512;

    use crate::core::values::account::AccountName;

    use super::*;

    fn number() -> impl Strategy<Value = I256> {
        prop_oneof![
            (any::<i128>(), any::<i128>(), 0_u32..256)
                .prop_map(|(high, low, shift)| I256::from_words(high, low) >> shift),
            Just(I256::ZERO),
            Just(I256::MIN),
            Just(I256::MAX),
        ]
    }

    fn positive() -> impl Strategy<Value = U512> {
        number().prop_map(|number| magnitude(number.max(I256::ZERO)))
    }

    fn eligibility() -> impl Strategy<Value = Eligibility> {
        prop_oneof![
            (positive(), positive()).prop_map(|(counted, weight)| Eligibility::Eligible { counted, weight }),
            Just(Eligibility::Empty),
            Just(Eligibility::Excluded),
            Just(Eligibility::Negative),
            Just(Eligibility::BelowMinimum),
        ]
    }

    fn account() -> impl Strategy<Value = (Account, Measure)> {
        let numbers = (number(), number(), number(), number(), number());
        (0..4u16, "[a-z/]{1,128}", numbers, eligibility(), any::<(bool, bool)>()).prop_map(
            |(bucket, name, (opening, withheld, adjusted, held, closing), eligibility, (is_excluded, all_counts))| {
                let mut account = Account::new(bucket, AccountName::new(name).unwrap());
                (account.opening, account.withheld, account.adjusted) = (opening, withheld, adjusted);
                let eligibility = match eligibility {
                    Eligibility::Eligible { weight, .. } if all_counts => Eligibility::Eligible {
                        counted: magnitude(held.max(I256::ZERO)),
                        weight,
                    },
                    other => other,
                };
                let measure = Measure {
                    held,
                    closing,
                    eligibility,
                    is_excluded,
                };
                (account, measure)
            },
        )
    }

    /// The accounts of a scan, with their measures.
    fn all(kept: &KeptAccounts) -> Vec<(Account, Measure)> {
        let mut scan = kept.scan().unwrap();
        let mut found = Vec::new();
        while let Some(key) = scan.account_key() {
            let (bucket, name) = crate::store::tables::split_account_key(key).unwrap();
            let mut account = Account::new(bucket, name.into_owned());
            scan.take(&mut account).unwrap();
            let measure = account.measured.take().unwrap();
            found.push((account, measure));
        }
        found
    }

    fn keep(accounts: &[(Account, Measure)], memory: &Arc<KeptBytes>) -> KeptAccounts {
        let mut keeper = AccountKeeper::new(Arc::clone(memory));
        for (account, measure) in accounts {
            keeper.keep(std::slice::from_ref(account), &[*measure]);
        }
        keeper.end()
    }

    proptest! {
        #[test]
        fn all_that_was_kept_comes_back(mut accounts in proptest::collection::vec(account(), 0..20)) {
            accounts.sort_by_key(|(account, _)| account.bucket);
            let memory = Arc::new(KeptBytes::default());
            let mut kept = keep(&accounts, &memory);
            prop_assert!(kept.is_complete());
            prop_assert_eq!(&all(&kept), &accounts);
            kept.drop_before(2);
            accounts.retain(|(account, _)| account.bucket >= 2);
            prop_assert_eq!(all(&kept), accounts);
            drop(kept);
            prop_assert_eq!(memory.0.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        let of = |bucket: u16| {
            let mut account = Account::new(bucket, AccountName::new("ann").unwrap());
            account.opening = I256::from(bucket);
            let measure = Measure {
                held: I256::ONE,
                closing: I256::ZERO,
                eligibility: Eligibility::BelowMinimum,
                is_excluded: false,
            };
            (account, measure)
        };
        let accounts: Vec<_> = (0..10).map(of).collect();
        let memory = Arc::new(KeptBytes::default());
        assert!(memory.leave(3 * BUCKET_BYTES + 40));
        let kept = keep(&accounts, &memory);
        assert!(!kept.is_complete());
        assert_eq!(all(&kept), accounts[..3]);
        // A number that no account can have.
        let mut large = of(1);
        large.1.eligibility = Eligibility::Eligible {
            counted: U512::MAX,
            weight: U512::ONE,
        };
        let kept = keep(&[of(0), large, of(1), of(2)], &Arc::default());
        assert!(!kept.is_complete());
        assert_eq!(all(&kept), [of(0)]);
    }
}
