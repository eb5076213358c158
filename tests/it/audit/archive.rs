//! Archives of a bus: they hold exactly the records of the bus, and a changed one is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use softstake::bus::archive::ArchiveBus;
use softstake::bus::archive::manifest::Manifest;
use softstake::bus::dir::ReadOnlyDir;
use softstake::bus::scan::scan_range;
use softstake::bus::{Log, Mark, Position, ReadError, TaskId, Topic, TopicPartition};
use softstake::core::values::offset::Offset;
use softstake::generate::{Synthetic, write};
use tempfile::TempDir;

use crate::common::kafka::{Cluster, Deployment};
use crate::common::{Place, copy, fail, on_bus, softstake, start, succeed};

fn spec() -> Synthetic {
    Synthetic {
        events: 20_000,
        accounts: 300,
        assets: 3,
        epochs: 3,
        late: 0.05,
        duplicates: 0.05,
        bad: 0.02,
        ..Synthetic::default()
    }
}

fn archive(bus: &Path, out: &Path) -> Command {
    let mut command = on_bus("archive", bus);
    command.arg("--out").arg(out);
    command
}

fn reconcile(bus: &Path) -> Command {
    on_bus("reconcile", bus)
}

fn check(archive: &Path) -> Command {
    let mut command = softstake();
    command.arg("archive").arg("--check").arg(archive);
    command
}

/// What a command that succeeds prints.
fn said(command: &mut Command) -> String {
    String::from_utf8(succeed(command).stdout).expect("text")
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("archive");
    (folder, path)
}

type Contents = BTreeMap<TopicPartition, (Offset, Vec<(Offset, Vec<u8>)>)>;

/// The end and the records of each partition of a bus, without the ledger.
fn contents(bus: &dyn Log) -> Contents {
    let mut all = Contents::new();
    for topic in Topic::ALL.into_iter().filter(|topic| *topic != Topic::Ledger) {
        let numbers = match bus.partitions(topic) {
            Err(ReadError::NotArchived { .. }) => Vec::new(),
            numbers => numbers.expect("partitions"),
        };
        for number in numbers {
            let partition = topic.partition(number);
            let end = bus.readable_end(partition).expect("an end");
            let mut records = Vec::new();
            scan_range(bus, partition, &Mark::default(), end, |record| {
                records.push((record.offset, record.value.to_vec()));
                Ok::<_, ReadError>(())
            })
            .expect("records");
            all.insert(partition, (end, records));
        }
    }
    all
}

fn positions(bus: &dyn Log) -> BTreeMap<TopicPartition, Option<Position>> {
    let mut all = BTreeMap::new();
    for topic in Topic::ALL {
        for number in bus.partitions(topic).expect("partitions") {
            let partition = topic.partition(number);
            all.insert(
                partition,
                bus.committed(TaskId::following(partition)).expect("a position"),
            );
        }
    }
    all
}

#[test]
fn an_archive_is_read_like_its_bus() {
    let place = Place::new();
    let (_folder, out) = folder();
    place.bring_all(&spec());
    place.append("exchange.deposits", 0, ["", "", "no event"]);
    place.run(Some(4));
    succeed(&mut archive(&place.bus(), &out));
    let (bus, archived) = (
        ReadOnlyDir::open(&place.bus()).expect("the bus"),
        ArchiveBus::open(&out).expect("the archive"),
    );
    assert_eq!(archived.identity(), bus.identity());
    assert!(contents(&bus) == contents(&archived), "records differ");
    let (theirs, mut ours) = (positions(&archived), positions(&bus));
    ours.retain(|partition, _| theirs.contains_key(partition));
    assert_eq!(theirs, ours);
    // Reading may start at any offset.
    let partition = Topic::Deposits.partition(0);
    for from in [1, 17, 1_000].map(Offset::new) {
        let mark = Mark::at(from);
        let mut reader = archived.open(partition, &mark).expect("a reader");
        let batch = reader.read(1, from.saturating_add(5)).expect("a batch");
        assert_eq!(batch.iter().next().expect("a record").offset, from);
    }
    succeed(&mut check(&out));
    succeed(&mut reconcile(&out));
    // `explain` works on it; `run` refuses it.
    succeed(on_bus("explain", &out).args(["ATOM", "1", "u-000001"]));
    let mut run = on_bus("run", &out);
    let said = fail(run.arg("--until-idle").arg("--state").arg(place.state()), 1);
    assert!(
        said.contains("is an archive, and nothing can be committed to it"),
        "{said}"
    );
}

