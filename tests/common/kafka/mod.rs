//! Real Kafka brokers, started and stopped by the tests.
//!
//! Broker numbers are node ids, from 0. Whatever has to come about is waited for by asking the brokers, and fails the test when it
//! does not come. Brokers end with the process of the test, however that ends.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod broker;
pub mod records;

use std::fmt::Write;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;
use tempfile::TempDir;

use broker::{Broker, Ports};

/// Far more than anything here takes: past it, the test fails.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often the test looks.
const BLINK: Duration = Duration::from_millis(10);

/// How long a single request may take before it is made again, of a broker that may be down.
const REQUEST: Duration = Duration::from_secs(1);

const CLUSTER_ID: &str = "c29mdHN0YWtlLXRlc3Rz";

/// Waits until there is something, and returns it.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        thread::sleep(BLINK);
    }
}

/// Brokers that know each other; gone with the test.
pub struct Cluster {
    // Before the folder, so that they have ended when it goes.
    brokers: Vec<Mutex<Broker>>,
    _folder: TempDir,
}

impl Cluster {
    /// One broker.
    pub fn single() -> Self {
        Self::start_with(1, &[])
    }

    /// So many brokers, with these settings besides.
    pub fn start_with(brokers: usize, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the brokers");
        let ports: Vec<Ports> = (0..brokers).map(|_| Ports::free()).collect();
        let brokers: Vec<Mutex<Broker>> = (0..brokers)
            .map(|id| {
                let properties = properties(id, &ports, settings);
                Mutex::new(Broker::new(folder.path().join(id.to_string()), ports[id], &properties))
            })
            .collect();
        let cluster = Self {
            brokers,
            _folder: folder,
        };
        let formats: Vec<_> = cluster.all().map(|broker| broker.format(CLUSTER_ID, &[])).collect();
        for (id, mut format) in formats.into_iter().enumerate() {
            let status = format.wait().expect("the end of formatting");
            assert!(
                status.success(),
                "formatting failed, {status}:\n{}",
                cluster.broker(id).said()
            );
        }
        cluster.all().for_each(|mut broker| broker.start());
        (0..cluster.brokers.len()).for_each(|id| cluster.wait_until_up(id));
        cluster
    }

    fn broker(&self, id: usize) -> MutexGuard<'_, Broker> {
        // A test that panicked with the lock held has yet to stop its brokers.
        self.brokers[id]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Broker>> {
        (0..self.brokers.len()).map(|id| self.broker(id))
    }

    pub fn len(&self) -> usize {
        self.brokers.len()
    }

    /// Where a client begins, without the proxy.
    pub fn bootstrap(&self) -> String {
        self.addresses(|ports| ports.client)
    }

    fn addresses(&self, port: impl Fn(Ports) -> u16) -> String {
        let addresses: Vec<String> = self
            .all()
            .map(|broker| format!("127.0.0.1:{}", port(broker.ports)))
            .collect();
        addresses.join(",")
    }

    /// A client of these tests' own: it is never behind a proxy and may do everything.
    pub fn client(&self) -> ClientConfig {
        internal_client(&self.addresses(|ports| ports.internal))
    }

    /// Ends a broker with SIGKILL.
    pub fn kill(&self, id: usize) {
        self.broker(id).kill();
    }

    /// Lets a broker shut down in order.
    pub fn stop(&self, id: usize) {
        self.broker(id).stop();
    }

    /// Starts a broker again, on the same data and ports; returns once it serves clients.
    pub fn start(&self, id: usize) {
        self.broker(id).start();
        self.wait_until_up(id);
    }

    /// Stops a broker in its tracks (SIGSTOP): its connections stay, and nothing comes out of them.
    pub fn pause(&self, id: usize) {
        self.broker(id).pause();
    }

    /// Lets a paused broker go on; returns once it serves clients.
    pub fn resume(&self, id: usize) {
        self.broker(id).resume();
        self.wait_until_up(id);
    }

