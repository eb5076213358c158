//! The SQL, on SQLite. `tests/it/payout` tests the same from outside, on PostgreSQL as well.

use sqlx::Row;
use sqlx::any::AnyRow;
use tempfile::TempDir;

use super::super::record::{DISTRIBUTIONS, EPOCHS};
use super::step::{list, rows};
use super::*;

/// A database in a folder of its own, and records for it.
struct Books {
    folder: TempDir,
    database: Option<Database>,
    next: i64,
    runtime: tokio::runtime::Runtime,
}

impl Books {
    /// Statements touch at most `batch` rows.
    fn new(batch: usize) -> Books {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut books = Books {
            folder: TempDir::new().unwrap(),
            database: None,
            next: 0,
            runtime,
        };
        books.restart(batch);
        books
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("books.db").display())
    }

    /// A crash and a restart: only committed changes are left.
    fn restart(&mut self, batch: usize) {
        self.database = None;
        self.database = Some(self.runtime.block_on(Database::open(&self.url(), batch)).unwrap());
    }

    fn database(&mut self) -> &mut Database {
        self.database.as_mut().unwrap()
    }

    fn take(&mut self, records: impl IntoIterator<Item = Record>) {
        let mut placed = Vec::new();
        for record in records {
            let topic = if matches!(record, Record::Seal(_)) {
                EPOCHS
            } else {
                DISTRIBUTIONS
            };
            placed.push((
                Place {
                    topic: topic.to_owned(),
                    partition: 0,
                    offset: self.next,
                },
                record,
            ));
            self.next += 1;
        }
        // The positions of both topics move along, as they do for a reader.
        let positions = [DISTRIBUTIONS, EPOCHS]
            .map(|topic| ((topic.to_owned(), 0), self.next))
            .into();
        let database = self.database.as_mut().unwrap();
        self.runtime.block_on(database.take(placed, &positions)).unwrap();
    }

    fn judge_all(&mut self) {
        let database = self.database.as_mut().unwrap();
        for seal in self.runtime.block_on(database.waiting()).unwrap() {
            self.runtime.block_on(database.judge(&seal)).unwrap();
        }
    }

    fn pay_all(&mut self) {
        let database = self.database.as_mut().unwrap();
        for seal in self.runtime.block_on(database.paying()).unwrap() {
            self.runtime.block_on(database.pay(&seal)).unwrap();
        }
    }

    /// The rows of a query, with columns separated by blanks.
    fn rows(&mut self, sql: &'static str) -> Vec<String> {
        let database = self.database.as_mut().unwrap();
        let rows = self
            .runtime
            .block_on(sqlx::query(sql).fetch_all(&mut database.connection))
            .unwrap();
        let text = |row: &AnyRow| {
            let column = |at| row.try_get(at).unwrap_or_else(|_| row.get::<i64, _>(at).to_string());
            (0..row.len()).map(column).collect::<Vec<String>>().join(" ")
        };
        rows.iter().map(text).collect()
    }

    fn statuses(&mut self) -> Vec<String> {
        self.rows("SELECT asset, epoch, status FROM seals ORDER BY asset, epoch")
    }
}

/// A distribution of ATOM, which is paid in USDT.
fn distribution(epoch: i64, account: &str, amount: &str) -> Record {
    Record::Distribution(Distribution {
        id: format!("ATOM:{epoch}:{account}"),
        asset: "ATOM".to_owned(),
        epoch,
        account: account.to_owned(),
        reward_asset: "USDT".to_owned(),
        amount: amount.parse().unwrap(),
    })
}

/// The same distribution, but paid in another asset.
fn in_asset(record: &Record, reward_asset: &str) -> Record {
    let Record::Distribution(distribution) = record else {
        panic!("a seal")
    };
    let reward_asset = reward_asset.to_owned();
    Record::Distribution(Distribution {
        reward_asset,
        ..distribution.clone()
    })
}

/// The right seal over distributions of one epoch.
fn seal_over(epoch: i64, records: &[Record]) -> Seal {
    let mut all = Vec::new();
    for record in records {
        let Record::Distribution(distribution) = record else {
            panic!("a seal")
        };
        all.push(distribution);
    }
    all.sort_by_key(|of| (bucket(&of.account), &of.account));
    let mut tree = EpochTree::default();
    for of in &all {
        tree.push(&of.id, &of.account, &of.amount.to_string()).unwrap();
    }
    let distributed = all.iter().map(|of| &of.amount).sum();
    let distributions = i64::try_from(all.len()).unwrap();
    Seal {
        asset: "ATOM".to_owned(),
        epoch,
        reward_asset: "USDT".to_owned(),
        distributions,
        distributed,
        root: tree.finish(),
    }
}

/// `count` distributions of an epoch and their seal.
fn epoch(epoch: i64, count: usize) -> (Vec<Record>, Seal) {
    let of = |n| distribution(epoch, &format!("u-{n}"), &format!("{n}.000000000000000001"));
    let records: Vec<Record> = (1..=count).map(of).collect();
    let seal = seal_over(epoch, &records);
    (records, seal)
}

