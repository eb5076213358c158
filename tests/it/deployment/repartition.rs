//! Changing the number of ledger partitions, also under load and with kills: the output must not change.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use softstake::generate::Synthetic;

use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::{Place, copy, fail, on_bus, softstake, start, succeed, undisturbed};
use crate::judge::judge;

const STAGES: u32 = 6;

fn spec() -> Synthetic {
    Synthetic {
        events: 24_000,
        accounts: 1_000,
        assets: 3,
        epochs: STAGES,
        ..Synthetic::default()
    }
}

fn on(place: &Place, subcommand: &str) -> Command {
    let mut command = on_bus(subcommand, &place.bus());
    command.arg("--state").arg(place.state());
    command
}

fn repartition(place: &Place, to: u32) -> Command {
    let mut command = on(place, "repartition");
    command.arg("--to").arg(to.to_string());
    command
}

/// Some accounts as `softstake query account` shows them.
fn accounts(state: &Path) -> Vec<String> {
    let accounts: Vec<String> = (0..1_000)
        .step_by(53)
        .map(|number| {
            let mut query = softstake();
            query.args(["query", "account", &format!("u-{number:06}"), "--json", "--state"]);
            let output = query.arg(state).output().expect("the program starts");
            // An account may have only a status so far, and no balance.
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(0 | 3)), "u-{number:06}: {said}");
            String::from_utf8(output.stdout).expect("text")
        })
        .collect();
    assert!(
        accounts.iter().any(|account| account.contains("balance")),
        "{accounts:?}"
    );
    accounts
}

/// Starts a command and kills it after a while, if it is still running.
fn killed_after(command: &mut Command, ms: u64) {
    let mut child = start(command);
    std::thread::sleep(Duration::from_millis(ms));
    let _ = child.kill();
    child.wait().expect("its end");
}

#[test]
fn repeated_layout_changes_do_not_change_the_output() {
    let expected = undisturbed(&spec());
    let place = Place::new();
    let mut rows = Vec::new();
    for (stage, to) in (0..STAGES).zip([4, 2, 16, 1, 2, 4]) {
        place.bring(&spec(), stage);
        place.run(if stage == 0 { Some(2) } else { None });
        let before = accounts(&place.state());
        let output = succeed(&mut repartition(&place, to));
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(said.contains(&format!("The ledger has {to} partition")), "{said}");
        assert_eq!(accounts(&place.state()), before, "after {said}");
        rows.push(said);
        let stores = fs::read_dir(place.state().join("accrue")).expect("stores");
        let stores: Vec<_> = stores.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(stores, [format!("{to}-{}", stage + 1).as_str()], "old stores are gone");
    }
    place.run(None);
    assert_eq!(place.outcome(), expected);
    assert!(rows.iter().all(|said| !said.contains(" 0 rows")), "{rows:?}");
    succeed(&mut on_bus("reconcile", &place.bus()));
    // A rebuild from the log alone makes the same stores, through all layouts.
    let before = accounts(&place.state());
    fs::remove_dir_all(place.state()).expect("a state to lose");
    succeed(&mut on(&place, "rebuild"));
    assert_eq!(accounts(&place.state()), before);
    place.run(None);
    assert_eq!(place.outcome(), expected);
}

#[test]
fn kills_during_work_and_repartition_do_not_change_the_output() {
    let expected = undisturbed(&spec());
    for round in 0..4_u64 {
        let place = Place::new();
        for (stage, to) in (0..STAGES).zip([8, 4, 1, 2, 32, 8]) {
            place.bring(&spec(), stage);
            // Blocks and barriers may be waiting on the ledger.
            let mut run = on(&place, "run");
            if stage == 0 {
                run.args(["--partitions", "2"]);
            }
            killed_after(&mut run, 60 + 37 * (round + u64::from(stage)));
            let mut command = repartition(&place, to);
            killed_after(&mut command, 5 + 23 * (round + u64::from(stage)) % 120);
            // Settlements in progress are finished first. The change may already be in force.
            for _ in 0..3 {
                let output = repartition(&place, to).output().expect("the program starts");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let nothing = fs::read_dir(place.bus().join("softstake.decisions")).is_err();
                assert!(
                    output.status.success() || said.contains("nothing was changed") || nothing,
                    "{said}"
                );
                if output.status.success() {
                    break;
                }
            }
            place.run(None);
        }
        assert_eq!(place.outcome(), expected, "round {round}");
    }
}

