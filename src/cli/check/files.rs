//! Files in a bus directory that are not read, or not completely.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::bus::{Topic, TopicKind};
use crate::cli::outcome::Failure;

/// Problems keep records from being read; notes do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FileFindings {
    pub(super) problems: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Lists the directory of a bus.
pub(super) fn look(root: &Path) -> Result<FileFindings, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("cannot read the folder {}: {error}", root.display()));
    let mut findings = FileFindings::default();
    for entry in sorted(root).map_err(failed)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == ".softstake" {
            continue;
        }
        let folder = entry.path().is_dir();
        match Topic::from_name(&name) {
            Some(topic) if !folder => {
                findings
                    .problems
                    .push(format!("{name} is a file; topic {topic} is a folder of partitions"));
            }
            Some(topic) if topic.kind() == TopicKind::Input => {
                look_at_topic(topic, &entry.path(), &mut findings).map_err(failed)?;
            }
            Some(_) => {}
            None => findings
                .notes
                .push(format!("{name} is not a topic, and is not checked")),
        }
    }
    Ok(findings)
}

fn look_at_topic(topic: Topic, folder: &Path, findings: &mut FileFindings) -> io::Result<()> {
    for entry in sorted(folder)? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let shown = format!("{topic}/{name}");
        let number = name
            .strip_suffix(".jsonl")
            .and_then(|digits| Some((digits, digits.parse::<u32>().ok()?)));
        match number {
            None => findings
                .notes
                .push(format!("{shown} is not a partition, and is not checked")),
            Some((digits, number)) if digits != number.to_string() => findings.problems.push(format!(
                "{shown} is not read: the file of partition {number} is {topic}/{number}.jsonl"
            )),
            Some((_, number)) if topic == Topic::Control && number != 0 => {
                findings
                    .problems
                    .push(format!("{shown} is not read: {topic} has one partition, 0.jsonl"));
            }
            Some(_) if entry.path().is_dir() => {
                findings
                    .problems
                    .push(format!("{shown} is a folder; a partition is a file"));
            }
            Some(_) => {
                if let Some(bytes) = torn(&entry.path())? {
                    findings.notes.push(format!(
                        "{shown} ends in {bytes} bytes without a line feed: that record is not complete yet"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
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
            ("softstake.control/1.jsonl", b"{}\n"),
            ("exchange.tradez/0.jsonl", b"{}\n"),
            (".softstake/lock", b""),
            ("softstake.epochs/0.jsonl", b"{}"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::write(root.path().join("exchange.deposits"), "{}").unwrap();
        let findings = look(root.path()).unwrap();
        assert_eq!(
            findings.problems,
            [
                "exchange.deposits is a file; topic exchange.deposits is a folder of partitions",
                "exchange.trades/01.jsonl is not read: the file of partition 1 is exchange.trades/1.jsonl",
                "softstake.control/1.jsonl is not read: softstake.control has one partition, 0.jsonl",
            ]
        );
        assert_eq!(
            findings.notes,
            [
                "exchange.trades/0.jsonl ends in 2 bytes without a line feed: that record is not complete yet",
                "exchange.trades/notes.txt is not a partition, and is not checked",
                "exchange.tradez is not a topic, and is not checked",
            ]
        );
    }
}
