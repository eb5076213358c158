use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bus::dir::{DirBus, Options, ReadOnlyDir};
use crate::bus::error::{CommitError, FileError, OpenError, ReadError};
use crate::bus::interface::{Bus, Log};
use crate::bus::position::{Mark, Position, TaskId};
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

mod agree;
mod crash;
mod faulty;
mod files;
mod lines;
mod numbers;

/// All records of a partition, read in the smallest batches.
fn read_all(bus: &dyn Log, partition: TopicPartition) -> Vec<(u64, Vec<u8>)> {
    let mut reader = bus.open(partition, &Mark::default()).unwrap();
    let mut all = Vec::new();
    loop {
        let batch = reader.read(1, Offset::NO_LIMIT).unwrap();
        if batch.is_empty() {
            return all;
        }
        all.extend(batch.iter().map(|record| (record.offset.get(), record.value.to_vec())));
    }
}

fn values(bus: &dyn Log, partition: TopicPartition) -> Vec<String> {
    let all = read_all(bus, partition).into_iter();
    all.map(|(_, value)| String::from_utf8(value).unwrap()).collect()
}

/// A folder in memory, where the system has one: a modelled disk does not need a real one.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// A bus directory that is removed when the value is dropped.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn quick() -> Self {
        Self(quick_folder())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn open(&self) -> Result<DirBus, OpenError> {
        DirBus::open(self.path(), Options { sync: false })
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.file(name), text).unwrap();
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(self.file(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }
}

fn commit(bus: &DirBus, to: TopicPartition, value: &[u8]) -> Result<(), CommitError> {
    let mut outputs = Outputs::default();
    outputs.push(to, b"key", value);
    bus.commit(TaskId::COORDINATE, &outputs, &Position::default())
}

fn error<T>(result: Result<T, impl std::error::Error>) -> String {
    result.err().expect("an error").to_string()
}
