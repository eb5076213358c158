//! A Prometheus that scrapes the processes of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::rules;
use crate::common::installed::installed;
use crate::common::process::{Process, until};

/// Longer than any alert takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The alerts that fire, with the shortened times, if a machine gives its processes no time for seconds.
const OF_A_BUSY_MACHINE: [&str; 6] = [
    "InstanceDown",
    "LagUnknown",
    "NoCoordinator",
    "NotReady",
    "PersistSlow",
    "TransactionsSlow",
];

/// How busy the machine is: threads that wait or run, for each processor, of late.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").expect("the load");
    let lately = text.split(' ').take(2).map(|load| load.parse().expect("a number"));
    let processors = thread::available_parallelism().expect("processors").get();
    lately.fold(0.0, f64::max) / processors as f64
}

/// Four threads for each processor are usual while tests run.
const BUSY: f64 = 4.0;

/// Targets come from a file. Its labels have the job.
fn configuration(seconds: u32) -> String {
    format!(
        "\
global: {{ scrape_interval: {seconds}s, scrape_timeout: {seconds}s, evaluation_interval: {seconds}s }}
rule_files: [rules.yml]
scrape_configs:
  - job_name: scenarios
    file_sd_configs: [{{ files: [targets.json], refresh_interval: 1s }}]
"
    )
}

/// A server with the shortened rules, stopped with the test.
pub struct Prometheus {
    process: Mutex<Process>,
    /// The seconds between two scrapes.
    pub interval: u32,
    address: SocketAddr,
    /// The targets of each job.
    targets: Mutex<BTreeMap<String, BTreeSet<SocketAddr>>>,
    folder: TempDir,
}

impl Prometheus {
    /// Starts it without targets.
    pub fn start() -> Self {
        let program = installed("tests/prometheus.sh", "prometheus");
        let folder = tempfile::tempdir().expect("a folder for Prometheus");
        let file = |name: &str| folder.path().join(name);
        // On a busy machine, a scrape may take longer than a second.
        let interval = (load() / BUSY).clamp(1.0, 4.0) as u32;
        fs::write(file("rules.yml"), rules::shortened(interval)).expect("the rules");
        fs::write(file("prometheus.yml"), configuration(interval)).expect("the configuration");
        fs::write(file("targets.json"), "[]").expect("the targets");
        let address = free_address();
        let log = File::create(file("log")).expect("a log");
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", file("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(log.try_clone().expect("the log"))
            .stderr(log);
        let process = Process::of(command.spawn().expect("Prometheus starts"));
        let prometheus = Self {
            process: Mutex::new(process),
            interval,
            address,
            targets: Mutex::default(),
            folder,
        };
        until("Prometheus is ready", || {
            prometheus.check();
            prometheus.get("/-/ready").is_some()
        });
        prometheus
    }

