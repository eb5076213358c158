//! Measures one instance on one real broker, with millions of accounts on one ledger partition: how soon it is ready after a
//! SIGKILL, and how a settlement of all accounts affects ingest, transactions and memory.
//!
//! `cargo bench --bench kafka`, with `SOFTSTAKE_TEST_KAFKA_LIBS` as for the tests; settings: HOLDERS (2,000,000), EVENTS
//! (3,000,000: ingested once while nothing is settled, and again while all holders are paid). Use the ratio of the two rates,
//! not the rates: broker, publisher and instance share the machine.

#![allow(clippy::expect_used, reason = "a measurement that fails ends")]

#[path = "../tests/it/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses a part of the tests' helpers")]
mod common;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use common::kafka::{Cluster, Deployment, Instance};
use common::setting;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

const DEPOSITS: &str = "exchange.deposits";
const LEDGER: &str = "softstake.ledger";

/// Asks the broker for the positions of the tasks.
struct Asker(BaseConsumer);

impl Asker {
    fn new(cluster: &Cluster) -> Self {
        let consumer = cluster
            .client()
            .set("group.id", "softstake")
            // A request for stable positions waits while a transaction is open, and one always is.
            .set("isolation.level", "read_uncommitted")
            .set("enable.auto.commit", "false")
            .create();
        Self(consumer.expect("a consumer"))
    }