#[test]
fn an_archive_made_in_steps_equals_one_made_at_once() {
    let place = Place::new();
    let (_a, in_steps) = folder();
    let (_b, at_once) = folder();
    for stage in 0..3 {
        place.bring(&spec(), stage);
        succeed(&mut archive(&place.bus(), &in_steps));
        place.run(Some(2));
        // After a kill the archive is unchanged or complete, and the next run goes on.
        let before = fs::read(in_steps.join("archive.json")).expect("a manifest");
        for after_ms in [3, 10, 25] {
            let mut child = start(&mut archive(&place.bus(), &in_steps));
            std::thread::sleep(Duration::from_millis(after_ms));
            let _ = child.kill();
            child.wait().expect("its end");
            if fs::read(in_steps.join("archive.json")).expect("a manifest") == before {
                succeed(&mut check(&in_steps));
            }
        }
        succeed(&mut archive(&place.bus(), &in_steps));
        succeed(&mut check(&in_steps));
    }
    succeed(&mut archive(&place.bus(), &at_once));
    let [parts, whole] = [&in_steps, &at_once].map(|path| ArchiveBus::open(path).expect("an archive"));
    assert!(contents(&parts) == contents(&whole), "records differ");
    assert_eq!(positions(&parts), positions(&whole));
    assert!(!in_steps.join("progress.json").exists());
    succeed(&mut reconcile(&in_steps));
}

fn segments(archive: &Path) -> Vec<PathBuf> {
    let manifest: Value =
        serde_json::from_slice(&fs::read(archive.join("archive.json")).expect("a manifest")).expect("JSON");
    let partitions = manifest["partitions"].as_object().expect("partitions").values();
    partitions
        .flat_map(|partition| partition["segments"].as_array().expect("segments").clone())
        .map(|segment| archive.join(segment["file"].as_str().expect("a file")))
        .collect()
}

