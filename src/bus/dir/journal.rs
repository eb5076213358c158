//! The journal: a first line with the identity of the bus, a snapshot of everything committed before, then a frame for each commit.
//! `docs/bus-directory.md` gives the layout byte by byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;

use crc32fast::Hasher;
use memchr::memmem;
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize, Serializer};

use crate::bus::dir::disk::{Disk, at_most, open_regular, read_at, to_u64};
use crate::bus::dir::file_end::{Checkpoints, FileEnd, MAX_FILE_BYTES};
use crate::bus::dir::layout::DirLayout;
use crate::bus::error::FileError;
use crate::bus::position::Position;
use crate::core::contract::topic::TopicPartition;

const NAME: &str = "softstake-journal";
const VERSION: u32 = 2;
/// An upper bound for the length of the first line.
const MAX_LINE: usize = 128;
/// The most frames of a journal. So the number of a frame can always be counted on.
const MAX_SEQUENCE: u64 = 1 << 62;

/// Begins every frame.
const MAGIC: [u8; 4] = *b"\xf5SJ\n";
/// Magic, checksum, length of the body, sequence number.
const HEADER: usize = 4 + 4 + 8 + 8;

/// Everything committed: the end of each file, and the position of each task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommittedState {
    pub(super) ends: BTreeMap<TopicPartition, FileEnd>,
    pub(super) positions: BTreeMap<String, Position>,
}

/// The body of a journal's first frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalSnapshot {
    pub(super) committed: CommittedState,
    pub(super) checkpoints: BTreeMap<TopicPartition, Checkpoints>,
}

impl JournalSnapshot {
    /// Whether files can have these ends. All other numbers of a bus are compared with them.
    fn is_possible(&self) -> bool {
        self.committed.ends.values().all(FileEnd::is_possible)
            && self.checkpoints.values().all(Checkpoints::are_possible)
    }
}

/// Bytes that a commit appends to a partition's file at byte `at`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournalAppend<'a> {
    pub(super) to: TopicPartition,
    pub(super) at: u64,
    pub(super) records: u64,
    #[serde(serialize_with = "raw")]
    pub(super) bytes: &'a [u8],
}

/// As one piece; serde would serialize a slice byte by byte.
fn raw<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// The body of a commit frame. `P` is a position: owned when read, borrowed when written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournalCommit<'a, P> {
    #[serde(borrow)]
    pub(super) positions: Vec<(&'a str, P)>,
    #[serde(borrow)]
    pub(super) appends: Vec<JournalAppend<'a>>,
}

/// The journal of the process that works on the bus.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    identity: String,
    sequence: u64,
    len: u64,
    /// The end of the snapshot, in bytes.
    start: u64,
    buffer: Vec<u8>,
}

impl Journal {
    /// Replaces the journal, if there is one, with a new one that begins with `snapshot`. This is one atomic step, and durable when it returns.
    pub(super) fn start(
        disk: &dyn Disk,
        layout: &DirLayout,
        identity: &str,
        sequence: u64,
        snapshot: &JournalSnapshot,
    ) -> Result<Self, FileError> {
        let draft = layout.next_journal();
        let path = layout.journal();
        let mut buffer = format!("{NAME} {VERSION} {identity}\n").into_bytes();
        let frame = frame(Vec::new(), identity, sequence, snapshot, &path)?;
        buffer.extend_from_slice(&frame);
        let file = disk.create(&draft)?;
        disk.write(&file, &draft, &buffer, 0)?;
        disk.sync(&file, &draft)?;
        disk.rename(&draft, &path)?;
        disk.sync_folder(&layout.own())?;
        let len = to_u64(buffer.len());
        Ok(Self {
            file,
            path,
            identity: identity.to_owned(),
            sequence,
            len,
            start: len,
            buffer,
        })
    }

    /// Continues the journal that `reader` has read to its end.
    pub(super) fn resume(disk: &dyn Disk, reader: &JournalReader) -> Result<Self, FileError> {
        Ok(Self {
            file: disk.open(&reader.path)?,
            path: reader.path.clone(),
            identity: reader.identity.clone(),
            sequence: reader.sequence,
            len: reader.at,
            start: reader.at,
            buffer: Vec::new(),
        })
    }

