//! Withdrawn assets, and assets that are listed again.

use super::*;

fn at(seconds: i64) -> i64 {
    anchor() + seconds * SECOND
}

/// A partition with a listing of A, whose first epoch is 5. Nothing is read.
fn listed() -> Partition {
    let mut partition = Partition::new();
    partition.accept(0, &listing("A", at(0), 5, None));
    partition
}

fn applied(number: u16, epoch: u64) -> Became {
    Became::Applied(vec![(number, epoch)])
}

#[test]
fn a_withdrawal_is_in_force_from_its_offset() {
    let mut partition = listed();
    assert_eq!(partition.read(&deposit("1", "A", at(100))), applied(0, 6));
    partition.withdraw("A", 0, 6);
    partition.restart();
    assert_eq!(partition.read(&deposit("2", "A", at(100))), Became::Ignored);
    assert_eq!(partition.read(&deposit("3", "A", at(99))), applied(0, 5));
    // It is judged by the listing as long as that has an open epoch, and is not listed from epoch 6 on.
    let inexact = |id: &str, seconds| balance(id, "deposit", "A", at(seconds), "0.001");
    assert_eq!(partition.read(&inexact("4", 99)), Became::Rejected(Code::InvalidAmount));
    assert_eq!(partition.read(&inexact("5", 100)), Became::Ignored);
    assert_eq!(partition.cut("A", 0, 5), 1);
    assert_eq!(partition.read(&inexact("6", 99)), Became::Ignored);
    assert_eq!(partition.read(&opening("7", "A", at(-1))), Became::Ignored);
    let counts = partition.ingest.state().counts;
    assert_eq!((counts.unlisted, counts.before_anchor), (4, 0));
    // Before the withdrawal it was an epoch, so a copy is recognised for good.
    assert_eq!(partition.read(&deposit("1", "A", at(100))), Became::Copy);
}

#[test]
fn records_below_the_offset_know_of_no_withdrawal() {
    let mut partition = listed();
    partition.cut("A", 0, 5);
    // The decision is known before the records, as in recovery.
    partition.decide(&Decision::WithdrawalAccepted {
        control_offset: Offset::START,
        asset: asset("A"),
        number: 0,
        epoch: Epoch::new(6),
        in_force_from: Offsets(BTreeMap::from([(SOURCE, Offset::new(2))])),
        dropped: "0".into(),
    });
    assert_eq!(partition.read(&deposit("1", "A", at(50))), applied(0, 6));
    assert_eq!(partition.ingest.state().counts.late, 1);
    assert_eq!(partition.read(&deposit("2", "A", at(150))), applied(0, 6));
    assert_eq!(partition.read(&deposit("3", "A", at(50))), Became::Ignored);
    assert_eq!(partition.read(&deposit("4", "A", at(150))), Became::Ignored);
    assert_eq!(partition.read(&deposit("2", "A", at(150))), Became::Copy);
}

#[test]
fn a_time_decides_between_two_listings() {
    let mut partition = listed();
    partition.read(&deposit("1", "A", at(150)));
    partition.withdraw("A", 0, 7);
    partition.cut("A", 0, 5);
    // The old listing has an epoch, and the new one comes only after it.
    assert_eq!(partition.read(&deposit("2", "A", at(50))), applied(0, 6));
    partition.cut("A", 0, 6);
    partition.accept(1, &listing("A", at(300), 9, None));
    partition.restart();
    assert_eq!(partition.read(&deposit("3", "A", at(199))), Became::Ignored);
    assert_eq!(partition.read(&deposit("4", "A", at(299))), Became::Ignored);
    assert_eq!(partition.read(&deposit("5", "A", at(300))), applied(1, 9));
    // Before the start of epoch 7 it is the old listing's.
    assert_eq!(partition.read(&opening("6", "A", at(199))), Became::Ignored);
    assert_eq!(partition.read(&opening("7", "A", at(200))), applied(1, 9));
    // A posting of an ended listing is judged by the next one, as to its amount as well.
    let inexact = balance("8", "deposit", "A", at(150), "0.001");
    assert_eq!(partition.read(&inexact), Became::Rejected(Code::InvalidAmount));
    let counts = partition.ingest.state().counts;
    assert_eq!((counts.unlisted, counts.before_anchor), (1, 2));
    assert_eq!(partition.read(&deposit("1", "A", at(150))), Became::Copy);
    assert_eq!(partition.read(&deposit("5", "A", at(300))), Became::Copy);
    assert_eq!(partition.cut("A", 1, 9), 1);
}

