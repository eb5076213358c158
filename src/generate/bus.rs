//! Appending to a directory bus: a folder per topic, a file per partition, a record a line.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::generate::error::GenerateError;

/// The source topics, in the order in which this module numbers them.
pub(crate) const SOURCE_TOPICS: [&str; 5] = [
    "exchange.deposits",
    "exchange.withdrawals",
    "exchange.trades",
    "exchange.transfers",
    "exchange.accounts",
];
pub(crate) const DEPOSITS: usize = 0;
pub(crate) const WITHDRAWALS: usize = 1;
pub(crate) const TRADES: usize = 2;
pub(crate) const TRANSFERS: usize = 3;
pub(crate) const ACCOUNTS: usize = 4;

const CONTROL_TOPIC: &str = "softstake.control";

struct PartitionFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl PartitionFile {
    fn open(root: &Path, topic: &str, partition: u32, created: &mut Created) -> Result<Self, GenerateError> {
        let folder = root.join(topic);
        created.folders.extend(
            folder
                .ancestors()
                .take_while(|folder| !folder.exists())
                .map(Path::to_owned),
        );
        fs::create_dir_all(&folder).map_err(|error| GenerateError::io(&folder, error))?;
        let path = folder.join(format!("{partition}.jsonl"));
        if !path.exists() {
            created.files.push(path.clone());
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| GenerateError::io(&path, error))?;
        Ok(Self {
            path,
            file: BufWriter::with_capacity(1 << 16, file),
        })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), GenerateError> {
        let written = self.file.write_all(line);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|error| GenerateError::io(&self.path, error))
    }

    fn flush(&mut self) -> Result<(), GenerateError> {
        let flushed = self.file.flush();
        flushed.map_err(|error| GenerateError::io(&self.path, error))
    }
}

/// What was created. It is removed when this is dropped.
#[derive(Default)]
struct Created {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Created {
    fn keep(mut self) {
        self.files.clear();
        self.folders.clear();
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        // The deepest first. One that another process has put something into stays.
        self.folders.sort();
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// An error if a file of this topic is not empty.
fn is_fresh(folder: &Path) -> Result<(), GenerateError> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let length = entry.metadata().map_err(|error| GenerateError::io(&path, error))?.len();
        if length > 0 {
            return Err(GenerateError::NotEmpty { path });
        }
    }
    Ok(())
}

/// The files of all input topics, open for appending.
pub(crate) struct BusWriter {
    sources: Vec<Vec<PartitionFile>>,
    control: PartitionFile,
    /// Bytes appended so far, line ends included.
    pub(crate) bytes: u64,
}

impl BusWriter {
    /// Opens the files, and creates those that are missing. With `fresh`, a file that is not empty is an error: a first
    /// stage or a tape appended to an older bus would consist of duplicates. After an error, nothing new is left.
    pub(crate) fn open(root: &Path, partitions: u32, fresh: bool) -> Result<Self, GenerateError> {
        if fresh {
            SOURCE_TOPICS
                .iter()
                .chain([&CONTROL_TOPIC])
                .try_for_each(|topic| is_fresh(&root.join(topic)))?;
        }
        let mut created = Created::default();
        let mut sources = Vec::new();
        for topic in SOURCE_TOPICS {
            let files: Result<Vec<_>, _> = (0..partitions)
                .map(|partition| PartitionFile::open(root, topic, partition, &mut created))
                .collect();
            sources.push(files?);
        }
        let control = PartitionFile::open(root, CONTROL_TOPIC, 0, &mut created)?;
        created.keep();
        Ok(Self {
            sources,
            control,
            bytes: 0,
        })
    }

    /// Appends a line to partition `partition`, modulo the number of partitions, of source topic `topic`.
    pub(crate) fn source(&mut self, topic: usize, partition: u32, line: &[u8]) -> Result<(), GenerateError> {
        let files = &mut self.sources[topic];
        let at = partition as usize % files.len();
        self.bytes += line.len() as u64 + 1;
        files[at].line(line)
    }

    pub(crate) fn control(&mut self, line: &[u8]) -> Result<(), GenerateError> {
        self.bytes += line.len() as u64 + 1;
        self.control.line(line)
    }

    pub(crate) fn flush_sources(&mut self) -> Result<(), GenerateError> {
        self.sources.iter_mut().flatten().try_for_each(PartitionFile::flush)
    }

    pub(crate) fn flush_control(&mut self) -> Result<(), GenerateError> {
        self.control.flush()
    }
}
