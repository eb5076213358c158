//! Records that are refused or late, closes that do not come, and epochs that are held or halted.

use std::path::Path;

use ethnum::I256;
use serde_json::json;
use softstake::core::accrue::row::Row;
use softstake::core::values::account::AccountName;
use softstake::core::values::bucket::bucket;
use softstake::store::rocks::{MemoryLimits, RocksStore, StoreKind, StoreResources, StoreSettings};
use softstake::store::{Changes, Store, StoreError, tables};

use super::prometheus::Prometheus;
use super::scene::{CONTROL, DEPOSITS, Scene};
use crate::common::events::{deposit, event, pool};
use crate::common::process::until;

/// Records that are refused, an epoch without a close, then postings behind the close of their epoch.
pub fn refused_and_late(prometheus: &Prometheus) {
    let scene = Scene::since(prometheus, "records", 250_000, 100, &pool());
    scene.deposit("1", 0);
    let watched = scene.start(&mut scene.command());
    watched.until_metric(
        "softstake_postings_total",
        &[("topic", DEPOSITS), ("outcome", "applied")],
        1.0,
    );
    scene.until_scraped();
    scene.place.append(DEPOSITS, 0, ["{"]);
    let early = json!({"asset": "ATOM", "epoch": 0, "reward_pool": "1"});
    let early = event("early", "softstake.epoch_close.v1", scene.anchor, &early);
    scene.place.append(CONTROL, 0, [early]);
    scene.job.until_fired(&["EpochNotSealed"]);
    scene.close(100);
    watched.until_metric("softstake_seals_total", &[], 1.0);
    let late = (0..5).map(|id| deposit(&format!("late-{id}"), scene.anchor + 1000, "ann", "ATOM", "1"));
    scene.place.append(DEPOSITS, 0, late);
    watched.until_metric("softstake_late_postings_total", &[("topic", DEPOSITS)], 5.0);
    scene
        .job
        .until_fired(&["NewDeadLetters", "ControlRejected", "LatePostings"]);
}

/// The gate holds an epoch. Before it is released, somebody alters the store, so what is paid is not what was added up.
pub fn held_then_halted(prometheus: &Prometheus) {
    let gate = json!({"from_epoch": 0, "mode": "pool", "gate": "always"});
    let scene = Scene::under(prometheus, "held", &gate);
    scene.deposit("1", 0);
    scene.deposit("2", 0);
    scene.close(3600);
    let mut command = scene.command();
    command.args(["--partitions", "1"]);
    let watched = scene.start(&mut command);
    watched.until_metric("softstake_held_epochs", &[("asset", "ATOM"), ("state", "held")], 1.0);
    scene.job.until_fired(&["EpochHeld"]);
    scene.job.remove(watched.address());
    assert_eq!(watched.process.stop(), Some(0));
    alter(&scene.place.state().join("accrue/1/0"), "account-1");
    let data = json!({"asset": "ATOM", "epoch": 0, "by": "treasury", "reason": "checked"});
    let time = scene.anchor + 3_700_000;
    let release = event("release", "softstake.epoch_release.v1", time, &data);
    scene.place.append(CONTROL, 0, [release]);
    let mut watched = scene.start(&mut command);
    until("the epoch is halted", || {
        assert!(!watched.process.ended(), "{}", watched.said());
        watched.said().contains("ATOM epoch 0 is stopped, nothing is paid: ")
    });
    watched.until_metric("softstake_halted_epochs", &[("asset", "ATOM")], 1.0);
    scene.job.until_fired(&["EpochHalted"]);
}

/// The owner that a store was made for.
fn owner(path: &Path) -> String {
    match RocksStore::open(path, StoreKind::Accrue, settings("nobody")) {
        Err(StoreError::Owner { found, .. }) => found,
        other => panic!("{:?}", other.err()),
    }
}

fn settings(owner: &str) -> StoreSettings {
    let resources = StoreResources::new(MemoryLimits::default()).expect("resources");
    StoreSettings::new(resources, owner)
}

/// Withholds an amount for an account in a store, while no process works with it. What is withheld counts at the next settlement.
fn alter(path: &Path, account: &str) {
    let mut store = RocksStore::open(path, StoreKind::Accrue, settings(&owner(path))).expect("the store");
    let (mut key, name) = (Vec::new(), AccountName::new(account).expect("a name"));
    tables::opening(&mut key, 0, bucket(account), &name);
    let mut changes = Changes::default();
    let withheld = Row {
        delta: I256::ZERO,
        weighted: I256::new(1_000_000),
    };
    changes.add(&key, withheld);
    let position = store.position().clone();
    store.commit(&mut changes, &position).expect("a commit");
    store.close();
}