#[test]
fn a_listing_without_an_epoch_leaves_all_to_the_next_one() {
    let mut partition = listed();
    partition.read(&deposit("1", "A", at(0)));
    partition.read(&deposit("2", "A", at(60)));
    partition.withdraw("A", 0, 5);
    partition.restart();
    assert_eq!(partition.read(&opening("3", "A", at(-1))), Became::Ignored);
    // What the first listing applied is lost to the second one. So are opening balances.
    let second = listing("A", at(60), 5, None);
    let times = partition.propose(&second);
    assert_eq!((times.newest_counted_ms, times.has_opening), (Some(at(60)), true));
    partition.refuse(&second);
    let third = listing("A", at(61), 5, None);
    assert_eq!(partition.propose(&third), UnlistedTimes::default());
    partition.accept(1, &third);
    assert_eq!(partition.read(&opening("4", "A", at(-1))), applied(1, 5));
    assert_eq!(partition.read(&deposit("5", "A", at(-1))), Became::Ignored);
    assert_eq!(partition.read(&deposit("2", "A", at(60))), Became::Copy);
}

#[test]
fn applied_postings_of_an_ended_listing_make_the_next_one_too_late() {
    let mut partition = listed();
    partition.read(&deposit("1", "A", at(350)));
    partition.read(&deposit("2", "A", at(50)));
    partition.restart();
    partition.withdraw("A", 0, 6);
    partition.cut("A", 0, 5);
    // Neither is applied to it, nor is it forgotten.
    partition.read(&deposit("3", "A", at(351)));
    for (from, late) in [(100, Some(351)), (351, Some(351)), (352, None)] {
        let again = listing("A", at(from), 6, None);
        let times = partition.propose(&again);
        assert_eq!(times.newest_counted_ms, late.map(at), "{from}");
        partition.refuse(&again);
    }
}

#[test]
fn a_new_partition_begins_with_what_is_over() {
    let mut partition = Partition::unannounced();
    let elsewhere = || Offsets(BTreeMap::from([(Topic::Trades.partition(3), Offset::new(7))]));
    let accepted = |number, listing: Listing| Decision::ListingAccepted {
        control_offset: Offset::START,
        number,
        listing: Box::new(listing),
        in_force_from: elsewhere(),
        newest_not_counted: None,
    };
    let cut = |name: &str, number, epoch| Decision::Cut {
        asset: asset(name),
        number,
        epoch: Epoch::new(epoch),
        cut: elsewhere(),
    };
    for decision in [
        accepted(0, listing("A", at(0), 5, None)),
        accepted(1, listing("B", at(0), 0, None)),
        cut("A", 0, 5),
        cut("B", 1, 0),
        Decision::WithdrawalAccepted {
            control_offset: Offset::START,
            asset: asset("A"),
            number: 0,
            epoch: Epoch::new(7),
            in_force_from: elsewhere(),
            dropped: "0".into(),
        },
        cut("A", 0, 6),
        accepted(2, listing("A", at(300), 9, None)),
        cut("A", 2, 9),
        Decision::SourcesAdded {
            sources: vec![SOURCE],
            starts: Offsets::default(),
        },
    ] {
        let out = partition.decide(&decision);
        assert_eq!(
            out.iter().count(),
            0,
            "nobody waits for a barrier or an answer: {decision:?}"
        );
    }
    assert_eq!(partition.read(&deposit("1", "A", at(150))), Became::Ignored);
    assert_eq!(partition.read(&deposit("2", "A", at(299))), Became::Ignored);
    assert_eq!(partition.read(&deposit("3", "A", at(300))), applied(2, 10));
    assert_eq!(partition.read(&deposit("4", "B", at(0))), applied(1, 1));
    assert_eq!(partition.ingest.state().counts.late, 2);
    assert_eq!(partition.cut("A", 2, 10), 1);
    // An epoch that is not the oldest open one cannot be cut.
    let impossible = Decision::Cut {
        asset: asset("B"),
        number: 1,
        epoch: Epoch::new(2),
        cut: partition.here(),
    };
    assert!(matches!(partition.try_decide(&impossible), Err(Fault::Impossible(_))));
}
