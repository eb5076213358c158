use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rocksdb::WriteBatch;

use super::follower::ViewFollower;
use super::{
    KeptLetterFilter, LateOf, PaidDistribution, PayoutFilter, View, ViewError, ViewPage, ViewProofError, keys,
};
use crate::bus::memory::MemoryBus;
use crate::bus::{Bus, Cursor, Log, Outputs, Position, TaskId, Topic};
use crate::core::contract::decision::Offsets;
use crate::core::contract::merkle::{BucketTree, EMPTY_ROOT, epoch_root};
use crate::core::contract::records::{DeadLetter, Distribution, Ineligible, LatePosting, Seal};
use crate::core::contract::rejection::Code;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::period::TimePeriod;
use crate::core::values::time::{TimeMs, timestamp};

const DAY_MS: i128 = 86_400_000;

fn asset() -> Asset {
    Asset::parse("ATOM").unwrap()
}

/// A bus with what a deployment publishes.
struct Publisher {
    bus: MemoryBus,
    commits: u32,
}

impl Publisher {
    fn new() -> Self {
        Self {
            bus: MemoryBus::new(),
            commits: 0,
        }
    }

    fn commit(&mut self, outputs: &Outputs) {
        self.commits += 1;
        let cursor = Cursor {
            job: self.commits,
            reached: Vec::new(),
        };
        let position = Position {
            cursor,
            ..Position::default()
        };
        self.bus.commit(TaskId::accrue(0), outputs, &position).unwrap();
    }

    fn distribution(epoch: u64, account: &str, amount: &str) -> Distribution<'static> {
        Distribution {
            account: account.to_owned().into(),
            asset: asset(),
            reward_asset: asset(),
            epoch: Epoch::new(epoch),
            epoch_start: timestamp(i128::from(epoch) * DAY_MS).into(),
            epoch_end: timestamp(i128::from(epoch + 1) * DAY_MS).into(),
            amount: amount.to_owned().into(),
            rewarded: "0.8".into(),
            made_good: "-0.2".into(),
            adjusted: "0".into(),
            withheld_before: "0.3007".into(),
            balance_seconds: "86400".into(),
            average_balance: "1".into(),
            programme_from_epoch: Epoch::FIRST,
        }
    }

    /// Publishes an epoch's distributions on two partitions.
    fn pay(&mut self, epoch: u64, paid: &[(&str, &str)]) {
        let mut outputs = Outputs::default();
        for (account, amount) in paid {
            let paid = Self::distribution(epoch, account, amount);
            let partition = u32::from(bucket(account) >= 2048);
            outputs.push_with(Topic::Distributions.partition(partition), account.as_bytes(), |out| {
                paid.write(out, &paid.id()).unwrap();
            });
        }
        self.commit(&outputs);
    }

    fn seal(&mut self, epoch: u64, paid: &[(&str, &str)]) {
        let root = root(epoch, paid);
        let zero = || Cow::Borrowed("0");
        let seal = Seal {
            asset: asset(),
            reward_asset: asset(),
            epoch: Epoch::new(epoch),
            epoch_start: timestamp(i128::from(epoch) * DAY_MS).into(),
            epoch_end: timestamp(i128::from(epoch + 1) * DAY_MS).into(),
            mode: "pool".into(),
            programme_from_epoch: Epoch::FIRST,
            apr: None,
            reward_rate: None,
            reward_pool: zero(),
            commission: zero(),
            carried_in: zero(),
            carried_out: zero(),
            returned: zero(),
            rewarded: zero(),
            made_good: zero(),
            adjusted: zero(),
            distributed: zero(),
            withheld_before: zero(),
            withheld_after: zero(),
            distributions: paid.len() as u64,
            ineligible: Ineligible {
                status: 0,
                negative: 0,
                below_minimum: 0,
            },
            eligible_balance_seconds: zero(),
            closing_balance: zero(),
            cut: Cow::Owned(Offsets::default()),
            root: root.into(),
        };
        let mut outputs = Outputs::default();
        outputs.push_with(Topic::Epochs.partition(0), b"ATOM", |out| seal.write(out).unwrap());
        self.commit(&outputs);
    }

    fn late(&mut self, number: u64, account: &str, applied: u64) {
        let late = LatePosting {
            event_id: number.to_string().into(),
            event_source: "/exchange".into(),
            account: account.into(),
            asset: asset(),
            delta: "-2.5".into(),
            event_time: timestamp(0).into(),
            missed_epoch: Epoch::FIRST,
            applied_epoch: Epoch::new(applied),
            policy: "carry".into(),
        };
        let mut outputs = Outputs::default();
        let time = timestamp(i128::from(applied + 1) * DAY_MS);
        outputs.push_with(Topic::LatePostings.partition(0), account.as_bytes(), |out| {
            late.write(out, &format!("exchange.trades:0:{number}:0"), &time)
                .unwrap();
        });
        self.commit(&outputs);
    }

    fn reject(&mut self, offset: u64, topic: Topic, code: Code) {
        let rejection = code.because(format!("reason {offset}"));
        let payload = format!("payload {offset}");
        let letter = DeadLetter::new(topic.partition(0), Offset::new(offset), payload.as_bytes(), &rejection);
        let mut outputs = Outputs::default();
        letter.append(Some(TimeMs::from(7)), &mut outputs).unwrap();
        self.commit(&outputs);
    }
}

