//! Every command for finance, auditors and support on Kafka: it must give the same answer as on an archive. Instances
//! take snapshots meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use softstake::generate::Synthetic;

use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::records::{acknowledgement, text};
use crate::common::{Place, fail, softstake, succeed};
use crate::judge::judge;

const STAGES: u32 = 3;

/// The deployment's topics on Kafka and in an archive.
struct Both<'a> {
    deployment: &'a Deployment<'a>,
    archive: String,
}

fn output(command: &mut Command) -> Vec<u8> {
    succeed(command).stdout
}

/// A JSON result without the name of the bus and the time of the run.
fn without_names(result: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(result).expect("JSON");
    if let Some(object) = value.as_object_mut() {
        object.remove("bus");
        object.remove("made_at");
    }
    if let Some(compared) = value.pointer_mut("/compared").and_then(Value::as_object_mut) {
        compared.remove("bus");
    }
    value
}

impl Both<'_> {
    fn on_kafka(&self) -> [&str; 4] {
        ["--bus", "kafka", "--kafka-brokers", &self.deployment.bootstrap]
    }

    fn on_archive(&self) -> [&str; 2] {
        ["--bus", &self.archive]
    }

    /// Runs a command on both. The outputs must be equal, except for the name of the bus and the time of the run.
    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let of_kafka = output(softstake().args(arguments).args(self.on_kafka()));
        let of_archive = output(softstake().args(arguments).args(self.on_archive()));
        assert_eq!(without_names(&of_kafka), without_names(&of_archive), "{arguments:?}");
        of_kafka
    }
}

