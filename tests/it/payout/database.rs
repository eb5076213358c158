//! The consumer's database, and queries on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use num_bigint::BigInt;
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use super::consumer::Program;
use crate::common::kafka::records::Read;
use crate::common::kafka::{Cluster, PATIENCE, wait_for};
use crate::common::postgres::{Postgres, block_on};
use crate::common::records::{scaled, text};
use crate::common::schemas::check_record;

/// A database for the consumer, with a topic for its executions that no other database has.
pub struct Database {
    pub url: String,
    /// The number of this database among all of this test process.
    number: u32,
    /// What works on it.
    pub program: Program,
    folder: TempDir,
}

impl Database {
    pub fn sqlite() -> Self {
        // In memory if possible: a killed process loses no written page there, either.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        let folder = folder.expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("payout.db").display());
        Self::new(url, folder)
    }

    pub fn postgres(server: &Postgres, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::new(server.create(name), folder)
    }

    fn new(url: String, folder: TempDir) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            url,
            number,
            program: Program::Rust,
            folder,
        }
    }

    /// The same, for another program.
    pub fn of(self, program: Program) -> Self {
        Self { program, ..self }
    }

    /// The name of the payout service on Kafka.
    pub fn name(&self) -> String {
        format!("payout-{}", self.number)
    }

    /// The topic of the executions.
    pub fn executions(&self) -> String {
        format!("payout.executions-{}", self.number)
    }

    /// The same, with its topic for executions.
    pub fn with_topic(self, cluster: &Cluster) -> Self {
        self.create_topic(cluster);
        self
    }

    pub fn create_topic(&self, cluster: &Cluster) {
        cluster.create_topic(&self.executions(), 2, &[]);
    }

    /// Makes this database use the name and the topic of another one, which is a mistake.
    pub fn take_name_of(&mut self, other: &Self) {
        self.number = other.number;
    }

    /// Waits until a query has a row; or until `gives_up`. It asks often, so a short instant is not missed.
    pub fn until(&self, sql: &str, mut gives_up: impl FnMut() -> bool) {
        sqlx::any::install_default_drivers();
        block_on(async {
            let mut connection = None;
            while !gives_up() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if connection.is_none() {
                    connection = AnyConnection::connect(&self.url).await.ok();
                }
                let Some(open) = &mut connection else { continue };
                // The table may not be there yet.
                let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(open).await;
                if rows.is_ok_and(|rows| !rows.is_empty()) {
                    return;
                }
            }
        });
    }

    /// Locks the state of the outbox while its consumer is in a transaction of Kafka, so that the consumer cannot record its end. Then calls `kill`.
    pub fn lock_while_publishing(&self, kill: impl FnOnce()) {
        sqlx::any::install_default_drivers();
        let deadline = Instant::now() + PATIENCE;
        block_on(async {
            while Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let Ok(mut connection) = AnyConnection::connect(&self.url).await else {
                    continue;
                };
                let mut lock = connection.begin().await.expect("a transaction");
                let sql = "UPDATE publisher SET added = added WHERE attempted > published";
                let locked = sqlx::query(sql).execute(&mut *lock).await;
                if locked.is_ok_and(|locked| locked.rows_affected() == 1) {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    kill();
                    return;
                }
            }
            panic!("it was never in a transaction of Kafka: {}", self.said());
        });
    }

    /// What all consumers of this database have said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.log()).expect("the log")
    }

    /// The file for the consumer's log.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The rows of a query, with blanks between columns. There are none if the table does not exist yet.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        sqlx::any::install_default_drivers();
        block_on(async {
            let Ok(mut connection) = AnyConnection::connect(&self.url).await else {
                return Vec::new();
            };
            let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
                .fetch_all(&mut connection)
                .await;
            let text = |row: &sqlx::any::AnyRow| {
                let column = |at| match row.try_get::<String, _>(at) {
                    Ok(text) => text,
                    Err(_) => row.get::<i64, _>(at).to_string(),
                };
                (0..row.len()).map(column).collect::<Vec<_>>().join(" ")
            };
            rows.unwrap_or_default().iter().map(text).collect()
        })
    }

    pub fn statuses(&self) -> Vec<String> {
        self.rows("SELECT asset, epoch, status FROM seals ORDER BY asset, epoch")
    }

    pub fn wait_for(&self, asset: &str, epoch: u32, status: &str) {
        let row = format!("{asset} {epoch} {status}");
        wait_for(&row, || self.statuses().contains(&row).then_some(()));
    }

    /// Every balance by reward asset and account.
    ///
    /// It checks that balances are the sums of their credits, that only sealed epochs are credited, and that paid
    /// epochs are credited completely.
    pub fn balances(&self) -> BTreeMap<String, BigInt> {
        let balances = self.rows("SELECT reward_asset, account, CAST(balance AS TEXT) FROM balances");
        let balances: BTreeMap<String, BigInt> = balances.iter().map(|row| keyed(row)).collect();
        let mut credited = BTreeMap::new();
        for row in self.rows("SELECT reward_asset, account, CAST(amount AS TEXT) FROM credits") {
            let (account, amount) = keyed(&row);
            *credited.entry(account).or_default() += amount;
        }
        assert!(balances == credited, "the balances are not the sums of the credits");
        let early = "SELECT id FROM distributions d JOIN credits c ON c.distribution = d.id
                     LEFT JOIN seals s ON s.asset = d.asset AND s.epoch = d.epoch AND s.status IN ('paying', 'paid')
                     WHERE s.asset IS NULL";
        assert_eq!(
            self.rows(early),
            Vec::<String>::new(),
            "credited without a checked seal"
        );
        let forgotten = "SELECT id FROM seals s JOIN distributions d ON s.asset = d.asset AND s.epoch = d.epoch
                         LEFT JOIN credits c ON c.distribution = d.id AND c.amount = d.amount AND c.reward_asset = d.reward_asset
                         WHERE s.status = 'paid' AND c.distribution IS NULL";
        assert_eq!(self.rows(forgotten), Vec::<String>::new(), "paid, but not credited");
        balances
    }

    /// Checks that each credit has one execution on the topic, and that nothing else is there. Returns their number.
    ///
    /// The amounts must be those of the credits, and the ids those of the distributions.
    pub fn check_executions(&self, cluster: &Cluster) -> usize {
        let read = cluster.read_committed(&self.executions());
        let mut executed: Vec<String> = read.iter().map(execution).collect();
        executed.sort();
        let mut credited = self.rows("SELECT distribution, CAST(amount AS TEXT) FROM credits");
        credited.sort();
        assert_eq!(executed.len(), credited.len(), "executions on the topic, and credits");
        assert!(
            executed == credited,
            "an execution is there twice, or differs from its credit"
        );
        assert_eq!(self.rows("SELECT distribution FROM outbox"), Vec::<String>::new());
        executed.len()
    }
}

/// A row of asset, account and amount.
fn keyed(row: &str) -> (String, BigInt) {
    let (key, amount) = row.rsplit_once(' ').expect("an amount");
    (key.to_owned(), scaled(amount))
}

/// Distribution and amount of an execution, which must be an event by its schema.
fn execution(record: &Read) -> String {
    let event: Value = serde_json::from_str(record.text()).expect("JSON");
    check_record(&event).expect("an event by its schema");
    let data = &event["data"];
    let distribution = text(&data["distribution"]);
    assert_eq!((text(&event["id"]), text(&event["source"])), (distribution, "/payouts"));
    assert_eq!(event["time"], data["credited_at"]);
    assert_eq!(record.key.as_deref(), Some(distribution.as_bytes()));
    let kind = (
        "content-type".to_owned(),
        Some(b"application/cloudevents+json".to_vec()),
    );
    assert_eq!(record.headers, [kind]);
    format!("{distribution} {}", text(&data["amount"]))
}