#[test]
fn pays_once_after_the_seal() {
    let mut books = Books::new(3);
    let large = "1000000000000000000000000000000";
    for (number, amounts) in [["0.9", large], ["0.1", "0.000000000000000001"]]
        .into_iter()
        .enumerate()
    {
        let number = i64::try_from(number).unwrap();
        let records = ["alice", "bob"]
            .into_iter()
            .zip(amounts)
            .map(|(to, amount)| distribution(number, to, amount));
        let records: Vec<Record> = records.collect();
        // The seal may come first.
        books.take([Record::Seal(seal_over(number, &records))]);
        books.take(records.clone());
        // Copies have no effect.
        books.take(records.clone());
        books.take([
            Record::Seal(seal_over(number, &records)),
            records[0].clone(),
            records[0].clone(),
        ]);
    }
    books.pay_all();
    assert!(
        books.rows("SELECT * FROM credits").is_empty(),
        "paid before it was judged"
    );
    books.judge_all();
    books.pay_all();
    books.pay_all();
    assert_eq!(books.statuses(), ["ATOM 0 paid", "ATOM 1 paid"]);
    let credits = "SELECT distribution, reward_asset, account, amount FROM credits ORDER BY distribution";
    assert_eq!(
        books.rows(credits),
        [
            "ATOM:0:alice USDT alice 0.9",
            "ATOM:0:bob USDT bob 1000000000000000000000000000000",
            "ATOM:1:alice USDT alice 0.1",
            "ATOM:1:bob USDT bob 0.000000000000000001",
        ]
    );
    assert_eq!(
        books.rows("SELECT reward_asset, account, balance FROM balances ORDER BY account"),
        [
            "USDT alice 1",
            "USDT bob 1000000000000000000000000000000.000000000000000001"
        ]
    );
    assert!(books.rows("SELECT * FROM conflicts").is_empty());
}

#[test]
fn goes_on_in_the_middle() {
    let mut books = Books::new(7);
    let (records, seal) = epoch(4, 50);
    books.take(records[..20].to_vec());
    books.restart(7);
    assert_eq!(books.database().offsets()[&(DISTRIBUTIONS.to_owned(), 0)], 20);
    books.take(records[20..].to_vec());
    books.take([Record::Seal(seal.clone())]);
    books.judge_all();
    books.restart(7);
    assert_eq!(books.statuses(), ["ATOM 4 paying"]);
    // Two transactions of the payment, of which one commits.
    for commit in [true, false] {
        let database = books.database.as_mut().unwrap();
        books.runtime.block_on(async {
            let mut step = database.begin().await.unwrap();
            let limit = if commit { 9 } else { 30 };
            let page = step.page(&seal, &Leaf::BEFORE_ALL, limit).await.unwrap();
            let credited = step.credit("USDT", &page, "2026-11-09T00:00:00.000Z").await.unwrap();
            assert_eq!(credited.len(), if commit { 9 } else { 21 });
            step.raise_balances("USDT", credited).await.unwrap();
            if commit {
                step.commit().await.unwrap();
            }
        });
    }
    books.restart(7);
    assert_eq!(books.rows("SELECT count(*) FROM credits"), ["9"]);
    books.pay_all();
    assert_eq!(books.statuses(), ["ATOM 4 paid"]);
    assert_eq!(books.rows("SELECT count(*) FROM credits"), ["50"]);
    let unequal = "SELECT 1 FROM credits NATURAL FULL JOIN balances WHERE amount IS NOT balance";
    assert!(books.rows(unequal).is_empty());
}

/// Changes the records that should be published into those that are.
type Change<'a> = &'a dyn Fn(Vec<Record>, Seal) -> Vec<Record>;

