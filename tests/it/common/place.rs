//! A bus directory and a state directory for one test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use softstake::generate::{Synthetic, write};
use tempfile::TempDir;

use super::program::{on_bus, succeed};

/// The output topics of the contract.
pub const OUTPUTS: [&str; 4] = [
    "softstake.distributions",
    "softstake.epochs",
    "softstake.dead-letters",
    "softstake.late-postings",
];

/// A bus directory and a state directory, removed with the test.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        // In memory if possible: thousands of runs would wait for a disk. A killed process loses no written page in
        // either.
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::in_folder(memory)
        } else {
            Self::on_disk()
        }
    }

    /// In the folder for temporary files, which usually is on a disk.
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

    /// Appends a stage of a synthetic bus.
    pub fn bring(&self, spec: &Synthetic, stage: u32) {
        write(&self.bus(), spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
    }

    /// Appends all stages of a synthetic bus at once.
    pub fn bring_all(&self, spec: &Synthetic) {
        write(&self.bus(), spec, 0..spec.epochs, &mut |_| {}).expect("the bus is written");
    }

    /// Appends stage after stage, with a run after each, so that late records really come late.
    pub fn grow(&self, spec: &Synthetic, partitions: Option<u32>) {
        for stage in 0..spec.epochs {
            self.bring(spec, stage);
            self.run(partitions);
        }
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
        let mut command = on_bus("run", &self.bus());
        command.arg("--state").arg(self.state()).arg("--until-idle");
        if let Some(partitions) = partitions {
            command.arg("--partitions").arg(partitions.to_string());
        }
        command
    }

    /// Runs until idle. The program must end with status 0.
    pub fn run(&self, partitions: Option<u32>) {
        succeed(&mut self.command(partitions));
    }

    /// The records of a topic, in the order of partitions and offsets. A partition must end with a whole record.
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

    /// The records of a topic as sorted lines: their order among partitions does not matter.
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

/// The output of a synthetic bus that is run stage by stage and never disturbed.
pub fn undisturbed(spec: &Synthetic) -> Vec<(&'static str, Vec<String>)> {
    let place = Place::new();
    place.grow(spec, Some(2));
    place.outcome()
}
