//! What the tests of the whole program share: the program, and buses to point it at.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use softstake::generate::{Synthetic, write};
use tempfile::TempDir;

/// A bus directory and a state directory, gone with the test.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        // In memory where there is such a folder: thousands of runs would wait for a disk otherwise, and a kill loses no page of either.
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::in_folder(memory)
        } else {
            Self::on_disk()
        }
    }

    /// A place where temporary files are, which is a disk in most places.
    pub fn on_disk() -> Self {
        Self::in_folder(&std::env::temp_dir())
    }

    fn in_folder(parent: &Path) -> Self {
        let place = Self {
            folder: tempfile::tempdir_in(parent).expect("a folder for the test"),
        };
        fs::create_dir(place.bus()).expect("a folder for the bus");
        place
    }

    pub fn bus(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Appends lines to a partition of a topic.
    pub fn append(&self, topic: &str, partition: u32, lines: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        use std::io::Write;
        let folder = self.bus().join(topic);
        fs::create_dir_all(&folder).expect("a topic's folder");
        let path = folder.join(format!("{partition}.jsonl"));
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("a partition's file");
        for line in lines {
            let mut line = line.as_ref().to_vec();
            line.push(b'\n');
            file.write_all(&line).expect("a line");
        }
    }

    /// `softstake run` on this bus, until idle.
    pub fn command(&self, partitions: Option<u32>) -> Command {
        let mut command = softstake();
        command
            .arg("run")
            .arg("--bus")
            .arg(format!("dir:{}", self.bus().display()));
        command.arg("--state").arg(self.state()).arg("--until-idle");
        if let Some(partitions) = partitions {
            command.arg("--partitions").arg(partitions.to_string());
        }
        command
    }

    /// Runs until idle; anything but status 0 fails the test.
    pub fn run(&self, partitions: Option<u32>) {
        succeed(&mut self.command(partitions));
    }

    /// The records of a topic, in the order of partitions and offsets.
    pub fn records(&self, topic: &str) -> Vec<Value> {
        let folder = self.bus().join(topic);
        let Ok(entries) = fs::read_dir(&folder) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
            .iter()
            .flat_map(|file| {
                let text = fs::read(file).expect("an output file");
                assert!(
                    text.is_empty() || text.ends_with(b"\n"),
                    "{} ends with a torn record",
                    file.display()
                );
                let lines: Vec<Value> = text
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.is_empty())
                    .map(|line| serde_json::from_slice(line).expect("an output record is JSON"))
                    .collect();
                lines
            })
            .collect()
    }

    /// Records of a topic as sorted lines: what has to be the same however it came about.
    pub fn sorted_lines(&self, topic: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.records(topic).iter().map(Value::to_string).collect();
        lines.sort();
        lines
    }

    /// All output topics as sorted lines.
    pub fn outcome(&self) -> Vec<(&'static str, Vec<String>)> {
        OUTPUTS.iter().map(|topic| (*topic, self.sorted_lines(topic))).collect()
    }
}

/// Brings a stage of a synthetic bus.
pub fn bring(place: &Place, spec: &Synthetic, stage: u32) {
    write(&place.bus(), spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
}

/// Everything that comes out of a synthetic bus, stage by stage, when nothing is ever lost.
pub fn undisturbed(spec: &Synthetic) -> Vec<(&'static str, Vec<String>)> {
    let place = Place::new();
    for stage in 0..spec.epochs {
        bring(&place, spec, stage);
        place.run(Some(2));
    }
    place.outcome()
}

/// The output topics of the contract.
pub const OUTPUTS: [&str; 4] = [
    "softstake.distributions",
    "softstake.epochs",
    "softstake.dead-letters",
    "softstake.late-postings",
];

/// The program.
pub fn softstake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softstake"));
    command.stdin(Stdio::null());
    // Settings of whoever runs the tests are not the tests' settings.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOFTSTAKE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must end with this status; returns what it said on standard error.
pub fn fail(command: &mut Command, status: i32) -> String {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{command:?} said:\n{said}");
    said
}

/// Starts a command in the background, its output dropped.
pub fn start(command: &mut Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A file or folder among the fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The lines of a file, as JSON values.
pub fn json_lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .expect("a file of lines")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// A setting of the tests from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number")),
        Err(_) => default,
    }
}
