//! The schema of all stores: tables, keys and values.
//!
//! The first byte of a key is the table. The number of a retired table stays reserved.
//!
//! | byte | table | stores | rest of the key | value |
//! |---|---|---|---|---|
//! | 0 | own | all | `format`, `owner`, `position` | the store's own: format version, owner, position of the newest commit (`store::rocks`) |
//! | 1 | state | all | | state of the fold (version byte, postcard) |
//! | 2 | seen | ingest, coordinate | identity (16 bytes) | fingerprint, asset and epoch of each posting (`core::dedup`) |
//! | 3 | passed | ingest | asset name (32 bytes, zero padded; all zero for the names that are only known together) | what ingest passed over while the asset was not listed (version byte, postcard) |
//! | 4 | rows | accrue | asset (u16), epoch (u32), bucket (u16), account | delta, weighted sum (`store::row`) |
//! | 5 | openings | accrue | asset (u16), bucket (u16), account | balance, withheld amount ([`opening_value`]) |
//! | 6 | statuses | accrue | bucket (u16), account, 0, topic (u8), partition (u32), offset (u64) | time (i64), status (u8), id ([`status_value`]) |
//! | 7 | set aside | accrue | as statuses | statuses that only settlements of earlier epochs need (`core::accrue::statuses`) |
//! | 8 | settling | accrue | asset (u16), epoch (u32) | what is known of an epoch that is not yet emitted (version byte, postcard) |
//!
//! Numbers in keys are big-endian, so that keys sort by them. The name of an account has no control characters, so the byte 0 ends it.

use ethnum::I256;
use ruint::aliases::U512;

use crate::core::accrue::eligibility::KeptStatus;
use crate::core::contract::event::Status;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::Fault;
use crate::core::protocol::ledger::StatusEntry;
use crate::core::values::account::AccountName;
use crate::core::values::asset::{Asset, MAX_ASSET_BYTES};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

/// The key of the state.
pub const STATE: [u8; 1] = [1];
const SEEN: u8 = 2;
const UNLISTED: u8 = 3;
const ROWS: u8 = 4;
const OPENINGS: u8 = 5;
const STATUSES: u8 = 6;
const SET_ASIDE: u8 = 7;
const SETTLING: u8 = 8;

/// Lengths of the prefixes before the bucket.
const ROWS_PREFIX: usize = 7;
const OPENINGS_PREFIX: usize = 3;
const STATUSES_PREFIX: usize = 1;

/// The key of a seen event.
#[must_use]
pub fn seen(identity: &[u8; 16]) -> [u8; 17] {
    let mut key = [SEEN; 17];
    key[1..].copy_from_slice(identity);
    key
}

#[must_use]
pub fn is_seen(key: &[u8]) -> bool {
    key.first() == Some(&SEEN)
}

/// The key of an asset that is not listed, in the passed table; with zeros for a name, of all that have no entry of their own.
#[must_use]
pub fn unlisted(asset: Option<Asset>) -> [u8; 1 + MAX_ASSET_BYTES] {
    let mut key = [0; 1 + MAX_ASSET_BYTES];
    key[0] = UNLISTED;
    if let Some(asset) = asset {
        key[1..].copy_from_slice(asset.padded());
    }
    key
}

/// The range of the passed table: from, to.
#[must_use]
pub const fn all_unlisted() -> ([u8; 1], [u8; 1]) {
    ([UNLISTED], [UNLISTED + 1])
}

/// Reads the asset from a key of the passed table; `None` from the key without a name.
pub fn unlisted_asset(key: &[u8]) -> Result<Option<Asset>, Fault> {
    let wrong = || undecodable("the key of an asset that is not listed");
    let padded = key
        .get(1..)
        .and_then(|name| <[u8; MAX_ASSET_BYTES]>::try_from(name).ok());
    match padded.ok_or_else(wrong)? {
        [0, ..] => Ok(None),
        padded => Asset::from_padded(padded).map(Some).map_err(|_| wrong()),
    }
}

/// The key of an epoch that is not yet emitted.
#[must_use]
pub fn settling(at: AssetEpoch) -> [u8; 7] {
    let mut key = [SETTLING; 7];
    key[1..].copy_from_slice(&at.to_be_bytes());
    key
}

/// The range of the epochs that are not yet emitted: from, to.
#[must_use]
pub const fn all_settling() -> ([u8; 1], [u8; 1]) {
    ([SETTLING], [SETTLING + 1])
}

