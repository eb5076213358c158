//! Snapshots and rebuilds of stores: a lost or damaged disk must not change the output.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use softstake::generate::Synthetic;

use crate::common::files::files_below;
use crate::common::{Place, copy, on_bus, softstake, start, succeed, undisturbed};

const STAGES: u32 = 4;

fn spec() -> Synthetic {
    Synthetic {
        events: 20_000,
        accounts: 1_000,
        assets: 3,
        epochs: STAGES,
        ..Synthetic::default()
    }
}

fn snapshots(place: &Place) -> PathBuf {
    place.bus().with_file_name("snapshots")
}

fn command(place: &Place) -> Command {
    let mut command = place.command(Some(2));
    command.arg("--snapshots-place").arg(snapshots(place));
    command
}

/// Runs until idle with snapshots. Returns the log.
fn run(place: &Place) -> String {
    let output = succeed(&mut command(place));
    String::from_utf8(output.stderr).expect("text")
}

fn in_folder<'a>(paths: &'a [PathBuf], folder: &'a str) -> impl Iterator<Item = &'a PathBuf> {
    paths.iter().filter(move |path| {
        // The place itself has the name of a folder in it.
        !path.ends_with("deployment.json")
            && path
                .parent()
                .and_then(Path::file_name)
                .is_some_and(|name| name == folder)
    })
}

/// The manifest of the newest snapshot of each task, by folder.
fn newest(place: &Place) -> BTreeMap<PathBuf, PathBuf> {
    let all = files_below(&snapshots(place));
    in_folder(&all, "snapshots")
        .map(|path| (path.parent().expect("a folder").to_owned(), path.clone()))
        .collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    // The file may be a hard link, so replace it: only this name must be damaged.
    fs::remove_file(path).expect("a file to replace");
    fs::write(path, bytes).expect("a file");
}

/// A bus after the first two stages, with snapshots.
pub(super) fn begun() -> Place {
    let place = Place::new();
    for stage in 0..2 {
        place.bring(&spec(), stage);
        run(&place);
    }
    place
}

/// Runs the other stages. Returns the output.
fn finished(place: &Place) -> Vec<(&'static str, Vec<String>)> {
    for stage in 2..STAGES {
        place.bring(&spec(), stage);
        run(place);
    }
    place.outcome()
}

#[test]
fn a_lost_disk_is_restored_from_snapshots() {
    let expected = undisturbed(&spec());
    let place = begun();
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let said = run(&place);
    let tasks = newest(&place).len();
    assert!(tasks > 4, "{tasks} tasks have snapshots");
    assert_eq!(said.matches("restored from the snapshot of").count(), tasks, "{said}");
    assert!(
        !said.contains("recovering, with outputs suppressed"),
        "the newest was not used: {said}"
    );
    assert_eq!(finished(&place), expected);
    // No temporary snapshot is left.
    assert_eq!(files_below(&place.state().join("caught")), Vec::<PathBuf>::new());
}

#[test]
fn only_new_files_are_uploaded_and_old_snapshots_are_removed() {
    let place = begun();
    let before: BTreeMap<PathBuf, std::time::SystemTime> = files_below(&snapshots(&place))
        .into_iter()
        .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("files")))
        .map(|path| {
            (
                path.clone(),
                fs::metadata(&path).expect("a file").modified().expect("a time"),
            )
        })
        .collect();
    // Without new records only the coordinator has a new snapshot, because it learns of the restart.
    let of_others = |place: &Place| {
        let mut newest = newest(place);
        newest.retain(|folder, _| !folder.ends_with("coordinate/snapshots"));
        newest
    };
    let manifests = of_others(&place);
    run(&place);
    assert_eq!(of_others(&place), manifests);
    for stage in 2..STAGES {
        place.bring(&spec(), stage);
        let mut command = command(&place);
        succeed(command.args(["--snapshots-keep", "2"]));
    }
    for (path, modified) in &before {
        assert_eq!(
            &fs::metadata(path).expect("a file").modified().expect("a time"),
            modified,
            "{}",
            path.display()
        );
    }
    let all = files_below(&snapshots(&place));
    let mut kept: BTreeMap<&Path, usize> = BTreeMap::new();
    for path in in_folder(&all, "snapshots") {
        *kept.entry(path.parent().expect("a folder")).or_default() += 1;
    }
    assert!(kept.values().all(|kept| *kept == 2), "{kept:?}");
    // Every file that a manifest names exists and is complete.
    for path in in_folder(&all, "snapshots") {
        let manifest: Value = serde_json::from_slice(&fs::read(path).expect("a manifest")).expect("JSON");
        let folder = path.parent().and_then(Path::parent).expect("a folder").join("files");
        for file in manifest["files"].as_array().expect("files") {
            let there = folder.join(file["sha256"].as_str().expect("a sum"));
            assert_eq!(
                fs::metadata(&there).expect("a file").len(),
                file["bytes"].as_u64().expect("a length")
            );
        }
    }
}

