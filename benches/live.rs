//! Measures how soon one instance on one real broker counts what is published, and how soon it settles an epoch.
//!
//! `cargo bench --bench live`, with `SOFTSTAKE_TEST_KAFKA_LIBS` as for the tests. Settings:
//! - RATE (50,000): deposits published each second, for SECONDS (30), over PARTITIONS (4) source partitions.
//! - ACCOUNTS (1,000,000): accounts with a balance before that. The deposits go to them in turn.
//! - LEDGER (4): ledger partitions.
//! - TRANSACTIONS (1): with 0, the instance publishes without transactions, which loses exactly once.
//!
//! **Counted** is measured so: deposit number k is due k / RATE seconds after the start, whether the publisher keeps up or not. It is counted when
//! `softstake_accrued_postings_total` has risen by k + 1: an accrue task has so many of them in its sums. Their blocks were committed and read by
//! then. The counter does not say which deposits they are, so a time is that of a rank, not of one deposit. It is scraped every 5 ms, and the
//! answer's arrival counts.
//!
//! **Sealed** is measured from the call that publishes the close until a consumer of committed records has the seal. Nothing else is published
//! meanwhile. Broker, publisher and instance share the machine.

#![allow(clippy::expect_used, reason = "a measurement that fails ends")]

#[path = "../tests/it/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses a part of the tests' helpers")]
mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::kafka::{Cluster, Deployment, Instance};
use common::setting;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Message, TopicPartitionList};

const DEPOSITS: &str = "exchange.deposits";
const CONTROL: &str = "softstake.control";
const COUNTER: &str = "softstake_accrued_postings_total ";
const SECOND: Duration = Duration::from_secs(1);
const SCRAPE_EVERY: Duration = Duration::from_millis(5);
/// Much longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(900);

const LISTING: &str = r#"{"specversion":"1.0","id":"list","source":"/treasury","type":"softstake.asset.v1","time":"2026-10-31T12:00:00Z","data":{"asset":"ATOM","decimals":6,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,"programme":{"from_epoch":0,"mode":"pool","commission_rate":"0.1"}}}"#;
const CLOSE: &str = r#"{"specversion":"1.0","id":"close-0","source":"/treasury","type":"softstake.epoch_close.v1","time":"2026-11-02T00:05:00Z","data":{"asset":"ATOM","epoch":0,"reward_pool":"100000"}}"#;

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// The number of postings in the sums of the instance; none while it does not listen.
fn accrued(address: SocketAddr) -> Option<u64> {
    let mut stream = TcpStream::connect_timeout(&address, SECOND).ok()?;
    stream.set_read_timeout(Some(SECOND * 10)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let sample = answer.lines().find_map(|line| line.strip_prefix(COUNTER))?;
    sample.trim().parse().ok()
}

fn until_accrued(address: SocketAddr, number: u64) {
    let deadline = Instant::now() + PATIENCE;
    while accrued(address).is_none_or(|accrued| accrued < number) {
        assert!(Instant::now() < deadline, "{number} postings are never in the sums");
        thread::sleep(SCRAPE_EVERY);
    }
}

/// Publishes deposits.
struct Publisher {
    producer: ThreadedProducer<DefaultProducerContext>,
    partitions: u64,
    accounts: u64,
}

impl Publisher {
    fn new(cluster: &Cluster, partitions: u64, accounts: u64) -> Self {
        let mut config = cluster.client();
        config
            .set("linger.ms", "5")
            .set("queue.buffering.max.messages", "1000000");
        Self {
            producer: config.create().expect("a producer"),
            partitions,
            accounts,
        }
    }

    fn publish(&self, topic: &str, partition: u64, value: &str) {
        let partition = i32::try_from(partition).expect("a small number");
        let mut record = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
        while let Err((error, again)) = self.producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "{topic} takes records");
            record = again;
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn deposit(&self, number: u64) {
        let (account, amount, minute) = (number % self.accounts, number % 1000 + 1, number % 60);
        let value = format!(
            r#"{{"specversion":"1.0","id":"d-{number}","source":"/deposits","type":"exchange.deposit.v1","time":"2026-11-01T12:{minute:02}:00Z","data":{{"account":"u-{account:07}","asset":"ATOM","amount":"{amount}.5"}}}}"#
        );
        self.publish(DEPOSITS, number % self.partitions, &value);
    }

    fn flush(&self) {
        self.producer.flush(PATIENCE).expect("the records arrive");
    }

    /// Publishes deposits from number `first` on, each when it is due. Returns how late the last one was.
    fn publish_at(&self, rate: u64, began: Instant, first: u64, count: u64) -> Duration {
        for number in 0..count {
            let due = began + due(number, rate);
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                thread::sleep(early);
            }
            self.deposit(first + number);
        }
        began.elapsed().saturating_sub(due(count, rate))
    }
}