/// The root of an epoch, from nothing but the contract.
fn root(epoch: u64, paid: &[(&str, &str)]) -> String {
    let mut sorted = paid.to_vec();
    sorted.sort_unstable();
    let mut trees: BTreeMap<u16, BucketTree> = BTreeMap::new();
    for (account, amount) in sorted {
        let tree = trees.entry(bucket(account)).or_default();
        tree.push(format!("ATOM:{epoch}:{account}|{amount}").as_bytes());
    }
    hex::encode(epoch_root(
        (0..4096).map(|bucket| trees.get(&bucket).map_or(EMPTY_ROOT, BucketTree::root)),
    ))
}

fn open(path: &Path, publisher: &Publisher) -> View {
    View::open(path, publisher.bus.identity()).unwrap()
}

fn ids(page: &ViewPage<PaidDistribution>) -> Vec<String> {
    page.items.iter().map(|paid| paid.distribution.id()).collect()
}

/// All that a view answers.
fn answers(view: &View, accounts: &[&str]) -> String {
    let mut text = String::new();
    for account in accounts {
        let paid = view
            .distributions(account, &PayoutFilter::default(), None, 1_000)
            .unwrap();
        text.push_str(&format!("{:?}\n", paid.items));
        text.push_str(&format!(
            "{:?}\n",
            view.late_postings(LateOf::Account(account), None, 1_000).unwrap().items
        ));
    }
    let letters = view.dead_letters(&KeptLetterFilter::default(), None, 1_000).unwrap();
    text.push_str(&format!("{:?}\n", letters.items));
    text.push_str(&format!(
        "{:?} {:?} {}\n",
        view.dead_letter_counts(),
        view.late_counts(),
        view.unreadable()
    ));
    view.each_seal(None, Epoch::FIRST, |seal| {
        text.push_str(&format!("{seal:?}\n"));
        Ok(true)
    })
    .unwrap();
    text
}

const ACCOUNTS: [&str; 5] = ["alice", "alice/earn", "bob", "carol", "Ünal"];
const FIRST: [(&str, &str); 4] = [
    ("alice", "0.9007"),
    ("alice/earn", "3"),
    ("bob", "10.0081"),
    ("Ünal", "7"),
];
const SECOND: [(&str, &str); 2] = [("alice", "1"), ("carol", "0.5")];

/// Two sealed epochs, one that is not, late postings, and dead letters.
fn published() -> Publisher {
    let mut publisher = Publisher::new();
    publisher.pay(0, &FIRST);
    publisher.seal(0, &FIRST);
    publisher.reject(0, Topic::Trades, Code::InvalidJson);
    publisher.late(0, "alice", 1);
    publisher.pay(1, &SECOND);
    publisher.seal(1, &SECOND);
    publisher.reject(1, Topic::Deposits, Code::InvalidAmount);
    publisher.reject(2, Topic::Trades, Code::InvalidAmount);
    publisher.late(1, "bob", 2);
    publisher.pay(2, &[("alice", "4")]);
    publisher
}

