//! Proofs of payouts: two independent verifiers accept the right proof and reject every changed one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use softstake::generate::Synthetic;

use crate::common::events::{close, deposit, listing, pool};
use crate::common::records::text;
use crate::common::{Place, copy, fail, on_bus, softstake, succeed};

fn spec() -> Synthetic {
    Synthetic {
        events: 40_000,
        // Enough for buckets with several accounts among 4,096.
        accounts: 8_000,
        assets: 2,
        epochs: 2,
        ..Synthetic::default()
    }
}

fn settled() -> Place {
    let place = Place::new();
    place.bring_all(&spec());
    place.run(Some(4));
    place
}

fn prove(bus: &Path, asset: &str, epoch: &str, account: &str) -> Command {
    let mut command = on_bus("prove", bus);
    command.args([asset, epoch, account]);
    command
}

fn proof(bus: &Path, record: &Value) -> Value {
    let data = &record["data"];
    let output = succeed(&mut prove(
        bus,
        text(&data["asset"]),
        &data["epoch"].to_string(),
        text(&data["account"]),
    ));
    serde_json::from_slice(&output.stdout).expect("a proof")
}

fn roots(place: &Place) -> BTreeMap<String, String> {
    let seals = place.records("softstake.epochs");
    seals
        .iter()
        .map(|seal| (text(&seal["id"]).to_owned(), text(&seal["data"]["root"]).to_owned()))
        .collect()
}

fn root_of(roots: &BTreeMap<String, String>, proof: &Value) -> String {
    roots[&format!("{}:{}", text(&proof["asset"]), proof["epoch"])].clone()
}

