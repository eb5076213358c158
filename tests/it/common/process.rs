//! A process that works while the test looks on.
//!
//! Whoever includes this includes `common` as well.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::common::{Place, softstake, start};

/// Far more than anything here takes: past it, the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the test looks.
const BLINK: Duration = Duration::from_millis(5);

const SIGTERM: u32 = 15;

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "gave up waiting until {what}");
        std::thread::sleep(BLINK);
    }
}

/// A process that is gone with the test, whatever comes of it.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(start(command))
    }

    /// `softstake run` on this bus, without an end.
    pub fn watching(place: &Place, partitions: Option<u32>) -> Self {
        let mut command = softstake();
        command
            .arg("run")
            .arg("--bus")
            .arg(format!("dir:{}", place.bus().display()));
        command.arg("--state").arg(place.state());
        if let Some(partitions) = partitions {
            command.arg("--partitions").arg(partitions.to_string());
        }
        Self::start(&mut command)
    }

    /// What the system says of it; nothing once it has ended.
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

    pub fn ended(&mut self) -> bool {
        self.0.try_wait().expect("the program's status").is_some()
    }

    /// Asks it to stop; its exit status.
    pub fn stop(mut self) -> Option<i32> {
        until("it listens to signals", || self.catches(SIGTERM));
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

    /// Lets it come to its end, which must be a success; the most memory it was seen to hold, in KiB.
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
        // It may have ended; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