/// Copies the files of a view as they are: that is what a crash leaves.
fn crashed(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().unwrap() != "LOCK" {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn an_accounts_distributions_come_newest_first_and_are_filtered() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = published();
    let view = open(folder.path(), &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    assert!(view.progress().is_caught_up());
    let all = view.distributions("alice", &PayoutFilter::default(), None, 10).unwrap();
    assert_eq!(ids(&all), ["ATOM:2:alice", "ATOM:1:alice", "ATOM:0:alice"]);
    let sealed: Vec<bool> = all.items.iter().map(|paid| paid.sealed).collect();
    assert_eq!(sealed, [false, true, true]);
    let first = Publisher::distribution(0, "alice", "0.9007");
    assert_eq!(all.items[2].distribution, first);
    let filter = PayoutFilter {
        sealed_only: true,
        ..PayoutFilter::default()
    };
    let one = view.distributions("alice", &filter, None, 1).unwrap();
    assert_eq!(ids(&one), ["ATOM:1:alice"]);
    let next = view.distributions("alice", &filter, one.next.as_deref(), 1).unwrap();
    assert_eq!((ids(&next), next.next), (vec!["ATOM:0:alice".to_owned()], None));
    // An epoch that ends at midnight is of the day before.
    let day = |days: i64| Some(TimeMs::from(days * 86_400_000));
    for (from, to, expected) in [
        (day(0), day(1), vec!["ATOM:0:alice"]),
        (day(1), day(2), vec!["ATOM:1:alice"]),
        (day(1), None, vec!["ATOM:2:alice", "ATOM:1:alice"]),
        (None, day(1), vec!["ATOM:0:alice"]),
        (None, day(0), vec![]),
        (day(3), None, vec![]),
    ] {
        let filter = PayoutFilter {
            period: TimePeriod { from, to },
            ..PayoutFilter::default()
        };
        let found = view.distributions("alice", &filter, None, 10).unwrap();
        assert_eq!(ids(&found), expected, "{from:?} {to:?}");
    }
    let other = PayoutFilter {
        asset: Asset::parse("SOL").ok(),
        ..PayoutFilter::default()
    };
    assert!(view.distributions("alice", &other, None, 10).unwrap().items.is_empty());
    assert!(
        view.distributions("ali", &PayoutFilter::default(), None, 10)
            .unwrap()
            .items
            .is_empty()
    );
}

#[test]
fn an_epoch_is_read_in_the_order_of_the_tree_and_every_payout_is_proven() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = published();
    let view = open(folder.path(), &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = view
            .epoch_distributions(asset(), Epoch::FIRST, after.as_deref(), 3)
            .unwrap();
        found.extend(
            page.items
                .iter()
                .map(|paid| paid.distribution.account.clone().into_owned()),
        );
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let mut expected: Vec<&str> = FIRST.iter().map(|(account, _)| *account).collect();
    expected.sort_by_key(|account| (bucket(account), *account));
    assert_eq!(found, expected);
    for (account, amount) in FIRST {
        let proof = view.proof(asset(), Epoch::FIRST, account).unwrap();
        assert_eq!(proof.amount, amount);
        proof.verify(&root(0, &FIRST)).unwrap();
        assert!(proof.verify(&root(1, &SECOND)).is_err());
    }
    let refused = |epoch, account| view.proof(asset(), Epoch::new(epoch), account).unwrap_err();
    assert!(matches!(refused(0, "carol"), ViewProofError::NotPaid { .. }));
    assert!(matches!(refused(2, "alice"), ViewProofError::NotSealed { .. }));
}

#[test]
fn a_proof_of_other_distributions_than_the_sealed_ones_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new();
    publisher.pay(0, &FIRST);
    publisher.seal(0, &[("alice", "1000")]);
    let view = open(folder.path(), &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    let error = view.proof(asset(), Epoch::FIRST, "alice").unwrap_err();
    assert!(matches!(&error, ViewProofError::OtherRoot { .. }), "{error}");
    assert!(error.to_string().contains(&root(0, &FIRST)), "{error}");
}

#[test]
fn dead_letters_are_filtered_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let publisher = published();
    let view = open(folder.path(), &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    let offsets = |code, topic, after: Option<&[u8]>, limit| {
        let page = view
            .dead_letters(&KeptLetterFilter { code, topic }, after, limit)
            .unwrap();
        let offsets: Vec<u64> = page.items.iter().map(|letter| letter.offset.get()).collect();
        (offsets, page.next)
    };
    assert_eq!(offsets(None, None, None, 10).0, [2, 1, 0]);
    assert_eq!(offsets(Some(Code::InvalidAmount), None, None, 10).0, [2, 1]);
    assert_eq!(offsets(None, Some(Topic::Trades), None, 10).0, [2, 0]);
    assert_eq!(
        offsets(Some(Code::InvalidJson), Some(Topic::Deposits), None, 10).0,
        [0; 0]
    );
    let (first, next) = offsets(Some(Code::InvalidAmount), None, None, 1);
    assert_eq!(first, [2]);
    assert_eq!(
        offsets(Some(Code::InvalidAmount), None, next.as_deref(), 1),
        (vec![1], None)
    );
    assert_eq!(
        view.dead_letter_counts(),
        [
            (Topic::Deposits, Code::InvalidAmount, 1),
            (Topic::Trades, Code::InvalidJson, 1),
            (Topic::Trades, Code::InvalidAmount, 1),
        ]
    );
    let letter = &view.dead_letters(&KeptLetterFilter::default(), None, 1).unwrap().items[0];
    assert_eq!(
        (letter.payload.as_deref(), &*letter.reason),
        (Some("payload 2"), "reason 2")
    );
    assert_eq!(letter.time.as_deref(), Some("1970-01-01T00:00:00.007Z"));
    assert_eq!(view.late_counts(), [(asset(), Epoch::FIRST, 2)]);
}

#[test]
fn after_a_crash_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = published();
    let (first, copy) = (folder.path().join("first"), folder.path().join("copy"));
    let view = open(&first, &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    // These are in memory when the process dies.
    publisher.reject(3, Topic::Trades, Code::InvalidJson);
    publisher.late(2, "carol", 3);
    publisher.seal(2, &[("alice", "4")]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    ViewFollower::new(&view, &publisher.bus, &stop).round().unwrap();
    let expected = answers(&view, &ACCOUNTS);
    crashed(&first, &copy);
    let after = open(&copy, &publisher);
    assert!(
        after.progress().behind() == 0 && !after.progress().is_caught_up(),
        "it has not looked yet"
    );
    assert_ne!(answers(&after, &ACCOUNTS), expected, "what was in memory is lost");
    after.catch_up(&publisher.bus, None).unwrap();
    assert_eq!(answers(&after, &ACCOUNTS), expected);
    assert_eq!(after.dead_letter_counts()[1], (Topic::Trades, Code::InvalidJson, 2));
    // It is built again, from nothing.
    drop(after);
    fs::remove_dir_all(&copy).unwrap();
    let again = open(&copy, &publisher);
    again.catch_up(&publisher.bus, None).unwrap();
    assert_eq!(answers(&again, &ACCOUNTS), expected);
}

#[test]
fn a_view_of_another_bus_or_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (published(), published());
    drop(open(folder.path(), &ours));
    let error = View::open(folder.path(), other.bus.identity())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("correct --view or --bus") && error.contains("rebuilt"),
        "{error}"
    );
    let view = open(folder.path(), &ours);
    let in_use = View::open(folder.path(), ours.bus.identity()).map(drop).unwrap_err();
    assert!(matches!(in_use, ViewError::InUse { .. }), "{in_use}");
    let mut batch = WriteBatch::default();
    batch.put(keys::FORMAT, b"0");
    view.database.write(batch).unwrap();
    drop(view);
    let error = View::open(folder.path(), ours.bus.identity())
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("format version 0") && error.contains("delete"),
        "{error}"
    );
}

