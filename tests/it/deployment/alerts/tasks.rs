//! Processes that end, and tasks that do not work.

use std::process::Command;

use super::prometheus::{Prometheus, free_address};
use super::scene::{OF_DISKS, Scene, Seen};
use crate::common::events::{ago, deposit};
use crate::common::made_up_rules;
use crate::common::process::until;
use crate::deployment::monitor::endpoint::Watched;

/// A process is started again and again.
pub fn process_restarts(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "restarts");
    let mut command = scene.command_at(&free_address().to_string());
    scene.job.until_fired_while(&["ProcessRestarts"], || {
        let watched = scene.start(&mut command);
        // Prometheus asks more than once.
        until("it has run for a while", || {
            watched.metric("softstake_uptime_seconds", &[]) > Some(2.5 * f64::from(prometheus.interval))
        });
    });
}

/// Two deployments have one job, one of them with a newer program. Then one is killed, and then it is no target any more.
pub fn one_job_for_two_deployments(prometheus: &Prometheus) {
    let scenes = [0, 1].map(|_| Scene::listed(prometheus, "two-deployments"));
    let first = scenes[0].start(&mut scenes[0].command());
    let command = scenes[1].command();
    let mut newer = Command::new(made_up_rules::program());
    newer.args(command.get_args());
    for (name, _) in command.get_envs() {
        newer.env_remove(name);
    }
    let _second = scenes[1].start(&mut newer);
    scenes[0].job.until_fired(&["TwoCoordinators", "TwoVersions"]);
    let address = first.address();
    drop(first);
    scenes[0].job.until_fired(&["InstanceDown"]);
    scenes[0].job.remove(address);
    scenes[0].job.until_fired(&["InstanceGone"]);
}

/// The store of the coordinator is lost, and its snapshots cannot be read.
pub fn no_coordinator(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "no-coordinator");
    scene.break_task("coordinate", "coordinate");
    let watched = scene.start(&mut scene.with_snapshots(scene.command()));
    watched.until_metric(
        "softstake_tasks",
        &[("task", "coordinate"), ("state", "restarting")],
        1.0,
    );
    scene.job.until_fired(&["NoCoordinator", "TasksRestarting"]);
}

/// The store of an accrue task is lost, and its snapshots cannot be read. Then an epoch is closed.
pub fn settlement_is_stuck(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "settlement");
    scene.deposit("1", 0);
    scene.break_task("accrue/2/0", "accrue/2/0");
    let watched = scene.start(&mut scene.with_snapshots(scene.command()));
    watched.until_metric("softstake_tasks", &[("task", "accrue"), ("state", "restarting")], 1.0);
    scene.close(3600);
    let waits = [("asset", "ATOM"), ("waits_for", "subtotals")];
    watched.until_metric("softstake_epochs_under_way", &waits, 1.0);
    scene.job.until_fired(&["SettlementStuck"]);
}

/// A task of a source partition restarts again and again, so a close waits for its answer, and the other partition is not read.
pub fn close_waits(prometheus: &Prometheus) {
    let scene = Scene::listed(prometheus, "close");
    scene.deposit("1", 0);
    scene.deposit("2", 1);
    scene.break_task("ingest/exchange.deposits/0", "exchange.deposits/0");
    let watched = scene.start(&mut scene.with_snapshots(scene.command()));
    watched.until_metric("softstake_tasks", &[("task", "ingest"), ("state", "restarting")], 1.0);
    // The newest event of the other partition is as old as the epoch, and read by this process.
    scene.deposit("3", 1);
    let applied = [("topic", "exchange.deposits"), ("outcome", "applied")];
    watched.until_metric("softstake_source_records_total", &applied, 1.0);
    scene.close(3600);
    let waits = [("asset", "ATOM"), ("waits_for", "answers")];
    watched.until_metric("softstake_epochs_under_way", &waits, 1.0);
    let mut sent = 0;
    let mut send = |number: u32| {
        let ids = (sent..sent + number).map(|id| deposit(&format!("more-{id}"), ago(0), "ann", "ATOM", "1"));
        scene.place.append("exchange.deposits", 1, ids);
        sent += number;
    };
    send(1_500);
    let expected = [
        "ControlEventWaits",
        "TasksRestarting",
        "NotReady",
        "InputLagGrows",
        "EventsReadLate",
    ];
    scene.job.until_fired_while(&expected, || send(20));
    // The silent task starts again in ever longer pauses.
    scene
        .job
        .check_fired(&expected, &[&OF_DISKS[..], &["TaskRestarts"]].concat());
    what_is_seen_of_a_waiting_close(&watched);
}

/// The row "a close that waits" of the table in `docs/operations.md`.
fn what_is_seen_of_a_waiting_close(watched: &Watched) {
    let seen = Seen(watched);
    let (status, reasons) = seen.readiness();
    assert_eq!(status, 503);
    assert!(
        reasons.len() == 1 && reasons[0].starts_with("ingest exchange.deposits:0 restarts again and again: "),
        "a close that waits is no reason: {reasons:?}"
    );
    assert!(watched.metric("softstake_longest_wait_seconds", &[]) > Some(3.0));
    seen.until_said(&[
        "WARN",
        "the close of ATOM epoch 0 is held up, for ",
        "it waits for the answers of exchange.deposits:0",
    ]);
    seen.until_said(&["WARN", "held up: exchange.deposits:0: its task "]);
    assert!(
        watched
            .metric(
                "softstake_input_lag_records",
                &[("topic", "exchange.deposits"), ("partition", "0")]
            )
            .is_none()
    );
}
