//! Files of others, changed at random: archives, snapshots, journals, published records, proofs, acknowledgements and ledgers. No
//! reading command may panic, hang, fill the memory, or call something right that was changed.

mod mutate;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use self::mutate::mutate;
use crate::common::events::{close, deposit, listing, pool, time};
use crate::common::files::files_below;
use crate::common::records::{acknowledgement, text};
use crate::common::{Dice, Place, copy, on_bus, run_by, setting, softstake, succeed};

/// CPU seconds that a command may use.
const CPU_SECONDS: u32 = 10;
/// Longer than any command waits, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const MEMORY_KIB: u64 = 1 << 20;
const ACCOUNTS: u32 = 40;

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Archive,
    Snapshots,
    Journal,
    Published,
    Proof,
    Acknowledgements,
    Ledger,
}

const KINDS: [Kind; 7] = [
    Kind::Archive,
    Kind::Snapshots,
    Kind::Journal,
    Kind::Published,
    Kind::Proof,
    Kind::Acknowledgements,
    Kind::Ledger,
];

impl Kind {
    /// Whether a file of this name, below the folder of the kind, is one of its files.
    fn has(self, name: &str) -> bool {
        match self {
            Self::Archive | Self::Snapshots => true,
            Self::Journal => name == ".softstake/journal",
            Self::Published => ["softstake.distributions", "softstake.epochs"]
                .iter()
                .any(|topic| name.starts_with(topic)),
            Self::Proof => name == "proof.json",
            Self::Acknowledgements => name == "acks.jsonl",
            Self::Ledger => name == "ledger.csv",
        }
    }
}

/// A settled deployment, with all that the reading commands read.
struct Originals {
    place: Place,
    folder: TempDir,
    root: String,
}

impl Originals {
    fn new() -> Self {
        let (place, folder) = (Place::new(), tempfile::tempdir().expect("a folder"));
        place.append("softstake.control", 0, [listing("A", 2, 100, &pool())]);
        let deposits = |epoch: u32| {
            (0..ACCOUNTS).map(move |number| {
                let ms = i64::from(epoch) * 100_000 + i64::from(number) * 1_000 + 500;
                deposit(
                    &format!("d-{epoch}-{number}"),
                    ms,
                    &format!("u-{number}"),
                    "A",
                    &format!("{}.25", number + 1),
                )
            })
        };
        for epoch in 0..2 {
            place.append("exchange.deposits", 0, deposits(epoch));
            place.append("softstake.control", 0, [close("A", epoch, 100, "1000")]);
            succeed(
                place
                    .command(Some(2))
                    .arg("--snapshots-place")
                    .arg(folder.path().join("snapshots")),
            );
        }
        succeed(
            on_bus("archive", &place.bus())
                .arg("--out")
                .arg(folder.path().join("archive")),
        );
        succeed(
            on_bus("prove", &place.bus())
                .args(["A", "1", "u-7", "--out"])
                .arg(folder.path().join("proof.json")),
        );
        let acks = place.records("softstake.distributions").iter().enumerate().fold(
            String::new(),
            |acks, (number, record)| {
                let ack = acknowledgement(number, text(&record["id"]), text(&record["data"]["amount"]));
                acks + &ack.to_string() + "\n"
            },
        );
        fs::write(folder.path().join("acks.jsonl"), acks).expect("acknowledgements");
        let rows: String = (0..ACCOUNTS)
            .map(|number| format!("u-{number},A,{}.25,{}\n", number + 1, time(99_000)))
            .collect();
        fs::write(
            folder.path().join("ledger.csv"),
            format!("account,asset,balance,time\n{rows}"),
        )
        .expect("a ledger");
        let seals = place.records("softstake.epochs");
        let root = text(&seals[1]["data"]["root"]).to_owned();
        Self { place, folder, root }
    }

    /// The files of a kind: the folder they are in, and their paths below it.
    fn files(&self, kind: Kind) -> (PathBuf, Vec<PathBuf>) {
        let folder = self.folder.path();
        let base = match kind {
            Kind::Archive => folder.join("archive"),
            Kind::Snapshots => folder.join("snapshots"),
            Kind::Journal | Kind::Published => self.place.bus(),
            Kind::Proof | Kind::Acknowledgements | Kind::Ledger => folder.to_owned(),
        };
        let names = files_below(&base).into_iter().filter_map(|file| {
            let name = file.strip_prefix(&base).expect("below").to_owned();
            kind.has(&name.display().to_string()).then_some(name)
        });
        let names: Vec<_> = names.collect();
        assert!(!names.is_empty(), "{kind:?} has no files");
        (base, names)
    }

