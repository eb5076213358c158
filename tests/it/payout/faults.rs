//! Faults: kills of the consumer, outages of what it depends on, and records that are missing or late.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use super::consumer::Consumer;
use super::database::Database;
use super::epoch::{Epoch, due};
use super::{DISTRIBUTIONS, EPOCHS, create_topics};
use crate::common::Dice;
use crate::common::kafka::{Cluster, wait_for};
use crate::common::postgres::{Postgres, block_on};
use crate::common::records::scaled;

/// Publishes an epoch and waits until it is paid.
fn pay(cluster: &Cluster, database: &Database, epoch: Epoch) -> Epoch {
    epoch.publish(cluster);
    database.wait_for(epoch.asset, epoch.epoch, "paid");
    epoch
}

/// A new partition is read before a later seal is judged.
fn pay_from_a_new_partition(cluster: &Cluster, database: &Database, epoch: Epoch) -> Epoch {
    block_on(async {
        let admin: AdminClient<DefaultClientContext> = cluster.client().create().expect("a client");
        let partitions = NewPartitions::new(DISTRIBUTIONS, 4);
        let created = admin
            .create_partitions([&partitions], &AdminOptions::new())
            .await
            .expect("an answer");
        assert!(created[0].is_ok(), "{created:?}");
    });
    cluster
        .begin("payout", DISTRIBUTIONS, 3, epoch.distributions())
        .commit();
    cluster.begin("payout", EPOCHS, 0, [epoch.seal()]).commit();
    database.wait_for(epoch.asset, epoch.epoch, "paid");
    epoch
}

/// The broker holds back all records behind an open transaction. They are not missing.
fn pay_behind_an_open_transaction(cluster: &Cluster, database: &Database, epoch: Epoch) -> Epoch {
    let open = cluster.begin("open", DISTRIBUTIONS, 1, ["it would be unreadable"]);
    epoch.publish(cluster);
    database.wait_for(epoch.asset, epoch.epoch, "waiting");
    std::thread::sleep(Duration::from_secs(3));
    let status = format!("SELECT status FROM seals WHERE epoch = {}", epoch.epoch);
    assert_eq!(database.rows(&status), ["waiting"]);
    open.abort();
    database.wait_for(epoch.asset, epoch.epoch, "paid");
    epoch
}

/// A missing distribution holds its own epoch only, until the distribution is published.
fn pay_after_a_missing_distribution(
    cluster: &Cluster,
    database: &Database,
    consumer: &Consumer,
    [held, mut other]: [Epoch; 2],
) -> [Epoch; 2] {
    let distributions = held.distributions();
    cluster.begin("payout", DISTRIBUTIONS, 0, &distributions[1..]).commit();
    cluster.begin("payout", EPOCHS, 0, [held.seal()]).commit();
    database.wait_for("ATOM", 5, "held");
    let reason = database.rows("SELECT reason FROM seals WHERE epoch = 5").remove(0);
    assert!(
        reason.starts_with("there are 99 distributions, the seal says 100; they add up to "),
        "{reason}"
    );
    assert!(
        consumer
            .said()
            .contains("ATOM epoch 5 is held and nothing of it is paid"),
        "{}",
        consumer.said()
    );
    other.paid[0].1 = scaled("1000000000000000000000000000000.000000000000000001");
    let other = pay(cluster, database, other);
    cluster.begin("payout", DISTRIBUTIONS, 2, &distributions[..1]).commit();
    database.wait_for("ATOM", 5, "paid");
    [held, other]
}

#[test]
fn outages_and_missing_records_only_delay_payments() {
    let cluster = Cluster::single();
    let mut postgres = Postgres::start();
    let database = Database::postgres(&postgres, "outages");
    // At first not even the topics exist.
    let mut consumer = Consumer::start(&cluster, &database, &[]);
    wait_for("the consumer to have started", || {
        consumer.said().contains("does not exist yet").then_some(())
    });
    create_topics(&cluster);
    let mut dice = Dice::new(2);
    let mut random = |epoch| Epoch::random("ATOM", epoch, 100, &mut dice);
    let mut epochs = vec![pay(&cluster, &database, random(0))];
    // Payments do not wait for the topic of their executions.
    wait_for("the missing topic to be told", || {
        let missing = format!("the topic {} does not exist", database.executions());
        consumer.said().contains(&missing).then_some(())
    });
    database.create_topic(&cluster);

    let second = Consumer::fail(&cluster, &database);
    assert!(second.contains("another instance runs on this database"), "{second}");

    cluster.kill(0);
    cluster.start(0);
    epochs.push(pay(&cluster, &database, random(1)));

    postgres.crash();
    std::thread::sleep(Duration::from_secs(2));
    postgres.restart();
    epochs.push(pay(&cluster, &database, random(2)));

    epochs.push(pay_from_a_new_partition(&cluster, &database, random(3)));
    epochs.push(pay_behind_an_open_transaction(&cluster, &database, random(4)));
    let held = random(5);
    let other = Epoch::random("DOT", 0, 50, &mut dice);
    epochs.extend(pay_after_a_missing_distribution(
        &cluster,
        &database,
        &consumer,
        [held, other],
    ));

    assert!(
        consumer.running(),
        "the consumer must not have ended:\n{}",
        consumer.said()
    );
    assert!(database.balances() == due(&epochs), "something was lost or paid twice");
    wait_for("the executions to be published", || {
        database.rows("SELECT 1 FROM outbox").is_empty().then_some(())
    });
    assert_eq!(database.check_executions(&cluster), 650);
}
