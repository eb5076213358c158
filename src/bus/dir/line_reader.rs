//! A reader of a file of lines that others append to. It notices every other change to the file.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use memchr::{memchr, memchr_iter, memrchr};

use crate::bus::batch::Batch;
use crate::bus::dir::committed::{Bound, lock};
use crate::bus::dir::disk::{at_most, open_regular, read_at, to_u64};
use crate::bus::dir::line_count::LineCount;
use crate::bus::dir::prefix::{CHUNK, Prefix, SEARCHED_AGAIN, changed, evidence, record};
use crate::bus::error::{FileError, ReadError};
use crate::bus::interface::Reader;
use crate::bus::position::Mark;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

struct OpenFile {
    file: File,
    /// Device and inode: they change when another file is moved to this path.
    id: (u64, u64),
}

/// Reads the lines of one file.
pub(super) struct LineReader {
    partition: TopicPartition,
    path: PathBuf,
    bound: Bound,
    line_count: Arc<Mutex<LineCount>>,
    open: Option<OpenFile>,
    /// The lines that were read. The next line begins at its end.
    done: Prefix,
    mark: Mark,
    /// The length of the file, or its committed end, at the last look.
    known: u64,
    /// This many bytes after `done` have no line feed.
    searched: u64,
    /// The memory of a recycled batch.
    spare: (Vec<u8>, Vec<(Offset, Range<usize>)>),
}

impl LineReader {
    pub(super) fn open(
        partition: TopicPartition,
        path: PathBuf,
        bound: Bound,
        line_count: Arc<Mutex<LineCount>>,
        from: &Mark,
    ) -> Result<Self, ReadError> {
        let mut reader = Self {
            partition,
            path,
            bound,
            line_count,
            open: None,
            done: Prefix::default(),
            mark: Mark::default(),
            known: 0,
            searched: 0,
            spare: Default::default(),
        };
        reader.look()?;
        if from.offset > Offset::START {
            reader.done = reader.verified(from)?;
            reader.mark = from.clone();
            reader.update_line_count()?;
        }
        Ok(reader)
    }

    /// The lines before `mark`, if they are the lines for which the mark was made. Without evidence, only their number is checked.
    fn verified(&self, mark: &Mark) -> Result<Prefix, ReadError> {
        let changed = |what: String| changed(self.partition, &self.path, mark.offset, what);
        let Some(open) = &self.open else {
            return Err(changed(GONE.to_owned()));
        };
        let expected = evidence(mark);
        if expected.is_none() && !mark.evidence.is_empty() {
            return Err(changed("does not match the evidence of its lines".to_owned()));
        }
        let end = expected.unwrap_or(self.known);
        if self.known < end {
            return Err(changed(shrank(self.known, end)));
        }
        let prefix = Prefix::of(&open.file, &self.path, end, mark.offset.get())?;
        if expected.is_some_and(|bytes| prefix.bytes != bytes) {
            return Err(changed("was changed".to_owned()));
        }
        if prefix.next_offset() != mark.offset {
            return Err(changed(format!("ends at offset {},", prefix.lines)));
        }
        if mark.digest.is_some_and(|digest| prefix.digest != digest) {
            return Err(changed("was changed".to_owned()));
        }
        Ok(prefix)
    }

