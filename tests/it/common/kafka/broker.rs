//! One broker: its process, folder and ports, and the jars that it runs from.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{BLINK, PATIENCE};
use crate::common::installed::{installed, variable};

/// Runs the given program, and kills it when its standard input ends: the end of the test process guarantees
/// that.
///
/// `$0` is an argument that no other process has. So a process that got the same id later is not killed.
const TIED_TO_STDIN: &str = r#"
exec 3<&0 </dev/null
(trap '' HUP INT TERM; read -r _ <&3; grep -zqxF -e "$0" "/proc/$$/cmdline" && kill -9 $$) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"#;

/// Options for a fast start and a short life.
const JVM: [&str; 5] = [
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
];

/// The ports of one broker. The first three are its listeners, which differ in the addresses that they advertise.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// For the other brokers, and for the tests' own clients.
    pub internal: u16,
    /// For clients.
    pub client: u16,
    /// For the proxy.
    pub proxied: u16,
    /// Where the proxy listens.
    pub proxy: u16,
    pub controller: u16,
}

impl Ports {
    pub fn free() -> Self {
        let [internal, client, proxied, proxy, controller] = free_ports();
        Self {
            internal,
            client,
            proxied,
            proxy,
            controller,
        }
    }
}

/// Ports that are free and were not given out before.
///
/// They are below the range for outgoing connections. Otherwise the system might use the port of a broker that is down,
/// even for a client's connection to that broker.
fn free_ports<const N: usize>() -> [u16; N] {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().expect("the ports given out");
    let given = given.get_or_insert_default();
    let mut tried = 0_u64;
    let random = RandomState::new();
    std::array::from_fn(|_| {
        loop {
            tried += 1;
            let port = 15_000 + u16::try_from(random.hash_one(tried) % 15_000).expect("below 15,000");
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            if !given.contains(&port) && TcpListener::bind(address).is_ok() {
                given.insert(port);
                return port;
            }
            assert!(tried < 10_000, "no port is free on 127.0.0.1");
        }
    })
}

pub struct Broker {
    pub folder: PathBuf,
    pub ports: Ports,
    process: Option<Child>,
    paused: bool,
}

impl Broker {
    /// Writes the settings to the broker's folder.
    pub fn new(folder: PathBuf, ports: Ports, properties: &str) -> Self {
        fs::create_dir(&folder).expect("a folder for the broker");
        let properties = format!("{properties}log.dirs={}\n", folder.join("data").display());
        let broker = Self {
            folder,
            ports,
            process: None,
            paused: false,
        };
        fs::write(broker.properties(), properties).expect("the broker's settings");
        broker
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("broker.properties")
    }

    fn log(&self) -> File {
        let path = self.folder.join("log");
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("the broker's log")
    }

    /// The last lines of its log.
    pub fn said(&self) -> String {
        let text = fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Starts to format the data folder, which a broker needs once. The caller ends it with `finish`.
    pub fn format(&self, cluster: &str, extra: &[String]) -> Child {
        let mut tool = java("kafka.tools.StorageTool");
        tool.args(["format", "--cluster-id", cluster, "--config"]);
        tool.arg(self.properties()).args(extra);
        spawn(self.tied(&tool).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    fn tied(&self, command: &Command) -> Command {
        tied(command, self.properties())
    }

    /// Starts the process. It may take seconds until the broker answers.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "the broker runs already");
        let mut kafka = java("kafka.Kafka");
        kafka.arg(self.properties());
        self.process = Some(spawn(self.tied(&kafka).stdout(self.log()).stderr(self.log())));
        self.paused = false;
    }

    /// Its exit status, if it ended by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let process = self.process.as_mut()?;
        process.try_wait().expect("the broker's status")
    }

    /// Whether it runs and is not paused.
    pub fn answers(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the broker runs");
        kill_process(Pid::from_child(process), signal).expect("a signal to the broker");
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
        self.paused = false;
    }

    /// Ends it with SIGTERM.
    pub fn stop(&mut self) {
        assert!(self.answers(), "the broker does not run");
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while self.ended().is_none() {
            assert!(Instant::now() < deadline, "the broker does not stop:\n{}", self.said());
            thread::sleep(BLINK);
        }
        self.process = None;
    }

    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        self.paused = true;
    }

    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
        self.paused = false;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The command for one of Kafka's programs.
fn java(main: &str) -> Command {
    let mut command = Command::new("java");
    command.args(JVM);
    let archive = libs().join("kafka.jsa");
    if archive.exists() {
        command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    command.arg("-cp").arg(classpath()).arg(main);
    command
}

/// The command for a program in one source file, which is compiled by the first call for it.
pub fn java_program(source: &Path, main: &str) -> Command {
    static CLASSES: OnceLock<TempDir> = OnceLock::new();
    let classes = CLASSES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut javac = Command::new("javac");
        javac.args(["-cp", &classpath(), "-d"]).arg(folder.path()).arg(source);
        let output = javac.output().expect("javac starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{} does not compile:\n{said}",
            source.display()
        );
        folder
    });
    let mut command = Command::new("java");
    command.args(["-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    let path = format!("{}:{}", classpath(), classes.path().display());
    command.arg("-cp").arg(path).arg(main);
    command
}

/// The same command, but its process ends with the test process, or when its standard input is closed.
fn tied(command: &Command, own_argument: impl AsRef<OsStr>) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(TIED_TO_STDIN).arg(own_argument);
    shell.arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::piped());
    // A signal to the whole process group of the test must not start an orderly shutdown, which waits for other
    // brokers.
    shell.process_group(0);
    shell
}

fn spawn(command: &mut Command) -> Child {
    command.spawn().expect("a shell starts")
}

/// Starts one of Kafka's tools on a cluster. The caller ends it with `finish`.
pub fn tool(main: &str, bootstrap: &str, arguments: &[&str]) -> Child {
    let mut command = java(main);
    command.args(["--bootstrap-server", bootstrap]).args(arguments);
    spawn(tied(&command, bootstrap).stdout(Stdio::piped()).stderr(Stdio::piped()))
}

/// Waits for the end of a process, which must be with success.
pub fn finish(mut process: Child) -> Output {
    // Kept open until the end: closing it kills the process.
    let stdin = process.stdin.take();
    let output = process.wait_with_output().expect("the end of a tool");
    drop(stdin);
    assert!(
        output.status.success(),
        "a tool of Kafka's failed, {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// All jars, in the order that the archive of classes was made with.
fn classpath() -> String {
    let entries = fs::read_dir(libs()).unwrap_or_else(|e| panic!("Kafka's jars in {}: {e}", libs().display()));
    let mut jars: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .filter(|path| path.ends_with(".jar"))
        .collect();
    assert!(!jars.is_empty(), "there are no jars in {}", libs().display());
    jars.sort();
    jars.join(":")
}

/// The folder of Kafka's jars: `SOFTSTAKE_TEST_KAFKA_LIBS`, or else the project's cache, which is filled now if it is
/// empty.
fn libs() -> &'static Path {
    static LIBS: OnceLock<PathBuf> = OnceLock::new();
    LIBS.get_or_init(|| {
        variable("SOFTSTAKE_TEST_KAFKA_LIBS").unwrap_or_else(|| installed("tests/kafka/libs.sh", "kafka"))
    })
}
