//! The schema of all stores: tables, keys and values.
//!
//! The first byte of a key is the table. The number of a retired table stays reserved.
//!
//! | byte | table | stores | rest of the key | value |
//! |---|---|---|---|---|
//! | 0 | own | all | `format`, `owner`, `position` | the store's own: format version, owner, position of the newest commit (`store::rocks`) |
//! | 1 | state | all | | state of the fold (version byte, postcard) |
//! | 2 | seen controls | coordinate | identity (16 bytes) | fingerprint (u64, little-endian) |
//! | 3 | passed | ingest | asset name (32 bytes, zero padded; all zero for the names that are only known together) | what ingest passed over while the asset was not listed (version byte, postcard) |
//! | 4 | rows | accrue | asset (u16), epoch (u32), bucket (u16), account | delta, weighted sum (`store::row`) |
//! | 5 | openings | accrue | asset (u16), bucket (u16), account | balance, withheld amount (`store::row`) |
//! | 6 | statuses | accrue | bucket (u16), account, 0, topic (u8), partition (u32), offset (u64) | time (i64), status (u8), asset, id ([`status_value`]) |
//! | 7 | set aside | accrue | as statuses | statuses that only settlements of earlier epochs need (`core::accrue::statuses`) |
//! | 8 | settling | accrue | asset (u16), epoch (u32) | what is known of an epoch that is not yet emitted (version byte, postcard) |
//! | 9 | adjustments | accrue | asset (u16), epoch (u32), bucket (u16), account | sum of reward adjustments, 0 (`store::row`) |
//! | 10 | late | accrue | as rows, 0, missed epoch (u32) | what late postings into the epoch add to the missed one: delta, weighted sum (`store::row`) |
//! | 11 | resettled | accrue | as rows, of a sealed epoch | what all late postings add to S, the newest R' (`store::row`) |
//! | 12 | sealed | accrue | asset (u16), epoch (u32) | a sealed epoch that may be settled again (version byte, postcard) |
//! | 13 | days | ingest | as passed, then a day of UTC (i64, sign bit flipped) | the oldest and the newest time of the postings of that day (version byte, postcard) |
//! | 14 | id logs | ingest | number (u64) | ids in the order of their events (`task::seen_ids`) |
//! | 15 | id runs | ingest | number (u32) | what a sorted run of ids holds; its blocks are no keys (version byte, postcard) |
//!
//! Rows and the tables 11 and 12 are kept for the dedup window after their epoch is sealed, because `resettle` needs them. Then they are deleted.
//!
//! Numbers in keys are big-endian, so that keys sort by them. The name of an account has no control characters, so the byte 0 ends it.

use std::ops::Range;

use crate::core::accrue::eligibility::KeptStatus;
use crate::core::accrue::row::Row;
use crate::core::contract::event::Status;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::Fault;
use crate::core::ingest::{AssetDay, UtcDay};
use crate::core::protocol::ledger::StatusEntry;
use crate::core::values::account::AccountName;
use crate::core::values::asset::{Asset, MAX_ASSET_BYTES};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

/// The key of the state.
pub const STATE: [u8; 1] = [1];
const SEEN_CONTROLS: u8 = 2;
const UNLISTED: u8 = 3;
const ROWS: u8 = 4;
const OPENINGS: u8 = 5;
const STATUSES: u8 = 6;
const SET_ASIDE: u8 = 7;
const SETTLING: u8 = 8;
const ADJUSTMENTS: u8 = 9;
const LATE: u8 = 10;
const RESETTLED: u8 = 11;
const SEALED: u8 = 12;
const DAYS: u8 = 13;
const ID_LOGS: u8 = 14;
const ID_RUNS: u8 = 15;

/// Lengths of the prefixes before the bucket. Tables by asset and epoch have that of rows.
const ROWS_PREFIX: usize = 7;
const OPENINGS_PREFIX: usize = 3;
const STATUSES_PREFIX: usize = 1;

/// The length of the key of a day.
const DAY_KEY: usize = 1 + MAX_ASSET_BYTES + 8;

/// The key of an accepted control event.
#[must_use]
pub fn seen_control(identity: &[u8; 16]) -> [u8; 17] {
    let mut key = [SEEN_CONTROLS; 17];
    key[1..].copy_from_slice(identity);
    key
}