    /// Looks at the file: how long it is now, and whether the lines that were read are unchanged.
    fn look(&mut self) -> Result<(), ReadError> {
        // Before the file is opened: then the file holds everything committed so far.
        let committed = match &self.bound {
            Bound::Committed(committed) => Some(committed.readable_end(self.partition).bytes),
            _ => None,
        };
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.gone(),
            Err(error) => return Err(FileError::io("look at", &self.path)(error).into()),
        };
        let id = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let same = self.open.as_ref().is_some_and(|open| open.id == id(&metadata));
        let mut size = metadata.len();
        if !same {
            let Some(file) = open_regular(&self.path)? else {
                return self.gone();
            };
            let metadata = file.metadata().map_err(FileError::io("look at", &self.path))?;
            size = metadata.len();
            let id = id(&metadata);
            self.open = Some(OpenFile { file, id });
        }
        self.expect(size)?;
        if let Some(committed) = committed {
            if size < committed {
                return Err(self.changed(shrank(size, committed)));
            }
            size = committed;
        }
        if size < self.done.bytes + self.searched || self.searched <= SEARCHED_AGAIN {
            self.searched = 0;
        }
        if !same && self.done.bytes > 0 {
            self.known = size;
            self.verified(&self.done.mark())?;
        } else if size > self.known {
            self.expect_tail()?;
        }
        self.known = size;
        Ok(())
    }

    /// There is no file now.
    fn gone(&mut self) -> Result<(), ReadError> {
        self.open = None;
        self.known = 0;
        match self.done.bytes {
            0 => Ok(()),
            _ => Err(self.changed(GONE.to_owned())),
        }
    }

    fn expect(&self, size: u64) -> Result<(), ReadError> {
        if size < self.done.bytes {
            return Err(self.changed(shrank(size, self.done.bytes)));
        }
        Ok(())
    }

    /// A file that was emptied and written again may have its old length, but its bytes before the reader are hardly the same.
    fn expect_tail(&self) -> Result<(), ReadError> {
        let tail = &self.done.tail;
        let Some(open) = self.open.as_ref().filter(|_| !tail.is_empty()) else {
            return Ok(());
        };
        let mut found = Vec::with_capacity(tail.len());
        let at = self.done.bytes - to_u64(tail.len());
        read_at(&open.file, &self.path, &mut found, at, tail.len())?;
        if found != *tail {
            return Err(self.changed("was changed".to_owned()));
        }
        Ok(())
    }

    fn changed(&self, what: String) -> ReadError {
        changed(self.partition, &self.path, self.done.next_offset(), what)
    }

    /// Fails if the file had another number of lines when it was counted, so that nobody waits for lines that never come.
    fn update_line_count(&self) -> Result<(), ReadError> {
        match lock(&self.line_count).reached(self.done.bytes, self.done.lines) {
            true => Ok(()),
            false => Err(self.changed("was changed".to_owned())),
        }
    }

    /// Extends `bytes`, which begin at the reader's position, to `len` bytes; to fewer at the end of the file.
    fn fill(&self, bytes: &mut Vec<u8>, len: usize) -> Result<(), ReadError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let at = self.done.bytes + to_u64(bytes.len());
        read_at(&open.file, &self.path, bytes, at, len - bytes.len())?;
        Ok(())
    }

    /// The length of a line that was unfinished, with its line feed; `None` while it is still unfinished.
    fn finished_length(&mut self) -> Result<Option<usize>, ReadError> {
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let mut chunk = Vec::new();
        while self.done.bytes + self.searched < self.known {
            let at = self.done.bytes + self.searched;
            chunk.clear();
            let want = at_most(self.known - at, CHUNK);
            let read = read_at(&open.file, &self.path, &mut chunk, at, want)?;
            if let Some(end) = memchr(b'\n', &chunk) {
                return Ok(Some(at_most(self.searched, usize::MAX) + end + 1));
            }
            if read == 0 {
                self.known = at;
            }
            self.searched += to_u64(read);
        }
        Ok(None)
    }

    /// The bytes from the reader's position to the end of a line: about `limit`, but at least one line. Empty if there is no whole line.
    fn lines(&mut self, limit: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = std::mem::take(&mut self.spare.0);
        let mut want = limit.max(1);
        if self.searched > 0 {
            let Some(line) = self.finished_length()? else {
                return Ok(bytes);
            };
            want = want.max(line);
        }
        loop {
            let searched = bytes.len();
            let available = self.known - self.done.bytes;
            self.fill(&mut bytes, at_most(available, want))?;
            if let Some(end) = memrchr(b'\n', &bytes[searched..]) {
                bytes.truncate(searched + end + 1);
                return Ok(bytes);
            }
            if bytes.len() == searched || to_u64(bytes.len()) >= available {
                // Only the beginning of a line. It is read again when it is whole.
                self.searched = to_u64(bytes.len());
                self.known = self.done.bytes + self.searched;
                return Ok(Vec::new());
            }
            want = want.max(bytes.len()).saturating_mul(2);
        }
    }
}

const GONE: &str = "is gone, with all lines";

fn shrank(size: u64, read: u64) -> String {
    format!("shrank to {size} bytes ({read} were read)")
}

impl Reader for LineReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        if self.mark.offset >= until {
            return Ok(Batch::new(Vec::new(), Vec::new(), self.mark.clone()));
        }
        let mut records = std::mem::take(&mut self.spare.1);
        if self.done.bytes + self.searched >= self.known {
            self.look()?;
        }
        let mut bytes = self.lines(limit)?;
        let most = at_most(until.since(self.mark.offset), usize::MAX);
        let mut start = 0;
        for end in memchr_iter(b'\n', &bytes).take(most) {
            let record = record(&bytes[start..end]);
            records.push((self.done.next_offset(), start..start + record.len()));
            self.done.add(record);
            start = end + 1;
        }
        bytes.truncate(start);
        if start > 0 {
            self.done.add_bytes(&bytes);
            self.searched = 0;
            self.mark = self.done.mark();
            self.update_line_count()?;
        }
        Ok(Batch::new(bytes, records, self.mark.clone()))
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn recycle(&mut self, batch: Batch) {
        self.spare = batch.into_parts();
    }
}
