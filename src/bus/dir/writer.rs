//! What one thread at a time does: redo what a crash cut short, write commits, start the journal anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::bus::dir::committed::Committed;
use crate::bus::dir::disk::{Disk, read_at, to_u64};
use crate::bus::dir::frames;
use crate::bus::dir::journal::{Append, Commit, End, Journal, JournalReader, Snapshot};
use crate::bus::dir::layout::Layout;
use crate::bus::error::{CommitError, FileError};
use crate::bus::outputs;
use crate::bus::position::Position;
use crate::core::contract::appends::Outputs;
use crate::core::contract::topic::{Topic, TopicKind, TopicPartition};

/// Open files kept for writing. There may be thousands of partitions, and a process has a limit.
const MAX_FILES: usize = 256;

/// How much of a file is compared at a time when commits are redone.
const CHUNK: usize = 1 << 20;

/// How the writer works; the tests set both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    /// As in [`Options`](crate::bus::dir::Options).
    pub(super) sync: bool,
    /// Bytes of commits after which the journal is started anew.
    pub(super) journal_bytes: u64,
}

/// A commit made ready: what goes to each file, in the form in which it stands there.
pub(super) struct Pending {
    task: String,
    position: Position,
    appends: BTreeMap<TopicPartition, Prepared>,
}

#[derive(Default)]
struct Prepared {
    records: u64,
    bytes: Vec<u8>,
}

impl Pending {
    /// Refuses what cannot stand in a file as one record, before anything is written.
    pub(super) fn new(task: &str, outputs: &Outputs, position: &Position) -> Result<Self, CommitError> {
        outputs::check(outputs)?;
        let mut appends: BTreeMap<TopicPartition, Prepared> = BTreeMap::new();
        for (to, _key, value) in outputs.iter() {
            let prepared = appends.entry(to).or_default();
            prepared.records += 1;
            if to.topic.kind() == TopicKind::Inner {
                frames::encode(to, value, &mut prepared.bytes)?;
            } else {
                prepared.bytes.extend_from_slice(value);
                prepared.bytes.push(b'\n');
            }
        }
        Ok(Self {
            task: task.to_owned(),
            position: position.clone(),
            appends,
        })
    }
}

/// The one that writes.
pub(super) struct Writer {
    disk: Box<dyn Disk>,
    layout: Layout,
    tuning: Tuning,
    committed: Arc<Committed>,
    journal: Journal,
    files: HashMap<TopicPartition, Arc<File>>,
    /// Files written to since the journal was started: not known to be durable.
    touched: BTreeSet<TopicPartition>,
}

impl Writer {
    /// Brings the bus to its last commit, and makes `committed` say so.
    pub(super) fn recover(
        disk: Box<dyn Disk>,
        layout: Layout,
        tuning: Tuning,
        committed: Arc<Committed>,
    ) -> Result<Self, FileError> {
        let Some((mut reader, snapshot)) = JournalReader::open(&layout)? else {
            expect_no_surplus(&layout, &Snapshot::default())?;
            let identity = uuid::Uuid::new_v4().to_string();
            disk.sync_folder(layout.root())?;
            let journal = Journal::start(&*disk, &layout, &identity, 0, &Snapshot::default())?;
            return Ok(Self::new(disk, layout, tuning, committed, journal));
        };
        expect_whole(&layout, &snapshot)?;
        committed.restore(snapshot);
        let clean = reader.at_end();
        // What was read may not be durable yet, if the process that wrote it was stopped: neither the journal's name nor its end.
        disk.sync_folder(layout.root())?;
        disk.sync_folder(&layout.own())?;
        let journal = Journal::resume(&*disk, &reader)?;
        let mut writer = Self::new(disk, layout, tuning, committed, journal);
        if !clean {
            reader.sync(&*writer.disk)?;
            writer.redo(&mut reader)?;
        }
        expect_no_surplus(&writer.layout, &writer.committed.snapshot())?;
        if !clean {
            writer.start_journal(reader.sequence())?;
        }
        Ok(writer)
    }

    fn new(disk: Box<dyn Disk>, layout: Layout, tuning: Tuning, committed: Arc<Committed>, journal: Journal) -> Self {
        Self {
            disk,
            layout,
            tuning,
            committed,
            journal,
            files: HashMap::new(),
            touched: BTreeSet::new(),
        }
    }

    pub(super) fn identity(&self) -> &str {
        self.journal.identity()
    }

