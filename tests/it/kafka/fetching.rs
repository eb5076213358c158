//! One consumer for all partitions: what an instance costs, and partitions that nobody reads.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use softstake::bus::kafka::{KafkaSettings, Patience, ReadOnlyKafka};
use softstake::bus::{Log, Mark, Reader, Topic};
use softstake::core::values::offset::Offset;
use softstake::generate::Synthetic;

use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::judge::judge;

/// The open descriptors of a process, by kind, without the files of its stores.
fn descriptors(instance: &Instance, state: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let folder = fs::read_dir(format!("/proc/{}/fd", instance.id())).expect("a process");
    for entry in folder.filter_map(Result::ok) {
        // One may be closed meanwhile.
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let target = target.display().to_string();
        if !target.contains(state) {
            let kind = target.split([':', '[']).next().unwrap_or_default().to_owned();
            *kinds.entry(kind).or_default() += 1;
        }
    }
    kinds
}

/// The threads of a process, by name.
fn threads(instance: &Instance) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    let folder = fs::read_dir(format!("/proc/{}/task", instance.id())).expect("a process");
    for entry in folder.filter_map(Result::ok) {
        if let Ok(name) = fs::read_to_string(entry.path().join("comm")) {
            *names.entry(name.trim().to_owned()).or_default() += 1;
        }
    }
    names
}

#[test]
fn descriptors_and_threads_do_not_grow_with_partitions() {
    let cluster = Cluster::single();
    // 64 ledger partitions and 65 source partitions, in one instance.
    let deployment = Deployment::new(&cluster, 64, 13);
    let spec = Synthetic {
        events: 6_000,
        accounts: 300,
        assets: 2,
        partitions: 13,
        epochs: 2,
        ..Synthetic::default()
    };
    deployment.place.bring_all(&spec);
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until_sealed(4);
    let descriptors = descriptors(&instance, &deployment.state(0).display().to_string());
    let threads = threads(&instance);
    println!("descriptors: {descriptors:?}\nthreads: {threads:?}");
    assert!(descriptors.values().sum::<usize>() < 512, "{descriptors:?}");
    assert!(threads.values().sum::<usize>() < 64, "{threads:?}");
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    judge(&deployment.place);
}

fn read_only(cluster: &Cluster) -> ReadOnlyKafka {
    let settings = KafkaSettings {
        brokers: cluster.bootstrap(),
        ..KafkaSettings::default()
    };
    let patience = Patience {
        stop: &AtomicBool::new(false),
        timeout: Some(Duration::from_secs(60)),
    };
    ReadOnlyKafka::open(settings, &patience)
        .expect("the brokers")
        .expect("a log")
}

/// Reads until `count` records are read. Returns their offsets and values.
fn read(reader: &mut dyn Reader, count: usize) -> Vec<(u64, Vec<u8>)> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut records = Vec::new();
    while records.len() < count {
        let batch = reader.read(1 << 20, Offset::NO_LIMIT).expect("a batch");
        records.extend(batch.iter().map(|record| (record.offset.get(), record.value.to_vec())));
        assert!(Instant::now() < deadline, "only {} of {count}", records.len());
    }
    records
}

fn numbered(count: usize, width: usize) -> Vec<(u64, Vec<u8>)> {
    let record = |number| (number as u64, format!("{number:0width$}").into_bytes());
    (0..count).map(record).collect()
}

#[test]
fn a_partition_that_nobody_reads_holds_up_no_other_and_loses_nothing() {
    let (count, width) = (100_000, 400);
    let cluster = Cluster::single();
    cluster.create_topic("exchange.deposits", 2, &[]);
    cluster.create_topic("exchange.trades", 2, &[]);
    let values = |count, width| numbered(count, width).into_iter().map(|(_, value)| value);
    // 40 MB, five times as much as waits for a reader.
    cluster.produce("exchange.deposits", 0, values(count, width));
    cluster.produce("exchange.deposits", 1, values(30, width));
    cluster.produce("exchange.trades", 0, values(30, width));
    let log = read_only(&cluster);
    let open = |topic: Topic, partition| {
        let partition = topic.partition(partition);
        log.open(partition, &Mark::default()).expect("a reader")
    };
    let mut silent = open(Topic::Deposits, 0);
    let first = read(silent.as_mut(), 1);
    let mut others = [open(Topic::Deposits, 1), open(Topic::Trades, 0)];
    for other in &mut others {
        assert_eq!(read(other.as_mut(), 30), numbered(30, width));
    }
    // As long as it takes to fetch all of the first partition, it is fetched for nobody.
    for round in 1..6 {
        std::thread::sleep(Duration::from_millis(300));
        cluster.produce("exchange.deposits", 1, values(10, width));
        cluster.produce("exchange.trades", 0, values(10, width));
        let began = Instant::now();
        for other in &mut others {
            let found = read(other.as_mut(), 10);
            assert_eq!(found.first().map(|(offset, _)| *offset), Some(20 + round * 10));
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    // Another reader of the same partition reads it from the start.
    let mut second = open(Topic::Deposits, 0);
    assert_eq!(read(second.as_mut(), count), numbered(count, width));
    let rest = read(silent.as_mut(), count - first.len());
    assert_eq!([first, rest].concat(), numbered(count, width));
    // A reader that was opened again while nobody read its partition.
    let mut again = open(Topic::Deposits, 0);
    for round in 0..2 {
        assert_eq!(read(again.as_mut(), 1).first().map(|(offset, _)| *offset), Some(0));
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(300));
            assert!(!others[0].has_news().expect("no error"));
        }
        drop(again);
        again = open(Topic::Deposits, 0);
        println!("opened again, {round}");
    }
    assert_eq!(read(again.as_mut(), count), numbered(count, width));
    drop(again);
    // A reader that is opened again begins where it is told, whatever waited for the one before.
    let mark = silent.mark().clone();
    drop((silent, second));
    cluster.produce("exchange.deposits", 0, ["last"]);
    let mut third = log.open(Topic::Deposits.partition(0), &mark).expect("a reader");
    assert_eq!(read(third.as_mut(), 1), [(count as u64, b"last".to_vec())]);
}
