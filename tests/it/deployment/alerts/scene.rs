//! A deployment on a directory bus that Prometheus scrapes.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::prometheus::{Job, Prometheus};
use crate::common::events::{ago, deposit, event, listing_from, pool};
use crate::common::process::{Process, until};
use crate::common::{Place, on_bus, run_by, succeed};
use crate::deployment::monitor::endpoint::{LISTEN, Watched};
use crate::deployment::monitor::folder_of;

pub const CONTROL: &str = "softstake.control";
pub const DEPOSITS: &str = "exchange.deposits";

/// The alerts about a disk. Most scenarios share theirs with other processes.
pub const OF_DISKS: [&str; 3] = ["DiskLow", "DiskFull", "DiskFillsUp"];

/// The length of an epoch, unless a scenario needs another.
pub const HOUR: i64 = 3_600_000;

/// A deployment, and its job in Prometheus.
pub struct Scene<'a> {
    pub job: Job<'a>,
    pub place: Place,
    /// The start of epoch 0, in milliseconds after the origin of the tests' events.
    pub anchor: i64,
}

impl<'a> Scene<'a> {
    /// ATOM is listed with epochs of an hour, of which one and a half are over.
    pub fn listed(prometheus: &'a Prometheus, name: &str) -> Self {
        Self::under(prometheus, name, &pool())
    }

    /// The same with this programme.
    pub fn under(prometheus: &'a Prometheus, name: &str, programme: &Value) -> Self {
        Self::since(prometheus, name, HOUR * 3 / 2, 3600, programme)
    }

    /// ATOM is listed with epochs of so many seconds. The first one began so many milliseconds ago.
    pub fn since(prometheus: &'a Prometheus, name: &str, began: i64, epoch_seconds: u32, programme: &Value) -> Self {
        let anchor = ago(began);
        let place = Place::new();
        place.append(CONTROL, 0, [listing_from(anchor, "ATOM", 6, epoch_seconds, programme)]);
        Self {
            job: prometheus.job(name),
            place,
            anchor,
        }
    }

    /// Appends a deposit of epoch 0 to a partition.
    pub fn deposit(&self, id: &str, partition: u32) {
        self.place.append(
            DEPOSITS,
            partition,
            [deposit(id, self.anchor + 1000, &format!("account-{id}"), "ATOM", "10")],
        );
    }

    /// Appends a deposit that was made now.
    pub fn deposit_now(&self, id: &str, partition: u32) {
        self.place
            .append(DEPOSITS, partition, [deposit(id, ago(0), "ann", "ATOM", "10")]);
    }

    /// Appends the close of epoch 0, which is `epoch_seconds` long.
    pub fn close(&self, epoch_seconds: i64) {
        let data = json!({"asset": "ATOM", "epoch": 0, "reward_pool": "5"});
        let time = self.anchor + epoch_seconds * 1000;
        self.place
            .append(CONTROL, 0, [event("close-0", "softstake.epoch_close.v1", time, &data)]);
    }

    /// `softstake run` with an endpoint on a free port.
    pub fn command(&self) -> Command {
        self.command_at(LISTEN[1])
    }

    /// `softstake run` with an endpoint at this address.
    pub fn command_at(&self, address: &str) -> Command {
        let mut command = on_bus("run", &self.place.bus());
        command
            .arg("--state")
            .arg(self.place.state())
            .args([LISTEN[0], address]);
        command
    }

