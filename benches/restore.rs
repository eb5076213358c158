//! Measures the time from an empty disk to a ready deployment, with the newest snapshots in a folder. Checks that the outputs
//! after that are the same.
//!
//! `cargo bench --bench restore`; settings: HOLDERS (5,000,000), THREADS (2). `TMPDIR` should be on a disk.

#![allow(clippy::expect_used, reason = "a measurement that fails ends")]

#[path = "../tests/it/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses a part of the tests' helpers")]
mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use common::{OUTPUTS, Place, copy, setting, succeed};
use sha2::{Digest, Sha256};
use softstake::generate::{Synthetic, write};

/// The number of lines of a topic, and a digest that does not depend on their order.
fn digest(bus: &Path, topic: &str) -> (u64, u128) {
    let mut digest = (0, 0u128);
    for entry in fs::read_dir(bus.join(topic)).expect("a topic") {
        let file = fs::File::open(entry.expect("an entry").path()).expect("a partition");
        for line in BufReader::new(file).split(b'\n') {
            let sum = Sha256::digest(line.expect("a line"));
            let sum = u128::from_le_bytes(*sum.first_chunk().expect("16 bytes"));
            digest = (digest.0 + 1, digest.1.wrapping_add(sum));
        }
    }
    digest
}

fn main() {
    let holders = setting("HOLDERS", 5_000_000);
    let threads = setting("THREADS", 2).to_string();
    let spec = Synthetic {
        events: 6 * holders,
        accounts: holders * 5 / 4,
        assets: 1,
        partitions: 4,
        epochs: 2,
        ..Synthetic::default()
    };
    let place = Place::on_disk();
    let snapshots = place.bus().with_file_name("snapshots");
    let run = |place: &Place| {
        let mut command = place.command(None);
        command
            .args(["--threads", &threads, "--snapshots-place"])
            .arg(&snapshots);
        let began = Instant::now();
        let output = succeed(&mut command);
        (began.elapsed(), String::from_utf8(output.stderr).expect("text"))
    };
    write(&place.bus(), &spec, 0..1, &mut |_| {}).expect("a bus is written");
    let (took, _) = run(&place);
    // Accounts with a balance in the first epoch: paid, or not eligible.
    let seal = &place.records("softstake.epochs")[0]["data"];
    let count = |value: &serde_json::Value| value.as_u64().expect("a count");
    let not_eligible = ["status", "negative", "below_minimum"].map(|reason| count(&seal["ineligible"][reason]));
    let accounts = count(&seal["distributions"]) + not_eligible.iter().sum::<u64>();
    println!("{accounts} accounts with a balance, and snapshots taken: {took:.1?}");
    assert!(accounts >= holders, "{seal}");

    let undisturbed = Place::on_disk();
    copy(&place.bus(), &undisturbed.bus());
    copy(&place.state(), &undisturbed.state());
    fs::remove_dir_all(place.state()).expect("a state to lose");
    // From the start of the process until it is idle: all stores are restored, each of their blocks is read, and all logs are
    // read to their ends.
    let (took, said) = run(&place);
    let restored = said.matches("restored from the snapshot").count();
    println!("{restored} stores restored and ready: {took:.1?}");
    assert!(
        restored > 8 && !said.contains("recovering, with outputs suppressed"),
        "{said}"
    );

    for place in [&place, &undisturbed] {
        write(&place.bus(), &spec, 1..2, &mut |_| {}).expect("a bus is written");
    }
    run(&place);
    let mut command = undisturbed.command(None);
    succeed(command.args(["--threads", &threads]));
    for topic in OUTPUTS {
        let (ours, theirs) = (digest(&place.bus(), topic), digest(&undisturbed.bus(), topic));
        println!(
            "{topic}: {} records, {:032x}; never lost: {} records, {:032x}",
            ours.0, ours.1, theirs.0, theirs.1
        );
        assert_eq!(ours, theirs, "{topic}");
    }
}
