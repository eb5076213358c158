//! Whether a listing comes before what it covers.

use proptest::prelude::*;

use super::*;
use crate::core::ingest::MAX_UNLISTED;
use crate::core::values::calendar::MAX_DAYS_AHEAD;

/// The answer to a listing of A, as texts: the newest time that counts, and the newest that does not.
fn answer(partition: &mut Partition, listing: &Listing) -> (Option<String>, bool, Option<String>) {
    let times = partition.propose(listing);
    let text = |ms: Option<i64>| ms.map(time);
    (
        text(times.newest_counted_ms),
        times.has_opening,
        text(times.newest_not_counted_ms),
    )
}

#[test]
fn only_times_from_the_anchor_to_the_bound_count() {
    let day = |n: i64| anchor() + n * DAY;
    let mut partition = Partition::new();
    for (n, at) in [day(-1), day(3) + 5, day(3) + 9, day(500)].into_iter().enumerate() {
        assert_eq!(partition.read(&deposit(&n.to_string(), "A", at)), Became::Ignored);
    }
    let far = Some(time(day(500)));
    for (from, misdated, expected) in [
        (day(0), None, (Some(time(day(3) + 9)), false, far.clone())),
        (day(3) + 9, None, (Some(time(day(3) + 9)), false, far.clone())),
        (day(3) + 10, None, (None, false, far.clone())),
        // The oldest time of that day is before the bound.
        (day(3), Some(day(3) + 9), (Some(time(day(3) + 8)), false, far.clone())),
        (day(3), Some(day(3) + 5), (None, false, far.clone())),
        (day(3), Some(day(0)), (None, false, far.clone())),
        // 400 days ahead and one epoch.
        (day(101), None, (Some(far.clone().unwrap()), false, None)),
        (day(501), None, (None, false, None)),
    ] {
        partition.restart();
        let listing = listing("A", from, 7, misdated);
        assert_eq!(
            answer(&mut partition, &listing),
            expected,
            "{} {misdated:?}",
            time(from)
        );
    }
    let other = listing("B", day(0), 0, None);
    assert_eq!(answer(&mut partition, &other), (None, false, None));
}

#[test]
fn of_a_day_with_anchor_and_bound_only_the_ends_are_known() {
    let at = |seconds| anchor() + seconds * SECOND;
    let mut partition = Partition::new();
    partition.read(&deposit("1", "A", at(10)));
    partition.read(&deposit("2", "A", at(90)));
    // Nothing lies between, but nobody knows.
    let corner = listing("A", at(20), 0, Some(at(80)));
    let newest = Some(time(at(90)));
    assert_eq!(
        answer(&mut partition, &corner),
        (Some(time(at(80) - 1)), false, newest.clone())
    );
    // One of the ends is known to be outside.
    let later = listing("A", at(91), 0, Some(at(95)));
    assert_eq!(answer(&mut partition, &later), (None, false, None));
    let before = listing("A", at(1), 0, Some(at(10)));
    assert_eq!(answer(&mut partition, &before), (None, false, newest.clone()));
    // All of it is excused.
    let excused = listing("A", at(20), 0, Some(at(20)));
    assert_eq!(answer(&mut partition, &excused), (None, false, newest));
}

#[test]
fn an_opening_balance_stays_at_the_anchor_of_the_next_listing() {
    let at = |seconds| anchor() + seconds * SECOND;
    let mut partition = Partition::new();
    partition.read(&opening("1", "A", at(-99)));
    let first = listing("A", at(100), 0, None);
    assert_eq!(answer(&mut partition, &first), (None, true, None));
    partition.refuse(&first);
    partition.restart();
    let anchor = Some(time(at(100)));
    let earlier = listing("A", at(0), 0, None);
    assert_eq!(answer(&mut partition, &earlier), (anchor.clone(), false, None));
    partition.refuse(&earlier);
    let later = listing("A", at(101), 0, None);
    assert_eq!(answer(&mut partition, &later), (None, false, None));
    let excused = listing("A", at(100), 0, Some(at(100)));
    assert_eq!(answer(&mut partition, &excused), (None, false, anchor));
    partition.accept(0, &excused);
    assert_eq!(
        partition.read(&opening("2", "A", at(-99))),
        Became::Applied(vec![(0, 0)])
    );
}

