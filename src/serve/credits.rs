//! Where the payout service's acknowledgements come from: a topic beside those of the bus, on Kafka or as a folder of a directory bus.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use memchr::memrchr;

use crate::bus::kafka::{ForeignTopic, KafkaSettings};
use crate::bus::patient::Limit;
use crate::bus::{BrokerError, FileError};
use crate::core::values::offset::Offset;
use crate::serve::view::{CreditSource, CreditsError, TakeCredit};

/// Bytes that are read at a time. A longer line of a file is not read.
const PART: usize = 8 << 20;
/// The time between two looks at the topic on Kafka: each opens it anew.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a look waits for brokers. Meanwhile nothing else is followed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How far each partition is read: bytes of a file, or offsets.
type ReadTill = BTreeMap<u32, u64>;

fn read_till(position: Option<&[u8]>) -> Result<ReadTill, CreditsError> {
    let Some(bytes) = position else {
        return Ok(ReadTill::new());
    };
    postcard::from_bytes(bytes).map_err(|error| {
        CreditsError::Wrong(format!(
            "the view has lost how far they are read ({error}): delete it, it is rebuilt"
        ))
    })
}

fn write_till(till: &ReadTill) -> Result<Vec<u8>, CreditsError> {
    postcard::to_stdvec(till).map_err(|error| CreditsError::Wrong(error.to_string()))
}

/// The files of a topic in a directory.
#[derive(Debug)]
pub struct DirCredits {
    folder: PathBuf,
    name: String,
}

impl DirCredits {
    /// The topic `name` of the bus at `bus`. It may not exist yet.
    #[must_use]
    pub fn new(bus: &Path, name: &str) -> Self {
        Self {
            folder: bus.join(name),
            name: name.to_owned(),
        }
    }

    fn partitions(&self) -> Result<Vec<u32>, FileError> {
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
    fn name(&self) -> &str {
        &self.name
    }

    fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, CreditsError> {
        let mut till = read_till(position)?;
        let found = self.partitions()?;
        if found.is_empty() && !till.is_empty() {
            let folder = self.folder.display();
            return Err(CreditsError::Away(format!("{folder} has no file, and had some before")));
        }
        let shorter = |path: &Path| {
            CreditsError::Wrong(format!(
                "{} is shorter than what was read of it: restore it, or delete the view to read it again",
                path.display()
            ))
        };
        if let Some(gone) = till.keys().find(|number| !found.contains(number)) {
            return Err(shorter(&self.folder.join(format!("{gone}.jsonl"))));
        }
        for number in found {
            let path = self.folder.join(format!("{number}.jsonl"));
            let failed = || FileError::io("read", &path);
            let from = till.get(&number).copied().unwrap_or(0);
            let mut file = File::open(&path).map_err(failed())?;
            if file.metadata().map_err(failed())?.len() < from {
                return Err(shorter(&path));
            }
            file.seek(SeekFrom::Start(from)).map_err(failed())?;
            let mut bytes = Vec::new();
            file.take(PART as u64).read_to_end(&mut bytes).map_err(failed())?;
            // A line without its line feed is not written completely.
            let whole = memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
            if whole == 0 && bytes.len() == PART {
                let path = path.display();
                return Err(CreditsError::Wrong(format!(
                    "{path} has a line of more than {PART} bytes: take it out of the bus, or leave out `serve.executions`"
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
    /// Whether more is known to be there.
    has_more: bool,
}

impl KafkaCredits {
    /// The topic `name`. It may not exist yet.
    #[must_use]
    pub const fn new(settings: KafkaSettings, name: String, stop: Arc<AtomicBool>) -> Self {
        Self {
            settings,
            name,
            stop,
            has_more: false,
        }
    }

    fn open(&self) -> Result<Option<ForeignTopic>, CreditsError> {
        let limit = Limit {
            stop: Arc::clone(&self.stop),
            timeout: Some(TIMEOUT),
            tells: false,
        };
        Ok(ForeignTopic::open(self.settings.clone(), &self.name, limit)?)
    }
}

/// Why a read of the topic ends before its end.
enum CutShort {
    Enough,
    Failed(CreditsError),
}

impl From<BrokerError> for CutShort {
    fn from(error: BrokerError) -> Self {
        Self::Failed(error.into())
    }
}

impl CreditSource for KafkaCredits {
    fn name(&self) -> &str {
        &self.name
    }

    fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, CreditsError> {
        self.has_more = false;
        let (mut till, name) = (read_till(position)?, &self.name);
        let Some(topic) = self.open()? else {
            // Brokers that have just started may not know it yet.
            return match till.is_empty() {
                true => write_till(&till),
                false => Err(CreditsError::Away(format!("topic {name} is not there any more"))),
            };
        };
        let from = till
            .iter()
            .map(|(number, offset)| (*number, Offset::new(*offset)))
            .collect();
        if let Some((number, read, end)) = topic.lost(&from) {
            return Err(CreditsError::Wrong(format!(
                "topic {name}:{number} ends at offset {end}, and was read up to {read}: it was deleted and created again, or lost records; \
                 restore it, or delete the view to read it again"
            )));
        }
        let mut bytes = 0;
        let read = topic.after(&from).read(|partition, offset, event| {
            if bytes >= PART {
                return Err(CutShort::Enough);
            }
            bytes += event.len();
            let number = u32::try_from(partition).unwrap_or_default();
            till.insert(number, offset.get().saturating_add(1));
            take(event).map_err(|error| CutShort::Failed(error.into()))
        });
        match read {
            Ok(()) => {}
            Err(CutShort::Enough) => self.has_more = true,
            Err(CutShort::Failed(error)) => return Err(error),
        }
        write_till(&till)
    }

    fn pause(&self) -> Duration {
        if self.has_more { Duration::ZERO } else { LOOK_EVERY }
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
    }

    #[test]
    fn what_cannot_be_reached_may_pass_and_what_is_not_what_was_read_does_not() {
        let bus = tempfile::tempdir().unwrap();
        let (folder, aside) = (bus.path().join("x"), bus.path().join("aside"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("0.jsonl"), "a\nb\n").unwrap();
        let mut source = DirCredits::new(bus.path(), "x");
        let position = source.read_on(None, &mut |_| Ok(())).unwrap();
        let mut read = |position: &[u8]| source.read_on(Some(position), &mut |_| Ok(())).map(drop);
        fs::rename(&folder, &aside).unwrap();
        assert!(
            matches!(read(&position), Err(CreditsError::Away(_))),
            "a folder that is gone"
        );
        fs::write(&folder, "no folder").unwrap();
        assert!(matches!(read(&position), Err(CreditsError::Away(_))), "no folder");
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
        read(&position).unwrap();
        fs::write(folder.join("1.jsonl"), "c\n").unwrap();
        fs::rename(folder.join("0.jsonl"), folder.join("zero")).unwrap();
        assert!(matches!(read(&position), Err(CreditsError::Wrong(why)) if why.contains("shorter")));
        fs::write(folder.join("0.jsonl"), "a\n").unwrap();
        assert!(matches!(read(&position), Err(CreditsError::Wrong(why)) if why.contains("shorter")));
        fs::rename(folder.join("zero"), folder.join("0.jsonl")).unwrap();
        read(&position).unwrap();
        let lost = read(b"\xff");
        assert!(
            matches!(&lost, Err(CreditsError::Wrong(why)) if why.contains("delete it")),
            "{lost:?}"
        );
    }
}
