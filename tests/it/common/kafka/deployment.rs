//! A deployment on a real Kafka: its topics and instances, and a dump of its topics as a directory bus, for the model.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Cluster;
use super::records::Read;
use crate::common::records::text;
use crate::common::{OUTPUTS, Place, softstake, succeed};

/// The source topics of the contract.
pub const SOURCES: [&str; 5] = [
    "exchange.deposits",
    "exchange.withdrawals",
    "exchange.trades",
    "exchange.transfers",
    "exchange.accounts",
];

/// Much longer than any wait takes. After it, the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// A deployment under test.
pub struct Deployment<'a> {
    pub cluster: &'a Cluster,
    /// The input records and, after a dump, all output.
    pub place: Place,
    /// The bootstrap servers of the instances.
    pub bootstrap: String,
    source_partitions: u32,
    /// Environment variables of the commands that prepare the deployment, and of the instances.
    environments: [Vec<(String, String)>; 2],
}

impl<'a> Deployment<'a> {
    /// A deployment on new topics.
    pub fn new(cluster: &'a Cluster, ledger: u32, source_partitions: u32) -> Self {
        Self::with_environments(cluster, ledger, source_partitions, Default::default())
    }

    /// A deployment on new topics. The first user prepares it, and the instances run as the second.
    pub fn between(cluster: &'a Cluster, ledger: u32, source_partitions: u32, users: [&str; 2]) -> Self {
        let properties = users.map(|user| {
            Cluster::credentials(user)
                .map(|(name, value)| (name.to_owned(), value))
                .into()
        });
        Self::with_properties(cluster, ledger, source_partitions, properties)
    }

    /// A deployment on new topics. It is prepared with the first properties, and the instances run with the second.
    pub fn with_properties(
        cluster: &'a Cluster,
        ledger: u32,
        source_partitions: u32,
        properties: [Vec<(String, String)>; 2],
    ) -> Self {
        let environments = properties.map(|properties| environment(&properties));
        Self::with_environments(cluster, ledger, source_partitions, environments)
    }

    fn with_environments(
        cluster: &'a Cluster,
        ledger: u32,
        source_partitions: u32,
        environments: [Vec<(String, String)>; 2],
    ) -> Self {
        let deployment = Self {
            cluster,
            place: Place::new(),
            bootstrap: cluster.bootstrap(),
            source_partitions,
            environments,
        };
        deployment.make_topics(ledger);
        deployment
    }

    fn make_topics(&self, ledger: u32) {
        let mut topics = self.softstake(&["topics", "--create"]);
        topics
            .arg("--partitions")
            .arg(ledger.to_string())
            .arg("--source-partitions")
            .arg(self.source_partitions.to_string())
            .arg("--output-partitions")
            .arg("3");
        succeed(&mut topics);
    }

    /// The program with these arguments and the brokers. Not through the proxy: preparations must work.
    pub fn softstake(&self, arguments: &[&str]) -> Command {
        let mut command = softstake();
        command
            .args(arguments)
            .arg("--kafka-brokers")
            .arg(self.cluster.bootstrap())
            .envs(self.environments[0].iter().cloned());
        command
    }

    /// Publishes the records of the directory bus that are not on Kafka yet.
    pub fn publish(&self) {
        let mut publish = self.softstake(&["publish"]);
        publish.arg("--from").arg(self.place.bus());
        succeed(&mut publish);
    }

    pub fn state(&self, instance: usize) -> PathBuf {
        self.place.state().join(instance.to_string())
    }

    /// `softstake run` as the instance with this number, with short time-outs.
    pub fn run(&self, instance: usize) -> Command {
        let mut command = softstake();
        command.args(["run", "--bus", "kafka", "--kafka-brokers", &self.bootstrap]);
        command.args(["--kafka-instance", &format!("instance-{instance}")]);
        command.arg("--state").arg(self.state(instance));
        command.args(["--threads", "2", "--cache-mb", "32"]);
        command.env("SOFTSTAKE_LOG__LEVEL", "debug");
        command.envs(self.environments[1].iter().cloned());
        for (property, value) in [
            ("session.timeout.ms", "3000"),
            ("heartbeat.interval.ms", "500"),
            ("max.poll.interval.ms", "6000"),
        ] {
            let variable = property.replace('.', "_").to_ascii_uppercase();
            command.env(format!("SOFTSTAKE_KAFKA__PROPERTIES__{variable}"), value);
        }
        command
    }

