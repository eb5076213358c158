//! The keys of the view. The first byte is the table; keys of one table sort in the order in which they are listed.

use crate::bus::TopicPartition;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// The view's own keys: format, bus, and the mark of each partition.
pub(super) const FORMAT: &[u8] = b"\0format";
pub(super) const LOG: &[u8] = b"\0log";
const MARK: &[u8] = b"\0mark";

/// How far the payout service's acknowledgements are read.
pub(super) const CREDITS_READ: &[u8] = b"\0credits";

/// What the distributions of an epoch have in common. They are before the distributions, so that files of both do not overlap.
const FRAMES: u8 = b'A';
/// Distributions by account, the newest first.
const BY_ACCOUNT: u8 = b'D';
/// Distributions by epoch, in the order of the Merkle tree.
const BY_EPOCH: u8 = b'P';
const DECISIONS: u8 = b'a';
const SEALS: u8 = b'b';
const BUCKET_ROOTS: u8 = b'c';
const LETTERS: u8 = b'd';
const LETTERS_BY_CODE: u8 = b'e';
const LETTER_COUNTS: u8 = b'f';
const LATE: u8 = b'g';
const LATE_BY_ACCOUNT: u8 = b'h';
const LATE_BY_ASSET: u8 = b'i';
const LATE_COUNTS: u8 = b'j';
const CREDITS: u8 = b'k';
const UNREADABLE: u8 = b'l';
/// The events of second and later credits of a distribution.
const CREDITS_AGAIN: u8 = b'm';
const CREDIT_SUMS: u8 = b'n';

/// A key that is built piece by piece.
#[derive(Debug, Clone, Default)]
pub(super) struct ViewKey(pub(super) Vec<u8>);

impl ViewKey {
    pub(super) fn table(table: u8) -> Self {
        Self(vec![table])
    }

    pub(super) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(super) fn u16(mut self, number: u16) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// The greater number first.
    pub(super) fn descending(self, number: u64) -> Self {
        self.u64(!number)
    }

    /// A text that ends with a zero byte. Names of accounts and assets have none.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    /// A text at the end of a key.
    pub(super) fn last(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(super) fn asset(self, asset: Asset) -> Self {
        self.text(asset.as_str())
    }

    pub(super) fn epoch(self, epoch: Epoch) -> Self {
        self.u64(epoch.get())
    }

    /// The later time first.
    pub(super) fn newest_first(self, ms: i64) -> Self {
        self.descending(ordered(ms))
    }
}

/// A time as a number of the same order.
const fn ordered(ms: i64) -> u64 {
    ms.cast_unsigned() ^ (1 << 63)
}

/// The first key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![u8::MAX; 64]
}

pub(super) fn mark(partition: TopicPartition) -> Vec<u8> {
    let mut key = MARK.to_vec();
    key.push(partition.topic as u8);
    key.extend_from_slice(&partition.partition.to_be_bytes());
    key
}

pub(super) fn marks() -> &'static [u8] {
    MARK
}

pub(super) fn frame(asset: Asset, epoch: Epoch) -> Vec<u8> {
    ViewKey::table(FRAMES).asset(asset).epoch(epoch).0
}

pub(super) fn frames() -> Vec<u8> {
    vec![FRAMES]
}

/// All distributions to an account.
pub(super) fn of_account(account: &str) -> ViewKey {
    ViewKey::table(BY_ACCOUNT).u16(bucket(account)).text(account)
}

/// The distribution to an account. It must be the same as [`write_by_account`].
pub(super) fn by_account(account: &str, end_ms: i64, asset: Asset, epoch: Epoch) -> Vec<u8> {
    of_account(account).newest_first(end_ms).asset(asset).epoch(epoch).0
}

/// Appends [`by_account`].
pub(super) fn write_by_account(out: &mut Vec<u8>, bucket: u16, account: &str, end_ms: i64, asset: &str, epoch: Epoch) {
    out.push(BY_ACCOUNT);
    out.extend_from_slice(&bucket.to_be_bytes());
    out.extend_from_slice(account.as_bytes());
    out.push(0);
    out.extend_from_slice(&(!ordered(end_ms)).to_be_bytes());
    out.extend_from_slice(asset.as_bytes());
    out.push(0);
    out.extend_from_slice(&epoch.get().to_be_bytes());
}

/// The time, asset and epoch in a key by account, after the account.
pub(super) fn read_by_account(rest: &[u8]) -> Option<(i64, Asset, Epoch)> {
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let end_ms = (!u64::from_be_bytes(*time) ^ (1 << 63)).cast_signed();
    let (asset, epoch) = read_asset(rest)?;
    let epoch = u64::from_be_bytes(epoch.try_into().ok()?);
    Some((end_ms, asset, Epoch::new(epoch)))
}

/// An asset at the start of a part of a key, and the rest.
pub(super) fn read_asset(rest: &[u8]) -> Option<(Asset, &[u8])> {
    let end = memchr::memchr(0, rest)?;
    let (name, rest) = rest.split_at_checked(end)?;
    let asset = Asset::parse(std::str::from_utf8(name).ok()?).ok()?;
    Some((asset, rest.get(1..)?))
}

