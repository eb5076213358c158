//! Disks that are full, slow or hang, and places of snapshots that refuse.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::prometheus::Prometheus;
use super::scene::{DEPOSITS, OF_DISKS, Scene, Seen, Traced, make_unreadable, on_own_disk, on_slow_disk, seen_by};
use crate::common::events::{deposit, event};
use crate::common::process::until;
use crate::common::{Place, copy, succeed};
use crate::deployment::monitor::endpoint::Watched;

const MB: usize = 1 << 20;

/// Writes so many MB to a file.
fn grow(file: &mut File, megabytes: usize) {
    file.write_all(&vec![1; megabytes * MB]).expect("room on the disk");
}

/// A small disk fills up, then is full.
pub fn disk_is_full(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "disk");
    let state = scene.place.state();
    // As many tasks start again and again.
    for partition in 0..6 {
        scene.deposit(&format!("first-{partition}"), partition);
    }
    let watched = scene.start(&mut on_own_disk(&scene.command(), &state, 1000));
    watched.until_ready();
    let mut file = File::create(seen_by(&watched, &state).join("others")).expect("a file");
    let mut left = 180;
    scene.job.until_fired_while(&["DiskLow", "DiskFillsUp"], || {
        // It stays above what tasks need.
        if left > 0 {
            left -= 1;
            grow(&mut file, 3);
        }
    });
    let free = watched.metric("softstake_disk_free_bytes", &[]).expect("a disk");
    grow(&mut file, (free as usize / MB).saturating_sub(140));
    for partition in 0..6 {
        scene.deposit(&format!("second-{partition}"), partition);
    }
    // All tasks of the process restart, that of the coordinator, too.
    let expected = [
        "DiskFull",
        "TasksRestarting",
        "TaskRestarts",
        "NotReady",
        "NoCoordinator",
    ];
    scene.job.until_fired(&expected);
    scene
        .job
        .check_fired(&[&expected[..], &["DiskLow", "DiskFillsUp"]].concat(), &[]);
    what_is_seen_of_a_full_disk(&watched);
    // With room, it goes on by itself.
    file.set_len(0).expect("room");
    watched.until_ready();
    watched.until_metric(
        "softstake_source_records_total",
        &[("topic", DEPOSITS), ("outcome", "applied")],
        12.0,
    );
}

/// The row "a full disk" of the table in `docs/operations.md`.
fn what_is_seen_of_a_full_disk(watched: &Watched) {
    let seen = Seen(watched);
    let (status, reasons) = seen.readiness();
    let says_why = |reason: &&String| {
        reason.contains(" restarts again and again: the disk of the store at ") && reason.contains(" MB free")
    };
    // It names eight tasks, and counts the others.
    let named: Vec<&String> = reasons
        .iter()
        .filter(|reason| !reason.ends_with("more tasks do not work yet"))
        .collect();
    assert!(
        status == 503 && !named.is_empty() && named.iter().all(says_why),
        "{reasons:?}"
    );
    assert!(watched.metric("softstake_disk_free_bytes", &[]) < Some(256.0 * MB as f64));
    assert!(watched.metric("softstake_tasks", &[("task", "ingest"), ("state", "restarting")]) >= Some(1.0));
    assert!(watched.metric("softstake_task_restarts_total", &[("reason", "disk_full")]) > Some(5.0));
    seen.until_said(&[
        "WARN",
        "the disk of the store at ",
        " MB free",
        "; the task restarts in ",
    ]);
}

/// A disk takes more than a second for each write to some files.
pub fn disk_is_slow(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "slow-disk");
    let store = scene.place.state().join("ingest/exchange.deposits/0");
    // A new store logs its changes into one of these.
    let logs = (6..60).map(|number| store.join(format!("{number:06}.log")));
    let files = logs.chain([scene.place.bus().join(".softstake/journal")]);
    let injected = ["write,fdatasync:delay_enter=1200000"];
    let mut command = on_slow_disk(&scene.command(), files, &injected);
    let _watched = Traced(scene.start(&mut command));
    let mut sent = 0;
    scene.job.until_fired_while(&["TransactionsSlow", "PersistSlow"], || {
        scene.deposit_now(&sent.to_string(), 0);
        sent += 1;
    });
}

