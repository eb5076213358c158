//! `softstake run --until-idle` on Kafka ends as on a directory bus, once the deployment has processed what was there when it began.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use softstake::generate::Synthetic;

use crate::common::events::{close, deposit, event, listing, loss, pool};
use crate::common::kafka::deployment::payouts;
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::{OUTPUTS, Place, copy, fail};
use crate::judge::judge;

/// Much longer than a run takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// An instance that does not end within this time waits.
const WAITS: Duration = Duration::from_secs(8);

fn command(deployment: &Deployment<'_>, instance: usize) -> Command {
    let mut command = deployment.run(instance);
    command.arg("--until-idle");
    command
}

fn start(deployment: &Deployment<'_>, instance: usize) -> Instance {
    Instance::start(&mut command(deployment, instance), deployment.log(instance))
}

/// Runs until idle. Returns the exit status.
fn run(deployment: &Deployment<'_>) -> Option<i32> {
    start(deployment, 0).end(PATIENCE)
}

/// Runs until idle, with success.
fn succeeds(deployment: &Deployment<'_>) {
    assert_eq!(run(deployment), Some(0), "{}", deployment.said(0));
}

/// The number of records that each topic of the outputs has.
fn published(cluster: &Cluster) -> BTreeMap<&'static str, usize> {
    let count = |topic: &&'static str| (*topic, cluster.read_committed(topic).len());
    OUTPUTS.iter().map(count).collect()
}

fn still_runs(instance: &mut Instance) {
    std::thread::sleep(WAITS);
    assert!(!instance.ended());
}

#[test]
fn a_finite_log_is_settled_and_a_second_run_publishes_nothing() {
    let spec = Synthetic {
        events: 6_000,
        accounts: 300,
        assets: 3,
        partitions: 2,
        epochs: 4,
        seed: 12,
        duplicates: 0.03,
        late: 0.03,
        bad: 0.03,
        ..Synthetic::default()
    };
    let directory = Place::new();
    directory.bring_all(&spec);
    let bare = Place::new();
    copy(&directory.bus(), &bare.bus());
    directory.run(Some(8));
    for instances in [1, 2] {
        let cluster = Cluster::single();
        let deployment = Deployment::new(&cluster, 8, 2);
        copy(&bare.bus(), &deployment.place.bus());
        deployment.publish();
        let mut running: Vec<_> = (0..instances).map(|number| start(&deployment, number)).collect();
        for (number, instance) in running.iter_mut().enumerate() {
            assert_eq!(instance.end(PATIENCE), Some(0), "{}", deployment.said(number));
        }
        deployment.dump();
        assert_eq!(payouts(&deployment.place), payouts(&directory), "{instances} instances");
        judge(&deployment.place);
        let before = published(&cluster);
        let began = Instant::now();
        succeeds(&deployment);
        assert!(began.elapsed() < PATIENCE / 4, "{:?}", began.elapsed());
        assert_eq!(published(&cluster), before);
    }
}

/// A listing, a deposit and the close of an epoch. The gate holds it.
fn held() -> [(&'static str, Vec<String>); 2] {
    let gated = json!({"from_epoch": 0, "mode": "pool", "gate": "always"});
    let control = vec![
        listing("A", 2, 100, &gated),
        listing("B", 2, 100, &pool()),
        close("A", 0, 100, "5"),
        close("A", 1, 100, "5"),
        close("B", 0, 100, "5"),
    ];
    let deposits = vec![deposit("1", 0, "ann", "A", "1"), deposit("2", 0, "ann", "B", "1")];
    [("softstake.control", control), ("exchange.deposits", deposits)]
}

fn release() -> String {
    let data = json!({"asset": "A", "epoch": 0, "by": "ops", "reason": "checked"});
    event("release", "softstake.epoch_release.v1", 200_000, &data)
}

#[test]
fn an_epoch_that_the_gate_holds_ends_as_on_a_directory_bus() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let directory = Place::new();
    // Nothing at all is on the bus.
    succeeds(&deployment);
    for place in [&deployment.place, &directory] {
        for (topic, records) in held() {
            place.append(topic, 0, records);
        }
    }
    for round in 0..2 {
        if round == 1 {
            for place in [&deployment.place, &directory] {
                place.append("softstake.control", 0, [release()]);
            }
        }
        directory.run(Some(2));
        deployment.publish();
        succeeds(&deployment);
        deployment.dump();
        assert_eq!(payouts(&deployment.place), payouts(&directory), "round {round}");
        // B, then A epoch 0. Epoch 1 of A is held now.
        assert_eq!(deployment.sealed(), 1 + round);
    }
}