/// Reads the epoch from a key of the settling table.
pub fn settling_epoch(key: &[u8]) -> Result<AssetEpoch, Fault> {
    let at = key.get(1..).and_then(|at| <[u8; 6]>::try_from(at).ok());
    at.map(AssetEpoch::from_be_bytes)
        .ok_or_else(|| undecodable("the key of an epoch that is not yet emitted"))
}

/// Writes the key of a row into `key`.
pub fn row(key: &mut Vec<u8>, at: AssetEpoch, bucket: u16, account: &AccountName<'_>) {
    key.clear();
    key.push(ROWS);
    key.extend_from_slice(&at.to_be_bytes());
    key.extend_from_slice(&bucket.to_be_bytes());
    key.extend_from_slice(account.as_str().as_bytes());
}

/// Writes the key of an opening row into `key`.
pub fn opening(key: &mut Vec<u8>, number: u16, bucket: u16, account: &AccountName<'_>) {
    key.clear();
    key.push(OPENINGS);
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(&bucket.to_be_bytes());
    key.extend_from_slice(account.as_str().as_bytes());
}

/// Writes the key of a status into `key`.
pub fn status(key: &mut Vec<u8>, source: TopicPartition, entry: &StatusEntry<'_>) {
    key.clear();
    key.push(STATUSES);
    key.extend_from_slice(&entry.bucket.to_be_bytes());
    key.extend_from_slice(entry.account.as_str().as_bytes());
    key.push(0);
    key.push(source.topic as u8);
    key.extend_from_slice(&source.partition.to_be_bytes());
    key.extend_from_slice(&entry.offset.get().to_be_bytes());
}

/// Turns the key of a status into its key among those set aside.
pub fn set_aside(key: &mut [u8]) {
    if let Some(table) = key.first_mut() {
        *table = SET_ASIDE;
    }
}

/// A table, or a part of one, whose keys are sorted by bucket and account after a common prefix.
#[derive(Debug, Clone, Copy)]
pub enum AccountTable {
    /// The rows of an epoch.
    Rows(AssetEpoch),
    /// The opening rows of an asset, by its number.
    Openings(u16),
    Statuses,
    /// The statuses that were set aside.
    SetAside,
}

impl AccountTable {
    /// The common prefix of its keys.
    #[must_use]
    pub fn prefix(self) -> Vec<u8> {
        let mut prefix = Vec::with_capacity(9);
        match self {
            Self::Rows(at) => {
                prefix.push(ROWS);
                prefix.extend_from_slice(&at.to_be_bytes());
            }
            Self::Openings(number) => {
                prefix.push(OPENINGS);
                prefix.extend_from_slice(&number.to_be_bytes());
            }
            Self::Statuses => prefix.push(STATUSES),
            Self::SetAside => prefix.push(SET_ASIDE),
        }
        prefix
    }

    /// The range of its keys from `bucket` on: from, to. Buckets are below 4,096, so no key has 0xffff after the prefix.
    #[must_use]
    pub fn range(self, bucket: u16) -> (Vec<u8>, Vec<u8>) {
        let prefix = self.prefix();
        let mut from = prefix.clone();
        from.extend_from_slice(&bucket.to_be_bytes());
        let mut to = prefix;
        to.extend_from_slice(&[0xff, 0xff]);
        (from, to)
    }

    /// The bytes of bucket and account in one of its keys. They sort alike in these tables, which are scanned side by side.
    pub fn account_key(self, key: &[u8]) -> Result<&[u8], Fault> {
        let from = match self {
            Self::Rows(_) => ROWS_PREFIX,
            Self::Openings(_) => OPENINGS_PREFIX,
            Self::Statuses | Self::SetAside => STATUSES_PREFIX,
        };
        let rest = key
            .get(from..)
            .filter(|rest| rest.len() > 2)
            .ok_or_else(|| undecodable("a key"))?;
        match self {
            Self::Rows(_) | Self::Openings(_) => Ok(rest),
            Self::Statuses | Self::SetAside => {
                let end = memchr::memchr(0, &rest[2..]).ok_or_else(|| undecodable("the key of a status"))?;
                Ok(&rest[..end + 2])
            }
        }
    }
}

/// The bucket in a key of an accrue store; `None` for the state.
#[must_use]
pub fn bucket(key: &[u8]) -> Option<u16> {
    let from = match *key.first()? {
        ROWS => ROWS_PREFIX,
        OPENINGS => OPENINGS_PREFIX,
        STATUSES | SET_ASIDE => STATUSES_PREFIX,
        _ => return None,
    };
    key.get(from..from + 2)?.try_into().ok().map(u16::from_be_bytes)
}