#[test]
fn a_damaged_snapshot_is_quarantined_and_named() {
    let expected = undisturbed(&spec());
    type Damage<'a> = &'a dyn Fn(&Path, &Value);
    // Every kind of damage to a manifest and its files.
    let largest = |manifest: &Path, contents: &Value| {
        let files = contents["files"].as_array().expect("files");
        let largest = files.iter().max_by_key(|file| file["bytes"].as_u64()).expect("a file");
        let folder = manifest
            .parent()
            .and_then(Path::parent)
            .expect("a folder")
            .join("files");
        folder.join(largest["sha256"].as_str().expect("a sum"))
    };
    let damages: [(&str, Damage<'_>); 4] = [
        ("a byte of a file", &|manifest, contents| {
            let file = largest(manifest, contents);
            let middle = fs::metadata(&file).expect("a file").len() as usize / 2;
            flip(&file, middle);
        }),
        ("a file that ends early", &|manifest, contents| {
            let file = largest(manifest, contents);
            let bytes = fs::read(&file).expect("a file");
            fs::write(&file, &bytes[..bytes.len() - 1]).expect("a file");
        }),
        ("a missing file", &|manifest, contents| {
            fs::remove_file(largest(manifest, contents)).expect("a file");
        }),
        ("a byte of the manifest", &|manifest, _| flip(manifest, 40)),
    ];
    for (what, damage) in damages {
        let place = begun();
        fs::remove_dir_all(place.state()).expect("a state to lose");
        let manifests = newest(&place);
        for manifest in manifests.values() {
            let contents: Value = serde_json::from_slice(&fs::read(manifest).expect("a manifest")).expect("JSON");
            damage(manifest, &contents);
        }
        let said = run(&place);
        for (folder, manifest) in &manifests {
            let name = manifest.file_name().expect("a name");
            assert!(
                !manifest.exists() && folder.with_file_name("damaged").join(name).exists(),
                "{what}: {said}"
            );
        }
        // The snapshot before it may share the damaged file. Then the log is enough.
        assert!(
            said.matches("is damaged and moved to").count() >= manifests.len(),
            "{what}: {said}"
        );
        assert!(said.contains("restored from the snapshot of"), "{what}: {said}");
        assert_eq!(finished(&place), expected, "{what}");
        // Later snapshots are complete.
        fs::remove_dir_all(place.state()).expect("a state to lose");
        let said = run(&place);
        assert!(
            !said.contains("damaged") && said.contains("restored from"),
            "{what}: {said}"
        );
        assert_eq!(place.outcome(), expected, "{what}");
    }
}

#[test]
fn without_a_valid_snapshot_the_log_is_enough() {
    let expected = undisturbed(&spec());
    let place = begun();
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let all = files_below(&snapshots(&place));
    in_folder(&all, "snapshots").for_each(|manifest| flip(manifest, 10));
    let said = run(&place);
    assert!(said.contains("recovering, with outputs suppressed"), "{said}");
    assert_eq!(finished(&place), expected);
}

/// A kind of damage, and how to do it to the folder of a store.
type StoreDamage = (&'static str, fn(&Path));

fn damages_of_a_store() -> [StoreDamage; 4] {
    fn tables(folder: &Path) -> Vec<PathBuf> {
        let mut tables = files_below(folder);
        tables.retain(|path| path.extension().is_some_and(|extension| extension == "sst"));
        assert!(!tables.is_empty(), "{} has no table", folder.display());
        tables
    }
    [
        ("bytes of the tables", |folder| {
            for table in tables(folder) {
                for at in [0, 10, 100] {
                    flip(&table, at);
                }
            }
        }),
        ("a missing table", |folder| {
            fs::remove_file(&tables(folder)[0]).expect("a table");
        }),
        ("a missing CURRENT", |folder| {
            fs::remove_file(folder.join("CURRENT")).expect("a file");
        }),
        ("a byte of MANIFEST", |folder| {
            let manifest = files_below(folder)
                .into_iter()
                .find(|path| {
                    path.file_name()
                        .is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"))
                })
                .expect("a list of the tables");
            flip(&manifest, 20);
        }),
    ]
}

#[test]
fn a_damaged_store_is_quarantined_and_named() {
    let expected = undisturbed(&spec());
    for with_snapshots in [true, false] {
        for (what, damage) in damages_of_a_store() {
            let place = begun();
            let store = place.state().join("accrue/2/1");
            damage(&store);
            // The damage may be found when the store is opened, or later when it is read. Then that run fails, and the
            // next one goes on.
            let mut said = String::new();
            for stage in 2..STAGES {
                place.bring(&spec(), stage);
                for _ in 0..3 {
                    let mut command = place.command(Some(2));
                    if with_snapshots {
                        command.arg("--snapshots-place").arg(snapshots(&place));
                    }
                    let output = command.output().expect("the program starts");
                    said.push_str(&String::from_utf8_lossy(&output.stderr));
                    if output.status.success() {
                        break;
                    }
                }
            }
            assert_eq!(place.outcome(), expected, "{what}: {said}");
            let aside: Vec<_> = fs::read_dir(place.state().join("damaged"))
                .expect("what is aside")
                .collect();
            assert_eq!(aside.len(), 1, "{what}: {said}");
            assert!(
                said.contains("accrue/2/1") && said.contains("rebuilt from"),
                "{what}: {said}"
            );
            assert_eq!(
                said.contains("restored from the snapshot"),
                with_snapshots,
                "{what}: {said}"
            );
        }
    }
}

#[test]
fn an_instance_goes_on_from_the_snapshots_of_a_killed_one() {
    let expected = undisturbed(&spec());
    let place = Place::new();
    let launch = |log: &Path| -> Child {
        let mut command = on_bus("run", &place.bus());
        command
            .arg("--state")
            .arg(place.state())
            .arg("--snapshots-place")
            .arg(snapshots(&place))
            .args([
                "--partitions",
                "2",
                "--snapshots-every-seconds",
                "1",
                "--log-level",
                "debug",
            ])
            .stderr(fs::File::create(log).expect("a log"))
            .stdout(Stdio::null());
        command.spawn().expect("the program starts")
    };
    let log = place.bus().with_file_name("log");
    let mut restored = 0;
    for stage in 0..STAGES {
        let mut child = launch(&log);
        place.bring(&spec(), stage);
        // The kill may come before or after a snapshot with the seals of this stage.
        let began = Instant::now();
        let seals = (stage as usize + 1) * 3;
        while place.records("softstake.epochs").len() < seals {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "no seals: {}",
                fs::read_to_string(&log).expect("a log")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(700 * u64::from(stage)));
        child.kill().expect("a process to kill");
        child.wait().expect("a process that ended");
        restored += fs::read_to_string(&log)
            .expect("a log")
            .matches("restored from the snapshot")
            .count();
        fs::remove_dir_all(place.state()).expect("a state to lose");
    }
    let said = run(&place);
    assert!(restored > 0 && said.contains("restored from the snapshot"), "{said}");
    assert_eq!(place.outcome(), expected);
}

#[test]
fn a_rebuild_from_the_log_makes_the_same_stores() {
    let expected = undisturbed(&spec());
    let place = begun();
    let accounts: Vec<String> = place
        .records("softstake.distributions")
        .iter()
        .step_by(97)
        .map(|record| record["data"]["account"].as_str().expect("an account").to_owned())
        .collect();
    let look = |place: &Place| -> Vec<String> {
        let query = |account: &String| {
            let mut command = softstake();
            command.args(["query", "account", account, "--json", "--bus"]);
            command
                .arg(format!("dir:{}", place.bus().display()))
                .arg("--state")
                .arg(place.state());
            String::from_utf8(succeed(&mut command).stdout).expect("text")
        };
        accounts.iter().map(query).collect()
    };
    let before = look(&place);
    // Compared with this copy, the bus must not change.
    let kept = Place::new();
    copy(&place.bus(), &kept.bus());
    let rebuild = |place: &Place| {
        let mut command = on_bus("rebuild", &place.bus());
        command.arg("--state").arg(place.state());
        command
    };
    let output = succeed(&mut rebuild(&place));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("built again") && said.contains("replaced-"), "{said}");
    assert_eq!(look(&place), before);
    let contents = |place: &Place| -> Vec<(PathBuf, Vec<u8>)> {
        let bus = place.bus();
        files_below(&bus)
            .into_iter()
            .map(|path| {
                (
                    path.strip_prefix(&bus).expect("a path").to_owned(),
                    fs::read(path).expect("a file"),
                )
            })
            .collect()
    };
    assert!(contents(&place) == contents(&kept), "the bus was written to");
    // The stores are up to date: nothing is replayed.
    let said = run(&place);
    assert!(!said.contains("recovering, with outputs suppressed"), "{said}");
    // Without any store, and after a kill on the way.
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let mut child = start(&mut rebuild(&place));
    std::thread::sleep(Duration::from_millis(150));
    child.kill().expect("a process to kill");
    child.wait().expect("a process that ended");
    succeed(&mut rebuild(&place));
    assert_eq!(look(&place), before);
    assert_eq!(finished(&place), expected);
}