#[test]
fn a_store_of_an_earlier_layout_is_not_used() {
    let expected = undisturbed(&spec());
    let place = Place::new();
    let snapshots = place.bus().with_file_name("snapshots");
    let old = place.bus().with_file_name("old");
    place.bring(&spec(), 0);
    place.run(Some(2));
    copy(&place.state(), &old);
    // The same number of partitions as before, in a later layout.
    for (stage, to) in [(1, 4), (2, 2)] {
        succeed(repartition(&place, to).arg("--snapshots-place").arg(&snapshots));
        place.bring(&spec(), stage);
        place.run(None);
    }
    fs::remove_dir_all(place.state()).expect("a state to lose");
    copy(&old, &place.state());
    let said = fail(&mut place.command(None), 1);
    assert!(
        said.contains("since the ledger was repartitioned") && said.contains("softstake rebuild"),
        "{said}"
    );
    let output = succeed(place.command(None).arg("--snapshots-place").arg(&snapshots));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("restored from the snapshot"), "{said}");
    for stage in 3..STAGES {
        place.bring(&spec(), stage);
        place.run(None);
    }
    assert_eq!(place.outcome(), expected);
}

#[test]
fn an_impossible_change_is_refused_with_its_reason() {
    let place = Place::new();
    let said = fail(&mut repartition(&place, 4), 1);
    assert!(said.contains("nothing is on record of a deployment"), "{said}");
    place.bring(&spec(), 0);
    place.run(Some(2));
    let said = fail(&mut repartition(&place, 2), 1);
    assert!(
        said.contains("it has 2 partitions already") && said.contains("nothing was changed"),
        "{said}"
    );
    for wrong in ["0", "3", "8192", "many"] {
        let mut command = on(&place, "repartition");
        fail(command.args(["--to", wrong]), 2);
    }
    // A configuration with the old number is refused.
    succeed(&mut repartition(&place, 4));
    let said = fail(&mut place.command(Some(2)), 2);
    assert!(
        said.contains("partitions is 2") && said.contains("softstake repartition"),
        "{said}"
    );
    // Nothing is changed while another process works on the bus.
    let mut child = on(&place, "run")
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_millis(300));
    let said = fail(&mut repartition(&place, 8), 1);
    assert!(said.contains("in use by another softstake process"), "{said}");
    child.kill().expect("a process to kill");
    child.wait().expect("its end");
}

#[test]
fn instances_on_kafka_under_load_go_on_with_the_new_layout() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 2);
    let place = &deployment.place;
    let snapshots = place.bus().with_file_name("snapshots");
    let launch = |instance: usize| {
        let mut command = deployment.run(instance);
        command.arg("--snapshots-place").arg(&snapshots);
        Instance::start(&mut command, deployment.log(instance))
    };
    let bring_all = |stage: u32| {
        place.bring(&spec(), stage);
        deployment.publish();
    };
    bring_all(0);
    let mut instances = vec![launch(0), launch(1)];
    for (stage, to) in (1..STAGES).zip([8, 4]) {
        deployment.until_sealed(usize::try_from(stage).expect("small"));
        for instance in &mut instances {
            assert_eq!(instance.stop(), Some(0));
        }
        std::thread::scope(|scope| {
            // The exchange goes on publishing.
            scope.spawn(|| bring_all(stage));
            let mut command = deployment.softstake(&["repartition", "--to", &to.to_string(), "--bus", "kafka"]);
            command
                .args(["--kafka-instance", "instance-0", "--state"])
                .arg(deployment.state(0));
            command.arg("--snapshots-place").arg(&snapshots);
            let output = succeed(&mut command);
            let said = String::from_utf8(output.stdout).expect("text");
            assert!(said.contains(&format!("The ledger has {to} partition")), "{said}");
        });
        // One instance has stores of the layout before, the other has none.
        let _ = fs::remove_dir_all(deployment.state(2));
        instances = vec![launch(1), launch(2)];
    }
    (3..STAGES).for_each(bring_all);
    deployment.until_sealed(usize::try_from(STAGES * 3).expect("small"));
    for instance in &mut instances {
        assert_eq!(instance.stop(), Some(0));
    }
    deployment.dump();
    judge(place);
    let mut reconcile = deployment.softstake(&["reconcile", "--bus", "kafka"]);
    succeed(&mut reconcile);
    // A rebuild from the log alone makes the same stores.
    let rebuilt = place.bus().with_file_name("rebuilt");
    let mut rebuild = deployment.softstake(&["rebuild", "--bus", "kafka"]);
    succeed(rebuild.arg("--state").arg(&rebuilt));
    // One instance restores all stores from snapshots.
    let _ = fs::remove_dir_all(deployment.state(3));
    let mut last = launch(3);
    deployment.until("all stores of the ledger are restored and caught up", || {
        let said = deployment.said(3);
        let count = |what: &str| said.matches(what).count();
        count("restored from the snapshot") >= 5
            && count("recovering, with outputs suppressed") == count("recovery is finished")
            && count("softstake.ledger:3") > 0
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(last.stop(), Some(0));
    assert_eq!(accounts(&rebuilt), accounts(&deployment.state(3)));
}