    /// Waits until a broker knows itself to be part of the cluster.
    fn wait_until_up(&self, id: usize) {
        let address = format!("127.0.0.1:{}", self.broker(id).ports.internal);
        let probe: BaseConsumer = internal_client(&address).create().expect("a client");
        let number = i32::try_from(id).expect("a small number");
        wait_for(&format!("broker {id} to be up"), || {
            if let Some(status) = self.broker(id).ended() {
                panic!("broker {id} ended by itself, {status}:\n{}", self.broker(id).said());
            }
            let metadata = probe.fetch_metadata(None, Duration::from_millis(250)).ok()?;
            let up =
                metadata.orig_broker_id() == number && metadata.brokers().iter().any(|broker| broker.id() == number);
            up.then_some(())
        });
    }

    /// What the brokers say of a topic, or of all, as soon as they say something that is looked for.
    fn metadata<T>(&self, what: &str, topic: Option<&str>, look: impl Fn(&Metadata) -> Option<T>) -> T {
        let client: BaseConsumer = self.client().create().expect("a client");
        wait_for(what, || look(&client.fetch_metadata(topic, REQUEST).ok()?))
    }

    /// The broker that leads a partition, once there is one.
    pub fn leader_of(&self, topic: &str, partition: i32) -> usize {
        self.metadata(&format!("a leader of {topic}-{partition}"), Some(topic), |metadata| {
            let partitions = metadata.topics().first()?.partitions();
            let leader = partitions.iter().find(|known| known.id() == partition)?.leader();
            usize::try_from(leader).ok()
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            for (id, broker) in self.all().enumerate() {
                eprintln!("broker {id} said last:\n{}", broker.said());
            }
        }
    }
}

fn internal_client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .set("retry.backoff.ms", "20")
        .set("topic.metadata.refresh.interval.ms", "1000");
    config
}

/// A broker's settings: short deadlines, few partitions of Kafka's own topics, and nothing that happens by itself.
fn properties(id: usize, ports: &[Ports], settings: &[(&str, &str)]) -> String {
    let own = ports[id];
    let address = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let listeners = [
        address("INTERNAL", own.internal),
        address("CLIENT", own.client),
        address("PROXIED", own.proxied),
        address("CONTROLLER", own.controller),
    ];
    let advertised = [
        address("INTERNAL", own.internal),
        address("CLIENT", own.client),
        address("PROXIED", own.proxy),
    ];
    let voters: Vec<String> = ports
        .iter()
        .enumerate()
        .map(|(id, ports)| format!("{id}@127.0.0.1:{}", ports.controller))
        .collect();
    let replicas = ports.len().min(3);
    let in_sync = replicas.div_ceil(2);
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={}\n\
         listeners={}\n\
         advertised.listeners={}\n\
         listener.security.protocol.map=INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=INTERNAL\n\
         auto.create.topics.enable=false\n\
         auto.leader.rebalance.enable=false\n\
         broker.heartbeat.interval.ms=500\n\
         broker.session.timeout.ms=3000\n\
         default.replication.factor={replicas}\n\
         group.initial.rebalance.delay.ms=0\n\
         group.min.session.timeout.ms=500\n\
         log.cleaner.dedupe.buffer.size=4194304\n\
         min.insync.replicas={in_sync}\n\
         num.io.threads=4\n\
         num.network.threads=2\n\
         offsets.topic.num.partitions=4\n\
         offsets.topic.replication.factor={replicas}\n\
         replica.lag.time.max.ms=5000\n\
         transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n\
         transaction.state.log.min.isr={in_sync}\n\
         transaction.state.log.num.partitions=4\n\
         transaction.state.log.replication.factor={replicas}\n",
        voters.join(","),
        listeners.join(","),
        advertised.join(","),
    );
    for (name, value) in settings {
        writeln!(text, "{name}={value}").expect("a string takes it");
    }
    text
}
