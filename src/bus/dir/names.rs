//! Names in a bus directory: which are read, which are ignored, and which look as if they should be read but are not.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::bus::dir::committed::lock;
use crate::bus::dir::disk::kind_of;
use crate::bus::dir::layout::{DirLayout, OWN, number, suffix};
use crate::bus::error::FileError;
use crate::bus::topic_names::{has_prefix, meant_topic};
use crate::core::contract::topic::{Topic, TopicKind};

/// Endings of files that hold no records: notes, and copies that editors and people make.
const IGNORED_ENDINGS: [&str; 8] = ["~", ".bak", ".old", ".orig", ".swp", ".tmp", ".md", ".txt"];

/// Endings of files of lines, as others name them.
const LINE_ENDINGS: [&str; 4] = [".jsonl", ".ndjson", ".json", ".log"];

/// The names in a bus directory that are not read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UnreadNames {
    /// A sentence for each name that was probably meant to be read.
    pub wrong: Vec<String>,
    /// Names that are ignored.
    pub ignored: Vec<String>,
}

/// Looks at the names in a bus directory and in the folders of its topics.
pub(super) fn unread_names(layout: &DirLayout) -> Result<UnreadNames, FileError> {
    let mut names = UnreadNames::default();
    for entry in entries(layout.root())? {
        let name = shown(&entry);
        match Topic::from_name(&name) {
            Some(topic) if entry.path().is_dir() => look_at_topic(layout, topic, &mut names)?,
            Some(topic) => names.wrong.push(format!(
                "{name} is {}, but topic {topic} is a folder of partitions: move its records to {}",
                kind_in_words(&entry)?,
                first_file(topic)
            )),
            None if name == OWN || is_ignored(&name) => {}
            None => match problem_of_entry(&name, entry.path().is_dir()) {
                Some(problem) => names.wrong.push(problem),
                None => names.ignored.push(name),
            },
        }
    }
    Ok(names)
}

fn look_at_topic(layout: &DirLayout, topic: Topic, names: &mut UnreadNames) -> Result<(), FileError> {
    for entry in entries(&layout.folder(topic))? {
        let name = shown(&entry);
        let path = format!("{topic}/{name}");
        match number(&name, suffix(topic)) {
            Some(_) => {
                if let Some(kind) = kind_of(&entry.path())? {
                    names
                        .wrong
                        .push(format!("{path} is {kind}; a partition is a file: move it away"));
                } else if topic == Topic::Control && name != "0.jsonl" {
                    names.wrong.push(format!(
                        "{path} is not read: {topic} has one partition, 0.jsonl. Append its records there, and move it away"
                    ));
                }
            }
            None if is_ignored(&name) => {}
            // Only softstake writes the other topics, so no record is missed there. Their readers may keep files beside them.
            None if topic.kind() != TopicKind::Input => names.ignored.push(path),
            None => names.wrong.push(match meant_partition(topic, &name) {
                Some(meant) => format!("{path} is not a partition: did you mean {meant}? Rename it, or move it away"),
                None => {
                    format!("{path} is not a partition: those are files named 0.jsonl, 1.jsonl and so on. Move it away")
                }
            }),
        }
    }
    Ok(())
}

/// Folders of a state directory.
const OF_STATE: [&str; 3] = ["ingest", "accrue", "coordinate"];

/// What is wrong with a name in the bus directory that is not a topic's.
fn problem_of_entry(name: &str, is_folder: bool) -> Option<String> {
    if is_folder {
        return match meant_topic(name) {
            Some(topic) => Some(format!(
                "{name} is not a topic: did you mean {topic}? Rename it, or move it out of the bus"
            )),
            None if has_prefix(name) => Some(format!(
                "{name} is not a topic, though it begins like one: move it out of the bus. The source topics are {}",
                Topic::SOURCES.map(Topic::name).join(", ")
            )),
            None if OF_STATE.contains(&name) => Some(format!(
                "{name} is a folder of a state directory, which may be deleted at any time, and a bus may not: keep the two apart"
            )),
            None => None,
        };
    }
    if Topic::ALL
        .into_iter()
        .any(|topic| number(name, suffix(topic)).is_some())
    {
        return Some(format!(
            "{name} is a partition, which lies in the folder of a topic: name the folder above it as the bus"
        ));
    }
    let stem = LINE_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    let stem = stem.unwrap_or(name);
    let topic = Topic::from_name(stem).or_else(|| meant_topic(stem))?;
    Some(format!(
        "{name} is a file, but topic {topic} is a folder of partitions: move its records to {}",
        first_file(topic)
    ))
}

fn first_file(topic: Topic) -> String {
    format!("{topic}/0{}", suffix(topic))
}

