//! The consumer's process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::database::Database;
use crate::common::installed::{installed, variable};
use crate::common::kafka::{Cluster, java_program, wait_for};

/// Small transactions, so that a kill hits many different ones, and an end.
pub const FLAGS: [&str; 2] = ["--batch=10", "--until-idle"];

/// One of the three consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Rust,
    Python,
    Java,
}

impl Program {
    pub const ALL: [Self; 3] = [Self::Rust, Self::Python, Self::Java];

    fn command(self) -> Command {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        match self {
            Self::Rust => {
                let program = Path::new(env!("CARGO_BIN_EXE_softstake")).with_file_name("payout_consumer");
                assert!(
                    program.exists(),
                    "{} is missing: `cargo build --release` builds it, as does `cargo test` without --test",
                    program.display()
                );
                Command::new(program)
            }
            Self::Python => {
                let mut command = Command::new(python());
                command.arg(examples.join("payout_consumer_python/payout_consumer.py"));
                command
            }
            Self::Java => {
                let source = examples.join("payout_consumer_java/PayoutConsumer.java");
                java_program(&source, "PayoutConsumer")
            }
        }
    }
}

/// A Python with the packages of the example: `SOFTSTAKE_TEST_PYTHON`, or else one in the project's cache.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        variable("SOFTSTAKE_TEST_PYTHON").unwrap_or_else(|| installed("tests/payout_python.sh", "python"))
    })
}

/// A running consumer, killed with the test.
pub struct Consumer {
    pub process: Child,
    log: PathBuf,
}

impl Consumer {
    pub fn start(cluster: &Cluster, database: &Database, flags: &[&str]) -> Self {
        let log = database.log();
        let mut command = database.program.command();
        command.arg("--brokers").arg(cluster.bootstrap());
        // The defaults of a payout service, except for a faster reconnect to a broker.
        command.args(["-X", "reconnect.backoff.max.ms=500"]).args(flags);
        command.args(["--name", &database.name(), "--executions", &database.executions()]);
        // In the environment, because it may contain a password.
        command.env("PAYOUT_DATABASE", &database.url);
        let append = File::options().create(true).append(true).open(&log).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(append);
        Self {
            process: command.spawn().expect("the consumer starts"),
            log,
        }
    }

    /// Runs until everything is read. It must succeed.
    pub fn run(cluster: &Cluster, database: &Database) {
        let mut consumer = Self::start(cluster, database, &FLAGS);
        let status = wait_for("the consumer to end", || {
            consumer.process.try_wait().expect("its status")
        });
        assert!(
            status.success(),
            "the consumer ended with {status}:\n{}",
            consumer.said()
        );
    }

    /// Runs until it fails. Returns its log.
    pub fn fail(cluster: &Cluster, database: &Database) -> String {
        let mut consumer = Self::start(cluster, database, &FLAGS);
        let status = wait_for("the consumer to end", || {
            consumer.process.try_wait().expect("its status")
        });
        assert_eq!(status.code(), Some(1), "{}", consumer.said());
        consumer.said()
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    pub fn running(&mut self) -> bool {
        self.process.try_wait().expect("its status").is_none()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // It has no orderly end: SIGKILL is how it is always stopped.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the consumer said:\n{}", self.said());
        }
    }
}