/// Runs two instances with snapshots. One of them is killed and loses its state after each stage.
fn work(deployment: &Deployment<'_>, folder: &Path) {
    let spec = Synthetic {
        events: 12_000,
        accounts: 300,
        assets: 3,
        epochs: STAGES,
        ..Synthetic::default()
    };
    let snapshots = folder.join("snapshots");
    let start = |instance: usize| {
        let mut command = deployment.run(instance);
        command.arg("--snapshots-place").arg(&snapshots);
        command.args(["--snapshots-every-seconds", "1"]);
        Instance::start(&mut command, deployment.log(instance))
    };
    let mut instances = [start(0), start(1)];
    for stage in 0..STAGES {
        deployment.place.bring(&spec, stage);
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
}

fn payouts_and_proofs(both: &Both<'_>, folder: &Path) {
    let place = &both.deployment.place;
    let distributions = place.records("softstake.distributions");
    for record in distributions.iter().step_by(distributions.len() / 2) {
        let data = &record["data"];
        let epoch = data["epoch"].to_string();
        let of = [text(&data["asset"]), &epoch, text(&data["account"])];
        both.run(&["explain", of[0], of[1], of[2], "--json"]);
        let directory = format!("dir:{}", place.bus().display());
        for query in [
            ["query", "distributions", of[2], "--json"],
            ["query", "epochs", of[0], "--json"],
        ] {
            let answer = both.run(&query);
            assert!(answer.len() > 100, "{query:?}");
            let on_directory = output(softstake().args(query).args(["--bus", &directory]));
            assert_eq!(answer, on_directory, "{query:?}");
        }
        let proof = both.run(&["prove", of[0], of[1], of[2]]);
        verify(folder, &proof, place, of[0], &epoch);
    }
    let acknowledgements: String = distributions
        .iter()
        .enumerate()
        .map(|(number, record)| {
            let event = acknowledgement(number, text(&record["id"]), text(&record["data"]["amount"]));
            format!("{event}\n")
        })
        .collect();
    fs::create_dir_all(folder.join("acks")).expect("a folder");
    let file = folder.join("acks/payouts.jsonl");
    fs::write(&file, acknowledgements).expect("acknowledgements");
    both.run(&["reconcile", "payouts", "--acks", &file.display().to_string(), "--json"]);
}

/// Claims wrong balances. Both must report the same differences.
fn balances(both: &Both<'_>, folder: &Path) {
    let claimed: Vec<String> = both
        .deployment
        .place
        .records("softstake.distributions")
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
    let report = |bus: &[&str]| -> Value {
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
        without_names(&output.stdout)
    };
    let of_kafka = report(&both.on_kafka());
    assert_eq!(of_kafka, report(&both.on_archive()));
    assert!(of_kafka.to_string().contains("u-"), "{of_kafka:#}");
}

fn what_if(both: &Both<'_>, folder: &Path) {
    let listing = both
        .deployment
        .place
        .records("softstake.decisions")
        .into_iter()
        .find(|decision| decision["data"]["decision"] == "listing_accepted")
        .expect("a listing");
    let mut listing = listing["data"]["listing"].clone();
    listing["programme"] = json!({"from_epoch": 0, "mode": "apr", "apr": "0.04"});
    let file = folder.join("programme.json");
    fs::write(&file, listing.to_string()).expect("a programme");
    let changes = both.run(&["what-if", "--programme", &file.display().to_string(), "--json"]);
    let changes: Value = serde_json::from_slice(&changes).expect("JSON");
    assert!(
        changes["gain"]["accounts"].as_u64() > Some(0) || changes["lose"]["accounts"].as_u64() > Some(0),
        "{changes:#}"
    );
}

/// Records that retention deleted cannot be reconciled on Kafka. The archive still has them.
fn deleted_records(both: &Both<'_>) {
    let cluster = both.deployment.cluster;
    cluster.delete_before("softstake.late-postings", 0, 1);
    let said = fail(softstake().arg("reconcile").args(both.on_kafka()), 1);
    assert!(
        said.contains("softstake.late-postings:0 starts at offset 1 now") && said.contains("use an archive"),
        "{said}"
    );
    succeed(softstake().arg("reconcile").args(both.on_archive()));
}

/// Both verifiers must accept a proof against the root of its seal.
fn exports(both: &Both<'_>) {
    for records in ["distributions", "seals", "late-postings"] {
        let arguments = ["export", records, "--format", "jsonl"];
        let rows = output(softstake().args(arguments).args(both.on_kafka()));
        assert_eq!(
            rows,
            output(softstake().args(arguments).args(both.on_archive())),
            "{records}"
        );
        assert!(records == "late-postings" || rows.len() > 1_000, "{records}");
    }
}

fn verify(folder: &Path, proof: &[u8], place: &Place, asset: &str, epoch: &str) {
    let id = format!("{asset}:{epoch}");
    let seals = place.records("softstake.epochs");
    let seal = seals.iter().find(|seal| seal["id"] == id.as_str()).expect("a seal");
    let root = text(&seal["data"]["root"]);
    let file = folder.join("proof.json");
    fs::write(&file, proof).expect("a proof");
    output(softstake().arg("verify").arg(&file).args(["--root", root]));
    let verifier = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/verify_proof.py");
    output(Command::new("python3").arg(verifier).arg(&file).arg(root));
}

#[test]
fn every_command_gives_the_same_answer_on_kafka_and_on_an_archive() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 2);
    let folder = deployment.place.bus().with_file_name("audit");
    fs::create_dir_all(&folder).expect("a folder");
    work(&deployment, &folder);
    deployment.dump();
    judge(&deployment.place);

    let archive = folder.join("archive");
    let both = Both {
        deployment: &deployment,
        archive: format!("dir:{}", archive.display()),
    };
    output(
        softstake()
            .arg("archive")
            .args(both.on_kafka())
            .arg("--out")
            .arg(&archive),
    );
    let report: Value = serde_json::from_slice(&both.run(&["reconcile", "--json"])).expect("a report");
    assert!(report["total"]["equal"].as_u64() > Some(1_000), "{report:#}");
    both.run(&["statement", "--check-distributions", "--json"]);
    payouts_and_proofs(&both, &folder);
    exports(&both);
    balances(&both, &folder);
    what_if(&both, &folder);
    deleted_records(&both);
}
