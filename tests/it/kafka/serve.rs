//! The read side on a real broker, while a deployment works.

use serde_json::{Value, json};

use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::kafka::{Cluster, Deployment};
use crate::serve::served::Served;

const DAY: u32 = 86_400;

#[test]
fn a_view_follows_a_broker_and_goes_on_after_a_restart() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 2);
    let place = &deployment.place;
    let accounts: Vec<String> = (0..40).map(|number| format!("u-{number}")).collect();
    let deposits = accounts
        .iter()
        .map(|account| deposit(account, 0, account, "ATOM", "10"));
    place.append(
        "softstake.control",
        0,
        [listing("ATOM", 6, DAY, &pool()), close("ATOM", 0, DAY, "4")],
    );
    place.append("exchange.deposits", 0, deposits);
    deployment.publish();
    let view = place.bus().with_file_name("view");
    let start = |log: &str| {
        let arguments = ["--listen", "127.0.0.1:0", "--executions", "payout.executions"];
        let mut command = deployment.softstake(&["serve", "--bus", "kafka"]);
        command.arg("--view").arg(&view).args(arguments);
        Served::of(&mut command, place.bus().with_file_name(log))
    };
    let served = start("serve-1.log");
    let _instance = deployment.start(0);
    let paid = |served: &Served, epoch: u32| -> Vec<Value> {
        let reply = served.read(&format!("/v1/assets/ATOM/epochs/{epoch}/distributions?limit=500"));
        match reply.status {
            200 => reply.json()["items"].as_array().expect("items").clone(),
            _ => Vec::new(),
        }
    };
    let sealed = |served: &Served, epoch: u32| {
        let items = paid(served, epoch);
        items.len() == accounts.len()
            && items
                .iter()
                .all(|item| item["sealed"] == true && item["amount"] == "0.1")
    };
    deployment.until("the first epoch is seen", || sealed(&served, 0));
    served.caught_up();
    // Killed; meanwhile an epoch is paid, and a payout credited.
    drop(served);
    cluster.create_topic("payout.executions", 1, &[]);
    let executed = json!({"distribution": "ATOM:0:u-7", "amount": "0.1", "credited_at": "2026-11-02T01:00:00Z"});
    cluster.produce("payout.executions", 0, [event("x", "payout.executed.v1", 0, &executed)]);
    cluster.produce("softstake.control", 0, [close("ATOM", 1, DAY, "4")]);
    deployment.until_sealed(2);
    let served = start("serve-2.log");
    deployment.until("the second epoch is seen", || sealed(&served, 1));
    assert!(sealed(&served, 0));
    let history = "/v1/accounts/u-7/distributions?limit=1";
    assert_eq!(served.walk("/v1/accounts/u-7/distributions", 1).len(), 2);
    assert_eq!(served.value(history)["items"][0]["epoch"], 1);
    deployment.until("the credit is seen", || {
        served.value("/v1/accounts/u-7/distributions/ATOM/0")["credited_amount"] == "0.1"
    });
}

/// The broker is stopped for a while: what is known is answered, and each fault is told once.
#[test]
fn while_brokers_are_away_a_view_answers_and_then_goes_on() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 1, 1);
    let place = &deployment.place;
    place.append(
        "softstake.control",
        0,
        [listing("ATOM", 6, DAY, &pool()), close("ATOM", 0, DAY, "4")],
    );
    place.append("exchange.deposits", 0, [deposit("1", 0, "ann", "ATOM", "10")]);
    deployment.publish();
    cluster.create_topic("payout.executions", 1, &[]);
    let executed = |id: &str| {
        let data = json!({"distribution": id, "amount": "4", "credited_at": "2026-11-02T01:00:00Z"});
        cluster.produce("payout.executions", 0, [event(id, "payout.executed.v1", 0, &data)]);
    };
    let mut command = deployment.softstake(&["serve", "--bus", "kafka"]);
    command.arg("--view").arg(place.bus().with_file_name("view")).args([
        "--listen",
        "127.0.0.1:0",
        "--executions",
        "payout.executions",
    ]);
    let served = Served::of(&mut command, place.bus().with_file_name("serve.log"));
    let _instance = deployment.start(0);
    let items = || {
        let list = served.value("/v1/accounts/ann/distributions");
        list["items"].as_array().expect("items").clone()
    };
    deployment.until("the first epoch is seen", || items().len() == 1);
    executed("ATOM:0:ann");
    deployment.until("the first credit is seen", || items()[0]["credited_amount"] == "4");
    let said = |text: &str| served.said().lines().filter(|line| line.contains(text)).count();
    cluster.stop(0);
    deployment.until("the fault is told", || {
        said("the view waits, and shows what it has") == 1
    });
    assert_eq!(items()[0]["credited_amount"], "4");
    cluster.start(0);
    cluster.produce("softstake.control", 0, [close("ATOM", 1, DAY, "4")]);
    executed("ATOM:1:ann");
    deployment.until("the second epoch and its credit are seen", || {
        let items = items();
        items.len() == 2 && items.iter().all(|item| item["credited_amount"] == "4")
    });
    for told in ["the view waits", "the view goes on after"] {
        assert_eq!(said(told), 1, "{told}\n{}", served.said());
    }
    // A topic that is deleted and created again is not what was read.
    cluster.delete_topic("payout.executions");
    cluster.create_topic("payout.executions", 1, &[]);
    executed("ATOM:2:ann");
    let mut served = served;
    deployment.until("it has ended", || served.process.ended());
    let said = served.said();
    assert!(
        said.contains("cannot read what the payout service acknowledged: topic payout.executions:0 ends at offset 1"),
        "{said}"
    );
}
