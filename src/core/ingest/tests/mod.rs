//! A source partition by itself: records and decisions go in, and its outputs and answers are looked at.

mod listings;
mod rules;
mod withdrawals;

use std::collections::BTreeMap;

use bumpalo::Bump;
use serde_json::json;

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::decoded::Decoded;
use crate::core::contract::listing::Listing;
use crate::core::contract::records::{DeadLetter, read_data};
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::dedup::{DEFAULT_DEDUP_DAYS, SeenEvent};
use crate::core::fault::Fault;
use crate::core::ingest::{AssetDay, DayTimes, Ingest, IngestState, UnlistedPostings};
use crate::core::protocol::codec;
use crate::core::protocol::ledger::{Entry, LedgerRecord};
use crate::core::protocol::messages::{Inbox, Notice, UnlistedTimes};
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::time::{TimeMs, timestamp};

const SOURCE: TopicPartition = Topic::Deposits.partition(0);
const SECOND: i64 = 1_000;
const DAY: i64 = 86_400_000;

/// 2026-11-01.
fn anchor() -> i64 {
    TimeMs::parse("2026-11-01T00:00:00Z").unwrap().get()
}

fn asset(name: &str) -> Asset {
    Asset::parse(name).unwrap()
}

fn time(ms: i64) -> String {
    timestamp(i128::from(ms))
}

type SeenEvents = BTreeMap<[u8; 16], SeenEvent>;

/// A source partition with its store.
struct Partition {
    ingest: Ingest,
    offset: Offset,
    seen: SeenEvents,
    unlisted: BTreeMap<Option<Asset>, UnlistedPostings>,
    days: BTreeMap<AssetDay, DayTimes>,
}

/// What a record became.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    /// Postings by number and epoch.
    Applied(Vec<(u16, u64)>),
    Copy,
    Ignored,
    Rejected(Code),
}

impl Partition {
    fn new() -> Self {
        let mut partition = Self::unannounced();
        partition.decide(&Decision::SourcesAdded {
            sources: vec![SOURCE],
            starts: Offsets::default(),
        });
        partition
    }

    fn unannounced() -> Self {
        Self {
            ingest: ingest(IngestState::default(), BTreeMap::new()),
            offset: Offset::START,
            seen: SeenEvents::default(),
            unlisted: BTreeMap::new(),
            days: BTreeMap::new(),
        }
    }

    /// Persists, and starts again from what is stored.
    fn restart(&mut self) {
        self.merge();
        let passed = self.ingest.take_passed();
        self.unlisted.extend(passed.unlisted);
        self.days.extend(passed.days);
        let state = codec::encode(self.ingest.state()).unwrap();
        self.ingest = ingest(codec::decode(&state, "a state").unwrap(), self.unlisted.clone());
    }

    fn merge(&mut self) {
        for day in self.ingest.take_unmerged_days() {
            if let Some(stored) = self.days.get(&day) {
                self.ingest.merge_day(day, *stored);
            }
        }
    }

    fn try_decide(&mut self, decision: &Decision) -> Result<Outputs, Fault> {
        let mut out = Outputs::default();
        if let Decision::ListingProposed { listing, .. } = decision {
            for (first, last) in self.ingest.covered_days(listing) {
                for (day, stored) in self.days.range(first..=last) {
                    self.ingest.merge_day(*day, *stored);
                }
            }
        }
        self.ingest
            .apply_decision(decision, self.offset, Some(self.offset), &mut out)?;
        self.merge();
        Ok(out)
    }

    fn decide(&mut self, decision: &Decision) -> Outputs {
        self.try_decide(decision).unwrap()
    }

    fn here(&self) -> Offsets {
        Offsets(BTreeMap::from([(SOURCE, self.offset)]))
    }

    /// Proposes a listing, and returns the answer.
    fn propose(&mut self, listing: &Listing) -> UnlistedTimes {
        let out = self.decide(&Decision::ListingProposed {
            control_offset: Offset::START,
            listing: Box::new(listing.clone()),
        });
        let (_, _, record) = out.iter().next().unwrap();
        match codec::decode(record, "an answer").unwrap() {
            Inbox::ListingAnswer { from, unlisted, .. } if from == self.offset => unlisted,
            other => panic!("{other:?}"),
        }
    }

    fn accept(&mut self, number: u16, listing: &Listing) -> Decision {
        let accepted = Decision::ListingAccepted {
            control_offset: Offset::START,
            number,
            listing: Box::new(listing.clone()),
            in_force_from: self.here(),
            newest_not_counted: None,
        };
        self.decide(&accepted);
        accepted
    }