/// Reads the epoch from the key of a row.
pub fn row_epoch(key: &[u8]) -> Result<Epoch, Fault> {
    key.get(3..7)
        .and_then(|epoch| epoch.try_into().ok())
        .map(|epoch| Epoch::new(u32::from_be_bytes(epoch).into()))
        .ok_or_else(|| undecodable("the key of a row"))
}

/// Splits the bytes that [`AccountTable::account_key`] returns into bucket and account.
pub fn split_account_key(key: &[u8]) -> Result<(u16, AccountName<'_>), Fault> {
    let (bucket, account) = key.split_first_chunk::<2>().ok_or_else(|| undecodable("a key"))?;
    let account = std::str::from_utf8(account).map_err(|_| undecodable("an account in a key"))?;
    let account = AccountName::written_before(account).map_err(|_| undecodable("an account in a key"))?;
    Ok((u16::from_be_bytes(*bucket), account))
}

/// Encodes a status: time in milliseconds (8 bytes, big-endian), status (1 byte), id.
#[must_use]
pub fn status_value(entry: &StatusEntry<'_>) -> Vec<u8> {
    let mut value = Vec::with_capacity(9 + entry.id.len());
    value.extend_from_slice(&entry.time_ms.to_be_bytes());
    value.push(entry.status as u8);
    value.extend_from_slice(entry.id.as_bytes());
    value
}

/// Decodes a status from its key and value.
pub fn read_status(key: &[u8], value: &[u8]) -> Result<KeptStatus, Fault> {
    let read = || {
        let (rest, offset) = key.split_last_chunk::<8>()?;
        let (rest, partition) = rest.split_last_chunk::<4>()?;
        let topic = Topic::from_number(*rest.last()?)?;
        let (time, rest) = value.split_first_chunk::<8>()?;
        let (status, id) = rest.split_first()?;
        Some(KeptStatus {
            time_ms: i64::from_be_bytes(*time),
            id: std::str::from_utf8(id).ok()?.to_owned(),
            status: Status::from_number(*status)?,
            source: topic.partition(u32::from_be_bytes(*partition)),
            offset: Offset::new(u64::from_be_bytes(*offset)),
        })
    };
    read().ok_or_else(|| undecodable("a status"))
}

/// Encodes an opening row: the length of the balance in bytes, the balance in two's complement, the withheld amount. Both are little-endian,
/// without high bytes that only repeat the sign or zero.
#[must_use]
pub fn opening_value(balance: I256, withheld: U512) -> Vec<u8> {
    let bytes = balance.to_le_bytes();
    let fill = if balance < I256::ZERO { 0xff } else { 0 };
    let mut length = bytes.len();
    // The highest byte that stays must carry the sign.
    while length > 0
        && bytes[length - 1] == fill
        && (if length > 1 {
            bytes[length - 2] >> 7 == fill >> 7
        } else {
            fill == 0
        })
    {
        length -= 1;
    }
    let mut value = Vec::with_capacity(length + 9);
    value.push(length as u8);
    value.extend_from_slice(&bytes[..length]);
    value.extend_from_slice(without_top_zeros(withheld.as_le_slice()));
    value
}

/// Decodes an opening row.
pub fn read_opening(value: &[u8]) -> Result<(I256, U512), Fault> {
    let read = || {
        let (length, rest) = value.split_first()?;
        let (balance, withheld) = rest.split_at_checked(usize::from(*length))?;
        let fill = if balance.last().is_some_and(|top| top >> 7 == 1) {
            0xff
        } else {
            0
        };
        let mut bytes = [fill; 32];
        bytes.get_mut(..balance.len())?.copy_from_slice(balance);
        Some((I256::from_le_bytes(bytes), U512::try_from_le_slice(withheld)?))
    };
    read().ok_or_else(|| undecodable("an opening row"))
}

fn without_top_zeros(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..length]
}

fn undecodable(what: &'static str) -> Fault {
    Fault::Undecodable {
        what,
        why: "this version does not write such bytes".into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn openings_are_read_as_written(high: i128, low: u128, bytes: [u8; 32], shift in 0u32..256) {
            let balance = I256::from_words(high, low.cast_signed()) >> shift;
            let withheld = U512::from_le_slice(&bytes) >> (shift as usize);
            let value = opening_value(balance, withheld);
            prop_assert_eq!(read_opening(&value).unwrap(), (balance, withheld));
        }
    }

    #[test]
    fn an_empty_opening_is_one_byte() {
        assert_eq!(opening_value(I256::ZERO, U512::ZERO), vec![0]);
        assert_eq!(opening_value(I256::MINUS_ONE, U512::ZERO), vec![1, 0xff]);
        assert_eq!(opening_value(I256::new(128), U512::ONE), vec![2, 0x80, 0, 1]);
    }
}
