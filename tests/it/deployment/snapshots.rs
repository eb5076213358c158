//! Snapshots of the stores, and stores made anew: a disk may be lost or damaged, and what comes out is the same.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, bring, copy, softstake, succeed, undisturbed};
use serde_json::Value;
use softstake::generate::Synthetic;

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

/// Runs until idle with snapshots; what it said.
fn run(place: &Place) -> String {
    let output = succeed(&mut command(place));
    String::from_utf8(output.stderr).expect("text")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn in_folder<'a>(paths: &'a [PathBuf], folder: &'a str) -> impl Iterator<Item = &'a PathBuf> {
    paths.iter().filter(move |path| {
        path.parent()
            .and_then(Path::file_name)
            .is_some_and(|name| name == folder)
    })
}

/// The manifests of the newest snapshot of each task.
fn newest(place: &Place) -> BTreeMap<PathBuf, PathBuf> {
    let all = files(&snapshots(place));
    in_folder(&all, "snapshots")
        .map(|path| (path.parent().expect("a folder").to_owned(), path.clone()))
        .collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    // The file may be linked from elsewhere: only this name is to be damaged.
    fs::remove_file(path).expect("a file to replace");
    fs::write(path, bytes).expect("a file");
}

/// Two stages with snapshots.
fn begun() -> Place {
    let place = Place::new();
    for stage in 0..2 {
        bring(&place, &spec(), stage);
        run(&place);
    }
    place
}

/// The other stages; how it all comes out.
fn finished(place: &Place) -> Vec<(&'static str, Vec<String>)> {
    for stage in 2..STAGES {
        bring(place, &spec(), stage);
        run(place);
    }
    place.outcome()
}

#[test]
fn a_lost_disk_is_restored_and_nothing_is_different() {
    let expected = undisturbed(&spec());
    let place = begun();
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let said = run(&place);
    let tasks = newest(&place).len();
    assert!(tasks > 4, "{tasks} tasks have snapshots");
    assert_eq!(said.matches("restored from the snapshot of").count(), tasks, "{said}");
    assert!(
        !said.contains("going through what was published before"),
        "the newest was not used: {said}"
    );
    assert_eq!(finished(&place), expected);
    // Nothing of what was caught on the way is left.
    assert_eq!(files(&place.state().join("caught")), Vec::<PathBuf>::new());
}

#[test]
fn only_what_is_new_is_copied_and_old_ones_go() {
    let place = begun();
    let before: BTreeMap<PathBuf, std::time::SystemTime> = files(&snapshots(&place))
        .into_iter()
        .filter(|path| path.parent().is_some_and(|folder| folder.ends_with("files")))
        .map(|path| {
            (
                path.clone(),
                fs::metadata(&path).expect("a file").modified().expect("a time"),
            )
        })
        .collect();
    // Nothing has happened: nothing is taken but of the coordinator, which heard of the new start.
    let of_others = |place: &Place| {
        let mut newest = newest(place);
        newest.retain(|folder, _| !folder.ends_with("coordinate/snapshots"));
        newest
    };
    let manifests = of_others(&place);
    run(&place);
    assert_eq!(of_others(&place), manifests);
    for stage in 2..STAGES {
        bring(&place, &spec(), stage);
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
    let all = files(&snapshots(&place));
    let mut kept: BTreeMap<&Path, usize> = BTreeMap::new();
    for path in in_folder(&all, "snapshots") {
        *kept.entry(path.parent().expect("a folder")).or_default() += 1;
    }
    assert!(kept.values().all(|kept| *kept == 2), "{kept:?}");
    // Every file that a manifest names is there, whole.
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
fn a_damaged_snapshot_is_set_aside_and_named() {
    let expected = undisturbed(&spec());
    type Damage<'a> = &'a dyn Fn(&Path, &Value);
    // What each manifest leads to, in all ways in which it can be wrong.
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
        ("a file that is gone", &|manifest, contents| {
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
        // The one before it may share the damaged file; then the log is enough.
        assert!(
            said.matches("is damaged and set aside").count() >= manifests.len(),
            "{what}: {said}"
        );
        assert!(said.contains("restored from the snapshot of"), "{what}: {said}");
        assert_eq!(finished(&place), expected, "{what}");
        // And what was taken since is whole again.
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
fn without_one_whole_snapshot_the_log_is_enough() {
    let expected = undisturbed(&spec());
    let place = begun();
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let all = files(&snapshots(&place));
    in_folder(&all, "snapshots").for_each(|manifest| flip(manifest, 10));
    let said = run(&place);
    assert!(said.contains("going through what was published before"), "{said}");
    assert_eq!(finished(&place), expected);
}

#[test]
fn a_damaged_store_is_set_aside_and_named() {
    let expected = undisturbed(&spec());
    type Damage<'a> = &'a dyn Fn(&Path);
    let tables = |folder: &Path| {
        let mut tables = files(folder);
        tables.retain(|path| path.extension().is_some_and(|extension| extension == "sst"));
        assert!(!tables.is_empty(), "{} has no table", folder.display());
        tables
    };
    let damages: [(&str, Damage<'_>); 4] = [
        ("bytes of the tables", &|folder| {
            for table in tables(folder) {
                for at in [0, 10, 100] {
                    flip(&table, at);
                }
            }
        }),
        ("a table that is gone", &|folder| {
            fs::remove_file(&tables(folder)[0]).expect("a table")
        }),
        ("what leads to the tables", &|folder| {
            fs::remove_file(folder.join("CURRENT")).expect("a file");
        }),
        ("the list of the tables", &|folder| {
            let manifest = files(folder)
                .into_iter()
                .find(|path| {
                    path.file_name()
                        .is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"))
                })
                .expect("a list");
            flip(&manifest, 20);
        }),
    ];
    for with_snapshots in [true, false] {
        for (what, damage) in damages {
            let place = begun();
            let store = place.state().join("accrue/2/1");
            damage(&store);
            // What is damaged may show when the store is opened or when it is read: then that run ends with an error, and the next goes on.
            let mut said = String::new();
            for stage in 2..STAGES {
                bring(&place, &spec(), stage);
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
                said.contains("accrue/2/1") && said.contains("made anew"),
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
fn a_running_instance_takes_them_and_another_goes_on_from_there() {
    let expected = undisturbed(&spec());
    let place = Place::new();
    let start = |log: &Path| {
        let mut command = softstake();
        command
            .arg("run")
            .arg("--bus")
            .arg(format!("dir:{}", place.bus().display()))
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
        let mut child = start(&log);
        bring(&place, &spec(), stage);
        // Until something was taken after this stage's seals; or not quite.
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
fn the_log_alone_rebuilds_the_stores() {
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
    // A copy of the bus shows that nothing is written to it.
    let kept = Place::new();
    copy(&place.bus(), &kept.bus());
    let rebuild = |place: &Place| {
        let mut command = softstake();
        command
            .arg("rebuild")
            .arg("--bus")
            .arg(format!("dir:{}", place.bus().display()));
        command.arg("--state").arg(place.state());
        command
    };
    let output = succeed(&mut rebuild(&place));
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("made anew") && said.contains("replaced-"), "{said}");
    assert_eq!(look(&place), before);
    let contents = |place: &Place| -> Vec<(PathBuf, Vec<u8>)> {
        let bus = place.bus();
        files(&bus)
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
    // The stores are where the bus is: nothing is gone through again.
    let said = run(&place);
    assert!(!said.contains("going through what was published before"), "{said}");
    // Without any store as well, and killed on the way.
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let mut child = rebuild(&place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    std::thread::sleep(Duration::from_millis(150));
    child.kill().expect("a process to kill");
    child.wait().expect("a process that ended");
    succeed(&mut rebuild(&place));
    assert_eq!(look(&place), before);
    assert_eq!(finished(&place), expected);
}

#[test]
fn a_place_that_cannot_be_is_said() {
    let place = begun();
    for (given, wanted) in [
        ("ftp://somewhere/else", "correct `snapshots.place`"),
        ("/proc/nothing/here", "correct `snapshots.place`"),
    ] {
        let mut command = place.command(Some(2));
        let output = command
            .args(["--snapshots-place", given])
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains(wanted),
            "{given}: {said}"
        );
    }
}
