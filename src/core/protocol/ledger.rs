//! The records of the ledger: blocks of postings and statuses in a compact binary form, and notices.
//!
//! A record is a tag, then either a notice (see [`messages`](crate::core::protocol::messages)) or a block:
//!
//! ```text
//! block    = tag(3) topic(u8) partition(varint) first_offset(varint) next_offset(varint) entry*
//! entry    = posting | late | adjustment | status
//! posting  = 0(u8) bucket(u16) asset(varint) epoch(varint) before_end_ms(varint) delta(varint, zigzag) length(u8) account
//! late     = 2(u8), then as a posting, missed_epoch(varint) before_missed_end_ms(varint)
//! adjustment = 3(u8) bucket(u16) asset(varint) epoch(varint) delta(varint, zigzag) length(u8) account
//! status   = 1(u8) bucket(u16) offset(varint) time_ms(i64) status(u8) length(u8) account length(varint) id length(u8) asset
//! ```
//!
//! Integers of fixed width are little-endian, and a varint is LEB128. The tag is the version too: a changed layout gets a new tag.

use crate::core::contract::event::Status;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::Fault;
use crate::core::protocol::codec;
use crate::core::protocol::messages::Notice;
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

const BLOCK: u8 = 3;
const NOTICE: u8 = 2;
const POSTING: u8 = 0;
const STATUS: u8 = 1;
const LATE: u8 = 2;
const ADJUSTMENT: u8 = 3;

/// A posting with its epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting<'a> {
    pub bucket: u16,
    pub account: AccountName<'a>,
    /// The epoch that it is applied to.
    pub at: AssetEpoch,
    /// Signed units.
    pub delta: i128,
    /// The time from which it counts, in milliseconds before the end of that epoch.
    pub before_end_ms: u64,
}

/// A late posting under the policy `resettle`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateEntry<'a> {
    /// As it counts in the open epoch: from its start.
    pub posting: Posting<'a>,
    /// The closed epoch that its time lies in, the first that it missed.
    pub missed: Epoch,
    /// Its time, in milliseconds before the end of that epoch.
    pub before_missed_end_ms: u64,
}

/// What a reward adjustment adds to an account's due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment<'a> {
    pub bucket: u16,
    pub account: AccountName<'a>,
    /// The epoch in whose settlement it counts.
    pub at: AssetEpoch,
    /// Signed units of the reward asset.
    pub delta: i128,
}

/// A change of status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusEntry<'a> {
    pub bucket: u16,
    pub account: AccountName<'a>,
    /// The event's offset in its source partition.
    pub offset: Offset,
    /// The time from which it holds, in milliseconds since 1970.
    pub time_ms: i64,
    /// The event's id. It orders statuses with the same time.
    pub id: &'a str,
    pub status: Status,
    /// The asset that it is for; `None` for all.
    pub asset: Option<Asset>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'a> {
    Posting(Posting<'a>),
    Late(LateEntry<'a>),
    Adjustment(Adjustment<'a>),
    Status(StatusEntry<'a>),
}

/// A record of the ledger, decoded.
#[derive(Debug)]
pub enum LedgerRecord<'a> {
    /// Postings and statuses from one offset range of a source partition.
    Block(Block<'a>),
    Notice(Notice),
}

/// A block. Its entries are decoded one by one.
#[derive(Debug)]
pub struct Block<'a> {
    pub source: TopicPartition,
    /// The offset range of its entries: the first offset, and the one after the last.
    pub offsets: (Offset, Offset),
    rest: &'a [u8],
}

impl<'a> LedgerRecord<'a> {
    /// Decodes a record.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn read(record: &'a [u8]) -> Result<Self, Fault> {
        let mut rest = record;
        match take_u8(&mut rest)? {
            BLOCK => {
                let topic = Topic::from_number(take_u8(&mut rest)?).ok_or_else(|| damaged("unknown topic"))?;
                let partition = u32::try_from(take_varint(&mut rest)?).map_err(|_| damaged("partition"))?;
                let first = take_offset(&mut rest)?;
                let next = take_offset(&mut rest)?;
                Ok(Self::Block(Block {
                    source: topic.partition(partition),
                    offsets: (first, next),
                    rest,
                }))
            }
            NOTICE => codec::decode(rest, "a notice on the ledger").map(Self::Notice),
            other => Err(damaged(&format!("unknown tag {other}"))),
        }
    }
}

impl<'a> Block<'a> {
    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, Fault> {
        let rest = &mut self.rest;
        if rest.is_empty() {
            return Ok(None);
        }
        let tag = take_u8(rest)?;
        let bucket = u16::from_le_bytes(take(rest)?);
        match tag {
            POSTING => Ok(Some(Entry::Posting(take_posting(rest, bucket)?))),
            LATE => Ok(Some(Entry::Late(LateEntry {
                posting: take_posting(rest, bucket)?,
                missed: Epoch::new(take_u64(rest)?),
                before_missed_end_ms: take_u64(rest)?,
            }))),
            ADJUSTMENT => {
                let at = take_epoch(rest)?;
                let delta = unzigzag(take_varint(rest)?);
                let account = take_account(rest)?;
                Ok(Some(Entry::Adjustment(Adjustment {
                    bucket,
                    account,
                    at,
                    delta,
                })))
            }
            STATUS => {
                let offset = take_offset(rest)?;
                let time_ms = i64::from_le_bytes(take(rest)?);
                let status = Status::from_number(take_u8(rest)?).ok_or_else(|| damaged("unknown status"))?;
                let account = take_account(rest)?;
                let length = usize::try_from(take_varint(rest)?).map_err(|_| damaged("length of an id"))?;
                let id = take_text(rest, length)?;
                let asset = take_asset(rest)?;
                Ok(Some(Entry::Status(StatusEntry {
                    bucket,
                    account,
                    offset,
                    time_ms,
                    id,
                    status,
                    asset,
                })))
            }
            other => Err(damaged(&format!("unknown entry {other}"))),
        }
    }
}

/// The entries of a block under construction.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    entries: Vec<u8>,
}

