//! Files in a bus directory that are not read, or not completely.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::bus::dir::ReadOnlyDir;
use crate::bus::{FileError, Log, ReadError, Topic, TopicKind};
use crate::cli::outcome::Failure;

/// Problems keep records from being read; notes do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileFindings {
    pub(super) problems: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Looks at the names in the directory `root` of a bus, and at the ends of its input files.
pub(super) fn look(bus: &ReadOnlyDir, root: &Path) -> Result<FileFindings, Failure> {
    let names = bus.unread_names()?;
    let mut findings = FileFindings {
        problems: names.wrong,
        notes: names.ignored.iter().map(|name| format!("{name} is not read")).collect(),
    };
    for topic in Topic::ALL.into_iter().filter(|topic| topic.kind() == TopicKind::Input) {
        for number in partitions(bus, topic)? {
            let name = format!("{topic}/{number}.jsonl");
            let path = root.join(&name);
            let torn = torn(&path)
                .map_err(|error| Failure::Failed(format!("cannot read the file {}: {error}", path.display())))?;
            if let Some(bytes) = torn {
                findings.notes.push(format!(
                    "{name} ends in {bytes} bytes without a line feed: that record is not complete yet"
                ));
            }
        }
    }
    Ok(findings)
}

/// The partitions of a topic whose names are right. The others are problems already.
pub(super) fn partitions(bus: &ReadOnlyDir, topic: Topic) -> Result<Vec<u32>, ReadError> {
    match bus.partitions(topic) {
        Err(ReadError::File(FileError::NotAFile { .. })) => Ok(Vec::new()),
        Err(ReadError::File(FileError::Io { source, .. })) if source.kind() == io::ErrorKind::NotADirectory => {
            Ok(Vec::new())
        }
        mut partitions => {
            if let Ok(partitions) = &mut partitions {
                partitions.retain(|number| topic != Topic::Control || *number == 0);
            }
            partitions
        }
    }
}

/// Bytes after the last line feed, if there are any.
fn torn(path: &Path) -> io::Result<Option<u64>> {
    let mut file = File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(1 << 16);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        if let Some(at) = memchr::memrchr(b'\n', &block) {
            let tail = length - start - at as u64 - 1;
            return Ok((tail > 0).then_some(tail));
        }
        end = start;
    }
    Ok((length > 0).then_some(length))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_are_not_read_are_found() {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in [
            ("exchange.trades/0.jsonl", &b"{}\n{}"[..]),
            ("exchange.trades/1.jsonl", b"{}\n"),
            ("exchange.trades/2.jsonl", b""),
            ("exchange.trades/01.jsonl", b"{}\n"),
            ("exchange.trades/notes.txt", b"hello"),
            ("softstake.control/0.jsonl", b"{}\n"),
            ("softstake.control/1.jsonl", b"{}\n{}"),
            ("exchange.tradez/0.jsonl", b"{}\n"),
            ("orders/0.jsonl", b"{}\n"),
            ("softstake.epochs/0.jsonl", b"{}"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::write(root.path().join("exchange.deposits"), "{}").unwrap();
        let findings = look(&ReadOnlyDir::open(root.path()).unwrap(), root.path()).unwrap();
        assert_eq!(
            findings.problems,
            [
                "exchange.deposits is a file, but topic exchange.deposits is a folder of partitions: \
                 move its records to exchange.deposits/0.jsonl",
                "exchange.trades/01.jsonl is not a partition: did you mean exchange.trades/1.jsonl? Rename it, or move it away",
                "exchange.tradez is not a topic: did you mean exchange.trades? Rename it, or move it out of the bus",
                "softstake.control/1.jsonl is not read: softstake.control has one partition, 0.jsonl. \
                 Append its records there, and move it away",
            ]
        );
        assert_eq!(
            findings.notes,
            [
                "orders is not read",
                "exchange.trades/0.jsonl ends in 2 bytes without a line feed: that record is not complete yet",
            ]
        );
    }
}