/// Whether both verifiers accept a proof. They must agree.
fn is_accepted(file: &Path, root: &str) -> bool {
    let mut ours = softstake();
    ours.arg("verify").arg(file).args(["--root", root]);
    let mut theirs = Command::new("python3");
    let verifier = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/verify_proof.py");
    theirs.arg(verifier).arg(file).arg(root);
    let [ours, theirs] = [ours, theirs].map(|mut command| command.output().expect("a verifier starts"));
    for output in [&ours, &theirs] {
        let code = output.status.code();
        assert!(
            code == Some(0) || code == Some(1),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(
        ours.status.success(),
        theirs.status.success(),
        "{}: {}{}",
        fs::read_to_string(file).unwrap_or_default(),
        String::from_utf8_lossy(&ours.stderr),
        String::from_utf8_lossy(&theirs.stderr)
    );
    ours.status.success()
}

#[test]
fn both_verifiers_accept_proofs() {
    let place = settled();
    let roots = roots(&place);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proof.json");
    let distributions = place.records("softstake.distributions");
    let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
    for record in distributions.iter().step_by(distributions.len() / 60) {
        let proof = proof(&place.bus(), record);
        assert_eq!(
            (&proof["id"], &proof["amount"]),
            (&record["id"], &record["data"]["amount"])
        );
        fs::write(&file, proof.to_string()).expect("a proof");
        assert!(is_accepted(&file, &root_of(&roots, &proof)), "{proof:#}");
        *sizes
            .entry(proof["in_bucket"]["size"].as_u64().expect("a size"))
            .or_default() += 1;
    }
    assert!(
        sizes.contains_key(&1) && sizes.keys().any(|size| *size > 2),
        "{sizes:?}"
    );
}

/// A hash with another first digit.
fn flipped(hash: &Value) -> Value {
    let hash = text(hash);
    let other = if hash.starts_with('0') { "1" } else { "0" };
    json!(format!("{other}{}", &hash[1..]))
}

type Change = fn(&mut Value);

const CHANGES: [(&str, Change); 21] = [
    ("amount", |proof| proof["amount"] = json!("1000000")),
    ("account", |proof| proof["account"] = json!("mallory")),
    ("id", |proof| proof["id"] = json!("ATOM:0:mallory")),
    ("epoch", |proof| proof["epoch"] = json!(7)),
    ("asset", |proof| proof["asset"] = json!("DOGE")),
    ("bucket", |proof| {
        proof["bucket"] = json!((proof["bucket"].as_u64().expect("a bucket") + 1) % 4096)
    }),
    ("bucket's root", |proof| {
        proof["bucket_root"] = flipped(&proof["bucket_root"])
    }),
    ("a hash below", |proof| {
        proof["in_bucket"]["hashes"][0] = flipped(&proof["in_bucket"]["hashes"][0])
    }),
    ("a hash above", |proof| {
        proof["in_epoch"]["hashes"][11] = flipped(&proof["in_epoch"]["hashes"][11])
    }),
    ("order", |proof| {
        proof["in_epoch"]["hashes"].as_array_mut().expect("hashes").swap(0, 1)
    }),
    ("too short", |proof| {
        _ = proof["in_epoch"]["hashes"].as_array_mut().expect("hashes").pop()
    }),
    ("too long", |proof| {
        let hashes = proof["in_bucket"]["hashes"].as_array_mut().expect("hashes");
        hashes.push(hashes[0].clone());
    }),
    ("index", |proof| {
        let (index, size) = (&proof["in_bucket"]["index"], &proof["in_bucket"]["size"]);
        let other = (index.as_u64().expect("an index") + 1) % size.as_u64().expect("a size");
        proof["in_bucket"]["index"] = json!(other);
    }),
    ("outside", |proof| {
        proof["in_bucket"]["index"] = proof["in_bucket"]["size"].clone()
    }),
    ("a number as text", |proof| {
        proof["epoch"] = json!(proof["epoch"].to_string())
    }),
    ("a fraction", |proof| proof["epoch"] = json!(proof["epoch"].as_f64())),
    ("a truth", |proof| proof["format"] = json!(true)),
    ("another field", |proof| proof["paid_to"] = json!("mallory")),
    ("needless zeros", |proof| {
        let amount = proof["amount"].as_str().expect("an amount").to_owned();
        proof["amount"] = json!(format!("0{amount}"));
    }),
    ("a blank in a hash", |proof| {
        let hash = proof["bucket_root"].as_str().expect("a hash").to_owned();
        proof["bucket_root"] = json!(format!("{hash} "));
    }),
    ("no hash", |proof| proof["in_bucket"]["hashes"][0] = json!("zz")),
];

#[test]
fn every_changed_proof_is_rejected() {
    let place = settled();
    let roots = roots(&place);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proof.json");
    let accepted = |proof: &Value, root: &str| {
        fs::write(&file, proof.to_string()).expect("a proof");
        is_accepted(&file, root)
    };
    let distributions = place.records("softstake.distributions");
    // A proof with at least one hash within its bucket.
    let mut proofs = distributions.iter().map(|record| proof(&place.bus(), record));
    let proof = proofs
        .find(|proof| proof["in_bucket"]["size"].as_u64() > Some(2))
        .expect("a bucket of several");
    let root = root_of(&roots, &proof);
    assert!(accepted(&proof, &root));
    for (what, change) in CHANGES {
        let mut changed = proof.clone();
        change(&mut changed);
        assert_ne!(changed, proof, "{what}");
        assert!(!accepted(&changed, &root), "a change was accepted: {what}");
    }
    // The root of another epoch.
    let other = roots.values().find(|other| **other != root).expect("another root");
    assert!(!accepted(&proof, other));
    let twice = proof.to_string().replacen('{', r#"{"format":1,"#, 1);
    for garbage in ["", "{}", "[1,2", "null", r#"{"format":1}"#, &twice] {
        fs::write(&file, garbage).expect("garbage");
        assert!(!is_accepted(&file, &root), "{garbage}");
    }
}

/// A leaf is `asset:epoch:account|amount`. A name that ends like an amount must not turn it into another payout.
#[test]
fn a_leaf_has_only_one_reading() {
    let place = Place::new();
    let name = "mallory-7";
    let bucket = softstake::core::values::bucket::bucket(name);
    let twin = (0..u32::MAX)
        .map(|number| format!("{name}|{number}"))
        .find(|twin| softstake::core::values::bucket::bucket(twin) == bucket)
        .expect("a name of the same bucket");
    let lines = [listing("ATOM", 6, 60, &pool()), close("ATOM", 0, 60, "8")];
    place.append("softstake.control", 0, lines);
    let deposits = [(twin.as_str(), "3"), ("other", "1")]
        .map(|(account, amount)| deposit(&format!("d-{account}"), 0, account, "ATOM", amount));
    place.append("exchange.deposits", 0, deposits);
    place.run(Some(1));
    let roots = roots(&place);
    let paid = place.records("softstake.distributions");
    let record = paid.iter().find(|record| record["data"]["account"] == twin.as_str());
    let mut proof = proof(&place.bus(), record.expect("the twin was paid"));
    let root = root_of(&roots, &proof);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proof.json");
    fs::write(&file, proof.to_string()).expect("a proof");
    assert!(is_accepted(&file, &root), "{proof:#}");
    let (account, digits) = twin.split_once('|').expect("a bar");
    proof["id"] = json!(format!("{}:{}:{account}", text(&proof["asset"]), proof["epoch"]));
    proof["amount"] = json!(format!("{digits}|{}", proof["amount"].as_str().expect("an amount")));
    proof["account"] = json!(account);
    fs::write(&file, proof.to_string()).expect("a proof");
    assert!(!is_accepted(&file, &root), "{proof:#}");
}

#[test]
fn a_proof_checked_without_a_root_is_reported_as_unconfirmed() {
    let place = settled();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proof.json");
    let record = &place.records("softstake.distributions")[0];
    let data = &record["data"];
    let (asset, account) = (text(&data["asset"]), text(&data["account"]));
    succeed(
        prove(&place.bus(), asset, &data["epoch"].to_string(), account)
            .arg("--out")
            .arg(&file),
    );
    let output = succeed(softstake().arg("verify").arg(&file));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(
        said.starts_with("No --root was given: the root below comes from the proof itself.")
            && said.contains("\nProven: "),
        "{said}"
    );
}

#[test]
fn an_impossible_proof_is_refused_with_its_reason() {
    let place = settled();
    let said = fail(&mut prove(&place.bus(), "ATOM", "0", "nobody"), 3);
    assert!(said.contains("nobody was paid nothing of ATOM for epoch 0"), "{said}");
    let said = fail(&mut prove(&place.bus(), "ATOM", "9", "nobody"), 3);
    assert!(
        said.contains("ATOM epoch 9 (") && said.contains(") is not closed"),
        "{said}"
    );
    // The distributions do not agree with the seal.
    let tampered = Place::new();
    copy(&place.bus(), &tampered.bus());
    let file = tampered.bus().join("softstake.distributions/0.jsonl");
    let mut lines: Vec<String> = fs::read_to_string(&file)
        .expect("distributions")
        .lines()
        .map(str::to_owned)
        .collect();
    let gone: Value = serde_json::from_str(&lines.remove(0)).expect("a record");
    fs::write(&file, lines.join("\n") + "\n").expect("one less");
    let of_same = place.records("softstake.distributions").into_iter().skip(1);
    let same = |record: &Value| {
        record["data"]["asset"] == gone["data"]["asset"] && record["data"]["epoch"] == gone["data"]["epoch"]
    };
    let other = of_same.into_iter().find(same).expect("another of that epoch");
    let data = &other["data"];
    let mut command = prove(
        &tampered.bus(),
        text(&data["asset"]),
        &data["epoch"].to_string(),
        text(&data["account"]),
    );
    let said = fail(&mut command, 1);
    assert!(said.contains("they are not what was sealed"), "{said}");
}