#[test]
fn a_changed_archive_is_refused() {
    let place = Place::new();
    let (_folder, out) = folder();
    place.bring_all(&spec());
    place.run(Some(2));
    succeed(&mut archive(&place.bus(), &out));
    for file in segments(&out) {
        let whole = fs::read(&file).expect("a segment");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        fs::write(&file, flipped).expect("a flipped byte");
        let said = fail(&mut check(&out), 1);
        let name = file.strip_prefix(&out).expect("below").display().to_string();
        assert!(said.contains(&name) && said.contains("its SHA-256 is"), "{said}");
        fs::write(&file, whole).expect("the segment");
    }
    let file = &segments(&out)[0];
    let whole = fs::read(file).expect("a segment");
    for damaged in [&whole[..whole.len() - 1], &[], b"something else"] {
        fs::write(file, damaged).expect("a damaged segment");
        let said = fail(&mut reconcile(&out), 1);
        assert!(said.contains("its SHA-256 is"), "{said}");
    }
    fs::remove_file(file).expect("a missing segment");
    fail(&mut reconcile(&out), 1);
    fs::write(file, whole).expect("the segment");
    succeed(&mut reconcile(&out));
    let manifest = out.join("archive.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    for (what, changed) in [
        (
            "its format version",
            text.replacen(r#""format": 3"#, r#""format": 4"#, 1),
        ),
        ("is damaged", text[..text.len() / 2].to_owned()),
        ("is damaged", text.replacen(r#""end": "#, r#""end": -"#, 1)),
        (
            "its own SHA-256 is wrong",
            text.replacen(r#""bus": ""#, r#""bus": "x"#, 1),
        ),
    ] {
        fs::write(&manifest, changed).expect("a changed manifest");
        let output = reconcile(&out).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(what) || said.contains("format version"), "{what}: {said}");
    }
}

/// Changes the manifest of an archive, and returns what the check says: it must fail.
fn check_with(out: &Path, change: impl FnOnce(&mut Value)) -> String {
    let path = out.join("archive.json");
    let whole = fs::read(&path).expect("a manifest");
    let mut manifest: Value = serde_json::from_slice(&whole).expect("JSON");
    change(&mut manifest);
    // With the right sum, as a stranger would write it.
    let manifest: Manifest = serde_json::from_value(manifest).expect("a manifest");
    manifest.write(&path).expect("a changed manifest");
    let said = fail(&mut check(out), 1);
    fs::write(&path, whole).expect("the manifest");
    said
}

#[test]
fn an_archive_that_lacks_something_it_promises_is_refused() {
    let place = Place::new();
    let (_folder, out) = folder();
    for stage in 0..2 {
        place.bring(&spec(), stage);
        place.run(Some(2));
        succeed(&mut archive(&place.bus(), &out));
    }
    let said = said(&mut check(&out));
    assert!(said.contains("offsets run from start to end without a gap"), "{said}");
    assert!(said.contains("Not in the archive: softstake.ledger."), "{said}");
    let trades = "exchange.trades:0";
    // The last file is cut off, and the end with it.
    let said = check_with(&out, |manifest| {
        let partition = &mut manifest["partitions"][trades];
        partition["segments"].as_array_mut().expect("files").pop();
        partition["end"] = partition["segments"][0]["next"].clone();
    });
    assert!(
        said.contains(trades) && said.contains("has read up to offset"),
        "{said}"
    );
    // One file, the first or the last, or all are cut off.
    for cut in [0..1, 1..2, 0..2] {
        let said = check_with(&out, |manifest| {
            manifest["partitions"][trades]["segments"]
                .as_array_mut()
                .expect("files")
                .drain(cut);
        });
        assert!(said.contains(trades) && said.contains("is damaged"), "{said}");
    }
    let said = check_with(&out, |manifest| {
        manifest["partitions"]
            .as_object_mut()
            .expect("partitions")
            .remove("softstake.dead-letters:0");
    });
    assert!(said.contains("partition softstake.dead-letters:0 is missing"), "{said}");
    let said = check_with(&out, |manifest| {
        manifest["partitions"]
            .as_object_mut()
            .expect("partitions")
            .remove("softstake.dead-letters:0");
        manifest["topics"]
            .as_object_mut()
            .expect("topics")
            .remove("softstake.dead-letters");
    });
    assert!(said.contains("topic softstake.dead-letters is missing"), "{said}");
    // Without the topic in the list either, the positions still tell of a source partition.
    let said = check_with(&out, |manifest| {
        manifest["partitions"]
            .as_object_mut()
            .expect("partitions")
            .remove(trades);
        manifest["topics"]["exchange.trades"]
            .as_array_mut()
            .expect("numbers")
            .remove(0);
    });
    assert!(said.contains(trades), "{said}");
}

#[test]
fn an_archive_of_a_stranger_reads_no_other_file_and_no_more_than_it_may() {
    let place = Place::new();
    let (_folder, out) = folder();
    place.bring_all(&spec());
    place.run(Some(2));
    succeed(&mut archive(&place.bus(), &out));
    let trades = "exchange.trades:0";
    for name in [
        "/etc/hostname",
        "../archive.json",
        "exchange.trades/0/../0/00000000000000000000.zst",
        "",
    ] {
        let said = check_with(&out, |manifest| {
            manifest["partitions"][trades]["segments"][0]["file"] = name.into()
        });
        assert!(said.contains("the name of a file does not follow"), "{said}");
    }
    for field in ["records", "bytes", "decoded_bytes", "first", "next"] {
        let said = check_with(&out, |manifest| {
            manifest["partitions"][trades]["segments"][0][field] = u64::MAX.into();
        });
        assert!(said.contains("is damaged"), "{field}: {said}");
    }
    let file = &segments(&out)[0];
    let whole = fs::read(file).expect("a segment");
    // A file that grew, a link, a folder, and a pipe that nobody writes to.
    fs::write(file, [whole.as_slice(), b"more"].concat()).expect("a longer segment");
    assert!(fail(&mut check(&out), 1).contains("and may have"), "a longer file");
    for make in ["ln -s /dev/zero", "mkdir", "mkfifo"] {
        fs::remove_file(file).or_else(|_| fs::remove_dir(file)).expect("gone");
        let made = Command::new("sh")
            .arg("-c")
            .arg(format!("{make} \"$1\""))
            .arg("sh")
            .arg(file)
            .status();
        assert!(made.expect("a shell").success());
        for command in [&mut check(&out), &mut reconcile(&out)] {
            let said = fail(command, 1);
            assert!(said.contains("it is no regular file"), "{make}: {said}");
        }
    }
    let manifest = out.join("archive.json");
    fs::remove_file(&manifest).expect("gone");
    assert!(
        Command::new("mkfifo")
            .arg(&manifest)
            .status()
            .expect("mkfifo")
            .success()
    );
    assert!(fail(&mut check(&out), 1).contains("it is no regular file"));
}

#[test]
fn an_archive_is_not_made_in_a_folder_with_files() {
    let place = Place::new();
    place.bring(&spec(), 0);
    place.run(Some(1));
    for out in [place.bus(), place.bus().join("exchange.trades")] {
        let said = fail(&mut archive(&place.bus(), &out), 2);
        assert!(said.contains("has files already, and is no archive"), "{said}");
    }
}

#[test]
fn an_archive_is_not_continued_from_another_bus_or_one_that_lost_records() {
    let place = Place::new();
    let (_folder, out) = folder();
    write(&place.bus(), &spec(), 0..2, &mut |_| {}).expect("a bus is written");
    place.run(Some(2));
    succeed(&mut archive(&place.bus(), &out));
    let before = fs::read(out.join("archive.json")).expect("a manifest");
    let other = Place::new();
    write(&other.bus(), &spec(), 0..1, &mut |_| {}).expect("a bus is written");
    other.run(Some(2));
    let said = fail(&mut archive(&other.bus(), &out), 2);
    assert!(said.contains("the archive is of bus"), "{said}");
    let file = place.bus().join("exchange.trades/1.jsonl");
    let lines = fs::read(&file).expect("lines");
    fs::write(&file, &lines[..lines.len() / 2]).expect("fewer lines");
    let said = fail(&mut archive(&place.bus(), &out), 1);
    assert!(said.contains("exchange.trades:1 ends at offset "), "{said}");
    assert!(said.contains("records were deleted from the bus"), "{said}");
    assert_eq!(fs::read(out.join("archive.json")).expect("a manifest"), before);
}

#[test]
fn topics_and_ranges_can_be_chosen() {
    let place = Place::new();
    let (_folder, out) = folder();
    write(&place.bus(), &spec(), 0..2, &mut |_| {}).expect("a bus is written");
    place.run(Some(2));
    let mut command = archive(&place.bus(), &out);
    command.args(["--topic", "exchange.trades", "--to", "exchange.trades:1=100"]);
    succeed(&mut command);
    let archived = contents(&ArchiveBus::open(&out).expect("the archive"));
    assert!(archived.keys().all(|partition| partition.topic == Topic::Trades));
    assert_eq!(archived[&Topic::Trades.partition(1)].0, Offset::new(100));
    let said = said(&mut check(&out));
    assert!(
        said.contains("Not in the archive: ") && said.contains("exchange.deposits"),
        "{said}"
    );
    assert!(
        said.contains("exchange.trades:1 was archived up to offset 100 only"),
        "{said}"
    );
    let said = fail(archive(&place.bus(), &out).args(["--topic", "trades"]), 2);
    assert!(said.contains("exchange.trades"), "{said}");
}

#[test]
fn reconciling_an_archive_finds_one_changed_digit() {
    let place = Place::new();
    let (_folder, out) = folder();
    place.bring_all(&spec());
    place.run(Some(2));
    let tampered = Place::new();
    copy(&place.bus(), &tampered.bus());
    let file = tampered.bus().join("softstake.distributions/0.jsonl");
    let text = fs::read_to_string(&file).expect("distributions");
    fs::write(&file, text.replacen(r#""amount":"0."#, r#""amount":"1."#, 1)).expect("a changed digit");
    succeed(&mut archive(&tampered.bus(), &out));
    let output = reconcile(&out).arg("--json").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["total"]["different"], 1, "{}", report["differences"]);
    assert_eq!(report["differences"][0]["fields"][0]["field"], "data.amount");
}

#[test]
fn archives_taken_of_kafka_under_load_reconcile() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 2);
    let spec = Synthetic {
        events: 30_000,
        ..spec()
    };
    let (_folder, out) = folder();
    let take = || {
        let mut command = softstake();
        command.args(["archive", "--bus", "kafka", "--kafka-brokers", &deployment.bootstrap]);
        succeed(command.arg("--out").arg(&out));
    };
    let mut instances = [deployment.start(0), deployment.start(1)];
    for stage in 0..spec.epochs {
        deployment.place.bring(&spec, stage);
        deployment.publish();
        for _ in 0..2 {
            take();
            if stage > 0 {
                succeed(&mut reconcile(&out));
            }
        }
        deployment.until_sealed(usize::try_from((stage + 1) * spec.assets).expect("small"));
    }
    for instance in &mut instances {
        assert_eq!(instance.stop(), Some(0));
    }
    take();
    let output = succeed(reconcile(&out).arg("--json"));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(report["groups"].as_array().map_or(0, Vec::len) > 9);
    assert_eq!(report["total"]["under_way"], 0);
    // The archive equals the committed records on Kafka.
    let archived = contents(&ArchiveBus::open(&out).expect("the archive"));
    for topic in [
        Topic::Distributions,
        Topic::Epochs,
        Topic::DeadLetters,
        Topic::LatePostings,
        Topic::Decisions,
    ] {
        let mut theirs: Vec<(u64, Vec<u8>)> = Vec::new();
        for record in cluster.read_committed(topic.name()) {
            theirs.push((
                u64::try_from(record.partition).expect("a partition"),
                record.value.unwrap_or_default(),
            ));
        }
        let mut ours = Vec::new();
        for (partition, (_, records)) in archived.iter().filter(|(partition, _)| partition.topic == topic) {
            ours.extend(
                records
                    .iter()
                    .map(|(_, value)| (u64::from(partition.partition), value.clone())),
            );
        }
        theirs.sort();
        ours.sort();
        assert!(
            ours == theirs,
            "{topic}: {} archived, {} read",
            ours.len(),
            theirs.len()
        );
    }
}