    /// Starts an instance. Its log goes to a file beside its state.
    pub fn start(&self, instance: usize) -> Instance {
        Instance::start(&mut self.run(instance), self.log(instance))
    }

    pub fn log(&self, instance: usize) -> PathBuf {
        self.place.state().join(format!("{instance}.log"))
    }

    /// The log of an instance, over all its starts.
    pub fn said(&self, instance: usize) -> String {
        fs::read_to_string(self.log(instance)).unwrap_or_default()
    }

    /// Waits until this many epochs are sealed.
    pub fn until_sealed(&self, epochs: usize) {
        self.until(&format!("{epochs} epochs are sealed"), || self.sealed() >= epochs);
    }

    /// The number of sealed epochs.
    pub fn sealed(&self) -> usize {
        self.cluster.read_committed("softstake.epochs").len()
    }

    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "gave up waiting until {what}; {}",
                self.tails()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last lines of the logs of all instances.
    fn tails(&self) -> String {
        let mut text = String::new();
        for instance in 0..8 {
            let said = self.said(instance);
            let lines: Vec<&str> = said.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            if !tail.is_empty() {
                text.push_str(&format!("\ninstance {instance} said last:\n{tail}\n"));
            }
        }
        text
    }

    /// Writes the topics into the directory bus, for the model. `read` reads a topic.
    pub fn dump_with(&self, read: impl Fn(&str) -> Vec<Read>) {
        for topic in OUTPUTS.into_iter().chain(["softstake.decisions"]) {
            let mut partitions: BTreeMap<i32, Vec<u8>> = BTreeMap::new();
            for record in read(topic) {
                let file = partitions.entry(record.partition).or_default();
                file.extend_from_slice(record.value.as_deref().unwrap_or_default());
                file.push(b'\n');
            }
            let folder = self.place.bus().join(topic);
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).expect("a topic's folder");
            for (partition, bytes) in partitions {
                fs::write(folder.join(format!("{partition}.jsonl")), bytes).expect("a partition's file");
            }
        }
        // A partition without records exists as well.
        for topic in SOURCES {
            for partition in 0..self.source_partitions {
                self.place.append(topic, partition, [] as [&[u8]; 0]);
            }
        }
    }

    pub fn dump(&self) {
        self.dump_with(|topic| self.cluster.read_committed(topic));
    }
}

/// The environment variables that set these properties.
pub fn environment(properties: &[(String, String)]) -> Vec<(String, String)> {
    let variable = |name: &str| name.replace('.', "_").to_ascii_uppercase();
    let set = |(name, value): &(String, String)| {
        (
            format!("SOFTSTAKE_KAFKA__PROPERTIES__{}", variable(name)),
            value.clone(),
        )
    };
    properties.iter().map(set).collect()
}

/// A running instance, killed with the test.
pub struct Instance {
    child: Child,
}

impl Instance {
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        fs::create_dir_all(log.parent().expect("a folder")).expect("a folder for logs");
        let file = fs::File::options().create(true).append(true).open(log).expect("a log");
        let child = command
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Self { child }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status()
            .expect("kill");
        assert!(status.success(), "{name} to {}", self.id());
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }

    /// Stops it with SIGTERM. Returns its exit status.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.end(Duration::from_secs(60))
    }

    /// Waits for its end. Returns its exit status.
    pub fn end(&mut self, at_most: Duration) -> Option<i32> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not end within {at_most:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The published distributions and roots, which must be the same on every bus.
pub fn payouts(place: &Place) -> (Vec<String>, BTreeMap<String, String>) {
    let roots = place
        .records("softstake.epochs")
        .iter()
        .map(|seal| (text(&seal["id"]).to_owned(), text(&seal["data"]["root"]).to_owned()))
        .collect();
    (place.sorted_lines("softstake.distributions"), roots)
}
