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
    let transaction = cluster.begin("payout", DISTRIBUTIONS, 2, &distributions[9..]);
    transaction.produce(DISTRIBUTIONS, 0, &distributions[..2]);
    transaction.commit();
    cluster.begin("payout", DISTRIBUTIONS, 0, &distributions[..5]).abort();
    cluster.begin("payout", DISTRIBUTIONS, 1, &distributions[2..9]).commit();
    for database in &databases {
        Consumer::run(&cluster, database);
        assert_eq!(database.rows("SELECT count(*) FROM distributions"), ["14"]);
        assert!(database.balances().is_empty());
    }
    cluster.begin("payout", EPOCHS, 0, &seals).commit();
    for database in &databases {
        // The second run has nothing to do.
        for _ in 0..2 {
            Consumer::run(&cluster, database);
            assert_eq!(database.statuses(), ["ATOM 0 paid", "ATOM 1 paid", "ATOM 2 paid"]);
            let balances: Vec<String> = database
                .balances()
                .iter()
                .map(|(of, sum)| format!("{of} {}", plain(sum)))
                .collect();
            let sums = [
                "ATOM alice 1.3065",
                "ATOM alice/grid 0.2029",
                "ATOM bob 20.1576",
                "ATOM carol 3.0863",
                "ATOM dave 0.4301",
                "ATOM frank 0.25",
            ];
            assert_eq!(balances, sums);
            assert_eq!(database.check_executions(&cluster), 14);
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

/// Two assets are paid in a third, which is paid in itself: one balance of each account is the sum of all three.
#[test]
fn each_amount_is_credited_in_its_reward_asset() {
    let cluster = Cluster::single();
    create_topics(&cluster);
    let mut dice = Dice::new(6);
    let mut random = |asset, epoch| Epoch::random(asset, epoch, 60, &mut dice);
    let epochs = [
        random("ATOM", 0).paid_in("USDT"),
        random("DOT", 0).paid_in("USDT"),
        random("USDT", 0),
        // Withdrawn, and listed again with another reward asset.
        random("ATOM", 1).paid_in("BTC"),
        random("ATOM", 2),
    ];
    for epoch in &epochs {
        epoch.publish(&cluster);
    }
    let due = due(&epochs);
    let shared = epochs[0].paid.iter().filter(|(account, _)| {
        let of = |epoch: &Epoch| epoch.paid.iter().any(|(other, _)| other == account);
        of(&epochs[1]) && of(&epochs[2])
    });
    assert!(shared.count() > 3, "accounts with all three");
    let postgres = Postgres::start();
    let databases = Program::ALL
        .map(|program| Database::sqlite().of(program))
        .into_iter()
        .chain([Database::postgres(&postgres, "reward_assets")]);
    for database in databases {
        let database = database.with_topic(&cluster);
        Consumer::run(&cluster, &database);
        let statuses = ["ATOM 0 paid", "ATOM 1 paid", "ATOM 2 paid", "DOT 0 paid", "USDT 0 paid"];
        assert_eq!(database.statuses(), statuses, "{:?}", database.program);
        assert!(database.balances() == due, "{:?} {}", database.program, database.url);
        let in_seals = "SELECT asset, epoch, reward_asset FROM seals ORDER BY asset, epoch";
        assert_eq!(
            database.rows(in_seals),
            ["ATOM 0 USDT", "ATOM 1 BTC", "ATOM 2 ATOM", "DOT 0 USDT", "USDT 0 USDT"]
        );
        assert_eq!(database.check_executions(&cluster), 300);
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