/// The key of a log of ids.
#[must_use]
pub fn id_log(number: u64) -> [u8; 9] {
    let mut key = [ID_LOGS; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The range of all logs of ids: from, to.
#[must_use]
pub const fn all_id_logs() -> ([u8; 1], [u8; 1]) {
    ([ID_LOGS], [ID_LOGS + 1])
}

/// The key of what a sorted run of ids holds.
#[must_use]
pub fn id_run(number: u32) -> [u8; 5] {
    let mut key = [ID_RUNS; 5];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The range of all sorted runs of ids: from, to.
#[must_use]
pub const fn all_id_runs() -> ([u8; 1], [u8; 1]) {
    ([ID_RUNS], [ID_RUNS + 1])
}

/// Reads the number from the key of a log of ids.
pub fn id_log_number(key: &[u8]) -> Result<u64, Fault> {
    let number = key.get(1..).and_then(|number| number.try_into().ok());
    number
        .map(u64::from_be_bytes)
        .ok_or_else(|| undecodable("the key of a log of ids"))
}

/// Reads the number from the key of a sorted run of ids.
pub fn id_run_number(key: &[u8]) -> Result<u32, Fault> {
    let number = key.get(1..).and_then(|number| number.try_into().ok());
    number
        .map(u32::from_be_bytes)
        .ok_or_else(|| undecodable("the key of a run of ids"))
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

/// The key of a day of an asset, in the days table.
#[must_use]
pub fn day((asset, day): AssetDay) -> [u8; DAY_KEY] {
    let mut key = [DAYS; DAY_KEY];
    let (name, rest) = key[1..].split_at_mut(MAX_ASSET_BYTES);
    match asset {
        Some(asset) => name.copy_from_slice(asset.padded()),
        None => name.fill(0),
    }
    rest.copy_from_slice(&day.to_be_bytes());
    key
}

/// The range of the days table from one day of an asset to another, both included: from, to.
#[must_use]
pub fn day_range(first: AssetDay, last: AssetDay) -> ([u8; DAY_KEY], Vec<u8>) {
    let mut to = day(last).to_vec();
    to.push(0);
    (day(first), to)
}

/// Reads the day from a key of the days table.
pub fn day_of_key(key: &[u8]) -> Result<UtcDay, Fault> {
    key.last_chunk()
        .filter(|_| key.len() == DAY_KEY)
        .map(|day| UtcDay::from_be_bytes(*day))
        .ok_or_else(|| undecodable("the key of a day of an asset"))
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

/// The key of a sealed epoch.
#[must_use]
pub fn sealed(at: AssetEpoch) -> [u8; 7] {
    let mut key = [SEALED; 7];
    key[1..].copy_from_slice(&at.to_be_bytes());
    key
}

/// Reads the epoch from a key of the sealed table.
pub fn sealed_epoch(key: &[u8]) -> Result<AssetEpoch, Fault> {
    let at = key.get(1..).and_then(|at| <[u8; 6]>::try_from(at).ok());
    at.map(AssetEpoch::from_be_bytes)
        .ok_or_else(|| undecodable("the key of a sealed epoch"))
}

/// Whether a key is of the sealed table, which is the same in all accrue stores of a deployment.
#[must_use]
pub fn is_sealed(key: &[u8]) -> bool {
    key.first() == Some(&SEALED)
}

/// Writes the key of a row into `key`.
pub fn row_key(key: &mut Vec<u8>, at: AssetEpoch, bucket: u16, account: &AccountName<'_>) {
    of_epoch(key, ROWS, at, bucket, account);
}

/// Writes the key of an account's reward adjustments in an epoch into `key`.
pub fn adjustments(key: &mut Vec<u8>, at: AssetEpoch, bucket: u16, account: &AccountName<'_>) {
    of_epoch(key, ADJUSTMENTS, at, bucket, account);
}

/// Writes the key of what late postings into an epoch add to the closed epoch `missed` into `key`.
pub fn late(key: &mut Vec<u8>, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, missed: Epoch) {
    of_epoch(key, LATE, at, bucket, account);
    key.push(0);
    // It is before the epoch of `at`, which has 32 bits.
    key.extend_from_slice(&(missed.get() as u32).to_be_bytes());
}

/// Writes the key of an account that a sealed epoch was settled again for into `key`.
pub fn resettled(key: &mut Vec<u8>, at: AssetEpoch, bucket: u16, account: &AccountName<'_>) {
    of_epoch(key, RESETTLED, at, bucket, account);
}

fn of_epoch(key: &mut Vec<u8>, table: u8, at: AssetEpoch, bucket: u16, account: &AccountName<'_>) {
    key.clear();
    key.push(table);
    key.extend_from_slice(&at.to_be_bytes());
    key.extend_from_slice(&bucket.to_be_bytes());
    key.extend_from_slice(account.as_str().as_bytes());
}

/// Reads the missed epoch from a key of the late table.
pub fn missed_epoch(key: &[u8]) -> Result<Epoch, Fault> {
    key.last_chunk::<4>()
        .map(|epoch| Epoch::new(u32::from_be_bytes(*epoch).into()))
        .ok_or_else(|| undecodable("the key of a late posting"))
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
    /// The reward adjustments of an epoch.
    Adjustments(AssetEpoch),
    /// What late postings into an epoch add to earlier ones.
    Late(AssetEpoch),
    /// The accounts for which a sealed epoch was settled again.
    Resettled(AssetEpoch),
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
            Self::Rows(at) | Self::Adjustments(at) | Self::Late(at) | Self::Resettled(at) => {
                prefix.push(match self {
                    Self::Adjustments(_) => ADJUSTMENTS,
                    Self::Late(_) => LATE,
                    Self::Resettled(_) => RESETTLED,
                    _ => ROWS,
                });
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

    /// The range of an account's keys, in a table that ends its name with a byte 0: from, to.
    #[must_use]
    pub fn account_range(self, bucket: u16, account: &AccountName<'_>) -> (Vec<u8>, Vec<u8>) {
        let mut from = self.prefix();
        from.extend_from_slice(&bucket.to_be_bytes());
        from.extend_from_slice(account.as_str().as_bytes());
        let mut to = from.clone();
        from.push(0);
        to.push(1);
        (from, to)
    }

    /// The range of the keys of an owner's sub-accounts: from, to.
    #[must_use]
    pub fn sub_account_range(self, bucket: u16, owner: &str) -> (Vec<u8>, Vec<u8>) {
        let mut from = self.prefix();
        from.extend_from_slice(&bucket.to_be_bytes());
        from.extend_from_slice(owner.as_bytes());
        let mut to = from.clone();
        from.push(b'/');
        to.push(b'/' + 1);
        (from, to)
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
        let account = self.account_in(key)?;
        key.get(account).ok_or_else(|| undecodable("a key"))
    }

    /// Where [`Self::account_key`] is in a key.
    pub fn account_in(self, key: &[u8]) -> Result<Range<usize>, Fault> {
        let from = match self {
            Self::Rows(_) | Self::Adjustments(_) | Self::Late(_) | Self::Resettled(_) => ROWS_PREFIX,
            Self::Openings(_) => OPENINGS_PREFIX,
            Self::Statuses | Self::SetAside => STATUSES_PREFIX,
        };
        let name = from + 2;
        let rest = key
            .get(name..)
            .filter(|rest| !rest.is_empty())
            .ok_or_else(|| undecodable("a key"))?;
        match self {
            Self::Rows(_) | Self::Adjustments(_) | Self::Resettled(_) | Self::Openings(_) => Ok(from..key.len()),
            Self::Statuses | Self::SetAside | Self::Late(_) => {
                let end = memchr::memchr(0, rest).ok_or_else(|| undecodable("the end of an account in a key"))?;
                Ok(from..name + end)
            }
        }
    }
}

impl AccountTable {
    /// The tables that hold statuses: with `set_aside`, both.
    #[must_use]
    pub const fn statuses(set_aside: bool) -> &'static [Self] {
        if set_aside {
            &[Self::Statuses, Self::SetAside]
        } else {
            &[Self::Statuses]
        }
    }
}

/// Decodes a row.
pub fn read_row(value: &[u8]) -> Result<Row, Fault> {
    crate::store::row::decode(value).ok_or_else(|| undecodable("a row"))
}

/// The bucket in a key of an accrue store; `None` for the state.
#[must_use]
pub fn bucket(key: &[u8]) -> Option<u16> {
    let from = match *key.first()? {
        ROWS | ADJUSTMENTS | LATE | RESETTLED => ROWS_PREFIX,
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

/// The bucket in the bytes that [`AccountTable::account_key`] returns.
#[must_use]
pub fn bucket_of_account(key: &[u8]) -> Option<u16> {
    key.first_chunk().map(|bucket| u16::from_be_bytes(*bucket))
}

/// Splits the bytes that [`AccountTable::account_key`] returns into bucket and account.
pub fn split_account_key(key: &[u8]) -> Result<(u16, AccountName<'_>), Fault> {
    let (bucket, account) = key.split_first_chunk::<2>().ok_or_else(|| undecodable("a key"))?;
    let account = std::str::from_utf8(account).map_err(|_| undecodable("an account in a key"))?;
    let account = AccountName::written_before(account).map_err(|_| undecodable("an account in a key"))?;
    Ok((u16::from_be_bytes(*bucket), account))
}

/// Encodes a status: time in milliseconds (8 bytes, big-endian), status (1 byte), length of the asset's name (1 byte, 0 for all assets), name, id.
#[must_use]
pub fn status_value(entry: &StatusEntry<'_>) -> Vec<u8> {
    let mut value = Vec::with_capacity(10 + MAX_ASSET_BYTES + entry.id.len());
    value.extend_from_slice(&entry.time_ms.to_be_bytes());
    value.push(entry.status as u8);
    let asset = entry.asset.as_ref().map_or("", |asset| asset.as_str());
    // At most 32 bytes.
    value.push(asset.len() as u8);
    value.extend_from_slice(asset.as_bytes());
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
        let (status, rest) = rest.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (name, id) = rest.split_at_checked(usize::from(*length))?;
        let asset = match name {
            [] => None,
            name => Some(Asset::parse(std::str::from_utf8(name).ok()?).ok()?),
        };
        Some(KeptStatus {
            time_ms: i64::from_be_bytes(*time),
            id: std::str::from_utf8(id).ok()?.to_owned(),
            status: Status::from_number(*status)?,
            asset,
            source: topic.partition(u32::from_be_bytes(*partition)),
            offset: Offset::new(u64::from_be_bytes(*offset)),
        })
    };
    read().ok_or_else(|| undecodable("a status"))
}

fn undecodable(what: &'static str) -> Fault {
    Fault::Undecodable {
        what,
        why: "this version does not write such bytes".into(),
    }
}
