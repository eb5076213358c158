//! Payments of complete epochs, into SQLite and PostgreSQL.

use std::fs;
use std::time::{Duration, Instant};

use super::consumer::{Consumer, Program};
use super::database::Database;
use super::epoch::{Epoch, due, plain};
use super::{DISTRIBUTIONS, EPOCHS, create_topics};
use crate::common::kafka::Cluster;
use crate::common::postgres::Postgres;
use crate::common::{Dice, fixture, setting};

#[test]
fn the_worked_example_is_paid_once() {
    let cluster = Cluster::single();
    create_topics(&cluster);
    let lines = |name: &str| -> Vec<String> {
        fs::read_to_string(fixture("example/expected").join(name))
            .expect("the example")
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let (distributions, seals) = (lines("distributions.jsonl"), lines("epochs.jsonl"));
    let postgres = Postgres::start();
    let databases = [Database::sqlite(), Database::postgres(&postgres, "example")]
        .into_iter()
        .chain([Program::Python, Program::Java].map(|program| Database::sqlite().of(program)))
        .map(|database| database.with_topic(&cluster))
        .collect::<Vec<_>>();

    // Distributions count if they are published before the seal, in any partition. Nothing is paid before the seal.
    let transaction = cluster.begin("payout", DISTRIBUTIONS, 2, &distributions[5..]);
    transaction.produce(DISTRIBUTIONS, 0, &distributions[..2]);
    transaction.commit();
    cluster.begin("payout", DISTRIBUTIONS, 0, &distributions[..5]).abort();
    cluster.begin("payout", DISTRIBUTIONS, 1, &distributions[2..5]).commit();
    for database in &databases {
        Consumer::run(&cluster, database);
        assert_eq!(database.rows("SELECT count(*) FROM distributions"), ["7"]);
        assert!(database.balances().is_empty());
    }
    cluster.begin("payout", EPOCHS, 0, &seals).commit();
    for database in &databases {
        // The second run has nothing to do.
        for _ in 0..2 {
            Consumer::run(&cluster, database);
            assert_eq!(database.statuses(), ["ATOM 0 paid", "ATOM 1 paid"]);
            let balances: Vec<String> = database
                .balances()
                .iter()
                .map(|(of, sum)| format!("{of} {}", plain(sum)))
                .collect();
            let sums = [
                "ATOM alice 1.1888",
                "ATOM bob 14.8118",
                "ATOM carol 1.309",
                "ATOM dave 0.2401",
            ];
            assert_eq!(balances, sums);
            assert_eq!(database.check_executions(&cluster), 7);
        }
    }

    // A topic that was deleted and created again lacks the next offset. The lost records are unknown.
    cluster.delete_topic(DISTRIBUTIONS);
    cluster.create_topic(DISTRIBUTIONS, 3, &[]);
    for database in &databases {
        let said = Consumer::fail(&cluster, database);
        assert!(said.contains("the next record is gone: "), "{said}");
        if database.program == Program::Rust {
            assert!(
                said.contains("softstake.distributions, partition 0 has no offset 9, but 0 to 0;"),
                "{said}"
            );
        }
    }
}

#[test]
#[ignore = "it takes minutes"]
fn memory_does_not_grow_with_the_size_of_an_epoch() {
    let accounts = usize::try_from(setting("TEST_PAYOUT_ACCOUNTS", 2_000_000)).expect("a number");
    let cluster = Cluster::single();
    create_topics(&cluster);
    let epoch = Epoch::random("ATOM", 0, accounts, &mut Dice::new(3));
    epoch.publish(&cluster);
    let postgres = Postgres::start();
    for database in [Database::sqlite(), Database::postgres(&postgres, "large")] {
        let database = database.with_topic(&cluster);
        let began = Instant::now();
        let mut consumer = Consumer::start(&cluster, &database, &["--until-idle"]);
        let mut peak_kib = 0;
        while consumer.running() {
            let status = fs::read_to_string(format!("/proc/{}/status", consumer.process.id())).unwrap_or_default();
            let peak = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            peak_kib = peak.map_or(peak_kib, |peak| peak.parse::<u64>().expect("a number").max(peak_kib));
            std::thread::sleep(Duration::from_millis(100));
        }
        println!(
            "{} distributions: {:?}, {} MiB at most",
            accounts,
            began.elapsed(),
            peak_kib / 1024
        );
        println!("{}", consumer.said());
        assert_eq!(database.statuses(), ["ATOM 0 paid"]);
        assert!(
            database.balances() == due(std::slice::from_ref(&epoch)),
            "something was lost or paid twice"
        );
        assert!(peak_kib < 400 * 1024, "{peak_kib} KiB");
    }
}