#[test]
fn a_bus_that_lost_records_is_not_the_one_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let ours = published();
    let view = open(folder.path(), &ours);
    view.catch_up(&ours.bus, None).unwrap();
    // A shorter log with the same name.
    let mut shorter = Publisher::new();
    shorter.pay(0, &FIRST[..1]);
    let error = view.catch_up(&shorter.bus, None).unwrap_err();
    assert!(matches!(error, ViewError::Changed { .. }), "{error}");
}

#[test]
fn what_no_softstake_wrote_is_left_out_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new();
    let mut outputs = Outputs::default();
    for record in ["{}", "no JSON", "[]"] {
        outputs.push_with(Topic::Distributions.partition(0), b"", |out| {
            out.extend_from_slice(record.as_bytes())
        });
        outputs.push_with(Topic::Epochs.partition(0), b"", |out| {
            out.extend_from_slice(record.as_bytes())
        });
    }
    publisher.commit(&outputs);
    publisher.pay(0, &FIRST);
    let view = open(folder.path(), &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    assert_eq!(view.unreadable(), 6);
    drop(view);
    let view = open(folder.path(), &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    assert_eq!(view.unreadable(), 6);
    assert_eq!(
        view.distributions("bob", &PayoutFilter::default(), None, 10)
            .unwrap()
            .items
            .len(),
        1
    );
}

#[test]
fn a_large_part_is_committed_in_files_and_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut publisher = Publisher::new();
    let names: Vec<String> = (0..15_000).map(|number| format!("u-{number}")).collect();
    let paid: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "0.25")).collect();
    for epoch in 0..2 {
        publisher.pay(epoch, &paid);
        publisher.seal(epoch, &paid);
    }
    let view = open(folder.path(), &publisher);
    view.catch_up(&publisher.bus, None).unwrap();
    for name in ["u-0", "u-7777", "u-14999"] {
        let found = view.distributions(name, &PayoutFilter::default(), None, 10).unwrap();
        assert_eq!(found.items.len(), 2, "{name}");
        view.proof(asset(), Epoch::new(1), name)
            .unwrap()
            .verify(&root(1, &paid))
            .unwrap();
    }
    // Files last through a crash, with their marks.
    let copy = folder.path().join("copy");
    crashed(folder.path(), &copy);
    let after = open(&copy, &publisher);
    after.catch_up(&publisher.bus, None).unwrap();
    assert_eq!(answers(&after, &["u-7", "u-8"]), answers(&view, &["u-7", "u-8"]));
}