    /// Appends one frame by one write. With `sync`, the frame is durable when this returns.
    pub(super) fn append(
        &mut self,
        disk: &dyn Disk,
        commit: &JournalCommit<'_, &Position>,
        sync: bool,
    ) -> Result<(), FileError> {
        let buffer = std::mem::take(&mut self.buffer);
        let sequence = self.sequence + 1;
        self.buffer = frame(buffer, &self.identity, sequence, commit, &self.path)?;
        disk.write(&self.file, &self.path, &self.buffer, self.len)?;
        if sync {
            disk.sync(&self.file, &self.path)?;
        }
        self.sequence = sequence;
        self.len += to_u64(self.buffer.len());
        Ok(())
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Bytes of commits that the snapshot does not hold.
    pub(super) fn pending_bytes(&self) -> u64 {
        self.len - self.start
    }
}

/// A frame with `body`, built in `buffer`.
fn frame(
    mut buffer: Vec<u8>,
    identity: &str,
    sequence: u64,
    body: &impl Serialize,
    path: &std::path::Path,
) -> Result<Vec<u8>, FileError> {
    buffer.clear();
    buffer.resize(HEADER, 0);
    let mut buffer = postcard::serialize_with_flavor(body, FrameBody(buffer))
        .map_err(|error| FileError::io("write to", path)(std::io::Error::new(ErrorKind::InvalidData, error)))?;
    let len = to_u64(buffer.len() - HEADER).to_le_bytes();
    let sequence = sequence.to_le_bytes();
    let checksum = checksum(identity, len, sequence, &buffer[HEADER..]);
    buffer[0..4].copy_from_slice(&MAGIC);
    buffer[4..8].copy_from_slice(&checksum.to_le_bytes());
    buffer[8..16].copy_from_slice(&len);
    buffer[16..24].copy_from_slice(&sequence);
    Ok(buffer)
}

/// Appends what is serialized. That of the crate copies byte by byte.
struct FrameBody(Vec<u8>);

impl Flavor for FrameBody {
    type Output = Vec<u8>;

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Self::Output> {
        Ok(self.0)
    }
}

/// It covers the identity of the bus. So a frame of another bus, or one inside a record's bytes, has a wrong checksum.
fn checksum(identity: &str, len: [u8; 8], sequence: [u8; 8], body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(identity.as_bytes());
    hasher.update(&len);
    hasher.update(&sequence);
    hasher.update(body);
    hasher.finalize()
}

struct Header {
    checksum: u32,
    len: [u8; 8],
    sequence: [u8; 8],
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (sequence, _) = rest.split_first_chunk()?;
        (*magic == MAGIC).then_some(Self {
            checksum: u32::from_le_bytes(*checksum),
            len: *len,
            sequence: *sequence,
        })
    }

    fn body_len(&self) -> u64 {
        u64::from_le_bytes(self.len)
    }

    fn is_valid(&self, identity: &str, body: &[u8]) -> bool {
        checksum(identity, self.len, self.sequence, body) == self.checksum
    }
}

/// Reads a journal from its start to the end that it had when it was opened. Another process may append to it meanwhile.
pub(super) struct JournalReader {
    file: File,
    path: PathBuf,
    identity: String,
    /// The number of the last frame read.
    sequence: u64,
    at: u64,
    size: u64,
    frame: Vec<u8>,
}

impl JournalReader {
    /// Opens the journal and reads its snapshot; `None` if there is no journal.
    pub(super) fn open(layout: &DirLayout) -> Result<Option<(Self, JournalSnapshot)>, FileError> {
        let path = layout.journal();
        let Some(file) = open_regular(&path)? else {
            return Ok(None);
        };
        let size = file.metadata().map_err(FileError::io("look at", &path))?.len();
        let mut reader = Self {
            file,
            path,
            identity: String::new(),
            sequence: 0,
            at: 0,
            size,
            frame: Vec::new(),
        };
        reader.first_line()?;
        let Some(sequence) = reader.whole_frame()? else {
            return Err(reader.damaged("the checksum of the snapshot is wrong"));
        };
        let snapshot: JournalSnapshot = postcard::from_bytes(&reader.frame[HEADER..])
            .map_err(|error| reader.damaged(&format!("the snapshot cannot be decoded ({error})")))?;
        if !snapshot.is_possible() || sequence > MAX_SEQUENCE {
            return Err(reader.damaged("the snapshot has numbers that no bus can have"));
        }
        reader.advance(sequence);
        Ok(Some((reader, snapshot)))
    }