#[test]
fn a_posting_of_a_known_day_between_its_ends_changes_nothing() {
    let mut partition = Partition::new();
    partition.accept(0, &listing("L", anchor(), 0, None));
    let read = |partition: &mut Partition, id: &str, seconds: i64| {
        for name in ["A", "L"] {
            partition.read(&deposit(&format!("{name}{id}"), name, anchor() + seconds * SECOND));
        }
        let passed = partition.ingest.take_passed();
        (passed.unlisted.len(), passed.days.len())
    };
    assert_eq!(read(&mut partition, "1", 10), (1, 2));
    assert_eq!(read(&mut partition, "2", 90), (1, 2));
    assert_eq!(read(&mut partition, "3", 50), (0, 0));
    assert_eq!(read(&mut partition, "4", 10), (0, 0));
    assert_eq!(read(&mut partition, "5", 9), (0, 2));
}

#[test]
fn what_was_not_merged_with_the_store_is_not_forgotten() {
    let mut partition = Partition::new();
    for (id, seconds) in [("1", 10), ("2", 90), ("3", 50)] {
        partition.read(&deposit(id, "A", anchor() + seconds * SECOND));
        partition.restart();
    }
    let late = listing("A", anchor() + 90 * SECOND, 0, None);
    let newest = Some(time(anchor() + 90 * SECOND));
    assert_eq!(answer(&mut partition, &late), (newest, false, None));
    let early = listing("A", anchor(), 0, Some(anchor() + 10 * SECOND + 1));
    assert!(answer(&mut partition, &early).0.is_some());
}

#[test]
fn names_without_room_are_judged_together() {
    let mut partition = Partition::new();
    for n in 0..MAX_UNLISTED {
        partition.ingest.passed.note_unlisted(asset(&format!("N{n}")), anchor());
    }
    partition.read(&deposit("1", "N7", anchor() + 5));
    assert!(!partition.ingest.has_nameless());
    partition.read(&deposit("2", "FURTHER", anchor() + DAY));
    partition.restart();
    assert!(partition.ingest.has_nameless());
    let newest = |partition: &mut Partition, name: &str, misdated: Option<i64>| {
        let times = partition.propose(&listing(name, anchor(), 0, misdated));
        (times.newest_counted_ms, times.has_opening, times.newest_not_counted_ms)
    };
    let further = (Some(anchor() + DAY), false, None);
    assert_eq!(newest(&mut partition, "N7", None), (Some(anchor() + 5), false, None));
    assert_eq!(newest(&mut partition, "FURTHER", None), further);
    assert_eq!(newest(&mut partition, "OTHER", None), further);
    // An opening balance of a further name counts for each of them.
    partition.ingest.state.question = None;
    partition.read(&opening("3", "FURTHER", anchor()));
    partition.refuse(&listing("FURTHER", anchor() + DAY, 0, None));
    let later = listing("FURTHER", anchor() + 2 * DAY, 0, None);
    assert!(partition.propose(&later).has_opening);
    let excused = Some(anchor());
    assert_eq!(
        newest(&mut partition, "FURTHER", excused),
        (None, false, Some(anchor() + DAY))
    );
    // A listed asset is known by its name.
    partition.accept(0, &listing("OTHER", anchor() + 3 * DAY, 0, excused));
    partition.read(&deposit("4", "OTHER", anchor() + 3 * DAY));
    let newest = newest(&mut partition, "FURTHER", None).0;
    assert_eq!(newest, Some(anchor() + DAY));
}

/// A step of the test below. Times are days and milliseconds after the anchor of all tests.
#[derive(Debug, Clone)]
enum Step {
    Deposit(i64),
    Opening(i64),
    /// With `misdated_from`.
    Propose(i64, Option<i64>),
    Restart,
}

fn moment() -> impl Strategy<Value = i64> {
    let days = prop_oneof![8 => -1_i64..3, 1 => 395_i64..405];
    let of_day = prop_oneof![Just(0), Just(1), Just(DAY / 2), Just(DAY - 1)];
    (days, of_day).prop_map(|(days, ms)| anchor() + days * DAY + ms)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => moment().prop_map(Step::Deposit),
        2 => moment().prop_map(Step::Opening),
        3 => (moment(), proptest::option::of(moment())).prop_map(|(from, misdated)| Step::Propose(from, misdated)),
        1 => Just(Step::Restart),
    ]
}

/// What is known of the partition if nothing is forgotten: all times, None for an opening balance that has none yet.
#[derive(Default)]
struct Naive {
    times: Vec<Option<i64>>,
    listed: Option<Listing>,
}

