//! What a held-up close waits for: the log names the partition, how far it is, and why.

use crate::common::events::{close, deposit, listing, pool};
use crate::common::kafka::{Cluster, Deployment};
use crate::common::{copy, fixture};
use crate::judge::judge;

const EPOCH: u32 = 100;

/// A deployment that has listed A, and one deposit.
fn listed(cluster: &Cluster) -> Deployment<'_> {
    let deployment = Deployment::new(cluster, 2, 1);
    let place = &deployment.place;
    place.append("softstake.control", 0, [listing("A", 2, EPOCH, &pool())]);
    place.append("exchange.deposits", 0, [deposit("1", 0, "ann", "A", "10")]);
    deployment.publish();
    deployment
}

/// The lines of an instance that have all these parts.
fn lines(deployment: &Deployment<'_>, instance: usize, parts: &[&str]) -> Vec<String> {
    let said = deployment.said(instance);
    let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
    said.lines().filter(has_all).map(str::to_owned).collect()
}

fn until_said(deployment: &Deployment<'_>, instance: usize, parts: &[&str]) {
    let what = format!("instance {instance} says {parts:?}");
    deployment.until(&what, || !lines(deployment, instance, parts).is_empty());
}

fn finish(deployment: &Deployment<'_>, seals: usize) {
    deployment.until_sealed(seals);
    deployment.dump();
    judge(&deployment.place);
}

#[test]
fn open_transactions_of_producers_are_named_in_a_source_and_in_control() {
    let cluster = Cluster::single();
    let deployment = listed(&cluster);
    let mut instance = deployment.start(0);
    until_said(&deployment, 0, &["an asset is listed"]);
    let open = |id: &str, topic: &str, record: String| {
        deployment.place.append(topic, 0, [&record]);
        cluster.begin(id, topic, 0, [record])
    };
    let in_source = open("exchange", "exchange.deposits", deposit("2", 1_000, "bob", "A", "10"));
    cluster.produce("softstake.control", 0, [close("A", 0, EPOCH, "5")]);
    deployment
        .place
        .append("softstake.control", 0, [close("A", 0, EPOCH, "5")]);
    until_said(
        &deployment,
        0,
        &[
            "WARN",
            "held up: exchange.deposits:0: its task is at offset 1 of the cut 2; it can be read to offset 1: a producer's transaction is open there",
        ],
    );
    in_source.commit();
    deployment.until_sealed(1);
    until_said(&deployment, 0, &["the wait for the close of A epoch 0 is over"]);
    let in_control = open("treasury", "softstake.control", close("A", 1, EPOCH, "5"));
    until_said(
        &deployment,
        0,
        &[
            "WARN",
            "softstake.control:0 can be read to offset 2 of 3: a producer's transaction is open there",
        ],
    );
    in_control.commit();
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
}

#[test]
fn a_stopped_task_is_named_with_its_error() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    cluster.configure_topic("softstake.dead-letters", "max.message.bytes", "200");
    deployment.place.append("exchange.trades", 0, ["bad"]);
    deployment.publish();
    until_said(&deployment, 0, &["stopped, the other tasks continue: "]);
    cluster.produce("softstake.control", 0, [listing("LATER", 2, EPOCH, &pool())]);
    deployment
        .place
        .append("softstake.control", 0, [listing("LATER", 2, EPOCH, &pool())]);
    until_said(
        &deployment,
        0,
        &[
            "held up: exchange.trades:0: its task is at offset ",
            "; it is stopped: ",
            "max.message.bytes",
        ],
    );
    assert_eq!(instance.stop(), Some(1), "{}", deployment.said(0));
    cluster.configure_topic("softstake.dead-letters", "max.message.bytes", "16777216");
    let mut instance = deployment.start(0);
    until_said(&deployment, 0, &["an asset is listed", "LATER"]);
    finish(&deployment, 2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
}

#[test]
fn the_instance_that_has_a_silent_task_is_named() {
    let cluster = Cluster::single();
    let deployment = listed(&cluster);
    let mut first = deployment.start(0);
    until_said(&deployment, 0, &["an asset is listed"]);
    // A member that is silent keeps its tasks until its session ends.
    let mut command = deployment.run(1);
    command.env("SOFTSTAKE_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "60000");
    command.env("SOFTSTAKE_KAFKA__PROPERTIES__MAX_POLL_INTERVAL_MS", "120000");
    let second = crate::common::kafka::Instance::start(&mut command, deployment.log(1));
    until_said(&deployment, 1, &["partitions assigned: ", "exchange."]);
    let assigned = lines(&deployment, 1, &["partitions assigned: "]).concat();
    let (silent, other) = if assigned.contains("softstake.inbox:0") {
        (0, 1)
    } else {
        (1, 0)
    };
    deployment.until("the tasks of the second instance work", || {
        deployment.said(1).contains("recovery is finished") || deployment.said(1).contains("the store is at")
    });
    if silent == 1 {
        second.signal("STOP")
    } else {
        first.signal("STOP")
    }
    cluster.produce("softstake.control", 0, [close("A", 0, EPOCH, "5")]);
    deployment
        .place
        .append("softstake.control", 0, [close("A", 0, EPOCH, "5")]);
    until_said(
        &deployment,
        other,
        &[
            "held up: exchange.",
            "its task is at offset ",
            &format!("; instance-{silent} at 127.0.0.1 has it: look into its log"),
        ],
    );
    if silent == 1 {
        second.signal("CONT")
    } else {
        first.signal("CONT")
    }
    finish(&deployment, 1);
    assert_eq!(first.stop(), Some(0), "{}", deployment.said(0));
}
