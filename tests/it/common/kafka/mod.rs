//! Real Kafka brokers, started and stopped by the tests.
//!
//! Broker numbers are node ids, from 0. A wait asks the brokers until its condition holds, and fails the test if that
//! takes too long. Brokers end with the test process, also if it is killed.

pub mod acls;
mod broker;
mod console;
pub mod deployment;
pub mod proxy;
pub mod records;
mod slots;
pub mod tls;
mod wire;

pub use broker::java_program;
pub use deployment::{Deployment, Instance};

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use tempfile::TempDir;

use broker::{Broker, Ports};
use slots::Slots;

/// Much longer than any wait takes. After it, the test fails.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The pause between two looks.
const BLINK: Duration = Duration::from_millis(10);

/// The time-out of one request. After it the request is made again: the broker may be down.
const REQUEST: Duration = Duration::from_secs(1);

/// The listeners of a cluster without authentication.
const OPEN_TO_ALL: &str =
    "listener.security.protocol.map=INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n";

const CLUSTER_ID: &str = "c29mdHN0YWtlLXRlc3Rz";

/// Looks until there is a value, and returns it.
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

/// The brokers of one cluster, ended with the test.
pub struct Cluster {
    /// The producer of records outside transactions. Made for the first such record, since it takes long to start.
    appender: OnceLock<records::Sender>,
    // Fields are dropped in this order: brokers end before their folder is removed and their slots are given back.
    brokers: Vec<Mutex<Broker>>,
    _folder: TempDir,
    _slots: Slots,
}

impl Cluster {
    /// One broker.
    pub fn single() -> Self {
        Self::launch(1, Slots::take(1), OPEN_TO_ALL, &[])
    }

    /// Three brokers. Each is a controller as well, so that any one may be missing.
    pub fn three() -> Self {
        Self::launch(3, Slots::take(3), OPEN_TO_ALL, &[])
    }

    fn launch(brokers: usize, slots: Slots, settings: &str, format: &[String]) -> Self {
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
            _slots: slots,
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
        // A test that panicked with the lock held still has to stop its brokers.
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

    /// The bootstrap servers, without the proxy.
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

    /// The configuration of the tests' own clients: never behind a proxy, and allowed to do everything.
    pub fn client(&self) -> ClientConfig {
        internal_client(&self.addresses(|ports| ports.internal))
    }

    /// Ends a broker with SIGKILL.
    pub fn kill(&self, id: usize) {
        self.broker(id).kill();
    }

    /// Shuts a broker down with SIGTERM.
    pub fn stop(&self, id: usize) {
        self.broker(id).stop();
    }

    /// Starts a broker again on the same data and ports. Returns when it serves clients.
    pub fn start(&self, id: usize) {
        self.broker(id).start();
        self.wait_until_up(id);
    }

    /// Pauses a broker with SIGSTOP: its connections stay open and silent.
    pub fn pause(&self, id: usize) {
        self.broker(id).pause();
    }

    /// Resumes a paused broker. Returns when it serves clients.
    pub fn resume(&self, id: usize) {
        self.broker(id).resume();
        self.wait_until_up(id);
    }

    /// Waits until a broker serves clients and every running broker has it in its metadata.
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

    /// Asks for the metadata of a topic, or of all, until `look` finds a value in it.
    fn metadata<T>(&self, what: &str, topic: Option<&str>, look: impl Fn(&wire::Metadata) -> Option<T>) -> T {
        wait_for(what, || {
            look(&self.ask(what, |broker| wire::metadata(broker, topic).map(Ok)))
        })
    }

    /// The same for one partition.
    fn partition<T>(&self, what: &str, topic: &str, partition: i32, look: impl Fn(&wire::Partition) -> Option<T>) -> T {
        self.metadata(&format!("{what} {topic}-{partition}"), Some(topic), |metadata| {
            let mut partitions = metadata.topics.first()?.partitions.iter();
            look(partitions.find(|known| known.id == partition)?)
        })
    }

    /// The leader of a partition, as soon as it is a broker that runs.
    pub fn leader_of(&self, topic: &str, partition: i32) -> usize {
        self.partition("a leader of", topic, partition, |partition| {
            self.running(partition.leader)
        })
    }

    /// This broker, if it runs. The other brokers take seconds to notice that it does not.
    fn running(&self, node: i32) -> Option<usize> {
        let id = usize::try_from(node).ok()?;
        self.broker(id).answers().then_some(id)
    }

    /// Makes a broker with an in-sync replica the leader of a partition. Returns when it leads.
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

    /// Waits until every replica of every partition is in sync. To be called between two broker failures.
    pub fn wait_until_in_sync(&self) {
        self.metadata("all replicas to be in sync", None, |metadata| {
            let mut partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
            partitions
                .all(|partition| partition.leader >= 0 && partition.in_sync.len() == partition.replicas.len())
                .then_some(())
        });
    }

    /// The coordinator of a transactional id, as soon as it is a broker that runs.
    pub fn transaction_coordinator(&self, transactional_id: &str) -> usize {
        self.coordinator(transactional_id, wire::Coordinator::Transaction)
    }

    /// The coordinator of a consumer group, as soon as it is a broker that runs.
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

    /// Asks the running brokers in turn until one answers without an error.
    fn ask<T>(&self, what: &str, question: impl Fn(u16) -> io::Result<Result<T, wire::Refused>>) -> T {
        let mut last = String::from("none");
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
                Some(Ok(Err(wire::Refused(code)))) => last = format!("error {code}"),
                Some(Err(error)) => last = error.to_string(),
                None => {}
            }
            thread::sleep(BLINK);
        }
        panic!("gave up asking for {what}; the last answer was {last}");
    }
}

/// The users with their passwords, for the tool that formats a broker's folder.
fn scram_users<const N: usize>(mechanism: &str, users: [&str; N]) -> [String; N] {
    users.map(|user| {
        let password = acls::password(user);
        format!("--add-scram={mechanism}=[name={user},password={password}]")
    })
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
        // A client waits this long for a paused broker before it asks another.
        .set("socket.timeout.ms", "3000")
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set("topic.metadata.refresh.fast.interval.ms", "20");
    config
}

/// A broker's settings: short time-outs, few partitions of Kafka's own topics, and nothing automatic.
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