/// When a deposit is due, from the start on.
fn due(number: u64, rate: u64) -> Duration {
    Duration::from_nanos(number * 1_000_000_000 / rate)
}

/// How long after it was due each deposit was counted, ascending. `seen` are times with the number that was counted by then.
fn delays(seen: &[(Duration, u64)], count: u64, rate: u64) -> Vec<Duration> {
    let mut seen = seen.iter().peekable();
    let mut delays = Vec::new();
    for number in 0..count {
        while seen.next_if(|(_, counted)| *counted <= number).is_some() {}
        let (at, _) = seen.peek().expect("all deposits are counted");
        delays.push(at.saturating_sub(due(number, rate)));
    }
    delays.sort_unstable();
    delays
}

/// Publishes at a fixed rate, and tells how soon that is counted.
fn measure_counting(publisher: &Publisher, address: SocketAddr, rate: u64, seconds: u64) {
    let (first, count) = (publisher.accounts, rate * seconds);
    let before = accrued(address).expect("the counter");
    let (began, has_failed) = (Instant::now(), AtomicBool::new(false));
    let (seen, late) = thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = Vec::new();
            loop {
                let counted = accrued(address).map_or(0, |accrued| accrued - before);
                seen.push((began.elapsed(), counted));
                if counted >= count || has_failed.load(Ordering::Relaxed) {
                    return seen;
                }
                thread::sleep(SCRAPE_EVERY);
            }
        });
        let late = publisher.publish_at(rate, began, first, count);
        publisher.flush();
        let deadline = Instant::now() + PATIENCE;
        while !watching.is_finished() {
            has_failed.store(Instant::now() > deadline, Ordering::Relaxed);
            thread::sleep(SCRAPE_EVERY);
        }
        (watching.join().expect("what was seen"), late)
    });
    let delays = delays(&seen, count, rate);
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    println!(
        "{count} deposits at {rate} a second: counted after {:.1?} (p50), {:.1?} (p99), {:.1?} at most; {} looks; the publisher ended {:.1?} late",
        at(50),
        at(99),
        at(100),
        seen.len(),
        late
    );
}

/// Closes the epoch, and tells how soon it is sealed.
fn measure_sealing(cluster: &Cluster, publisher: &Publisher) {
    let consumer: BaseConsumer = cluster
        .client()
        .set("group.id", "bench-live")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    let mut epochs = TopicPartitionList::new();
    // Its partitions, of which the key chooses one.
    for partition in 0..cluster.partitions("softstake.epochs") {
        epochs
            .add_partition_offset("softstake.epochs", partition, rdkafka::Offset::Beginning)
            .expect("a partition");
    }
    consumer.assign(&epochs).expect("an assignment");
    assert!(consumer.poll(SECOND * 2).is_none(), "nothing is sealed yet");
    let began = Instant::now();
    publisher.publish(CONTROL, 0, CLOSE);
    let seal = loop {
        assert!(began.elapsed() < PATIENCE, "it is never sealed");
        if let Some(Ok(record)) = consumer.poll(SECOND) {
            let took = began.elapsed();
            let text = String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned();
            break serde_json::from_str::<serde_json::Value>(&text)
                .map(|seal| (took, seal))
                .expect("a seal");
        }
    };
    println!(
        "{} accounts paid and sealed {:.2?} after the close was published",
        seal.1["data"]["distributions"], seal.0
    );
}

fn start(deployment: &Deployment<'_>, address: SocketAddr) -> Instance {
    let mut command = deployment.run(0);
    command.args(["--monitor-listen", &address.to_string()]);
    command.env("SOFTSTAKE_LOG__LEVEL", "info");
    if setting("TRANSACTIONS", 1) == 0 {
        command.args(["--bench-without-transactions", "exactly-once-is-lost"]);
    }
    Instance::start(&mut command, deployment.log(0))
}

fn main() {
    let (rate, seconds) = (setting("RATE", 50_000).max(1), setting("SECONDS", 30).max(1));
    let (accounts, partitions) = (setting("ACCOUNTS", 1_000_000).max(1), setting("PARTITIONS", 4).max(1));
    let ledger = u32::try_from(setting("LEDGER", 4)).expect("a small number");
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, ledger, u32::try_from(partitions).expect("a small number"));
    let publisher = Publisher::new(&cluster, partitions, accounts);
    let address = free_address();
    publisher.publish(CONTROL, 0, LISTING);
    publisher.flush();
    let mut instance = start(&deployment, address);
    for number in 0..accounts {
        publisher.deposit(number);
    }
    publisher.flush();
    until_accrued(address, accounts);
    println!("{accounts} accounts have balances, on {ledger} ledger partitions");
    measure_counting(&publisher, address, rate, seconds);
    measure_sealing(&cluster, &publisher);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
}
