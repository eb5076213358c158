//! Everything that finance, auditors and support use, and snapshots, on a real Kafka: the same answers as from an archive.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/deployment.rs"]
mod deployment;
#[path = "common/kafka/mod.rs"]
mod kafka;
mod model;
#[path = "common/program.rs"]
mod program;
#[path = "common/schemas.rs"]
mod schemas;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{fail, softstake, succeed};
use deployment::{Deployment, Instance};
use kafka::Cluster;
use serde_json::{Value, json};
use softstake::generate::{Synthetic, write};

const STAGES: u32 = 3;

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn said(command: &mut Command) -> Vec<u8> {
    succeed(command).stdout
}

#[test]
fn every_tool_says_of_kafka_what_it_says_of_an_archive() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 2);
    let place = &deployment.place;
    let spec = Synthetic {
        events: 12_000,
        accounts: 300,
        assets: 3,
        epochs: STAGES,
        ..Synthetic::default()
    };
    let folder = place.bus().with_file_name("audit");
    fs::create_dir_all(&folder).expect("a folder");
    let snapshots = folder.join("snapshots");
    let start = |instance: usize| {
        let mut command = deployment.run(instance);
        command.arg("--snapshots-place").arg(&snapshots);
        command.args(["--snapshots-every-seconds", "1"]);
        Instance::start(&mut command, deployment.log(instance))
    };
    // Two instances, one of which is killed and loses its disk again and again.
    let mut instances = [start(0), start(1)];
    for stage in 0..STAGES {
        write(&place.bus(), &spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
        deployment.publish();
        deployment.until_sealed(usize::try_from((stage + 1) * spec.assets).expect("small"));
        std::thread::sleep(Duration::from_millis(2_500));
        let [_, second] = &mut instances;
        second.kill();
        fs::remove_dir_all(deployment.state(1)).expect("a state to lose");
        *second = start(1);
        let restored = usize::try_from(stage + 1).expect("small");
        deployment.until("it has its stores from snapshots", || {
            deployment.said(1).matches("restored from the snapshot of").count() >= restored
        });
    }
    for instance in &mut instances {
        assert_eq!(instance.stop(), Some(0));
    }
    deployment.dump();
    program::judge(place);

    let archive = folder.join("archive");
    let kafka = ["--bus", "kafka", "--kafka-brokers", &deployment.bootstrap];
    said(softstake().arg("archive").args(kafka).arg("--out").arg(&archive));
    let archived = format!("dir:{}", archive.display());
    // The same command on both, but for what it says of where it looked.
    let both = |arguments: &[&str]| -> Vec<u8> {
        let of_kafka = said(softstake().args(arguments).args(kafka));
        let of_archive = said(softstake().args(arguments).args(["--bus", &archived]));
        let without_name = |bytes: &[u8]| {
            let mut value: Value = serde_json::from_slice(bytes).expect("JSON");
            if let Some(object) = value.as_object_mut() {
                object.remove("bus");
            }
            value
        };
        assert_eq!(without_name(&of_kafka), without_name(&of_archive), "{arguments:?}");
        of_kafka
    };
    let report: Value = serde_json::from_slice(&both(&["reconcile", "--json"])).expect("a report");
    assert!(report["total"]["equal"].as_u64() > Some(1_000), "{report:#}");
    both(&["statement", "--check-distributions", "--json"]);
    let distributions = place.records("softstake.distributions");
    for record in distributions.iter().step_by(distributions.len() / 2) {
        let data = &record["data"];
        let epoch = data["epoch"].to_string();
        let of = [text(&data["asset"]), &epoch, text(&data["account"])];
        both(&["explain", of[0], of[1], of[2], "--json"]);
        let proof = both(&["prove", of[0], of[1], of[2]]);
        verify(&folder, &proof, place, of[0], &epoch);
    }
    let acks: String = distributions
        .iter()
        .enumerate()
        .map(|(number, record)| ack(number, record))
        .collect();
    fs::create_dir_all(folder.join("acks")).expect("a folder");
    fs::write(folder.join("acks/payouts.jsonl"), acks).expect("acknowledgements");
    let acks = folder.join("acks/payouts.jsonl").display().to_string();
    both(&["reconcile", "payouts", "--acks", &acks, "--json"]);
    // Balances that somebody made up: both tell by how much they are wrong.
    let claimed: Vec<String> = distributions
        .iter()
        .take(20)
        .map(|record| {
            let data = &record["data"];
            format!(
                "{},{},1,{}\n",
                text(&data["account"]),
                text(&data["asset"]),
                text(&data["epoch_end"])
            )
        })
        .collect();
    let claims = folder.join("balances.csv");
    fs::write(&claims, format!("account,asset,balance,time\n{}", claimed.concat())).expect("balances");
    let told = |bus: &[&str]| -> Value {
        let mut command = softstake();
        command
            .args(["reconcile", "balances", "--json", "--against"])
            .arg(&claims);
        let output = command.args(bus).output().expect("the program starts");
        assert_eq!(
            output.status.code(),
            Some(1),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let of_kafka = told(&kafka);
    assert_eq!(of_kafka, told(&["--bus", &archived]));
    assert!(of_kafka.to_string().contains("u-"), "{of_kafka:#}");
    let listing = place
        .records("softstake.decisions")
        .into_iter()
        .find(|decision| decision["data"]["decision"] == "listing_accepted")
        .expect("a listing");
    let mut listing = listing["data"]["listing"].clone();
    listing["programme"] = json!({"from_epoch": 0, "mode": "apr", "apr": "0.04"});
    let file = folder.join("programme.json");
    fs::write(&file, listing.to_string()).expect("a programme");
    let changes = both(&["what-if", "--programme", &file.display().to_string(), "--json"]);
    let changes: Value = serde_json::from_slice(&changes).expect("JSON");
    assert!(
        changes["gain"]["accounts"].as_u64() > Some(0) || changes["lose"]["accounts"].as_u64() > Some(0),
        "{changes:#}"
    );
    beginnings_that_are_gone_are_said(&deployment, &archived);
}

/// What retention deleted cannot be held against anything; an archive has it.
fn beginnings_that_are_gone_are_said(deployment: &Deployment<'_>, archived: &str) {
    deployment.cluster.delete_before("softstake.late-postings", 0, 1);
    let kafka = ["--bus", "kafka", "--kafka-brokers", &deployment.bootstrap];
    let said = fail(softstake().arg("reconcile").args(kafka), 1);
    assert!(
        said.contains("softstake.late-postings:0 starts at offset 1 now") && said.contains("use an archive"),
        "{said}"
    );
    succeed(softstake().arg("reconcile").args(["--bus", archived]));
}

fn ack(number: usize, record: &Value) -> String {
    let event = json!({
        "specversion": "1.0", "id": format!("pay-{number}"), "source": "/payouts", "type": "payout.executed.v1", "time": "2026-12-01T00:00:00Z",
        "data": {"distribution": record["id"], "amount": record["data"]["amount"], "credited_at": "2026-12-01T00:00:00Z"},
    });
    format!("{event}\n")
}

/// Both verifiers accept a proof against the root of its seal.
fn verify(folder: &Path, proof: &[u8], place: &common::Place, asset: &str, epoch: &str) {
    let id = format!("{asset}:{epoch}");
    let seals = place.records("softstake.epochs");
    let seal = seals.iter().find(|seal| seal["id"] == id.as_str()).expect("a seal");
    let root = text(&seal["data"]["root"]);
    let file = folder.join("proof.json");
    fs::write(&file, proof).expect("a proof");
    said(softstake().arg("verify").arg(&file).args(["--root", root]));
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/verify_proof.py");
    said(Command::new("python3").arg(script).arg(&file).arg(root));
}