    /// The place of the snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.place.bus().with_file_name("places")
    }

    /// Adds snapshots every second.
    pub fn with_snapshots(&self, mut command: Command) -> Command {
        command.arg("--snapshots-place").arg(self.snapshots());
        command.env("SOFTSTAKE_SNAPSHOTS__EVERY_SECONDS", "1");
        command
    }

    /// Starts a command, which Prometheus scrapes from then on.
    pub fn start(&self, command: &mut Command) -> Watched {
        let watched = Watched::of(command, self.place.bus().with_file_name("run.log"));
        self.job.add(watched.address());
        watched
    }

    /// Reads all records, with snapshots, then takes away the store of a task whose folder is `store`, and makes its snapshots, which are in a folder
    /// with `series` in its name, unreadable: the task restarts again and again.
    pub fn break_task(&self, store: &str, series: &str) {
        let mut command = self.place.command(Some(2));
        command.arg("--snapshots-place").arg(self.snapshots());
        succeed(&mut command);
        fs::remove_dir_all(self.place.state().join(store)).expect("its store");
        make_unreadable(&folder_of(&self.snapshots(), series));
    }

    /// Waits until Prometheus has scraped the job.
    pub fn until_scraped(&self) {
        until("Prometheus has the counters", || {
            !self.job.values("softstake_dead_letters_total").is_empty()
        });
    }
}

/// Puts a link to itself in the place of a folder.
pub fn make_unreadable(folder: &Path) {
    fs::rename(folder, folder.with_file_name("aside")).expect("moved");
    std::os::unix::fs::symlink(folder.file_name().expect("a name"), folder).expect("a link to itself");
}

/// The command on a disk of its own: of so many MB, at its state directory. The disk is gone with the process.
pub fn on_own_disk(command: &Command, state: &Path, megabytes: u32) -> Command {
    fs::create_dir_all(state).expect("the state directory");
    let mut runner = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        runner.arg("--map-root-user");
    }
    let mounted = format!("mount -t tmpfs -o size={megabytes}m none \"$0\" && exec \"$@\"");
    runner.args(["--mount", "sh", "-c", &mounted]).arg(state);
    run_by(runner, command)
}

/// A folder of the disk of a process from [`on_own_disk`].
pub fn seen_by(watched: &Watched, folder: &Path) -> PathBuf {
    seen_of(&watched.process, folder)
}

/// The same of any process.
pub fn seen_of(process: &Process, folder: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", process.id()));
    root.join(folder.strip_prefix("/").expect("an absolute path"))
}

/// The command on a disk that is slow with some files. `injected` is in the words of strace.
pub fn on_slow_disk(command: &Command, files: impl IntoIterator<Item = PathBuf>, injected: &[&str]) -> Command {
    let mut runner = Command::new("strace");
    // The tracer is not the parent of the program, and says nothing.
    runner.args([
        "-D",
        "--seccomp-bpf",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=write,fdatasync,fsync,pread64",
    ]);
    for file in files {
        runner.arg("-P").arg(file);
    }
    for injected in injected {
        runner.args(["-e", &format!("inject={injected}")]);
    }
    run_by(runner, command)
}

/// A process from [`on_slow_disk`]. Its tracer ends first: it would hold up the end of the process.
pub struct Traced(pub Watched);

impl Drop for Traced {
    fn drop(&mut self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.process.id())).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        if let Some(tracer) = tracer.map(str::trim).filter(|tracer| *tracer != "0") {
            // It may have ended already.
            let _ = Command::new("kill").args(["-KILL", tracer]).status();
        }
    }
}

/// What an operator sees of a process, for the table in `docs/operations.md`.
pub struct Seen<'a>(pub &'a Watched);

impl Seen<'_> {
    /// The answer of `/readyz`.
    pub fn readiness(&self) -> (u16, Vec<String>) {
        let (status, answer) = self.0.json("/readyz");
        let reasons = answer["reasons"].as_array().expect("reasons");
        let text = |reason: &Value| reason.as_str().expect("a sentence").to_owned();
        (status, reasons.iter().map(text).collect())
    }

    /// Waits until a line of the log has all these parts.
    pub fn until_said(&self, parts: &[&str]) {
        until(&format!("the log has {parts:?}"), || {
            let said = self.0.said();
            let mut lines = said.lines();
            lines.any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }
}

impl Deref for Seen<'_> {
    type Target = Watched;

    fn deref(&self) -> &Watched {
        self.0
    }
}