impl BlockBuilder {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.len()
    }

    pub fn posting(&mut self, posting: &Posting<'_>) {
        self.put_posting(POSTING, posting);
    }

    pub fn late(&mut self, late: &LateEntry<'_>) {
        self.put_posting(LATE, &late.posting);
        put_varint(&mut self.entries, u128::from(late.missed.get()));
        put_varint(&mut self.entries, u128::from(late.before_missed_end_ms));
    }

    fn put_posting(&mut self, tag: u8, posting: &Posting<'_>) {
        let out = &mut self.entries;
        out.push(tag);
        out.extend_from_slice(&posting.bucket.to_le_bytes());
        put_epoch(out, posting.at);
        put_varint(out, u128::from(posting.before_end_ms));
        put_varint(out, zigzag(posting.delta));
        put_account(out, &posting.account);
    }

    pub fn adjustment(&mut self, adjustment: &Adjustment<'_>) {
        let out = &mut self.entries;
        out.push(ADJUSTMENT);
        out.extend_from_slice(&adjustment.bucket.to_le_bytes());
        put_epoch(out, adjustment.at);
        put_varint(out, zigzag(adjustment.delta));
        put_account(out, &adjustment.account);
    }

    pub fn status(&mut self, entry: &StatusEntry<'_>) {
        let out = &mut self.entries;
        out.push(STATUS);
        out.extend_from_slice(&entry.bucket.to_le_bytes());
        put_varint(out, u128::from(entry.offset.get()));
        out.extend_from_slice(&entry.time_ms.to_le_bytes());
        out.push(entry.status as u8);
        put_account(out, &entry.account);
        put_varint(out, entry.id.len() as u128);
        out.extend_from_slice(entry.id.as_bytes());
        let asset = entry.asset.as_ref().map_or("", |asset| asset.as_str());
        // At most 32 bytes.
        out.push(asset.len() as u8);
        out.extend_from_slice(asset.as_bytes());
    }

    /// Appends the block's record to `out`, and begins the next block.
    pub fn finish(&mut self, out: &mut Vec<u8>, source: TopicPartition, offsets: (Offset, Offset)) {
        out.push(BLOCK);
        out.push(source.topic as u8);
        put_varint(out, u128::from(source.partition));
        put_varint(out, u128::from(offsets.0.get()));
        put_varint(out, u128::from(offsets.1.get()));
        out.extend_from_slice(&self.entries);
        self.entries.clear();
    }
}

/// The record of a notice.
///
/// # Errors
/// None in practice.
pub fn notice(notice: &Notice) -> Result<Vec<u8>, Fault> {
    let mut record = vec![NOTICE];
    record.extend_from_slice(&codec::encode(notice)?);
    Ok(record)
}

fn damaged(why: &str) -> Fault {
    Fault::Undecodable {
        what: "a ledger block",
        why: why.into(),
    }
}

fn put_epoch(out: &mut Vec<u8>, at: AssetEpoch) {
    put_varint(out, u128::from(at.number()));
    put_varint(out, u128::from(at.epoch().get()));
}

fn put_account(out: &mut Vec<u8>, account: &AccountName<'_>) {
    out.push(account.length());
    out.extend_from_slice(account.as_str().as_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut value: u128) {
    while value > u128::from(u64::MAX) {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    // Nearly all values: half of the arithmetic.
    let mut value = value as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

const fn zigzag(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)).cast_unsigned()
}

const fn unzigzag(value: u128) -> i128 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .ok_or_else(|| damaged("it ends too early"))?;
    *rest = tail;
    Ok(*head)
}

fn take_u8(rest: &mut &[u8]) -> Result<u8, Fault> {
    take::<1>(rest).map(|[byte]| byte)
}

#[inline]
fn take_varint(rest: &mut &[u8]) -> Result<u128, Fault> {
    let mut value = 0u64;
    // Up to 63 bits: nearly all values.
    for (at, byte) in rest.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            *rest = rest.get(at + 1..).unwrap_or_default();
            return Ok(u128::from(value));
        }
    }
    take_long_varint(rest)
}