/// Hidden files, notes and copies: they are ignored everywhere.
fn is_ignored(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with(['.', '#'])
        || name.starts_with("readme")
        || IGNORED_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The file of the partition whose number a name holds, if it holds one number.
fn meant_partition(topic: Topic, name: &str) -> Option<String> {
    let mut numbers = name
        .split(|character: char| !character.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    let (Some(digits), None) = (numbers.next(), numbers.next()) else {
        return None;
    };
    let number: u32 = digits.parse().ok()?;
    let number = if topic == Topic::Control { 0 } else { number };
    Some(format!("{topic}/{number}{}", suffix(topic)))
}

fn kind_in_words(entry: &DirEntry) -> Result<&'static str, FileError> {
    Ok(kind_of(&entry.path())?.unwrap_or("a file"))
}

fn shown(entry: &DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// The entries of a folder, sorted by name; none if the folder is missing.
fn entries(folder: &Path) -> Result<Vec<DirEntry>, FileError> {
    let listed = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries: Vec<DirEntry> = match listed {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(FileError::io("list", folder)(error)),
    };
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

/// Looks again at the names while a process works, and warns of each wrong one that has appeared.
#[derive(Default)]
pub(super) struct NameWatch(Mutex<NamesSeen>);

#[derive(Default)]
struct NamesSeen {
    at: Option<Instant>,
    wrong: BTreeSet<String>,
}

/// How often the names are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl NameWatch {
    pub(super) fn look(&self, layout: &DirLayout) -> Result<(), FileError> {
        let mut seen = lock(&self.0);
        if seen.at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        for wrong in unread_names(layout)?.wrong {
            if !seen.wrong.contains(&wrong) {
                tracing::warn!("{wrong}; the next start refuses this bus");
                seen.wrong.insert(wrong);
            }
        }
        seen.at = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::error::OpenError;

    fn names(paths: &[&str]) -> Result<UnreadNames, OpenError> {
        let root = tempfile::tempdir().unwrap();
        for path in paths {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}\n").unwrap();
        }
        Ok(unread_names(&DirLayout::of(root.path())?)?)
    }

    #[test]
    fn names_that_are_read_or_ignored() {
        let found = names(&[
            "exchange.trades/0.jsonl",
            "exchange.trades/17.jsonl",
            "exchange.trades/.gitkeep",
            "exchange.trades/0.jsonl~",
            "exchange.trades/#0.jsonl#",
            "exchange.trades/.0.jsonl.swp",
            "exchange.trades/1.jsonl.tmp",
            "exchange.trades/README",
            "exchange.trades/notes.txt",
            "softstake.control/0.jsonl",
            "softstake.ledger/0.log",
            "softstake.distributions/0.jsonl",
            "softstake.distributions/0.offset",
            ".softstake/journal",
            ".git/config",
            "README.md",
            "softstake.toml",
            "softstake.log",
            "exchange.deposits.bak/0.jsonl",
            "state/lock",
            "orders/0.jsonl",
        ]);
        let found = found.unwrap();
        assert_eq!(found.wrong, [""; 0]);
        let ignored = [
            "orders",
            "softstake.distributions/0.offset",
            "softstake.log",
            "softstake.toml",
            "state",
        ];
        assert_eq!(found.ignored, ignored);
    }

    #[test]
    fn names_that_were_meant_to_be_read() {
        for (path, expected) in [
            (
                "exchange.deposit/0.jsonl",
                "exchange.deposit is not a topic: did you mean exchange.deposits? ",
            ),
            (
                "softstake.controls/0.jsonl",
                "softstake.controls is not a topic: did you mean softstake.control? ",
            ),
            (
                "deposits/0.jsonl",
                "deposits is not a topic: did you mean exchange.deposits? ",
            ),
            (
                "exchange.orders/0.jsonl",
                "exchange.orders is not a topic, though it begins like one: ",
            ),
            (
                "exchange.deposits",
                "exchange.deposits is a file, but topic exchange.deposits is a folder",
            ),
            (
                "exchange.deposits.jsonl",
                "exchange.deposits.jsonl is a file, but topic exchange.deposits is a folder",
            ),
            ("exchange.trade.json", "move its records to exchange.trades/0.jsonl"),
            (
                "exchange.trades/0.json",
                "exchange.trades/0.json is not a partition: did you mean exchange.trades/0.jsonl? ",
            ),
            ("exchange.trades/00.jsonl", "did you mean exchange.trades/0.jsonl? "),
            ("exchange.trades/3.JSONL", "did you mean exchange.trades/3.jsonl? "),
            (
                "exchange.trades/part-00007.ndjson",
                "did you mean exchange.trades/7.jsonl? ",
            ),
            ("exchange.trades/4.jsonl.gz", "did you mean exchange.trades/4.jsonl? "),
            (
                "exchange.trades/4294967296.jsonl",
                "files named 0.jsonl, 1.jsonl and so on",
            ),
            (
                "exchange.trades/2026-11-01.jsonl",
                "files named 0.jsonl, 1.jsonl and so on",
            ),
            (
                "exchange.trades/2026/x.jsonl",
                "did you mean exchange.trades/2026.jsonl? ",
            ),
            (
                "exchange.trades/0.jsonl/x",
                "exchange.trades/0.jsonl is a folder; a partition is a file",
            ),
            (
                "softstake.ledger/0.log/x",
                "softstake.ledger/0.log is a folder; a partition is a file",
            ),
            (
                "softstake.control/1.jsonl",
                "softstake.control has one partition, 0.jsonl. Append its records there",
            ),
            ("softstake.control/1.json", "did you mean softstake.control/0.jsonl? "),
        ] {
            let found = names(&[path]).unwrap();
            assert_eq!(found.wrong.len(), 1, "{path}: {found:?}");
            assert!(found.wrong[0].contains(expected), "{path}: {found:?}");
        }
    }

    #[test]
    fn a_link_counts_as_what_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let topic = root.path().join("exchange.trades");
        fs::create_dir(&topic).unwrap();
        fs::write(root.path().join("elsewhere"), "{}\n").unwrap();
        std::os::unix::fs::symlink(root.path().join("elsewhere"), topic.join("0.jsonl")).unwrap();
        std::os::unix::fs::symlink(root.path().join("nowhere"), topic.join("1.jsonl")).unwrap();
        let layout = DirLayout::of(root.path()).unwrap();
        let found = unread_names(&layout).unwrap();
        assert_eq!(
            found.wrong,
            ["exchange.trades/1.jsonl is a link to nothing; a partition is a file: move it away"]
        );
        assert!(layout.partitions(Topic::Trades).is_err());
    }
}