    /// Commits all of `group` as one frame. When this returns, it is durable and can be read. After an error the disk may or may not
    /// hold it: only recovery can tell.
    pub(super) fn write(&mut self, group: &[Pending]) -> Result<(), FileError> {
        let mut ends = BTreeMap::new();
        let mut commit = Commit {
            positions: Vec::with_capacity(group.len()),
            appends: Vec::new(),
        };
        for pending in group {
            commit.positions.push((&pending.task, &pending.position));
            for (to, prepared) in &pending.appends {
                let end: &mut End = ends.entry(*to).or_insert_with(|| self.committed.readable_end(*to));
                commit.appends.push(Append {
                    to: *to,
                    at: end.bytes,
                    records: prepared.records,
                    bytes: &prepared.bytes,
                });
                end.bytes += to_u64(prepared.bytes.len());
                end.records += prepared.records;
            }
        }
        self.journal.append(&*self.disk, &commit, self.tuning.sync)?;
        for append in &commit.appends {
            self.append(append.to, append.at, append.bytes)?;
        }
        let positions = group
            .iter()
            .map(|pending| (pending.task.as_str(), pending.position.clone()));
        self.committed.committed(ends, positions);
        if self.journal.pending_bytes() >= self.tuning.journal_bytes {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Makes the output files durable, and starts the journal anew with what they hold. Nothing to do right after another.
    pub(super) fn checkpoint(&mut self) -> Result<(), FileError> {
        if self.journal.pending_bytes() == 0 {
            return Ok(());
        }
        self.start_journal(self.journal.sequence())
    }

    fn start_journal(&mut self, sequence: u64) -> Result<(), FileError> {
        let mut folders = BTreeSet::new();
        for to in &self.touched {
            let path = self.layout.file(*to);
            // Any handle will do: what is made durable is the file.
            match self.files.get(to) {
                Some(file) => self.disk.sync(file, &path)?,
                None => self.disk.sync(&self.disk.open(&path)?, &path)?,
            }
            folders.insert(self.layout.folder(to.topic));
        }
        if !folders.is_empty() {
            folders.insert(self.layout.root().to_path_buf());
        }
        for folder in folders {
            self.disk.sync_folder(&folder)?;
        }
        let snapshot = self.committed.snapshot();
        let identity = self.journal.identity().to_owned();
        self.journal = Journal::start(&*self.disk, &self.layout, &identity, sequence, &snapshot)?;
        self.touched.clear();
        Ok(())
    }

    /// Does again what the journal's commits did to the output files, as far as it is not there.
    fn redo(&mut self, reader: &mut JournalReader) -> Result<(), FileError> {
        while let Some(commit) = reader.next()? {
            let mut ends = BTreeMap::new();
            for append in &commit.appends {
                let end: &mut End = ends
                    .entry(append.to)
                    .or_insert_with(|| self.committed.readable_end(append.to));
                if append.at != end.bytes {
                    let what = format!(
                        "it commits to byte {} of {}, whose end is {}",
                        append.at, append.to, end.bytes
                    );
                    return Err(reader.damaged(&what));
                }
                self.redo_append(append)?;
                end.bytes += to_u64(append.bytes.len());
                end.records += append.records;
            }
            self.committed.committed(ends, commit.positions.into_iter());
        }
        Ok(())
    }

    fn redo_append(&mut self, append: &Append<'_>) -> Result<(), FileError> {
        let path = self.layout.file(append.to);
        let mut found = Vec::new();
        for (index, expected) in append.bytes.chunks(CHUNK).enumerate() {
            let at = append.at + to_u64(index * CHUNK);
            found.clear();
            if let Some(file) = self.existing(append.to)? {
                read_at(&file, &path, &mut found, at, expected.len())?;
            }
            if found == expected {
                // It may not be durable, though.
                self.touched.insert(append.to);
                continue;
            }
            let same = found
                .iter()
                .zip(expected)
                .take_while(|(found, expected)| found == expected);
            let same = same.count();
            let found = found.get(same..).unwrap_or_default();
            // Zeros are what a file system shows where a power failure lost data that was on its way. Other bytes are somebody's.
            let foreign = found
                .iter()
                .zip(&expected[same..])
                .position(|(found, expected)| found != expected && *found != 0);
            if let Some(index) = foreign {
                return Err(FileError::Damaged {
                    file: path,
                    at: at + to_u64(same + index),
                    what: "it holds other bytes than were committed".to_owned(),
                });
            }
            self.append(append.to, at + to_u64(same), &expected[same..])?;
        }
        Ok(())
    }

    fn append(&mut self, to: TopicPartition, at: u64, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.layout.file(to);
        let file = match self.existing(to)? {
            Some(file) => file,
            None => {
                self.disk.create_folder(&self.layout.folder(to.topic))?;
                self.opened(to, &path)?
            }
        };
        self.touched.insert(to);
        self.disk.write(&file, &path, bytes, at)
    }

    /// The file of a partition, if there is one.
    fn existing(&mut self, to: TopicPartition) -> Result<Option<Arc<File>>, FileError> {
        if let Some(file) = self.files.get(&to) {
            return Ok(Some(Arc::clone(file)));
        }
        let path = self.layout.file(to);
        match fs::symlink_metadata(&path) {
            Ok(_) => self.opened(to, &path).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::io("look at", path)(error)),
        }
    }

    fn opened(&mut self, to: TopicPartition, path: &Path) -> Result<Arc<File>, FileError> {
        if self.files.len() >= MAX_FILES {
            self.files.clear();
        }
        let file = Arc::new(self.disk.open(path)?);
        self.files.insert(to, Arc::clone(&file));
        Ok(file)
    }
}

fn len_of(layout: &Layout, partition: TopicPartition) -> Result<u64, FileError> {
    let path = layout.file(partition);
    match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(FileError::io("look at", path)(error)),
    }
}

/// Every file holds at least what was committed to it before the journal was started.
fn expect_whole(layout: &Layout, snapshot: &Snapshot) -> Result<(), FileError> {
    for (partition, end) in &snapshot.ends {
        let len = len_of(layout, *partition)?;
        if len < end.bytes {
            return Err(FileError::Damaged {
                file: layout.file(*partition),
                at: len,
                what: format!("it ends here, though {} bytes were committed", end.bytes),
            });
        }
    }
    Ok(())
}

/// No file holds more than was committed to it: commits are in the journal first, so anything more is not ours.
fn expect_no_surplus(layout: &Layout, snapshot: &Snapshot) -> Result<(), FileError> {
    for topic in Topic::ALL {
        if topic.kind() == TopicKind::Input {
            continue;
        }
        for partition in layout.partitions(topic)? {
            let partition = topic.partition(partition);
            let end = snapshot.ends.get(&partition).copied().unwrap_or_default();
            let len = len_of(layout, partition)?;
            if len > end.bytes {
                return Err(FileError::Damaged {
                    file: layout.file(partition),
                    at: end.bytes,
                    what: format!("it holds {} bytes that softstake did not write", len - end.bytes),
                });
            }
        }
    }
    Ok(())
}