    fn first_line(&mut self) -> Result<(), FileError> {
        let mut start = Vec::new();
        read_at(&self.file, &self.path, &mut start, 0, MAX_LINE)?;
        let line = memchr::memchr(b'\n', &start)
            .and_then(|end| std::str::from_utf8(&start[..end]).ok())
            .unwrap_or_default();
        let mut words = line.split(' ');
        let version = match (words.next(), words.next().map(str::parse)) {
            (Some(NAME), Some(Ok(version))) => version,
            _ => return Err(self.damaged("its first line is not that of a softstake journal")),
        };
        if version != VERSION {
            return Err(FileError::Version {
                file: self.path.clone(),
                found: version,
                known: VERSION,
            });
        }
        match (words.next(), words.next()) {
            (Some(identity), None) if uuid::Uuid::parse_str(identity).is_ok() => {
                identity.clone_into(&mut self.identity);
            }
            _ => return Err(self.damaged("its first line holds no identity")),
        }
        self.at = to_u64(line.len() + 1);
        Ok(())
    }

    /// Reads the frame at byte `at`. Returns its sequence number; `None` if the frame is not whole.
    fn whole_frame(&mut self) -> Result<Option<u64>, FileError> {
        self.frame.clear();
        read_at(&self.file, &self.path, &mut self.frame, self.at, HEADER)?;
        let Some(header) = Header::parse(&self.frame) else {
            return Ok(None);
        };
        let left = self.size.saturating_sub(self.at + to_u64(HEADER));
        if header.body_len() > left {
            return Ok(None);
        }
        let len = at_most(header.body_len(), usize::MAX);
        let body = self.at + to_u64(HEADER);
        read_at(&self.file, &self.path, &mut self.frame, body, len)?;
        let whole = header.is_valid(&self.identity, &self.frame[HEADER..]);
        Ok(whole.then_some(u64::from_le_bytes(header.sequence)))
    }

    fn advance(&mut self, sequence: u64) {
        self.sequence = sequence;
        self.at += to_u64(self.frame.len());
    }

    /// The next commit; `None` at the end of the journal, also if its last frame is torn.
    pub(super) fn next(&mut self) -> Result<Option<JournalCommit<'_, Position>>, FileError> {
        if self.at >= self.size {
            return Ok(None);
        }
        let Some(sequence) = self.whole_frame()? else {
            self.expect_torn()?;
            return Ok(None);
        };
        if sequence != self.sequence.saturating_add(1) || sequence > MAX_SEQUENCE {
            let what = format!("frame {sequence} follows frame {}", self.sequence);
            return Err(self.damaged(&what));
        }
        let at = self.at;
        self.advance(sequence);
        let damaged = |why: &str| FileError::Damaged {
            file: self.path.clone(),
            at,
            what: format!("frame {sequence} cannot be decoded ({why})"),
        };
        let commit: JournalCommit<'_, Position> =
            postcard::from_bytes(&self.frame[HEADER..]).map_err(|error| damaged(&error.to_string()))?;
        // The bytes of an append are in memory, so its end fits into 64 bits then.
        if commit.appends.iter().any(|append| append.at > MAX_FILE_BYTES) {
            return Err(damaged("it appends where no file can end"));
        }
        Ok(Some(commit))
    }

    /// A frame is written only after all frames before it are whole. So a frame that is not whole, before a whole one, was not torn by a crash
    /// but damaged later. Its commit is lost, and continuing would hide that.
    fn expect_torn(&self) -> Result<(), FileError> {
        let mut rest = Vec::new();
        let len = at_most(self.size - self.at, usize::MAX);
        read_at(&self.file, &self.path, &mut rest, self.at, len)?;
        for start in memmem::find_iter(&rest, &MAGIC).filter(|start| *start > 0) {
            let bytes = &rest[start..];
            let Some(header) = Header::parse(bytes) else {
                continue;
            };
            let body = &bytes[HEADER..];
            let body = &body[..at_most(header.body_len(), body.len())];
            if header.is_valid(&self.identity, body) {
                return Err(self.damaged("the checksum of a frame is wrong, but later frames are whole"));
            }
        }
        Ok(())
    }

    /// Whether nothing follows the frames read, not even a torn frame.
    pub(super) fn at_end(&self) -> bool {
        self.at == self.size
    }

    /// Makes the frames durable that were read. The process that wrote them may have stopped before they reached the disk.
    pub(super) fn sync(&self, disk: &dyn Disk) -> Result<(), FileError> {
        disk.sync(&self.file, &self.path)
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// An error about the frame at the current byte.
    pub(super) fn damaged(&self, what: &str) -> FileError {
        FileError::Damaged {
            file: self.path.clone(),
            at: self.at,
            what: what.to_owned(),
        }
    }
}
