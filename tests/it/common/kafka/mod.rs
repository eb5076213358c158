//! Real Kafka brokers, started and stopped by the tests.
//!
//! Broker numbers are node ids, from 0. Whatever has to come about is waited for by asking the brokers, and fails the test when it
//! does not come. Brokers end with the process of the test, however that ends.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod acls;
mod broker;
mod console;
pub mod proxy;
pub mod records;
mod wire;

use std::fmt::Write;
use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use tempfile::TempDir;

use broker::{Broker, Ports};

/// Far more than anything here takes: past it, the test fails.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How often the test looks.
const BLINK: Duration = Duration::from_millis(10);

/// How long a single request may take before it is made again, of a broker that may be down.
const REQUEST: Duration = Duration::from_secs(1);

/// Nobody logs in.
const OPEN_TO_ALL: &str =
    "listener.security.protocol.map=INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n";

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
    /// Appends what is outside of transactions; there from the first such record on, since it takes long to come up.
    appender: OnceLock<records::Sender>,
    // Before the folder, so that they have ended when it goes.
    brokers: Vec<Mutex<Broker>>,
    _folder: TempDir,
}

impl Cluster {
    /// One broker.
    pub fn single() -> Self {
        Self::start_with(1, &[])
    }

    /// Three brokers that are all controllers as well: any one may be missing.
    pub fn three() -> Self {
        Self::start_with(3, &[])
    }

    /// So many brokers, with these settings besides.
    pub fn start_with(brokers: usize, settings: &[(&str, &str)]) -> Self {
        let mut text = String::from(OPEN_TO_ALL);
        for (name, value) in settings {
            writeln!(text, "{name}={value}").expect("a string takes it");
        }
        Self::launch(brokers, &text, &[])
    }

