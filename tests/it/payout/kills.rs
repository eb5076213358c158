//! Kills of the three consumers, between any two of their steps.

use std::time::{Duration, Instant};

use softstake::generate::Synthetic;

use super::consumer::{Consumer, FLAGS, Program};
use super::database::Database;
use super::settled::Settled;
use crate::common::kafka::Cluster;
use crate::common::postgres::Postgres;
use crate::common::{Dice, setting};

/// After this many kills, a kind of them that never happened fails the test.
const MOST_KILLS: u64 = 200;

/// What kills met.
#[derive(Debug, Default)]
struct Kills {
    all: u64,
    lives: u64,
    /// While an epoch was not paid completely.
    amid_payments: u64,
    /// In a transaction of Kafka, which was aborted.
    aborted: usize,
    /// After Kafka committed a transaction, and before the database knew.
    committed: usize,
}

impl Kills {
    fn is_enough(&self, wanted: u64) -> bool {
        self.all >= wanted && self.amid_payments > 0 && self.aborted > 0
    }

    fn note(&mut self, database: &Database) {
        let said = database.said();
        self.aborted += said.matches("were not on the topic before the restart").count();
        self.committed += said.matches("were on the topic before the restart").count();
    }
}

/// Kills a consumer at random instants, again and again, until kills of every kind happened. Each of its lives ends with all paid and published.
fn kill(cluster: &Cluster, settled: &Settled, mut database: impl FnMut() -> Database) {
    let wanted = setting("TEST_PAYOUT_KILLS", 4);
    let mut dice = Dice::new(1);
    let whole = database().with_topic(cluster);
    let began = Instant::now();
    Consumer::run(cluster, &whole);
    let length = began.elapsed();
    settled.check(cluster, &whole);
    let mut kills = Kills::default();
    while !kills.is_enough(wanted) {
        assert!(kills.all < MOST_KILLS, "{:?}: {kills:?}", whole.program);
        let database = database().with_topic(cluster);
        kills.lives += 1;
        // It is killed and started again on the same database until it ends before the next kill.
        loop {
            let mut consumer = Consumer::start(cluster, &database, &FLAGS);
            // Amid payments, in a transaction of Kafka or shortly after it, or at any instant.
            let started = Instant::now();
            let gives_up = |consumer: &mut Consumer| started.elapsed() > length * 3 || !consumer.running();
            match dice.throw(3) {
                0 => database.until("SELECT 1 FROM seals WHERE status = 'paying'", || {
                    gives_up(&mut consumer)
                }),
                1 => {
                    // What an earlier life left is not meant.
                    let attempted = database.rows("SELECT attempted FROM publisher").concat();
                    let attempted = if attempted.is_empty() { "0" } else { attempted.as_str() };
                    let sql =
                        format!("SELECT 1 FROM publisher WHERE attempted > published AND attempted <> {attempted}");
                    database.until(&sql, || gives_up(&mut consumer));
                    std::thread::sleep(Duration::from_millis(dice.throw(2) * dice.throw(25)));
                }
                _ => std::thread::sleep(length.mul_f64(dice.throw(1000) as f64 / 1000.0)),
            }
            if !consumer.running() || kills.all >= MOST_KILLS {
                break;
            }
            drop(consumer);
            kills.all += 1;
            database.balances();
            kills.amid_payments += u64::from(!database.rows("SELECT 1 FROM seals WHERE status <> 'paid'").is_empty());
        }
        let last = Consumer::start(cluster, &database, &[]);
        drop(last);
        Consumer::run(cluster, &database);
        settled.check(cluster, &database);
        kills.note(&database);
    }
    // The instant after a commit on Kafka is short, so here the database is locked during it.
    let database = database().with_topic(cluster);
    let consumer = Consumer::start(cluster, &database, &FLAGS);
    database.lock_while_publishing(|| drop(consumer));
    Consumer::run(cluster, &database);
    settled.check(cluster, &database);
    let before = kills.committed;
    kills.note(&database);
    assert!(kills.committed > before, "{:?}: {}", whole.program, database.said());
    println!("{:?}: {kills:?}; a whole run takes {length:?}", whole.program);
}

fn spec() -> Synthetic {
    Synthetic {
        events: 5_000,
        accounts: 80,
        // The fifth is paid in another asset.
        assets: 5,
        epochs: 3,
        seed: 5,
        late: 0.03,
        ..Synthetic::default()
    }
}

#[test]
fn killed_at_random_instants_it_pays_and_publishes_exactly_once_on_sqlite() {
    let cluster = Cluster::single();
    let settled = Settled::publish(&cluster, &spec());
    kill(&cluster, &settled, Database::sqlite);
}

#[test]
fn killed_at_random_instants_it_pays_and_publishes_exactly_once_on_postgresql() {
    let cluster = Cluster::single();
    let settled = Settled::publish(&cluster, &spec());
    let postgres = Postgres::start();
    let mut databases = 0;
    kill(&cluster, &settled, || {
        databases += 1;
        Database::postgres(&postgres, &format!("kills_{databases}"))
    });
}

#[test]
fn killed_at_random_instants_it_pays_and_publishes_exactly_once_in_python() {
    let cluster = Cluster::single();
    let settled = Settled::publish(&cluster, &spec());
    kill(&cluster, &settled, || Database::sqlite().of(Program::Python));
}

#[test]
fn killed_at_random_instants_it_pays_and_publishes_exactly_once_in_java() {
    let cluster = Cluster::single();
    let settled = Settled::publish(&cluster, &spec());
    kill(&cluster, &settled, || Database::sqlite().of(Program::Java));
}