    /// The commands that read a kind, and whether each judges all that was changed.
    fn commands(&self, kind: Kind, base: &Path, bus: &Path) -> Vec<(Command, bool)> {
        let against = |name: &str, flag: &str, file: &str| {
            let mut command = softstake();
            command
                .args(["reconcile", name, "--bus"])
                .arg(format!("dir:{}", bus.display()));
            command.arg(flag).arg(base.join(file));
            command
        };
        let reading = |bus: &Path| {
            let mut commands = vec![(on_bus("reconcile", bus), false)];
            let queries: &[&[&str]] = match kind {
                // A query reads directory buses only.
                Kind::Archive => &[],
                _ => &[&["query", "epochs", "A"]],
            };
            let others: &[&[&str]] = &[
                &["explain", "A", "1", "u-7"],
                &["statement"],
                &["prove", "A", "1", "u-7"],
            ];
            for arguments in queries.iter().chain(others) {
                let mut command = softstake();
                command
                    .args(*arguments)
                    .arg("--bus")
                    .arg(format!("dir:{}", bus.display()));
                commands.push((command, false));
            }
            commands
        };
        match kind {
            Kind::Archive => {
                let mut check = softstake();
                check.args(["archive", "--check"]).arg(base);
                let mut commands = vec![(check, true)];
                commands.extend(reading(base));
                commands
            }
            Kind::Journal => {
                let mut commands = vec![(on_bus("check", base), false)];
                commands.extend(reading(base));
                commands
            }
            Kind::Published => {
                let mut commands = vec![(on_bus("check", base), true)];
                commands.extend(reading(base));
                commands[1].1 = true;
                commands
            }
            Kind::Proof => {
                let mut verify = softstake();
                verify
                    .arg("verify")
                    .arg(base.join("proof.json"))
                    .args(["--root", &self.root]);
                vec![(verify, true)]
            }
            Kind::Acknowledgements => vec![(against("payouts", "--acks", "acks.jsonl"), true)],
            Kind::Ledger => vec![(against("balances", "--against", "ledger.csv"), true)],
            Kind::Snapshots => Vec::new(),
        }
    }
}

/// How a command ended.
struct End {
    code: Option<i32>,
    said: String,
}

impl End {
    /// It ended by itself, with a status of the program's own, and did not panic.
    fn is_orderly(&self, command: &Command) -> Result<(), String> {
        if matches!(self.code, Some(0..=3)) && !self.said.contains("panicked") {
            return Ok(());
        }
        Err(format!("{command:?} ended with {:?}\n{}", self.code, self.said))
    }
}

/// Runs a command within its bounds of time and memory.
fn run(command: &Command, scratch: &Path) -> Result<End, String> {
    let (out, err) = (scratch.join("stdout"), scratch.join("stderr"));
    let mut bounded = Command::new("sh");
    bounded.args(["-c", &format!("ulimit -t {CPU_SECONDS}; exec \"$@\""), "sh"]);
    let mut bounded = run_by(bounded, command);
    bounded
        .stdout(File::create(&out).expect("a file"))
        .stderr(File::create(&err).expect("a file"));
    let began = Instant::now();
    let mut child = bounded.spawn().expect("the program starts");
    let status_file = format!("/proc/{}/status", child.id());
    let status = loop {
        let status = fs::read_to_string(&status_file).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak
            .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0);
        let ended = child.try_wait().expect("its status");
        if peak > MEMORY_KIB || (ended.is_none() && began.elapsed() > PATIENCE) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{command:?} has {peak} KiB after {:?}", began.elapsed()));
        }
        match ended {
            Some(ended) => break ended,
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).expect("its output")).into_owned();
    Ok(End {
        code: status.code(),
        said: format!("{}{}", read(&out), read(&err)),
    })
}

