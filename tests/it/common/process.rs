//! A process that runs while the test watches it.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::place::Place;
use super::program::{on_bus, start};

/// Much longer than any wait takes. After it, the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks.
const BLINK: Duration = Duration::from_millis(5);

const SIGTERM: u32 = 15;

/// Waits until a condition holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(BLINK);
    }
}

/// A process, killed with the test.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(start(command))
    }

    /// A process that has started.
    pub fn of(child: Child) -> Self {
        Self(child)
    }

    /// Starts a command whose standard error goes to a file.
    pub fn logging(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).expect("a file for the log");
        let child = command.stdout(Stdio::null()).stderr(file).spawn();
        Self(child.expect("the program starts"))
    }

    /// `softstake run` on this bus. It does not stop when idle.
    pub fn running(place: &Place, partitions: Option<u32>) -> Self {
        let mut command = on_bus("run", &place.bus());
        command.arg("--state").arg(place.state());
        if let Some(partitions) = partitions {
            command.arg("--partitions").arg(partitions.to_string());
        }
        Self::start(&mut command)
    }

    /// A field of `/proc/PID/status`; none after its end.
    fn status(&self, field: &str) -> Option<String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        status
            .lines()
            .find_map(|line| Some(line.strip_prefix(field)?.trim().to_owned()))
    }

    fn catches(&self, signal: u32) -> bool {
        let caught = self
            .status("SigCgt:")
            .map_or(0, |mask| u64::from_str_radix(&mask, 16).expect("a mask"));
        caught & 1 << (signal - 1) != 0
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// The number of its open descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.0.id());
        std::fs::read_dir(folder).expect("its descriptors").count()
    }

    pub fn ended(&mut self) -> bool {
        self.0.try_wait().expect("the program's status").is_some()
    }

    /// Asks it to stop. Returns its exit status.
    pub fn stop(mut self) -> Option<i32> {
        until("it handles signals", || self.catches(SIGTERM));
        assert!(!self.ended(), "it ended by itself");
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .arg("-TERM")
                .arg(&id)
                .status()
                .expect("kill")
                .success()
        );
        until("it has stopped", || self.ended());
        self.0.wait().expect("its end").code()
    }

    /// Waits until it ends, which must be with success. Returns its peak of resident memory, in KiB.
    pub fn peak_kib(mut self) -> u64 {
        let mut peak = 0;
        until("it has ended", || {
            let now = self
                .status("VmHWM:")
                .map_or(0, |line| line.trim_end_matches(" kB").parse().expect("a number"));
            peak = peak.max(now);
            self.ended()
        });
        let status = self.0.wait().expect("its end");
        assert!(status.success(), "it ended with {status}");
        peak
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