    fn refuse(&mut self, listing: &Listing) -> Decision {
        let refused = Decision::ListingRefused {
            control_offset: Offset::START,
            listing: Box::new(listing.clone()),
            code: Code::ListingTooLate,
            answered_at: self.here(),
        };
        self.decide(&refused);
        refused
    }

    fn withdraw(&mut self, name: &str, number: u16, epoch: u64) -> Decision {
        let withdrawn = Decision::WithdrawalAccepted {
            control_offset: Offset::START,
            asset: asset(name),
            number,
            epoch: Epoch::new(epoch),
            in_force_from: self.here(),
            dropped: "0".into(),
        };
        self.decide(&withdrawn);
        withdrawn
    }

    /// Closes an epoch here. Returns its barriers.
    fn cut(&mut self, name: &str, number: u16, epoch: u64) -> usize {
        let out = self.decide(&Decision::Cut {
            asset: asset(name),
            number,
            epoch: Epoch::new(epoch),
            cut: self.here(),
        });
        let is_barrier = |value| {
            matches!(
                LedgerRecord::read(value),
                Ok(LedgerRecord::Notice(Notice::Barrier { .. }))
            )
        };
        out.iter().filter(|(_, _, value)| is_barrier(value)).count()
    }

    /// Reads a record.
    fn read(&mut self, record: &str) -> Became {
        let mut out = Outputs::default();
        let before = self.ingest.state().counts;
        let memory = Bump::new();
        let decoded = Decoded::read_with_event(record.as_bytes(), &memory);
        self.ingest.begin_batch(self.offset);
        self.ingest
            .apply_record(self.offset, record.as_bytes(), &decoded, &mut self.seen, &mut out)
            .unwrap();
        self.offset = self.offset.next().unwrap();
        self.ingest.end_batch(self.offset, &mut out).unwrap();
        self.ingest.finish_blocks(&mut out);
        self.merge();
        let after = self.ingest.state().counts;
        if after.duplicates > before.duplicates {
            return Became::Copy;
        }
        if after.ignored > before.ignored {
            return Became::Ignored;
        }
        let letter = out.iter().find(|(to, ..)| to.topic == Topic::DeadLetters);
        if let Some((_, _, value)) = letter {
            return Became::Rejected(read_data::<DeadLetter<'_>>(value).unwrap().code);
        }
        Became::Applied(out.iter().flat_map(|(_, _, value)| postings(value)).collect())
    }
}

fn ingest(state: IngestState, unlisted: BTreeMap<Option<Asset>, UnlistedPostings>) -> Ingest {
    Ingest::new(SOURCE, DEFAULT_DEDUP_DAYS, Partitions::new(1).unwrap(), state, unlisted)
}

/// The postings of a block, by number and epoch.
fn postings(value: &[u8]) -> Vec<(u16, u64)> {
    let Ok(LedgerRecord::Block(mut block)) = LedgerRecord::read(value) else {
        return Vec::new();
    };
    std::iter::from_fn(|| block.next_entry().unwrap())
        .filter_map(|entry| match entry {
            Entry::Posting(posting) => Some(posting.at),
            Entry::Late(late) => Some(late.posting.at),
            Entry::Adjustment(adjustment) => Some(adjustment.at),
            Entry::Status(_) => None,
        })
        .map(|at| (at.number(), at.epoch().get()))
        .collect()
}

fn event(id: &str, event_type: &str, at: i64, data: &serde_json::Value) -> String {
    json!({"specversion": "1.0", "id": id, "source": "/s", "type": event_type, "time": time(at), "data": data})
        .to_string()
}

fn balance(id: &str, event_type: &str, name: &str, at: i64, amount: &str) -> String {
    let event_type = format!("exchange.{event_type}.v1");
    event(
        id,
        &event_type,
        at,
        &json!({"account": "ann", "asset": name, "amount": amount}),
    )
}

fn deposit(id: &str, name: &str, at: i64) -> String {
    balance(id, "deposit", name, at, "1")
}

fn opening(id: &str, name: &str, at: i64) -> String {
    balance(id, "opening_balance", name, at, "1")
}

/// A listing of an asset with two decimals and epochs of 100 seconds.
fn listing(name: &str, anchor_ms: i64, first: u64, misdated: Option<i64>) -> Listing {
    let mut data = json!({
        "asset": name, "decimals": 2, "anchor": time(anchor_ms), "epoch_seconds": 100, "first_epoch": first,
        "programme": {"from_epoch": first, "mode": "pool"},
    });
    if let Some(misdated) = misdated {
        data["misdated_from"] = time(misdated).into();
    }
    Listing::read(&data.to_string()).unwrap()
}
