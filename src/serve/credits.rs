//! Where the payout service's acknowledgements come from: a topic beside those of the bus, on Kafka or as a folder of a directory bus.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use memchr::memrchr;

use crate::bus::FileError;
use crate::bus::kafka::{ForeignTopic, KafkaSettings};
use crate::bus::patient::Limit;
use crate::core::values::offset::Offset;
use crate::serve::view::{CreditSource, TakeCredit, ViewError};

/// Bytes of a file that are read at a time. A longer line is not read.
const PART: usize = 8 << 20;
/// The time between two looks at the topic on Kafka: each opens it anew.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The time-out of a look.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How far each partition is read: bytes of a file, or offsets.
type ReadTill = BTreeMap<u32, u64>;

fn read_till(position: Option<&[u8]>) -> Result<ReadTill, ViewError> {
    let Some(bytes) = position else {
        return Ok(ReadTill::new());
    };
    postcard::from_bytes(bytes).map_err(|error| ViewError::Credits(format!("how far they are read is lost: {error}")))
}

fn write_till(till: &ReadTill) -> Result<Vec<u8>, ViewError> {
    postcard::to_stdvec(till).map_err(|error| ViewError::Credits(error.to_string()))
}

/// The files of a topic in a directory.
#[derive(Debug)]
pub struct DirCredits {
    folder: PathBuf,
}

impl DirCredits {
    /// The topic `name` of the bus at `bus`. It may not exist yet.
    #[must_use]
    pub fn new(bus: &Path, name: &str) -> Self {
        Self { folder: bus.join(name) }
    }

    fn partitions(&self) -> Result<Vec<u32>, ViewError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(FileError::io("list", &self.folder))?,
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(FileError::io("list", &self.folder))?.file_name();
            let name = name.to_string_lossy();
            let digits = name.strip_suffix(".jsonl").unwrap_or_default();
            // `01.jsonl` has no number: two names for one partition would be two logs.
            numbers.extend(digits.parse::<u32>().ok().filter(|number| number.to_string() == digits));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl CreditSource for DirCredits {
    fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, ViewError> {
        let mut till = read_till(position)?;
        for number in self.partitions()? {
            let path = self.folder.join(format!("{number}.jsonl"));
            let failed = || FileError::io("read", &path);
            let from = till.get(&number).copied().unwrap_or(0);
            let mut file = File::open(&path).map_err(failed())?;
            if file.metadata().map_err(failed())?.len() < from {
                return Err(ViewError::Credits(format!(
                    "{} is shorter than what was read of it: restore it, or delete the view to read it again",
                    path.display()
                )));
            }
            file.seek(SeekFrom::Start(from)).map_err(failed())?;
            let mut bytes = Vec::new();
            file.take(PART as u64).read_to_end(&mut bytes).map_err(failed())?;
            // A line without its line feed is not written completely.
            let whole = memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
            if whole == 0 && bytes.len() == PART {
                let path = path.display();
                return Err(ViewError::Credits(format!(
                    "{path} has a line of more than {PART} bytes"
                )));
            }
            let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
            lines
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty())
                .try_for_each(&mut *take)?;
            till.insert(number, from.saturating_add(whole as u64));
        }
        write_till(&till)
    }
}

/// A topic on Kafka.
pub struct KafkaCredits {
    settings: KafkaSettings,
    name: String,
    stop: Arc<AtomicBool>,
    looked: Option<Instant>,
}

impl KafkaCredits {
    /// The topic `name`. It may not exist yet.
    #[must_use]
    pub const fn new(settings: KafkaSettings, name: String, stop: Arc<AtomicBool>) -> Self {
        Self {
            settings,
            name,
            stop,
            looked: None,
        }
    }
}

impl CreditSource for KafkaCredits {
    fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, ViewError> {
        let mut till = read_till(position)?;
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return write_till(&till);
        }
        self.looked = Some(Instant::now());
        let limit = Limit {
            stop: Arc::clone(&self.stop),
            timeout: Some(TIMEOUT),
        };
        let opened = ForeignTopic::open(self.settings.clone(), &self.name, limit);
        let opened = opened.map_err(|error| ViewError::Credits(error.to_string()))?;
        let Some(topic) = opened else {
            return write_till(&till);
        };
        let from = till
            .iter()
            .map(|(number, offset)| (*number, Offset::new(*offset)))
            .collect();
        topic.after(&from).read(|partition, offset, event| {
            let number = u32::try_from(partition).unwrap_or_default();
            till.insert(number, offset.get().saturating_add(1));
            take(event)
        })?;
        write_till(&till)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_read_once() {
        let bus = tempfile::tempdir().unwrap();
        let mut source = DirCredits::new(bus.path(), "payout.executions");
        let mut position = None;
        let mut read = |position: &mut Option<Vec<u8>>| {
            let mut lines = Vec::new();
            let after = source.read_on(position.as_deref(), &mut |line| {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
                Ok(())
            });
            *position = Some(after.unwrap());
            lines
        };
        assert_eq!(read(&mut position), [""; 0], "the folder is missing");
        let folder = bus.path().join("payout.executions");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("0.jsonl"), "a\nb\ntor").unwrap();
        fs::write(folder.join("01.jsonl"), "x\n").unwrap();
        assert_eq!(read(&mut position), ["a", "b"]);
        assert_eq!(read(&mut position), [""; 0]);
        fs::write(folder.join("0.jsonl"), "a\nb\ntorn\n\n").unwrap();
        fs::write(folder.join("2.jsonl"), "c\n").unwrap();
        assert_eq!(read(&mut position), ["torn", "c"]);
        fs::write(folder.join("0.jsonl"), "a\n").unwrap();
        let error = source.read_on(position.as_deref(), &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
    }
}