    fn launch(brokers: usize, settings: &str, format: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the brokers");
        let ports: Vec<Ports> = (0..brokers).map(|_| Ports::free()).collect();
        let brokers: Vec<Mutex<Broker>> = (0..brokers)
            .map(|id| {
                let properties = properties(id, &ports) + settings;
                Mutex::new(Broker::new(folder.path().join(id.to_string()), ports[id], &properties))
            })
            .collect();
        let cluster = Self {
            appender: OnceLock::new(),
            brokers,
            _folder: folder,
        };
        let formats: Vec<_> = cluster.all().map(|broker| broker.format(CLUSTER_ID, format)).collect();
        formats.into_iter().for_each(|format| {
            broker::finish(format);
        });
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

    /// Waits until a broker serves clients, and all that run know it to be part of the cluster.
    fn wait_until_up(&self, id: usize) {
        wait_for(&format!("broker {id} to be up"), || {
            let ended = self.broker(id).ended();
            if let Some(status) = ended {
                panic!("broker {id} ended by itself, {status}:\n{}", self.broker(id).said());
            }
            let running: Vec<u16> = self
                .all()
                .filter(|broker| broker.answers())
                .map(|broker| broker.ports.internal)
                .collect();
            let known_to =
                |port: &u16| wire::metadata(*port, None).is_ok_and(|metadata| metadata.brokers.contains(&node(id)));
            running.iter().all(known_to).then_some(())
        });
    }

    /// What the brokers say of a topic, or of all, as soon as they say something that is looked for.
    fn metadata<T>(&self, what: &str, topic: Option<&str>, look: impl Fn(&wire::Metadata) -> Option<T>) -> T {
        wait_for(what, || {
            look(&self.ask(what, |broker| wire::metadata(broker, topic).map(Ok)))
        })
    }

    /// What they say of one partition.
    fn partition<T>(&self, what: &str, topic: &str, partition: i32, look: impl Fn(&wire::Partition) -> Option<T>) -> T {
        self.metadata(&format!("{what} {topic}-{partition}"), Some(topic), |metadata| {
            let mut partitions = metadata.topics.first()?.partitions.iter();
            look(partitions.find(|known| known.id == partition)?)
        })
    }

    /// The broker that leads a partition, once there is one that runs.
    pub fn leader_of(&self, topic: &str, partition: i32) -> usize {
        self.partition("a leader of", topic, partition, |partition| {
            self.running(partition.leader)
        })
    }

    /// This broker, if it runs: the others take seconds to notice that one does not.
    fn running(&self, node: i32) -> Option<usize> {
        let id = usize::try_from(node).ok()?;
        self.broker(id).answers().then_some(id)
    }

    /// Makes a broker, which has a replica that is in sync, the leader of a partition; returns once it leads.
    pub fn move_leader(&self, topic: &str, partition: i32, to: usize) {
        let to = node(to);
        let mut replicas = self.partition("the replicas of", topic, partition, |partition| {
            Some(partition.replicas.clone())
        });
        assert!(
            replicas.contains(&to),
            "{topic}-{partition} has replicas on {replicas:?}, not on {to}"
        );
        replicas.sort_by_key(|id| *id != to);
        self.ask("the new order of replicas", |broker| {
            wire::reassign(broker, topic, partition, &replicas)
        });
        self.partition("the new order of replicas of", topic, partition, |partition| {
            (partition.replicas.first() == Some(&to)).then_some(())
        });
        self.ask("an election", |broker| wire::elect_preferred(broker, topic, partition));
        self.partition("the new leader of", topic, partition, |partition| {
            (partition.leader == to).then_some(())
        });
    }

    /// Waits until every replica of every partition is in sync, as between two broker failures in a row.
    pub fn wait_until_in_sync(&self) {
        self.metadata("all replicas to be in sync", None, |metadata| {
            let mut partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
            partitions
                .all(|partition| partition.leader >= 0 && partition.in_sync.len() == partition.replicas.len())
                .then_some(())
        });
    }

    /// The broker that keeps the transactions of this id, once there is one that runs.
    pub fn transaction_coordinator(&self, transactional_id: &str) -> usize {
        self.coordinator(transactional_id, wire::Coordinator::Transaction)
    }

    /// The broker that keeps the members and offsets of this group, once there is one that runs.
    pub fn group_coordinator(&self, group: &str) -> usize {
        self.coordinator(group, wire::Coordinator::Group)
    }

    fn coordinator(&self, id: &str, kind: wire::Coordinator) -> usize {
        wait_for(&format!("a coordinator of {id} that runs"), || {
            self.running(self.ask(&format!("the coordinator of {id}"), |broker| {
                wire::find_coordinator(broker, id, kind)
            }))
        })
    }

    /// Asks the brokers that are up in turn until one grants it.
    fn ask<T>(&self, what: &str, question: impl Fn(u16) -> io::Result<Result<T, wire::Refused>>) -> T {
        let mut last = None;
        let mut turn = (0..self.len()).cycle();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let id = turn.next().expect("a broker");
            let port = {
                let broker = self.broker(id);
                broker.answers().then_some(broker.ports.internal)
            };
            match port.map(&question) {
                Some(Ok(Ok(granted))) => return granted,
                Some(answer) => last = Some(answer.map(|answer| answer.map(|_| ()))),
                None => {}
            }
            thread::sleep(BLINK);
        }
        panic!("gave up asking for {what}; the last answer was {last:?}");
    }
}

fn node(id: usize) -> i32 {
    i32::try_from(id).expect("a small number")
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
        // A paused broker keeps a client waiting for so long before it asks another.
        .set("socket.timeout.ms", "3000")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("topic.metadata.refresh.fast.interval.ms", "20");
    config
}

/// A broker's settings: short deadlines, few partitions of Kafka's own topics, and nothing that happens by itself.
fn properties(id: usize, ports: &[Ports]) -> String {
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
    format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={}\n\
         listeners={}\n\
         advertised.listeners={}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=INTERNAL\n\
         auto.create.topics.enable=false\n\
         auto.leader.rebalance.enable=false\n\
         broker.heartbeat.interval.ms=200\n\
         broker.session.timeout.ms=2000\n\
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
    )
}
