//! Checks of the ledger topic after a run.

use std::collections::BTreeMap;

use softstake::core::protocol::ledger::{Entry, LedgerRecord};
use softstake::core::protocol::messages::Notice;
use softstake::core::values::offset::Offset;

use crate::common::Place;
use crate::common::kafka::Cluster;
use crate::common::records::text;

/// No source record may be in two blocks of a ledger partition, and every barrier must be there once.
pub fn check_blocks_and_barriers(cluster: &Cluster) {
    let mut reached: BTreeMap<(i32, String), Offset> = BTreeMap::new();
    let mut barriers = BTreeMap::new();
    let mut faults = Vec::new();
    for record in cluster.read_committed("softstake.ledger") {
        let value = record.value.as_deref().expect("a value");
        match LedgerRecord::read(value).expect("a record of the ledger") {
            LedgerRecord::Block(block) => {
                let (first, next) = block.offsets;
                let before = reached.entry((record.partition, block.source.to_string())).or_default();
                if first < *before || next <= first {
                    faults.push(format!(
                        "ledger {} offset {}: {} {first}..{next} after {before}",
                        record.partition, record.offset, block.source
                    ));
                }
                *before = next;
            }
            LedgerRecord::Notice(Notice::Barrier { at, source }) => {
                *barriers.entry((record.partition, at, source)).or_insert(0) += 1;
            }
            LedgerRecord::Notice(_) => {}
        }
    }
    for (barrier, times) in barriers {
        if times != 1 {
            faults.push(format!("{times} times the barrier {barrier:?}"));
        }
    }
    assert!(faults.is_empty(), "the ledger is wrong:\n{}", faults.join("\n"));
}

/// The sums of delta and of delta * (end - t) over the postings on the ledger, for each asset number, epoch and
/// account.
fn sums(cluster: &Cluster) -> BTreeMap<(u16, u64, String), (i128, i128)> {
    let mut sums: BTreeMap<(u16, u64, String), (i128, i128)> = BTreeMap::new();
    for record in cluster.read_committed("softstake.ledger") {
        let value = record.value.as_deref().expect("a value");
        if let LedgerRecord::Block(mut block) = LedgerRecord::read(value).expect("a record of the ledger") {
            while let Some(entry) = block.next_entry().expect("an entry") {
                let posting = match entry {
                    Entry::Posting(posting) => Some(posting),
                    Entry::Late(late) => Some(late.posting),
                    Entry::Adjustment(_) | Entry::Status(_) => None,
                };
                if let Some(posting) = posting {
                    let sum = sums
                        .entry((
                            posting.at.number(),
                            posting.at.epoch().get(),
                            posting.account.to_string(),
                        ))
                        .or_default();
                    sum.0 += posting.delta;
                    sum.1 += posting.delta * i128::from(posting.before_end_ms);
                }
            }
        }
    }
    sums
}

/// The balance-seconds of every distribution must follow from the ledger. If they do not, accrual lost something, not
/// ingest.
pub fn check_distributions(cluster: &Cluster, place: &Place, epoch_ms: i128) {
    let sums = sums(cluster);
    let mut listings: BTreeMap<String, Vec<(u16, u64, u64)>> = BTreeMap::new();
    for decision in place.records("softstake.decisions") {
        if decision["data"]["decision"] == "listing_accepted" {
            let listing = &decision["data"]["listing"];
            listings.entry(text(&listing["asset"]).to_owned()).or_default().push((
                u16::try_from(decision["data"]["number"].as_u64().expect("a number")).expect("small"),
                listing["decimals"].as_u64().expect("decimals"),
                listing["first_epoch"].as_u64().expect("an epoch"),
            ));
        }
    }
    let mut faults = Vec::new();
    for record in place.records("softstake.distributions") {
        let data = &record["data"];
        let (asset, account) = (text(&data["asset"]), text(&data["account"]));
        let epoch = data["epoch"].as_u64().expect("an epoch");
        // An asset that was withdrawn may be listed again, from a later epoch on.
        let listed = listings[asset].iter().rfind(|(_, _, first)| *first <= epoch);
        let (number, decimals, first) = *listed.expect("a listing of the epoch");
        let sum = |epoch| {
            sums.get(&(number, epoch, account.to_owned()))
                .copied()
                .unwrap_or_default()
        };
        let opening: i128 = (first..epoch).map(|epoch| sum(epoch).0).sum();
        let held = opening * epoch_ms + sum(epoch).1;
        let digits = u32::try_from(decimals).expect("small") + 3;
        let scale = 10_i128.pow(digits);
        let (sign, size) = (if held < 0 { "-" } else { "" }, held.abs());
        let expected = format!(
            "{sign}{}.{:0width$}",
            size / scale,
            size % scale,
            width = digits as usize
        );
        let expected = expected.trim_end_matches('0').trim_end_matches('.');
        if expected != data["balance_seconds"] {
            faults.push(format!(
                "{}: {expected} by the ledger, published {}",
                record["id"], data["balance_seconds"]
            ));
        }
    }
    assert!(
        faults.is_empty(),
        "distributions do not follow from the ledger:\n{}",
        faults.join("\n")
    );
}
