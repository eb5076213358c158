//! A topic that is deleted and created again while an instance reads it.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

use crate::common::events::{close, deposit, listing, pool};
use crate::common::kafka::{Cluster, Deployment};

/// Whether the task of `exchange.trades` has stopped, because its log is another one. Its reader says so; or, if the brokers have deleted the position
/// together with the topic and the task has restarted meanwhile, its start.
fn has_stopped(said: &str) -> bool {
    let by_its_reader = [
        "exchange.trades (exchange.trades:0) ",
        "deleted and created again",
        "restore the original",
    ];
    let by_its_start = [
        "exchange.trades:0: its store is at ",
        "the topic was created anew",
        "bring back the matching state",
    ];
    let has_all = |line: &str, parts: [&str; 3]| parts.iter().all(|part| line.contains(part));
    said.lines()
        .filter(|line| line.contains("ERROR stopped, the other tasks continue: "))
        .any(|line| has_all(line, by_its_reader) || has_all(line, by_its_start))
}

/// The number of records that are read at first.
const READ: i64 = 15;

fn deposits(name: &str, from: i64, count: i64) -> impl Iterator<Item = String> {
    let event = move |number| deposit(&format!("{name}-{number}"), from + number, "ann", "A", "1").to_string();
    (0..count).map(event)
}

/// A deployment that has sealed epoch 0, with ten records of `exchange.trades` in epoch 1.
fn sealed_once(cluster: &Cluster) -> Deployment<'_> {
    let deployment = Deployment::new(cluster, 2, 1);
    deployment.place.append(
        "softstake.control",
        0,
        [listing("A", 2, 100, &pool()), close("A", 0, 100, "5")],
    );
    deployment.place.append(
        "exchange.trades",
        0,
        deposits("first", 0, 5).chain(deposits("second", 100_000, 10)),
    );
    deployment.publish();
    deployment
}

/// The committed offset of the task of `exchange.trades`.
fn committed(cluster: &Cluster) -> i64 {
    let consumer: BaseConsumer = cluster
        .client()
        .set("group.id", "softstake")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition("exchange.trades", 0);
    let found = consumer.committed_offsets(wanted, Duration::from_secs(10));
    match found.expect("a committed offset").elements()[0].offset() {
        Offset::Offset(offset) => offset,
        _ => 0,
    }
}

fn until_read(cluster: &Cluster, deployment: &Deployment<'_>) {
    deployment.until("all records are read", || committed(cluster) == READ);
}

/// Deletes and creates the topic under a running instance, with this many other records, then closes the next epoch. If more records are there than
/// before, some are read first.
fn recreate_and_close(count: i64) {
    let cluster = Cluster::single();
    let deployment = sealed_once(&cluster);
    let mut instance = deployment.start(0);
    deployment.until_sealed(1);
    until_read(&cluster, &deployment);
    cluster.delete_topic("exchange.trades");
    cluster.create_topic("exchange.trades", 1, &[]);
    cluster.produce("exchange.trades", 0, deposits("other", 100_000, count));
    if count > READ {
        deployment.until("new records are read, or its task stops", || {
            committed(&cluster) > READ || has_stopped(&deployment.said(0))
        });
        println!("committed up to {}", committed(&cluster));
    }
    cluster.produce("softstake.control", 0, [close("A", 1, 100, "7")]);
    deployment.until("its task stops", || has_stopped(&deployment.said(0)));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(deployment.sealed(), 1, "{count} records: {}", deployment.said(0));
    assert_eq!(instance.stop(), Some(1), "{}", deployment.said(0));
    // A restart does not accept the new log either. Brokers may have deleted the position together with the topic.
    let is_stop = |line: &&str| line.contains("ERROR stopped, ") && line.contains("exchange.trades:0");
    let stops = |said: &str| said.lines().filter(is_stop).count();
    let before = stops(&deployment.said(0));
    let mut instance = deployment.start(0);
    deployment.until("its task stops again", || stops(&deployment.said(0)) > before);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(deployment.sealed(), 1, "{count} records: {}", deployment.said(0));
    assert_eq!(instance.stop(), Some(1), "{}", deployment.said(0));
}

#[test]
fn with_fewer_records_than_were_read() {
    recreate_and_close(4);
}

#[test]
fn with_as_many_records_as_were_read() {
    recreate_and_close(READ);
}

#[test]
fn with_more_records_than_were_read() {
    recreate_and_close(40);
}

/// Without a close, within seconds.
#[test]
fn an_idle_instance_finds_it() {
    let cluster = Cluster::single();
    let deployment = sealed_once(&cluster);
    let mut instance = deployment.start(0);
    deployment.until_sealed(1);
    until_read(&cluster, &deployment);
    for topic in ["exchange.trades", "softstake.ledger"] {
        let partitions = cluster.partitions(topic);
        cluster.delete_topic(topic);
        cluster.create_topic(topic, partitions, &[]);
        let began = Instant::now();
        let named = format!("stopped, the other tasks continue: topic {topic} ({topic}:0) ");
        deployment.until("its task stops", || deployment.said(0).contains(&named));
        println!("{topic}: found after {:?}", began.elapsed());
    }
    assert_eq!(instance.stop(), Some(1), "{}", deployment.said(0));
}

/// A topic of which nothing was read may be created at any time.
#[test]
fn an_empty_topic_is_read_from_its_start() {
    let cluster = Cluster::single();
    let deployment = sealed_once(&cluster);
    let mut instance = deployment.start(0);
    deployment.until_sealed(1);
    cluster.delete_topic("exchange.deposits");
    cluster.create_topic("exchange.deposits", 1, &[]);
    cluster.produce("exchange.deposits", 0, deposits("late", 100_000, 3));
    cluster.produce("softstake.control", 0, [close("A", 1, 100, "7")]);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    assert!(!deployment.said(0).contains("created again"), "{}", deployment.said(0));
}