/// Whether two versions of a file say the same to a reader of its format.
fn same_content(kind: Kind, a: &[u8], b: &[u8]) -> bool {
    let lines = |bytes: &[u8]| -> Option<Vec<Value>> {
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty());
        // All else is not what is judged.
        let judged = |event: Value| {
            let data = &event["data"];
            Value::from(vec![
                event["type"].clone(),
                data["distribution"].clone(),
                data["amount"].clone(),
            ])
        };
        lines
            .map(|line| serde_json::from_slice(line).ok().map(judged))
            .collect()
    };
    let rows = |bytes: &[u8]| -> Option<Vec<Vec<String>>> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes);
        let rows = reader
            .records()
            .map(|row| Some(row.ok()?.iter().map(str::to_lowercase).collect()));
        rows.collect()
    };
    a == b
        || match kind {
            Kind::Archive | Kind::Proof => {
                let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
                json(a).is_some_and(|a| Some(a) == json(b))
            }
            Kind::Acknowledgements => lines(a).is_some_and(|a| Some(a) == lines(b)),
            // A row may be absent or there twice, and a balance may hold at other times, too.
            Kind::Ledger => {
                let balances = |bytes: &[u8]| {
                    let mut rows = rows(bytes)?;
                    rows.iter_mut().for_each(|row| row.truncate(3));
                    Some(rows)
                };
                balances(a)
                    .zip(balances(b))
                    .is_some_and(|(a, b)| b.iter().all(|row| a.contains(row)))
            }
            Kind::Published | Kind::Journal | Kind::Snapshots => false,
        }
}

/// Restores from changed snapshots. The outputs must be those of the original.
fn restore(originals: &Originals, place: &Path, scratch: &Path) -> Result<(), String> {
    let bus = scratch.join("bus");
    copy(&originals.place.bus(), &bus);
    let mut command = on_bus("run", &bus);
    command
        .args(["--until-idle", "--partitions", "2", "--state"])
        .arg(scratch.join("state"));
    command.arg("--snapshots-place").arg(place);
    let end = run(&command, scratch)?;
    end.is_orderly(&command)?;
    for topic in ["softstake.distributions", "softstake.epochs"] {
        for file in files_below(&originals.place.bus().join(topic)) {
            let name = file.strip_prefix(originals.place.bus()).expect("below").to_owned();
            if fs::read(&file).expect("records") != fs::read(bus.join(&name)).expect("records") {
                return Err(format!("{} differs\n{}", name.display(), end.said));
            }
        }
    }
    Ok(())
}

/// Changes one file of a kind, and lets all commands that read it judge it.
fn round(originals: &Originals, kind: Kind, dice: &mut Dice) -> Result<(), String> {
    let (original, names) = originals.files(kind);
    let scratch = tempfile::tempdir().expect("a folder");
    let changed = scratch.path().join("changed");
    copy(&original, &changed);
    let name = &names[dice.one_of(names.len())];
    let whole = fs::read(original.join(name)).expect("a file");
    let (bytes, what) = mutate(dice, &whole);
    fs::write(changed.join(name), &bytes).expect("a changed file");
    let judged = || {
        if kind == Kind::Snapshots {
            return restore(originals, &changed, scratch.path());
        }
        let is_same = same_content(kind, &whole, &bytes);
        for (command, judges) in originals.commands(kind, &changed, &originals.place.bus()) {
            let end = run(&command, scratch.path())?;
            end.is_orderly(&command)?;
            if judges && !is_same && end.code == Some(0) {
                return Err(format!("{command:?} calls it right\n{}", end.said));
            }
        }
        Ok(())
    };
    judged().map_err(|error| {
        let line = changed_line(&whole, &bytes);
        format!(
            "{kind:?}, {}, {what}: {error}\nthe first changed line: {line}",
            name.display()
        )
    })
}

/// The first line that differs, as it is now.
fn changed_line(before: &[u8], now: &[u8]) -> String {
    let mut before = before.split(|byte| *byte == b'\n');
    let line = now
        .split(|byte| *byte == b'\n')
        .find(|line| Some(*line) != before.next());
    String::from_utf8_lossy(line.unwrap_or_default())
        .escape_debug()
        .to_string()
}

#[test]
fn changed_files_of_others_are_never_called_right() {
    let (rounds, seed) = (setting("TEST_MUTATIONS", 140), setting("TEST_MUTATION_SEED", 1));
    let first = setting("TEST_FIRST_MUTATION", 0);
    let originals = Originals::new();
    for kind in KINDS {
        let scratch = tempfile::tempdir().expect("a folder");
        let (base, _) = originals.files(kind);
        for (command, _) in originals.commands(kind, &base, &originals.place.bus()) {
            let end = run(&command, scratch.path()).expect("an end");
            assert_eq!(end.code, Some(0), "unchanged: {command:?}\n{}", end.said);
        }
    }
    let failures: Vec<_> = (first..first + rounds)
        .filter_map(|number| {
            let mut dice = Dice::new(seed * 1_000_003 + number);
            let kind = KINDS[usize::try_from(number).expect("small") % KINDS.len()];
            let failed = round(&originals, kind, &mut dice).err()?;
            Some(format!("round {number} of seed {seed}: {failed}"))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {rounds}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