/// A disk does not answer while the ledger is read again. Meanwhile the sources are read on.
pub fn disk_hangs(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "hung-disk");
    // Long names make a ledger that is read in many pieces, although the records are few.
    let long = "x".repeat(110);
    let trades = |ids: Range<u32>| {
        let each = ids.map(|id| {
            let data = json!({
                "base_asset": "ATOM", "quote_asset": "USD", "price": "1", "quantity": "1",
                "buyer": {"account": format!("{id}-{long}")}, "seller": {"account": format!("s{id}-{long}")},
            });
            event(&id.to_string(), "exchange.trade.v1", scene.anchor + 1000, &data)
        });
        scene.place.append("exchange.trades", 0, each);
    };
    trades(0..40_000);
    scene.place.run(Some(1));
    trades(40_000..80_000);
    fs::remove_dir_all(scene.place.state().join("accrue")).expect("its store");
    let mut command = scene.command();
    command.args(["--threads", "2"]);
    let ledger = scene.place.bus().join("softstake.ledger/0.log");
    // The first look at the lag comes before the sources are read, because their store opens late.
    let store = scene.place.state().join("ingest/exchange.trades/0");
    let injected = [
        // The start reads the end of the ledger, in two pieces. So each thread may read two.
        "pread64:delay_enter=1000000000:when=3+",
        "fsync:delay_enter=8000000:when=1",
    ];
    let watched = Traced(scene.start(&mut on_slow_disk(&command, [ledger, store], &injected)));
    let left = [("topic", "softstake.ledger"), ("partition", "0")];
    until("the ledger is recovered", || {
        watched.0.metric("softstake_recovery_remaining_offsets", &left) > Some(0.0)
    });
    scene.job.until_fired(&["RecoveryStuck", "InnerLagGrows"]);
}

/// The place of the snapshots does not answer any more.
pub fn snapshots_fail(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "snapshots");
    let watched = scene.start(&mut scene.with_snapshots(scene.command()));
    watched.until_ready();
    let mut sent = 0;
    let mut send = || {
        scene.deposit_now(&sent.to_string(), 0);
        sent += 1;
    };
    until("snapshots are taken", || {
        send();
        watched.metric("softstake_snapshots_total", &[("outcome", "taken")]) > Some(3.0)
    });
    make_unreadable(&scene.snapshots());
    scene.job.until_fired_while(&["SnapshotsFail", "SnapshotOld"], send);
    scene.job.check_fired(&["SnapshotsFail", "SnapshotOld"], &OF_DISKS);
    let seen = Seen(&watched);
    // The row "snapshots that fail" of the table in `docs/operations.md`.
    assert_eq!(seen.readiness(), (200, Vec::new()));
    assert!(watched.metric("softstake_snapshots_total", &[("outcome", "failed")]) > Some(2.0));
    assert!(watched.metric("softstake_snapshot_age_seconds", &[]) > Some(18.0));
    seen.until_said(&["cannot ", " of the snapshots at "]);
}

/// A copy of the bus takes its snapshots at the same place, and is ahead.
pub fn snapshots_are_refused(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "copy");
    scene.deposit("1", 0);
    let until_idle = |place: &Place, snapshots: &Path| {
        succeed(place.command(None).arg("--snapshots-place").arg(snapshots));
    };
    let snapshots: PathBuf = scene.snapshots();
    until_idle(&scene.place, &snapshots);
    let other = Place::new();
    copy(&scene.place.bus(), &other.bus());
    copy(&scene.place.state(), &other.state());
    let records = ["2", "3"].map(|id| deposit(id, scene.anchor, "mal", "ATOM", "9"));
    other.append(DEPOSITS, 0, records);
    until_idle(&other, &snapshots);
    scene.deposit("4", 0);
    let watched = scene.start(&mut scene.with_snapshots(scene.command()));
    watched.until_metric("softstake_snapshots_refused", &[], 1.0);
    scene.job.until_fired(&["SnapshotsRefused"]);
}