/// All distributions of an epoch.
pub(super) fn of_epoch(asset: Asset, epoch: Epoch) -> ViewKey {
    ViewKey::table(BY_EPOCH).asset(asset).epoch(epoch)
}

/// Appends the key of a distribution among those of its epoch.
pub(super) fn write_by_epoch(out: &mut Vec<u8>, asset: &str, epoch: Epoch, bucket: u16, account: &str) {
    out.push(BY_EPOCH);
    out.extend_from_slice(asset.as_bytes());
    out.push(0);
    out.extend_from_slice(&epoch.get().to_be_bytes());
    out.extend_from_slice(&bucket.to_be_bytes());
    out.extend_from_slice(account.as_bytes());
}

/// Bucket and account in a key by epoch, after the epoch.
pub(super) fn read_by_epoch(rest: &[u8]) -> Option<(u16, &str)> {
    let (bucket, account) = rest.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*bucket), std::str::from_utf8(account).ok()?))
}

pub(super) fn decisions() -> ViewKey {
    ViewKey::table(DECISIONS)
}

pub(super) fn decision(offset: Offset) -> Vec<u8> {
    decisions().u64(offset.get()).0
}

pub(super) fn seals() -> ViewKey {
    ViewKey::table(SEALS)
}

pub(super) fn seal(asset: Asset, epoch: Epoch) -> Vec<u8> {
    seals().asset(asset).epoch(epoch).0
}

/// Asset and epoch of a key that has nothing else.
pub(super) fn read_asset_epoch(key: &[u8]) -> Option<(Asset, Epoch)> {
    let (asset, epoch) = read_asset(key.get(1..)?)?;
    Some((asset, Epoch::new(u64::from_be_bytes(epoch.try_into().ok()?))))
}

pub(super) fn bucket_roots(asset: Asset, epoch: Epoch) -> Vec<u8> {
    ViewKey::table(BUCKET_ROOTS).asset(asset).epoch(epoch).0
}

pub(super) fn letters() -> ViewKey {
    ViewKey::table(LETTERS)
}

/// A dead letter by its own offset, the newest first.
pub(super) fn letter(place: TopicPartition, offset: Offset) -> Vec<u8> {
    letters().descending(offset.get()).u32(place.partition).0
}

pub(super) fn letters_by_code(topic: u8, code: u8) -> ViewKey {
    ViewKey::table(LETTERS_BY_CODE).byte(topic).byte(code)
}

pub(super) fn letter_counts() -> ViewKey {
    ViewKey::table(LETTER_COUNTS)
}

pub(super) fn letter_count(topic: u8, code: u8) -> Vec<u8> {
    letter_counts().byte(topic).byte(code).0
}

pub(super) fn late_postings() -> ViewKey {
    ViewKey::table(LATE)
}

pub(super) fn late_by_account(account: &str) -> ViewKey {
    ViewKey::table(LATE_BY_ACCOUNT).text(account)
}

pub(super) fn late_by_asset(asset: Asset) -> ViewKey {
    ViewKey::table(LATE_BY_ASSET).asset(asset)
}

/// A late posting, the newest first, at the end of the keys of all three tables.
pub(super) fn late_place(key: ViewKey, time_ms: i64, place: TopicPartition, offset: Offset) -> Vec<u8> {
    key.newest_first(time_ms)
        .u32(place.partition)
        .descending(offset.get())
        .0
}

pub(super) fn late_counts() -> ViewKey {
    ViewKey::table(LATE_COUNTS)
}

pub(super) fn late_count(asset: Asset, missed: Epoch) -> Vec<u8> {
    late_counts().asset(asset).epoch(missed).0
}

pub(super) fn credit(distribution: &str) -> Vec<u8> {
    ViewKey::table(CREDITS).last(distribution).0
}

/// A credit of a distribution that was credited before, by another event.
pub(super) fn credit_again(distribution: &str, identity: &[u8; 16]) -> Vec<u8> {
    let mut key = ViewKey::table(CREDITS_AGAIN).last(distribution).0;
    key.extend_from_slice(identity);
    key
}

pub(super) fn credit_sums() -> ViewKey {
    ViewKey::table(CREDIT_SUMS)
}

/// What was credited of an epoch.
pub(super) fn credit_sum(asset: Asset, epoch: Epoch) -> Vec<u8> {
    credit_sums().asset(asset).epoch(epoch).0
}

/// A record that no Softstake wrote.
pub(super) fn unreadable(place: TopicPartition, offset: Offset) -> Vec<u8> {
    all_unreadable()
        .byte(place.topic as u8)
        .u32(place.partition)
        .u64(offset.get())
        .0
}

pub(super) fn all_unreadable() -> ViewKey {
    ViewKey::table(UNREADABLE)
}

/// The partition of a mark's key.
pub(super) fn read_mark(key: &[u8]) -> Option<TopicPartition> {
    let (topic, number) = key.strip_prefix(MARK)?.split_first()?;
    let topic = crate::bus::Topic::from_number(*topic)?;
    Some(topic.partition(u32::from_be_bytes(number.try_into().ok()?)))
}
