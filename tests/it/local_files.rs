//! Files that commands leave on the machine: who may read them, what stays after a kill, and how many may be open.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use softstake::generate::Synthetic;

use crate::common::process::{Process, until};
use crate::common::{Place, fail, on_bus, run_by, softstake, succeed};
use crate::judge::judge;

fn spec(events: u64) -> Synthetic {
    Synthetic {
        events,
        accounts: 500,
        assets: 2,
        epochs: 3,
        ..Synthetic::default()
    }
}

/// The same command in a shell that runs `first` before.
fn after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{first}; exec \"$0\" \"$@\""));
    run_by(shell, command)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("its mode").permissions().mode() & 0o7777
}

/// The modes of everything below a folder, and of the folder itself.
fn modes(folder: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::from([(folder.to_owned(), mode(folder))]);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(modes(&path));
        } else {
            found.insert(path.clone(), mode(&path));
        }
    }
    found
}

fn expect_private(folder: &Path) {
    let modes = modes(folder);
    assert!(modes.len() > 10, "{modes:?}");
    for (path, mode) in modes {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(format!("{mode:o}"), format!("{expected:o}"), "{}", path.display());
    }
}

#[test]
fn state_snapshots_and_replays_are_for_their_user_alone() {
    let place = Place::new();
    place.bring_all(&spec(5_000));
    fs::set_permissions(place.bus(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let beside = |name: &str| place.state().with_file_name(name);
    let mut run = place.command(Some(2));
    run.arg("--snapshots-place").arg(beside("snapshots"));
    succeed(&mut after("umask 022", &run));
    expect_private(&place.state());
    expect_private(&beside("snapshots"));
    // What is published is for those who may read the bus.
    for (path, mode) in modes(&place.bus()) {
        let expected = if path.is_dir() { 0o755 } else { 0o644 };
        assert_eq!(format!("{mode:o}"), format!("{expected:o}"), "{}", path.display());
    }
    let mut reconcile = on_bus("reconcile", &place.bus());
    reconcile.arg("--work").arg(beside("work"));
    reconcile.arg("--csv").arg(beside("differences.csv"));
    reconcile.arg("--html").arg(beside("report.html"));
    succeed(&mut after("umask 027", &reconcile));
    expect_private(&beside("work"));
    // The user has named these.
    assert_eq!(mode(&beside("differences.csv")), 0o640);
    assert_eq!(mode(&beside("report.html")), 0o640);
    let mut rebuild = on_bus("rebuild", &place.bus());
    rebuild.arg("--state").arg(place.state()).args(["--partitions", "2"]);
    succeed(&mut after("umask 0", &rebuild));
    expect_private(&place.state());
}

#[test]
fn what_is_published_is_as_private_as_the_bus() {
    for (bus, folder, file) in [(0o700, 0o700, 0o600), (0o750, 0o750, 0o640), (0o777, 0o755, 0o644)] {
        let place = Place::new();
        place.bring_all(&spec(500));
        fs::set_permissions(place.bus(), fs::Permissions::from_mode(bus)).expect("a mode");
        succeed(&mut after("umask 0", &place.command(Some(2))));
        for topic in ["softstake.distributions", "softstake.ledger", ".softstake"] {
            for (path, mode) in modes(&place.bus().join(topic)) {
                let expected = if path.is_dir() { folder } else { file };
                assert_eq!(format!("{mode:o}"), format!("{expected:o}"), "{}", path.display());
            }
        }
    }
}

/// The temporary folders of commands in `parent`.
fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).expect("a folder");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    folders
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command, and returns once it works in its temporary folder below `parent`.
fn at_work(command: &mut Command, parent: &Path) -> (Killed, PathBuf) {
    let known = folders(parent);
    let child = command
        .env("TMPDIR", parent)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = Killed(child.expect("the program starts"));
    let mut found = None;
    until("it has a temporary folder", || {
        found = folders(parent)
            .into_iter()
            .find(|folder| !known.contains(folder) && folder.join("state").exists());
        found.is_some()
    });
    (child, found.expect("its folder"))
}

fn pause(child: &Killed) {
    let stopped = Command::new("kill").arg("-STOP").arg(child.0.id().to_string()).status();
    assert!(stopped.expect("kill").success());
}

#[test]
fn what_a_killed_command_left_is_removed_by_its_next_start_and_nothing_else() {
    let place = Place::new();
    place.bring_all(&spec(150_000));
    place.run(Some(2));
    let reconcile = || on_bus("reconcile", &place.bus());
    let demo = || {
        let mut demo = softstake();
        demo.args(["demo", "--accounts", "2000"]);
        demo
    };
    let commands: [(&str, &dyn Fn() -> Command); 2] = [("replay", &reconcile), ("demo", &demo)];
    for (name, command) in commands {
        let temporary = tempfile::tempdir().expect("a folder");
        let parent = temporary.path();
        let (running, its_own) = at_work(&mut command(), parent);
        pause(&running);
        let (killed, left) = at_work(&mut command(), parent);
        drop(killed);
        assert!(left.join("state").exists(), "{name}");
        assert_eq!(mode(&left), 0o700);
        // A folder of another command, and one of this name that is no folder of a command.
        let foreign = parent.join(format!("softstake-{name}-mine"));
        fs::create_dir(&foreign).expect("a folder");
        fs::write(foreign.join("notes"), "mine").expect("a file");
        let before = folders(parent);
        assert_eq!(before.len(), 3, "{before:?}");
        succeed(command().env("TMPDIR", parent));
        assert!(!left.exists(), "{name}: it is still there");
        assert!(
            its_own.join("state").exists(),
            "{name}: the folder of a running command is gone"
        );
        assert!(foreign.join("notes").exists(), "{name}");
        drop(running);
        succeed(command().env("TMPDIR", parent));
        assert!(!its_own.exists(), "{name}");
        // A finished demo is left to the user.
        let finished = folders(parent).len() - 1;
        assert_eq!(finished, if name == "demo" { 2 } else { 0 }, "{:?}", folders(parent));
    }
}

#[test]
fn a_query_leaves_nothing() {
    let place = Place::new();
    place.bring_all(&spec(500));
    place.run(Some(2));
    let temporary = tempfile::tempdir().expect("a folder");
    let mut query = softstake();
    query
        .args(["query", "account", "u-000001", "--state"])
        .arg(place.state());
    succeed(query.env("TMPDIR", temporary.path()));
    assert_eq!(folders(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn checkpoints_that_were_not_uploaded_are_removed_by_the_next_start() {
    let place = Place::new();
    place.bring_all(&spec(500));
    place.run(Some(2));
    let left = place.state().join("caught").join("accrue-0-7");
    fs::create_dir_all(&left).expect("a folder");
    fs::write(left.join("000012.sst"), "x").expect("a file");
    // This one takes no snapshots.
    place.run(None);
    assert!(!place.state().join("caught").exists());
}

#[test]
fn stores_that_a_stopped_repartition_left_are_removed() {
    let place = Place::new();
    place.bring_all(&spec(2_000));
    place.run(Some(4));
    let accrue = place.state().join("accrue");
    let repartition = |to: &str| {
        let mut command = on_bus("repartition", &place.bus());
        command.arg("--state").arg(place.state()).args(["--to", to]);
        command
    };
    // Killed before the new layout was in force: stores of that layout.
    for name in ["accrue/2-1/0", "accrue/16-1/15", "coordinate-1"] {
        fs::create_dir_all(place.state().join(name)).expect("a folder");
    }
    succeed(&mut repartition("8"));
    assert_eq!(folders(&accrue), [accrue.join("8-1")]);
    // Killed after it: stores of the old layout.
    for name in ["accrue/4/3", "coordinate"] {
        fs::create_dir_all(place.state().join(name)).expect("a folder");
    }
    place.run(None);
    assert_eq!(folders(&accrue), [accrue.join("8-1")]);
    assert!(place.state().join("coordinate-1").exists() && !place.state().join("coordinate").exists());
    judge(&place);
}

#[test]
fn an_interrupted_archive_is_completed_without_remains() {
    let place = Place::new();
    place.bring_all(&spec(60_000));
    place.run(Some(2));
    let archive = place.state().with_file_name("archive");
    let command = || {
        let mut command = on_bus("archive", &place.bus());
        command.arg("--out").arg(&archive);
        command
    };
    for delay in [5, 20, 60, 150] {
        let mut process = Process::start(&mut command());
        std::thread::sleep(Duration::from_millis(delay));
        let _ = process.ended();
        drop(process);
    }
    succeed(&mut command());
    let manifest = fs::read_to_string(archive.join("archive.json")).expect("the manifest");
    for path in crate::common::files::files_below(&archive) {
        let name = path
            .strip_prefix(&archive)
            .expect("a file of the archive")
            .to_string_lossy()
            .into_owned();
        assert!(
            name == "archive.json" || manifest.contains(&format!("\"{name}\"")),
            "{name} is no part of the archive"
        );
    }
}

#[test]
fn too_few_open_files_are_told_at_once() {
    let place = Place::new();
    place.bring_all(&spec(500));
    let began = Instant::now();
    let said = fail(&mut after("ulimit -n 1024", &place.command(Some(4096))), 1);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // 4,096 ledger partitions, 10 source partitions and the coordinator.
    for expected in [
        "4107 stores need 78417 open files",
        "may have 1024",
        "ulimit -Hn 78417",
        "LimitNOFILE=78417",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    // The deployment has not begun: another number is possible.
    succeed(&mut after("ulimit -n 1024", &place.command(Some(32))));
    judge(&place);
    let mut repartition = on_bus("repartition", &place.bus());
    repartition.arg("--state").arg(place.state()).args(["--to", "64"]);
    let said = fail(&mut after("ulimit -n 1024", &repartition), 1);
    assert!(said.contains("75 stores need "), "{said}");
    place.run(Some(32));
}

/// The limit that most systems set for a start can be raised without any right.
#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let place = Place::new();
    place.bring_all(&spec(5_000));
    succeed(&mut after("ulimit -Sn 256", &place.command(Some(64))));
    judge(&place);
}