#[test]
fn records_of_an_open_transaction_are_waited_for_and_a_signal_ends_the_wait() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let control = [listing("A", 2, 100, &pool()), close("A", 0, 100, "5")];
    cluster.produce("softstake.control", 0, control);
    let open = cluster.begin("exchange", "exchange.deposits", 0, [deposit("1", 0, "ann", "A", "1")]);
    let mut instance = start(&deployment, 0);
    still_runs(&mut instance);
    assert_eq!(instance.stop(), Some(1), "{}", deployment.said(0));
    let stopped = "stopped before everything was processed; run the command again to continue";
    assert!(deployment.said(0).contains(stopped), "{}", deployment.said(0));
    // Aborted, its records are none. Its end is a marker.
    let mut instance = start(&deployment, 0);
    still_runs(&mut instance);
    open.abort();
    assert_eq!(instance.end(PATIENCE), Some(0), "{}", deployment.said(0));
    assert_eq!(deployment.sealed(), 1);
    // Events of later transactions, and a broker that is away for a while.
    let open = cluster.begin("exchange", "exchange.deposits", 0, [deposit("2", 0, "bob", "A", "1")]);
    open.commit();
    cluster.produce("softstake.control", 0, [close("A", 1, 100, "5")]);
    cluster.stop(0);
    let mut instance = start(&deployment, 0);
    still_runs(&mut instance);
    cluster.start(0);
    assert_eq!(instance.end(PATIENCE), Some(0), "{}", deployment.said(0));
    assert_eq!(deployment.sealed(), 2);
}

#[test]
fn what_never_comes_by_itself_is_named() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    cluster.produce("softstake.control", 0, [listing("A", 2, 100, &pool())]);
    cluster.produce("exchange.deposits", 0, [deposit("1", 0, "ann", "A", "1")]);
    succeeds(&deployment);
    // Records that were deleted unread. The close is settled only after their loss is accepted.
    let trades = ["2", "3"].map(|id| deposit(id, 0, "eve", "A", "1"));
    cluster.produce("exchange.trades", 0, trades);
    cluster.delete_before("exchange.trades", 0, 2);
    cluster.produce("exchange.trades", 0, [deposit("4", 0, "eve", "A", "1")]);
    cluster.produce("softstake.control", 0, [close("A", 0, 100, "5")]);
    let said = fail(&mut command(&deployment, 0), 1);
    assert!(said.contains("exchange.trades:0 starts at offset 2 now"), "{said}");
    assert_eq!(deployment.sealed(), 0);
    cluster.produce("softstake.control", 0, [loss("loss", "exchange.trades", 0, 0, 2)]);
    succeeds(&deployment);
    assert_eq!(deployment.sealed(), 1);
    // A source topic that is gone answers no close.
    cluster.delete_topic("exchange.transfers");
    cluster.produce("softstake.control", 0, [close("A", 1, 100, "5")]);
    let said = fail(&mut command(&deployment, 0), 1);
    assert!(
        said.contains("an answer of a source partition that is not on the bus any more")
            && said.contains("the close of A epoch 1 waits for the answers of exchange.transfers:0"),
        "{said}"
    );
}

#[test]
fn a_source_topic_that_goes_unread_ends_the_wait() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let open = cluster.begin("exchange", "exchange.trades", 0, [deposit("1", 0, "ann", "A", "1")]);
    let mut instance = start(&deployment, 0);
    still_runs(&mut instance);
    cluster.delete_topic("exchange.trades");
    assert_eq!(instance.end(PATIENCE), Some(1), "{}", deployment.said(0));
    let said = deployment.said(0);
    let last = said.lines().last().expect("a line");
    assert!(last.contains("exchange.trades"), "{said}");
    drop(open);
}

#[test]
fn a_benchmark_can_turn_transactions_off_and_has_to_say_what_is_lost() {
    const FLAG: &str = "--bench-without-transactions";
    const ACKNOWLEDGEMENT: &str = "exactly-once-is-lost";
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let said = fail(command(&deployment, 0).args([FLAG, "yes"]), 2);
    assert!(said.contains(ACKNOWLEDGEMENT), "{said}");
    let directory = Place::new();
    let said = fail(directory.command(None).args([FLAG, ACKNOWLEDGEMENT]), 2);
    assert!(said.contains("is for Kafka"), "{said}");
    for place in [&deployment.place, &directory] {
        for (topic, records) in held() {
            place.append(topic, 0, records);
        }
    }
    deployment.publish();
    let mut command = command(&deployment, 0);
    command.args([FLAG, ACKNOWLEDGEMENT]);
    let ended = Instance::start(&mut command, deployment.log(0)).end(PATIENCE);
    assert_eq!(ended, Some(0), "{}", deployment.said(0));
    assert!(
        deployment.said(0).contains("exactly once is lost"),
        "{}",
        deployment.said(0)
    );
    directory.run(Some(2));
    deployment.dump();
    assert_eq!(payouts(&deployment.place), payouts(&directory));
    // Without markers between them, offsets are dense.
    let inbox = cluster.read_committed("softstake.inbox");
    let last = inbox.last().expect("a record").offset;
    assert_eq!(usize::try_from(last + 1), Ok(inbox.len()));
    // Another run continues, with transactions.
    succeeds(&deployment);
}