fn take_long_varint(rest: &mut &[u8]) -> Result<u128, Fault> {
    let mut value = 0u128;
    for shift in (0..128).step_by(7) {
        let byte = take_u8(rest)?;
        let bits = u128::from(byte & 0x7f);
        if shift == 126 && bits > 3 {
            break;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("a number is too long"))
}

fn take_u64(rest: &mut &[u8]) -> Result<u64, Fault> {
    u64::try_from(take_varint(rest)?).map_err(|_| damaged("a number is too large"))
}

fn take_offset(rest: &mut &[u8]) -> Result<Offset, Fault> {
    take_u64(rest).map(Offset::new)
}

fn take_epoch(rest: &mut &[u8]) -> Result<AssetEpoch, Fault> {
    let number = u16::try_from(take_varint(rest)?).map_err(|_| damaged("asset number"))?;
    AssetEpoch::new(number, Epoch::new(take_u64(rest)?)).map_err(|_| damaged("epoch"))
}

fn take_posting<'a>(rest: &mut &'a [u8], bucket: u16) -> Result<Posting<'a>, Fault> {
    let at = take_epoch(rest)?;
    let before_end_ms = take_u64(rest)?;
    let delta = unzigzag(take_varint(rest)?);
    let account = take_account(rest)?;
    Ok(Posting {
        bucket,
        account,
        at,
        delta,
        before_end_ms,
    })
}

fn take_asset(rest: &mut &[u8]) -> Result<Option<Asset>, Fault> {
    let length = usize::from(take_u8(rest)?);
    if length == 0 {
        return Ok(None);
    }
    let name = take_text(rest, length)?;
    let asset = Asset::parse(name).map_err(|error| damaged(&format!("the name of an asset {error}")))?;
    Ok(Some(asset))
}

fn take_text<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a str, Fault> {
    let (head, tail) = rest
        .split_at_checked(length)
        .ok_or_else(|| damaged("it ends too early"))?;
    *rest = tail;
    std::str::from_utf8(head).map_err(|_| damaged("a name is not UTF-8"))
}

fn take_account<'a>(rest: &mut &'a [u8]) -> Result<AccountName<'a>, Fault> {
    let length = usize::from(take_u8(rest)?);
    AccountName::written_before(take_text(rest, length)?)
        .map_err(|error| damaged(&format!("the name of an account {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_back(record: &[u8]) -> Vec<Entry<'_>> {
        let LedgerRecord::Block(mut block) = LedgerRecord::read(record).unwrap() else {
            panic!("no block")
        };
        std::iter::from_fn(|| block.next_entry().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            delta: i128, before_end_ms: u64, number: u16, epoch: u32, bucket in 0u16..4096,
            account in "[^\\pC\\p{Zl}\\p{Zp}]{1,32}", id in "\\PC{0,40}", time_ms: i64, offset: u64, partition: u32,
            missed: u64, before_missed_end_ms: u64, is_for_asset: bool,
        ) {
            let (account, offset) = (AccountName::new(account).unwrap(), Offset::new(offset));
            let posting = Posting { bucket, account: account.borrowed(), at: AssetEpoch::new(number, Epoch::new(epoch.into())).unwrap(), delta, before_end_ms };
            let status = StatusEntry { bucket, account: account.borrowed(), offset, time_ms, id: &id, status: Status::OptedOut, asset: is_for_asset.then(|| Asset::parse("币安人生").unwrap()) };
            let late = LateEntry { posting: posting.clone(), missed: Epoch::new(missed), before_missed_end_ms };
            let adjustment = Adjustment { bucket, account: account.borrowed(), at: posting.at, delta };
            let mut builder = BlockBuilder::default();
            builder.posting(&posting);
            builder.status(&status);
            builder.late(&late);
            builder.adjustment(&adjustment);
            builder.posting(&posting);
            let mut record = Vec::new();
            builder.finish(&mut record, Topic::Trades.partition(partition), (offset, Offset::NO_LIMIT));
            prop_assert!(builder.is_empty());
            prop_assert_eq!(
                read_back(&record),
                vec![
                    Entry::Posting(posting.clone()),
                    Entry::Status(status),
                    Entry::Late(late),
                    Entry::Adjustment(adjustment),
                    Entry::Posting(posting),
                ]
            );
            for cut in 0..record.len() {
                // A torn record is an error or a shorter block, never a panic.
                if let Ok(LedgerRecord::Block(mut block)) = LedgerRecord::read(&record[..cut]) {
                    while let Ok(Some(_)) = block.next_entry() {}
                }
            }
        }

        #[test]
        fn noise_is_never_a_panic(noise: Vec<u8>) {
            if let Ok(LedgerRecord::Block(mut block)) = LedgerRecord::read(&noise) {
                while let Ok(Some(_)) = block.next_entry() {}
            }
        }
    }
}