#[test]
fn holds_what_differs_from_its_seal() {
    let change = |seal: &Seal, change: &dyn Fn(&mut Seal)| {
        let mut seal = seal.clone();
        change(&mut seal);
        Record::Seal(seal)
    };
    let cases: [(&str, Change<'_>); 10] = [
        ("there are 4 distributions, the seal says 5", &|mut records, seal| {
            records.remove(2);
            [records, vec![Record::Seal(seal)]].concat()
        }),
        ("there are 6 distributions, the seal says 5", &|records, seal| {
            [records, vec![distribution(0, "mallory", "1"), Record::Seal(seal)]].concat()
        }),
        (
            "they add up to 14.000000000000000005, the seal says 15.000000000000000005",
            &|mut records, seal| {
                records[4] = distribution(0, "u-5", "4.000000000000000001");
                [records, vec![Record::Seal(seal)]].concat()
            },
        ),
        ("their Merkle root is", &|mut records, seal| {
            records[0] = distribution(0, "u-1", "2.000000000000000001");
            records[1] = distribution(0, "u-2", "1.000000000000000001");
            [records, vec![Record::Seal(seal)]].concat()
        }),
        (
            "they add up to 15.000000000000000005, the seal says 15",
            &|records, seal| {
                [
                    records,
                    vec![change(&seal, &|seal| seal.distributed = "15".parse().unwrap())],
                ]
                .concat()
            },
        ),
        (
            "distribution \"ATOM:0:u-1\" of 9 USDT was first published with 1.000000000000000001 USDT",
            &|records, seal| [records, vec![Record::Seal(seal), distribution(0, "u-1", "9")]].concat(),
        ),
        (
            "distribution \"ATOM:0:u-2\" of 2.000000000000000001 ATOM was first published with 2.000000000000000001 USDT",
            &|records, seal| {
                let second = in_asset(&records[1], "ATOM");
                [records, vec![Record::Seal(seal), second]].concat()
            },
        ),
        (
            "distribution \"ATOM:0:u-4\" is paid in ATOM, the seal says USDT",
            &|mut records, seal| {
                records[3] = in_asset(&records[3], "ATOM");
                [records, vec![Record::Seal(seal)]].concat()
            },
        ),
        (
            "a second seal says 5 distributions of 15.000000000000000005 ATOM",
            &|records, seal| {
                let second = change(&seal, &|seal| seal.reward_asset = "ATOM".to_owned());
                [records, vec![Record::Seal(seal), second]].concat()
            },
        ),
        ("a second seal says 6 distributions", &|records, seal| {
            let second = change(&seal, &|seal| seal.distributions = 6);
            [records, vec![Record::Seal(seal), second]].concat()
        }),
    ];
    for (reason, records) in cases {
        let mut books = Books::new(100);
        let (of_epoch, seal) = epoch(0, 5);
        books.take(records(of_epoch, seal));
        let (others, seal) = epoch(1, 5);
        books.take(others);
        books.take([Record::Seal(seal)]);
        books.judge_all();
        books.pay_all();
        assert_eq!(books.statuses(), ["ATOM 0 held", "ATOM 1 paid"], "{reason}");
        let why = books.rows("SELECT reason FROM seals WHERE epoch = 0").remove(0);
        assert!(why.contains(reason), "{reason:?} is not in {why:?}");
        assert_eq!(books.rows("SELECT count(*) FROM credits"), ["5"], "{reason}");
    }
}

#[test]
fn what_was_missing_may_come_later() {
    let mut books = Books::new(100);
    let (records, seal) = epoch(0, 5);
    books.take([Record::Seal(seal)]);
    for (until, status) in [(0, "held"), (2, "held"), (5, "paid")] {
        books.take(records[..until].to_vec());
        books.judge_all();
        books.pay_all();
        assert_eq!(books.statuses(), [format!("ATOM 0 {status}")]);
    }
    assert_eq!(books.rows("SELECT reason FROM seals"), [""]);
}

#[test]
fn what_comes_after_the_judgement_is_not_paid() {
    let mut books = Books::new(100);
    let (records, seal) = epoch(0, 5);
    books.take(records.clone());
    books.take([Record::Seal(seal)]);
    books.judge_all();
    books.take([
        records[1].clone(),
        distribution(0, "late", "1"),
        distribution(0, "u-3", "1"),
    ]);
    books.pay_all();
    assert_eq!(books.statuses(), ["ATOM 0 paid"]);
    assert_eq!(books.rows("SELECT count(*) FROM distributions"), ["5"]);
    assert_eq!(books.rows("SELECT count(*) FROM credits"), ["5"]);
    assert_eq!(
        books.rows("SELECT record_offset, what FROM conflicts ORDER BY record_offset"),
        [
            "7 distribution \"ATOM:0:late\" of 1 USDT came after the epoch was judged right",
            "8 distribution \"ATOM:0:u-3\" of 1 USDT was first published with 3.000000000000000001 USDT",
        ]
    );
}

#[test]
fn an_epoch_without_distributions() {
    let mut books = Books::new(100);
    books.take([Record::Seal(epoch(0, 0).1)]);
    books.judge_all();
    books.pay_all();
    assert_eq!(books.statuses(), ["ATOM 0 paid"]);
}

#[test]
fn there_is_only_one_instance() {
    let mut books = Books::new(100);
    let second = books.runtime.block_on(Database::open(&books.url(), 100));
    assert!(matches!(second, Err(Failure::Taken)));
    books.take([distribution(0, "alice", "1")]);
    // Even without the lock, an instance with old offsets cannot write.
    let database = books.database.as_mut().unwrap();
    database.offsets = [((DISTRIBUTIONS.to_owned(), 0), 0)].into();
    let positions = [((DISTRIBUTIONS.to_owned(), 0), 5)].into();
    let stale = books.runtime.block_on(database.take(Vec::new(), &positions));
    assert!(matches!(stale, Err(Failure::Stop(_))));
    books.restart(100);
    assert_eq!(books.database().offsets()[&(DISTRIBUTIONS.to_owned(), 0)], 1);
}

#[test]
fn numbered_placeholders() {
    assert_eq!(
        rows("($, CAST($ AS TEXT))", 2, 1),
        "($1, CAST($2 AS TEXT)), ($3, CAST($4 AS TEXT))"
    );
    assert_eq!(list(3, 2), "($2, $3, $4)");
}