    fn check(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!process.ended(), "Prometheus has ended:\n{}", self.said());
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What a path has; `None` if it does not answer with status 200.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        // An answer to this version of HTTP has no chunks.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.0 200 ").then(|| body.to_owned())
    }

    /// The labels and the values of an expression now.
    pub fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let mut encoded = String::new();
        for byte in expression.bytes() {
            if byte.is_ascii_alphanumeric() {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        let answer = self.get(&format!("/api/v1/query?query={encoded}"));
        let answer = answer.unwrap_or_else(|| panic!("no answer to {expression}\n{}", self.said()));
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        let series = answer["data"]["result"].as_array_mut().expect("series").drain(..);
        let read = |mut one: Value| {
            let value = one["value"][1].as_str().and_then(|value| value.parse().ok());
            (one["metric"].take(), value.expect("a number"))
        };
        series.map(read).collect()
    }

    /// Which alerts have fired since the start, by job.
    pub fn all_fired(&self) -> BTreeMap<String, BTreeSet<String>> {
        let every = "count by (job, alertname) (count_over_time(ALERTS{alertstate=\"firing\"}[1h]))";
        let mut fired: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (labels, _) in self.query(every) {
            let text = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
            fired.entry(text("job")).or_default().insert(text("alertname"));
        }
        fired
    }

    /// A job without targets.
    pub fn job(&self, name: &str) -> Job<'_> {
        Job {
            prometheus: self,
            name: format!("softstake/{name}"),
        }
    }

    /// A job of the read side without targets.
    pub fn read_side_job(&self, name: &str) -> Job<'_> {
        Job {
            prometheus: self,
            name: format!("softstake-serve/{name}"),
        }
    }

    fn change_targets(&self, change: impl FnOnce(&mut BTreeMap<String, BTreeSet<SocketAddr>>)) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut targets);
        let group = |(job, targets): (&String, &BTreeSet<SocketAddr>)| json!({"targets": targets.iter().map(SocketAddr::to_string).collect::<Vec<_>>(), "labels": {"job": job}});
        let groups: Vec<Value> = targets.iter().map(group).collect();
        let (new, file) = (self.path("targets.new"), self.path("targets.json"));
        fs::write(&new, Value::from(groups).to_string()).expect("the new targets");
        fs::rename(new, file).expect("the targets");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// An address that is free now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

/// The targets of one deployment.
pub struct Job<'a> {
    prometheus: &'a Prometheus,
    name: String,
}

impl Job<'_> {
    pub fn add(&self, target: SocketAddr) {
        self.prometheus.change_targets(|targets| {
            targets.entry(self.name.clone()).or_default().insert(target);
        });
    }

    pub fn remove(&self, target: SocketAddr) {
        self.prometheus.change_targets(|targets| {
            targets.entry(self.name.clone()).or_default().remove(&target);
        });
    }

    /// The values of a metric of this job.
    pub fn values(&self, metric: &str) -> Vec<f64> {
        let series = self.prometheus.query(&format!("{metric}{{job=\"{}\"}}", self.name));
        series.into_iter().map(|(_, value)| value).collect()
    }

    /// The alerts that have fired since the start.
    pub fn fired(&self) -> BTreeSet<String> {
        self.prometheus.all_fired().remove(&self.name).unwrap_or_default()
    }

    /// These alerts have fired, and no other. Those of `perhaps` may have, and on a busy machine those that tell of one.
    pub fn check_fired(&self, alerts: &[&str], perhaps: &[&str]) {
        let mut fired = self.fired();
        let busy: &[&str] = if load() > BUSY { &OF_A_BUSY_MACHINE } else { &[] };
        for alert in perhaps.iter().chain(busy).filter(|alert| !alerts.contains(alert)) {
            if fired.remove(&format!("Softstake{alert}")) {
                println!("{}: {alert} as well", self.name);
            }
        }
        let expected = alerts.iter().map(|alert| format!("Softstake{alert}"));
        assert_eq!(fired, expected.collect(), "{}", self.name);
    }

    /// Waits until all these alerts have fired. The names are without the word Softstake.
    pub fn until_fired(&self, alerts: &[&str]) {
        self.until_fired_while(alerts, || {});
    }

    /// The same, with something to do meanwhile.
    pub fn until_fired_while(&self, alerts: &[&str], mut meanwhile: impl FnMut()) {
        let began = Instant::now();
        loop {
            let fired = self.fired();
            let missing: Vec<&&str> = alerts
                .iter()
                .filter(|alert| !fired.contains(&format!("Softstake{alert}")))
                .collect();
            if missing.is_empty() {
                println!("{}: {alerts:?} after {:?}", self.name, began.elapsed());
                return;
            }
            assert!(
                began.elapsed() < PATIENCE * self.prometheus.interval,
                "{}: {missing:?} did not fire, but {fired:?}",
                self.name
            );
            meanwhile();
            thread::sleep(Duration::from_millis(300));
        }
    }
}