    /// The committed offset of the task that follows this partition.
    fn at(&self, topic: &str, partition: i32) -> i64 {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, partition);
        let found = self.0.committed_offsets(wanted, Duration::from_secs(10));
        match found.expect("a committed offset").elements()[0].offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        }
    }

    fn readable_end(&self, topic: &str, partition: i32) -> i64 {
        let watermarks = self.0.fetch_watermarks(topic, partition, Duration::from_secs(10));
        watermarks.expect("watermarks").1
    }

    /// Waits until this partition is processed to its end. Returns how long that took.
    fn until_processed(&self, topic: &str, partition: i32) -> Duration {
        let began = Instant::now();
        let mut seen = (0, Instant::now());
        loop {
            let at = self.at(topic, partition);
            // The last offsets are transaction markers.
            if at + 8 >= self.readable_end(topic, partition) && at > 0 && seen.1.elapsed() > Duration::from_millis(1500)
            {
                return began.elapsed().saturating_sub(seen.1.elapsed());
            }
            if at != seen.0 {
                seen = (at, Instant::now());
            }
            assert!(
                seen.1.elapsed() < Duration::from_secs(120),
                "{topic}:{partition} is at {at}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the task that follows this partition is at `offset` or after it.
    fn until_at(&self, topic: &str, partition: i32, offset: i64) {
        let deadline = Instant::now() + Duration::from_secs(600);
        while self.at(topic, partition) < offset {
            assert!(Instant::now() < deadline, "{topic}:{partition} never reached {offset}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Appends the deposits of a range of numbers to a partition's file. The holders take turns.
fn deposits(bus: &Path, partition: u32, range: std::ops::Range<u64>, holders: u64, day: u32) {
    let folder = bus.join(DEPOSITS);
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(format!("{partition}.jsonl"));
    let file = fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .expect("a file");
    let mut file = BufWriter::new(file);
    for number in range {
        let (holder, hour, minute, amount) = (number % holders, number % 24, number % 60, number % 1000 + 1);
        writeln!(
            file,
            r#"{{"specversion":"1.0","id":"d-{partition}-{number}","source":"/deposits","type":"exchange.deposit.v1","time":"2026-11-{day:02}T{hour:02}:{minute:02}:00Z","data":{{"account":"u-{holder:07}","asset":"ATOM","amount":"{amount}.5"}}}}"#
        )
        .expect("a line");
    }
    file.flush().expect("lines");
}

/// Peak memory of a process, in MB.
fn peak_mb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) >> 10
}

/// The duration of each transaction in the instance's log, in milliseconds.
fn transactions_ms(said: &str) -> Vec<u64> {
    let lines = said.lines().filter(|line| line.contains("a transaction of "));
    lines
        .filter_map(|line| line.split(" took ").nth(1)?.split_whitespace().next()?.parse().ok())
        .collect()
}

fn start(deployment: &Deployment<'_>) -> Instance {
    let mut command = deployment.run(0);
    command.env("SOFTSTAKE_LOG__LEVEL", "info,softstake::bus::kafka::transaction=trace");
    Instance::start(&mut command, deployment.log(0))
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64()
}

const LISTING: &str = r#"{"specversion":"1.0","id":"list","source":"/treasury","type":"softstake.asset.v1","time":"2026-10-31T12:00:00Z","data":{"asset":"ATOM","decimals":6,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,"programme":{"from_epoch":0,"mode":"pool","commission_rate":"0.1"}}}"#;
const CLOSE: &str = r#"{"specversion":"1.0","id":"close-0","source":"/treasury","type":"softstake.epoch_close.v1","time":"2026-11-02T00:05:00Z","data":{"asset":"ATOM","epoch":0,"reward_pool":"100000"}}"#;

/// The deployment under measurement.
struct Bench<'a> {
    deployment: Deployment<'a>,
    asker: Asker,
    holders: u64,
    events: u64,
}

impl Bench<'_> {
    /// Appends new deposits to partition 1, and returns the offset after them.
    fn append(&self, count: u64) -> i64 {
        let next = u64::try_from(self.asker.readable_end(DEPOSITS, 1)).expect("an offset");
        deposits(&self.deployment.place.bus(), 1, next..next + count, self.holders, 2);
        i64::try_from(next + count).expect("small")
    }

    /// Kills the instance, and measures how soon a new one is ready.
    fn restart(&self, mut instance: Instance) -> Instance {
        instance.kill();
        // An event published meanwhile shows when the instance is ready: it must be ingested and accrued.
        let end = self.append(1);
        self.deployment.publish();
        let before = self.asker.at(LEDGER, 0);
        let began = Instant::now();
        let instance = start(&self.deployment);
        self.asker.until_at(DEPOSITS, 1, end);
        let ingested = began.elapsed();
        self.asker.until_at(LEDGER, 0, before + 1);
        println!(
            "ready after a SIGKILL: the next event was ingested after {ingested:.2?} and accrued after {:.2?}; the session time-out is 3 s",
            began.elapsed()
        );
        instance
    }

    /// Measures how long the instance takes to ingest new events.
    fn ingest(&self, what: &str) -> Duration {
        let end = self.append(self.events);
        let began = Instant::now();
        self.deployment.publish();
        self.asker.until_at(DEPOSITS, 1, end);
        let took = began.elapsed();
        println!(
            "{} events {what}: {took:.1?}, {:.0} a second",
            self.events,
            rate(self.events, took)
        );
        took
    }

    /// Closes the epoch, and measures the settlement and what it does to ingest, compared with `alone`.
    fn settle(&self, cluster: &Cluster, alone: Duration, instance: &Instance) {
        let before = transactions_ms(&self.deployment.said(0)).len();
        self.deployment.place.append("softstake.control", 0, [CLOSE]);
        self.deployment.publish();
        self.deployment.until("the cut is on record", || {
            let decisions = cluster.read_decided("softstake.decisions");
            decisions
                .iter()
                .any(|record| record.text().contains(r#""decision":"cut""#))
        });
        let settling = Instant::now();
        let meanwhile = self.ingest("while all holders are paid");
        let sealed = self.deployment.sealed();
        let deadline = Instant::now() + Duration::from_secs(600);
        while self.deployment.sealed() == 0 {
            assert!(Instant::now() < deadline, "it was never sealed");
            std::thread::sleep(Duration::from_millis(50));
        }
        let transactions = transactions_ms(&self.deployment.said(0));
        println!(
            "{} holders paid in {:.1?} (sealed before the events were ingested: {}); ingest at {:.2} of its rate; longest of {} transactions {} ms; peak memory {} MB",
            self.holders,
            settling.elapsed(),
            sealed > 0,
            alone.as_secs_f64() / meanwhile.as_secs_f64(),
            transactions.len() - before,
            transactions[before..].iter().max().copied().unwrap_or(0),
            peak_mb(instance.id())
        );
    }
}

fn main() {
    let (holders, events) = (setting("HOLDERS", 2_000_000), setting("EVENTS", 3_000_000));
    let cluster = Cluster::single();
    let bench = Bench {
        deployment: Deployment::new(&cluster, 1, 2),
        asker: Asker::new(&cluster),
        holders,
        events,
    };
    bench.deployment.place.append("softstake.control", 0, [LISTING]);
    deposits(&bench.deployment.place.bus(), 0, 0..holders, holders, 1);
    bench.deployment.publish();
    let mut instance = start(&bench.deployment);
    bench
        .asker
        .until_at(DEPOSITS, 0, i64::try_from(holders).expect("small"));
    bench.asker.until_processed(LEDGER, 0);
    println!(
        "{holders} holders are on ledger partition 0, peak memory {} MB",
        peak_mb(instance.id())
    );
    for _ in 0..5 {
        instance = bench.restart(instance);
    }
    let alone = bench.ingest("while nothing is settled");
    bench.asker.until_processed(LEDGER, 0);
    bench.settle(&cluster, alone, &instance);
    assert_eq!(instance.stop(), Some(0));
}
