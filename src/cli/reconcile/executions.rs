//! Where the acknowledgements of a payout service come from: a file, a topic on Kafka, or a folder of a directory bus.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::audit::payouts::{AcknowledgementPlace, Acknowledgements, PayoutsError, TakeAcknowledgement};
use crate::bus::FileError;
use crate::bus::archive::ArchiveBus;
use crate::bus::kafka::ForeignTopic;
use crate::bus::patient::Limit;
use crate::cli::outcome::Failure;
use crate::config::{BusAddress, Config};
use crate::core::values::offset::Offset;

/// What to do if the topic does not exist.
const HINT: &str =
    "the payout service creates it and writes to it; --executions names another topic, and --acks a file of lines";

/// Lines of a file.
pub(in crate::cli) struct Lines(pub(in crate::cli) Box<dyn BufRead>);

impl Acknowledgements for Lines {
    fn read(self: Box<Self>, take: &mut TakeAcknowledgement<'_>) -> Result<(), PayoutsError> {
        for (number, line) in self.0.split(b'\n').enumerate() {
            let line = line.map_err(PayoutsError::Acknowledgements)?;
            let line = line.trim_ascii();
            if !line.is_empty() {
                take(
                    AcknowledgementPlace::Line {
                        line: number as u64 + 1,
                    },
                    line,
                )?;
            }
        }
        Ok(())
    }
}

/// The topic `name` beside the topics of the bus, up to its end now.
///
/// # Errors
/// If there is no such topic.
pub(in crate::cli) fn topic(
    address: &BusAddress,
    config: &Config,
    name: &str,
    limit: Limit,
) -> Result<Box<dyn Acknowledgements>, Failure> {
    let missing = |place: &str| Failure::Absent(format!("there is no topic {name}{place}: {HINT}"));
    match address {
        BusAddress::Kafka => match ForeignTopic::open(config.kafka.clone(), name, limit)? {
            Some(topic) => Ok(Box::new(topic)),
            None => Err(missing("")),
        },
        BusAddress::Dir(path) if ArchiveBus::is_at(path) => Err(Failure::Usage(format!(
            "an archive holds the topics of softstake alone, and not {name}: name a file of its events with --acks"
        ))),
        BusAddress::Dir(path) => match Partitions::open(&path.join(name))? {
            Some(files) => Ok(Box::new(files)),
            None => Err(missing(&format!(" in {}", path.display()))),
        },
    }
}

impl Acknowledgements for ForeignTopic {
    fn read(self: Box<Self>, take: &mut TakeAcknowledgement<'_>) -> Result<(), PayoutsError> {
        (*self).read(|partition, offset, event| {
            let partition = u32::try_from(partition).unwrap_or_default();
            take(AcknowledgementPlace::Record { partition, offset }, event)
        })
    }
}

/// The files of a topic in a directory, each with its length now.
struct Partitions(Vec<(u32, PathBuf, u64)>);

impl Partitions {
    fn open(folder: &Path) -> Result<Option<Self>, FileError> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(FileError::io("list", folder))? {
            let path = entry.map_err(FileError::io("list", folder))?.path();
            let Some(number) = path.file_name().and_then(|name| partition(&name.to_string_lossy())) else {
                continue;
            };
            let metadata = fs::metadata(&path).map_err(FileError::io("look at", &path))?;
            if !metadata.is_file() {
                let kind = "a folder, FIFO, socket or device";
                return Err(FileError::NotAFile { path, kind });
            }
            files.push((number, path, metadata.len()));
        }
        files.sort();
        Ok(Some(Self(files)))
    }
}

/// The number of a partition's file. `01.jsonl` has none: two names for one partition would be two logs.
fn partition(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".jsonl")?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

impl Acknowledgements for Partitions {
    fn read(self: Box<Self>, take: &mut TakeAcknowledgement<'_>) -> Result<(), PayoutsError> {
        for (partition, path, length) in self.0 {
            let failed = |error| PayoutsError::File(FileError::io("read", &path)(error));
            let mut lines = BufReader::new(File::open(&path).map_err(failed)?.take(length));
            let mut line = Vec::new();
            for offset in 0.. {
                line.clear();
                lines.read_until(b'\n', &mut line).map_err(failed)?;
                // A line without its line feed is not written completely.
                let Some(record) = line.strip_suffix(b"\n") else { break };
                let record = record.trim_ascii();
                if !record.is_empty() {
                    let offset = Offset::new(offset);
                    take(AcknowledgementPlace::Record { partition, offset }, record)?;
                }
            }
        }
        Ok(())
    }
}

/// Parses the name of a topic.
pub(in crate::cli) fn topic_name(name: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=249).contains(&name.len()) && name.bytes().all(is_allowed) && !matches!(name, "." | "..") {
        return Ok(name.to_owned());
    }
    Err("a topic's name has 1 to 249 letters, digits, points, hyphens and underscores".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_kafka_allows() {
        for name in ["payout.executions", "a", "A_b-9", "..."] {
            assert_eq!(topic_name(name).as_deref(), Ok(name));
        }
        for name in ["", ".", "..", "../secrets", "a/b", "a b", "ü", &"x".repeat(250)] {
            assert!(topic_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_partition_has_one_name() {
        assert_eq!(partition("0.jsonl"), Some(0));
        assert_eq!(partition("17.jsonl"), Some(17));
        for name in ["01.jsonl", "+1.jsonl", "1.json", "1.jsonl.bak", "notes.jsonl"] {
            assert_eq!(partition(name), None, "{name}");
        }
    }
}
