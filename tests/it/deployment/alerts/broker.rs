//! Two instances on a broker: one of them is killed, then records are lost, a task is stopped, and the broker does not answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::prometheus::{Job, Prometheus, free_address};
use crate::common::events::ago;
use crate::common::events::{deposit, listing_from, pool};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::deployment::monitor::endpoint::{Endpoint, LISTEN};

/// An instance.
struct Started {
    process: Instance,
    endpoint: Endpoint,
}

/// Starts an instance with an endpoint at this address.
fn start(deployment: &Deployment<'_>, number: usize, job: &Job<'_>, address: SocketAddr) -> Started {
    let before = deployment.said(number).len();
    let mut command = deployment.run(number);
    command.args([LISTEN[0], &address.to_string()]);
    let process = Instance::start(&mut command, deployment.log(number));
    let endpoint = Endpoint::of_log(|| deployment.said(number)[before..].to_owned());
    job.add(endpoint.address());
    Started { process, endpoint }
}

fn number_of_tasks(endpoint: &Endpoint, state: &str) -> f64 {
    let metrics = endpoint.metrics();
    let kinds = ["sequence", "ingest", "coordinate", "accrue"].into_iter();
    let each = kinds.filter_map(|task| metrics.get("softstake_tasks", &[("task", task), ("state", state)]));
    each.sum()
}

/// A sequencer, a coordinator, a task for each of five source topics, and one for each of two ledger partitions.
const TASKS: f64 = 9.0;

pub fn on_a_broker(prometheus: &Prometheus) {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let job = prometheus.job("broker");
    let anchor = ago(5_400_000);
    deployment
        .place
        .append("softstake.control", 0, [listing_from(anchor, "A", 2, 3600, &pool())]);
    deployment
        .place
        .append("exchange.deposits", 0, [deposit("1", anchor, "ann", "A", "10")]);
    deployment.publish();
    let addresses = [free_address(), free_address()];
    let mut first = start(&deployment, 0, &job, addresses[0]);
    let mut second = start(&deployment, 1, &job, addresses[1]);
    deployment.until("both instances share the tasks", || {
        let each = [&first, &second].map(|one| number_of_tasks(&one.endpoint, "working"));
        each.iter().all(|number| *number > 0.0) && each.iter().sum::<f64>() == TASKS
    });
    is_taken_over(&deployment, &job, &mut first, &second);
    records_are_lost(&deployment, &mut second);
    let second = start(&deployment, 1, &job, addresses[1]);
    deployment.until("a task waits for lost records", || {
        number_of_tasks(&second.endpoint, "waiting") == 1.0
    });
    job.until_fired(&["RecordsLost"]);
    let fired_before = job.fired();
    a_task_is_stopped(&deployment, &job, &second, &fired_before);
    // Ends cannot be looked up without a broker.
    cluster.pause(0);
    job.until_fired(&["LagUnknown"]);
    cluster.resume(0);
}

/// The row "a takeover" of the table in `docs/operations.md`: one alert alone.
fn is_taken_over(deployment: &Deployment<'_>, job: &Job<'_>, first: &mut Started, second: &Started) {
    first.process.kill();
    deployment.until("the second instance has all tasks", || {
        number_of_tasks(&second.endpoint, "working") == TASKS
    });
    job.until_fired(&["InstanceDown"]);
    assert_eq!(second.endpoint.json("/readyz").0, 200);
    job.check_fired(&["InstanceDown"], &[]);
}

/// Records are deleted while no instance runs.
fn records_are_lost(deployment: &Deployment<'_>, second: &mut Started) {
    second.process.kill();
    let records = ["2", "3"].map(|id| deposit(id, ago(1000), "ann", "A", "10"));
    deployment.cluster.produce("exchange.withdrawals", 0, records);
    deployment.cluster.delete_before("exchange.withdrawals", 0, 1);
}

/// The row "a stopped task" of the table in `docs/operations.md`.
fn a_task_is_stopped(deployment: &Deployment<'_>, job: &Job<'_>, second: &Started, before: &BTreeSet<String>) {
    deployment
        .cluster
        .configure_topic("softstake.dead-letters", "max.message.bytes", "200");
    deployment.cluster.produce("exchange.trades", 0, ["bad"]);
    job.until_fired(&["TasksStopped", "NotReady"]);
    let (status, ready) = second.endpoint.json("/readyz");
    let why = ready["reasons"][0].as_str().expect("a reason");
    assert!(
        status == 503 && why.starts_with("ingest exchange.trades:0 is stopped: "),
        "{ready}"
    );
    assert_eq!(ready["reasons"].as_array().map(Vec::len), Some(1), "{ready}");
    let stopped = [("task", "ingest"), ("state", "stopped")];
    assert_eq!(second.endpoint.metric("softstake_tasks", &stopped), Some(1.0));
    let said = deployment.said(1);
    let is_told =
        |line: &str| line.contains("ERROR stopped, the other tasks continue: ") && line.contains("exchange.trades");
    assert!(said.lines().any(is_told), "{said}");
    let before: Vec<&str> = before
        .iter()
        .filter_map(|alert| alert.strip_prefix("Softstake"))
        .collect();
    job.check_fired(&["NotReady", "TasksStopped"], &before);
}
