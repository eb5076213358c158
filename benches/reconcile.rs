//! Measures `softstake reconcile` against `softstake run`: the same records, the same machine, one after the other.
//!
//! `cargo bench --bench reconcile`; settings: EVENTS (10,000,000), ROUNDS (1), THREADS (2). `TMPDIR` should be on a disk.
//! Use the ratio, not the rates.

#![allow(clippy::expect_used, reason = "a measurement that fails ends")]

#[path = "../tests/it/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses a part of the tests' helpers")]
mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, setting, softstake};
use softstake::generate::{Synthetic, write};

/// Runs a command. Returns its duration, and its peak memory in MB. All writes before it are synced first.
fn measured(command: &mut Command) -> (Duration, u64) {
    rustix::fs::sync();
    let began = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peak = 0;
    let status = loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) >> 10);
        match child.try_wait().expect("its status") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(status.success(), "{command:?} ended with {status}");
    (began.elapsed(), peak)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn main() {
    let events = setting("EVENTS", 10_000_000);
    let threads = setting("THREADS", 2).to_string();
    let spec = Synthetic {
        events,
        accounts: events / 20,
        assets: 5,
        partitions: 4,
        epochs: 3,
        ..Synthetic::default()
    };
    for _ in 0..setting("ROUNDS", 1) {
        // On a disk, as in production: a run makes every commit durable.
        let place = Place::on_disk();
        write(&place.bus(), &spec, 0..spec.epochs, &mut |_| {}).expect("a bus is written");
        let (run, run_peak) = measured(place.command(None).args(["--threads", &threads]));
        let mut reconcile = softstake();
        reconcile
            .arg("reconcile")
            .arg("--bus")
            .arg(format!("dir:{}", place.bus().display()));
        // On the same disk as the run.
        reconcile
            .env("TMPDIR", place.state())
            .env("SOFTSTAKE_THREADS", &threads);
        let (again, again_peak) = measured(&mut reconcile);
        println!(
            "{events} events: run {run:.1?} ({:.0} a second, peak {run_peak} MB), reconcile {again:.1?} ({:.0} a second, peak {again_peak} MB): {:.2} of the run's rate",
            events as f64 / run.as_secs_f64(),
            events as f64 / again.as_secs_f64(),
            run.as_secs_f64() / again.as_secs_f64()
        );
    }
}
