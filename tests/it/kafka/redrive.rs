//! `softstake redrive` on a real broker: the event and its note are one transaction, and a lost reply makes nothing count twice.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::events::{close, deposit, listing, pool};
use crate::common::kafka::proxy::{Api, Proxy};
use crate::common::kafka::{Cluster, Deployment};
use crate::common::{fail, softstake, succeed};

const DAY: u32 = 86_400;

fn redrive(brokers: &str, words: &[&str]) -> Command {
    let mut command = softstake();
    command.arg("redrive").args(words);
    command.args(["--bus", "kafka", "--kafka-brokers", brokers, "--timeout", "60"]);
    command
}

#[test]
fn a_dead_letter_is_corrected_and_counts_once() {
    let cluster = Cluster::single();
    let proxy = Proxy::before(&cluster);
    let deployment = Deployment::new(&cluster, 2, 2);
    let brokers = cluster.bootstrap();
    cluster.produce("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    let mut instance = deployment.start(0);
    let deposits = [
        deposit("d-0", 1_000, "ann", "ATOM", "30"),
        deposit("d-1", 1_000, "ben", "ATOM", "10,0"),
    ];
    cluster.produce("exchange.deposits", 1, deposits);
    deployment.until("the record is rejected", || {
        !cluster.read_committed("softstake.dead-letters").is_empty()
    });
    let file = deployment.place.bus().with_file_name("letters.jsonl");
    let path = file.display().to_string();
    succeed(&mut redrive(&brokers, &["export", "--out", &path]));
    let exported = fs::read_to_string(&file).expect("a file");
    fs::write(&file, exported.replace("10,0", "10")).expect("a file");
    let apply = ["apply", &path, "--yes", "--by", "j.doe"];
    // The transaction is committed, and the reply is lost: the producer asks again, and it is committed once.
    proxy.drop_replies_of(Api::EndTxn, 1);
    let applied = succeed(redrive(&proxy.bootstrap(), &apply).arg("--json"));
    let report: Value = serde_json::from_slice(&applied.stdout).expect("JSON");
    assert_eq!(report["lines"][0]["result"], "published");
    assert_eq!(report["lines"][0]["outcome"], "accepted");
    assert_eq!(proxy.struck(Api::EndTxn), 1);
    // Without its file, another operator has nothing to apply; with it, nothing is published again.
    fail(&mut redrive(&brokers, &["export", "--out", &path]), 3);
    for words in [&apply[..], &[&apply[..], &["--no-search"]].concat()] {
        let again = succeed(&mut redrive(&brokers, words));
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        assert!(said.contains("published before") && said.contains("by j.doe"), "{said}");
    }
    let mut two: Vec<_> = (0..2)
        .map(|_| {
            redrive(&brokers, &apply)
                .stdout(Stdio::null())
                .spawn()
                .expect("the program starts")
        })
        .collect();
    for command in &mut two {
        assert!(command.wait().expect("its end").success());
    }
    assert_eq!(cluster.read_committed("exchange.deposits").len(), 3);
    let notes = cluster.read_committed("softstake.redrives");
    assert_eq!(notes.len(), 1);
    let note: Value = serde_json::from_slice(notes[0].value.as_deref().expect("a note")).expect("JSON");
    assert_eq!(
        (&note["id"], &note["data"]["by"]),
        (&json!("exchange.deposits:1:1"), &json!("j.doe"))
    );
    cluster.produce("softstake.control", 0, [close("ATOM", 0, DAY, "4")]);
    deployment.until_sealed(1);
    let paid = cluster.read_committed("softstake.distributions");
    let mut amounts: Vec<String> = paid
        .iter()
        .map(|paid| serde_json::from_slice(paid.value.as_deref().expect("a distribution")).expect("JSON"))
        .map(|paid: Value| paid["data"]["amount"].as_str().expect("an amount").to_owned())
        .collect();
    amounts.sort();
    assert_eq!(amounts, ["1", "3"]);
    assert_eq!(instance.stop(), Some(0));
}

/// Two operators apply one file at the same time: one transaction is committed for each event.
#[test]
fn two_operators_publish_an_event_once() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let brokers = cluster.bootstrap();
    cluster.produce("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    let mut instance = deployment.start(0);
    let wrong = (0..20).map(|number| deposit(&format!("d-{number}"), 1_000, "ben", "ATOM", "1,0"));
    cluster.produce("exchange.deposits", 0, wrong);
    deployment.until("the records are rejected", || {
        cluster.read_committed("softstake.dead-letters").len() == 20
    });
    let file = deployment.place.bus().with_file_name("letters.jsonl");
    let path = file.display().to_string();
    succeed(&mut redrive(&brokers, &["export", "--out", &path]));
    let exported = fs::read_to_string(&file).expect("a file");
    fs::write(&file, exported.replace("1,0", "1.0")).expect("a file");
    let start = || {
        let mut command = redrive(&brokers, &["apply", &path, "--yes"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("the program starts")
    };
    let mut both = [start(), start()];
    for command in &mut both {
        command.wait().expect("its end");
    }
    // The operator that was fenced runs it again.
    succeed(&mut redrive(&brokers, &["apply", &path, "--yes"]));
    assert_eq!(cluster.read_committed("exchange.deposits").len(), 40);
    assert_eq!(cluster.read_committed("softstake.redrives").len(), 20);
    assert_eq!(cluster.read_committed("softstake.dead-letters").len(), 20);
    assert_eq!(instance.stop(), Some(0));
}
