//! `softstake control` on real brokers: one acknowledged record, its decision, and nothing twice, also when an acknowledgement is lost.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::events::event;
use crate::common::kafka::proxy::{Api, Proxy};
use crate::common::kafka::{Cluster, Deployment};
use crate::common::{fail, softstake, succeed};

/// 2020-01-01T00:00:00Z, in milliseconds from the origin of the test events. The epochs are over, whatever the clock says.
const START_MS: i64 = -215_654_400_000;

fn control(brokers: &str, words: &[&str]) -> Command {
    let mut command = softstake();
    command.arg("control").args(words);
    command.args(["--yes", "--bus", "kafka", "--kafka-brokers", brokers, "--timeout", "60"]);
    command
}

#[test]
fn an_asset_is_listed_and_an_epoch_is_closed_once() {
    let cluster = Cluster::single();
    let proxy = Proxy::before(&cluster);
    let deployment = Deployment::new(&cluster, 2, 1);
    let file = deployment.place.bus().with_file_name("atom.toml");
    let toml = "asset = \"ATOM\"\ndecimals = 6\nanchor = 2020-01-01T00:00:00Z\nepoch_seconds = 86400\n\
                [programme]\nfrom_epoch = 0\nmode = \"pool\"\n";
    fs::write(&file, toml).expect("a file");
    let mut instance = deployment.start(0);
    let brokers = cluster.bootstrap();
    let file = file.display().to_string();
    let listed = succeed(&mut control(&brokers, &["list", &file]));
    let listed = String::from_utf8(listed.stdout).expect("text");
    assert!(listed.contains("Accepted: ATOM is listed."), "{listed}");
    let data = json!({"account": "ann", "asset": "ATOM", "amount": "3"});
    cluster.produce(
        "exchange.deposits",
        0,
        [event("d", "exchange.deposit.v1", START_MS, &data)],
    );
    // The record is written, and its acknowledgement is lost: the producer sends it again, and it is written once.
    proxy.drop_replies_of(Api::Produce, 1);
    let closed = succeed(control(&proxy.bootstrap(), &["close", "ATOM", "0", "--pool", "8"]).arg("--json"));
    let report: Value = serde_json::from_slice(&closed.stdout).expect("JSON");
    assert_eq!(
        (&report["outcome"], &report["published"]),
        (&json!("accepted"), &json!(true))
    );
    assert_eq!(report["decision"]["control_offset"], report["control_offset"]);
    assert_eq!(proxy.struck(Api::Produce), 1);
    let again = succeed(&mut control(&brokers, &["close", "ATOM", "0", "--pool", "8"]));
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing is published again"));
    let refused = fail(&mut control(&brokers, &["close", "ATOM", "5"]), 1);
    assert!(refused.contains("epoch 1 of ATOM has to be closed first"), "{refused}");
    deployment.until_sealed(1);
    assert_eq!(cluster.read_committed("softstake.control").len(), 2);
    assert!(cluster.read_committed("softstake.dead-letters").is_empty());
    let paid = cluster.read_committed("softstake.distributions");
    let paid: Value = serde_json::from_slice(paid[0].value.as_deref().expect("a distribution")).expect("JSON");
    assert_eq!(paid["data"]["amount"], "8");
    assert_eq!(instance.stop(), Some(0));
}