impl Naive {
    /// Whether a listing is too late, and the newest time that does not count.
    fn propose(&mut self, listing: &Listing) -> (bool, Option<i64>) {
        let calendar = &listing.terms.calendar;
        let from = calendar.anchor().get();
        for time in &mut self.times {
            time.get_or_insert(from);
        }
        let times: Vec<i64> = self
            .times
            .iter()
            .flatten()
            .copied()
            .filter(|time| *time >= from)
            .collect();
        let counts = |time: &i64| {
            let epoch = calendar.epoch_of(TimeMs::from(*time)).unwrap();
            let is_ahead = epoch > calendar.first().saturating_add(calendar.epochs_of_days(MAX_DAYS_AHEAD));
            !is_ahead && listing.misdated_from.is_none_or(|misdated| *time < misdated.get())
        };
        // The corner: anchor and bound are in one day, and postings of that day are before and after.
        let is_corner = listing.misdated_from.is_some_and(|misdated| {
            let (day, to) = (from.div_euclid(DAY), misdated.get());
            let mut of_day = self.times.iter().flatten().filter(|time| time.div_euclid(DAY) == day);
            from < to
                && (to - 1).div_euclid(DAY) == day
                && of_day.clone().any(|time| *time < from)
                && of_day.any(|time| *time >= to)
        });
        let newest = times.iter().copied().filter(|time| !counts(time)).max();
        (times.iter().any(counts) || is_corner, newest)
    }

    fn read(&mut self, time: i64, is_opening: bool) -> Became {
        let Some(listing) = &self.listed else {
            self.times.push(Some(time).filter(|_| !is_opening));
            return Became::Ignored;
        };
        let calendar = &listing.terms.calendar;
        let time = if is_opening { calendar.anchor().get() } else { time };
        let epoch = calendar.epoch_of(TimeMs::from(time));
        let ahead = calendar.first().saturating_add(calendar.epochs_of_days(MAX_DAYS_AHEAD));
        if epoch.is_some_and(|epoch| epoch > ahead) {
            return Became::Rejected(Code::TooFarAhead);
        }
        self.times.push(Some(time));
        match epoch {
            Some(epoch) => Became::Applied(vec![(0, epoch.get())]),
            None => Became::Ignored,
        }
    }
}

proptest! {
    /// Against a partition that keeps all times. A listing that is accepted ends before the next proposal, as one that had no epoch.
    #[test]
    fn days_tell_what_all_times_tell(steps in proptest::collection::vec(step(), 1..40)) {
        let (mut partition, mut naive) = (Partition::new(), Naive::default());
        let (mut decisions, mut records) = (Vec::new(), Vec::new());
        let mut number = 0;
        for step in steps {
            let (at, is_opening) = match step {
                Step::Restart => {
                    partition.restart();
                    continue;
                }
                Step::Propose(from, misdated) => {
                    if naive.listed.take().is_some() {
                        decisions.push(partition.withdraw("A", number, 0));
                        number += 1;
                    }
                    let listing = listing("A", from, 0, misdated);
                    let (is_late, newest) = naive.propose(&listing);
                    let times = partition.propose(&listing);
                    prop_assert_eq!(times.newest_counted_ms.is_some() || times.has_opening, is_late);
                    prop_assert_eq!(times.newest_not_counted_ms.filter(|_| !is_late), newest.filter(|_| !is_late));
                    if is_late {
                        decisions.push(partition.refuse(&listing));
                    } else {
                        decisions.push(partition.accept(number, &listing));
                        naive.listed = Some(listing);
                    }
                    continue;
                }
                Step::Deposit(at) => (at, false),
                Step::Opening(at) => (at, true),
            };
            let id = records.len().to_string();
            let record = if is_opening { opening(&id, "A", at) } else { deposit(&id, "A", at) };
            let became = match partition.read(&record) {
                Became::Applied(at) => Became::Applied(at.into_iter().map(|(_, epoch)| (0, epoch)).collect()),
                other => other,
            };
            prop_assert_eq!(became, naive.read(at, is_opening));
            records.push(record);
        }
        // In recovery all decisions come first, then all records. The answers that follow are the same.
        let mut recovered = Partition::new();
        for decision in &decisions {
            recovered.decide(decision);
        }
        for record in &records {
            recovered.read(record);
        }
        for ms in [0, 1, DAY, DAY + 1, 400 * DAY] {
            let listing = listing("A", anchor() + ms, 0, None);
            prop_assert_eq!(recovered.propose(&listing), partition.propose(&listing));
        }
        let kept = recovered.ingest.state().counts;
        prop_assert_eq!(kept, partition.ingest.state().counts);
    }
}
