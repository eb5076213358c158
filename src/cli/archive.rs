//! `softstake archive`: copies topics into a folder. An auditor needs that folder and the program, and nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::audit::archive::{ArchiveError, archive};
use crate::bus::archive::ArchiveBus;
use crate::bus::archive::manifest::ArchivedScope;
use crate::bus::{OpenError, Topic, TopicPartition};
use crate::cli::flags::ReadFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::progress;
use crate::cli::table::counted;
use crate::core::values::offset::Offset;
use crate::core::values::similar::meant;

/// Copy topics into an archive, or add new records to it
#[derive(Debug, Args)]
#[command(after_help = "\
An archive is read like a bus, by its folder: `softstake reconcile --bus dir:archive`. archive.json holds the SHA-256 of \
each file, which is checked when the file is read. Run the command again to add new records; after a kill it continues. \
Softstake may work on the bus meanwhile.
Exit status: 3 if the bus has no record, or lacks a topic, partition or offset that was asked for.

Example:
  softstake archive --bus kafka --out archive
  softstake archive --check archive")]
pub(super) struct Archive {
    #[command(flatten)]
    bus: ReadFlags,
    /// The archive's folder
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Only this topic; may be given more than once
    #[arg(long = "topic", value_name = "NAME", value_parser = topic)]
    topics: Vec<Topic>,
    /// Only the records before this offset: TOPIC:PARTITION=OFFSET; may be given more than once
    #[arg(long = "to", value_name = "TOPIC:PARTITION=OFFSET", value_parser = bound)]
    to: Vec<(TopicPartition, Offset)>,
    /// Also softstake.ledger, which only Softstake can read
    #[arg(long)]
    with_ledger: bool,
    /// Only check that an archive is whole and unchanged
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "topics", "to", "with_ledger"])]
    check: Option<PathBuf>,
}

fn topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name).ok_or_else(|| {
        let names = Topic::ALL.map(Topic::name);
        match meant(name, names) {
            Some(meant) => format!("not a topic of Softstake; did you mean {meant}?"),
            None => format!("not a topic of Softstake; the topics are: {}", names.join(", ")),
        }
    })
}

fn bound(text: &str) -> Result<(TopicPartition, Offset), String> {
    let parts = text
        .split_once('=')
        .and_then(|(partition, offset)| Some((partition.rsplit_once(':')?, offset)));
    let form = || "it has to be like exchange.trades:0=1000".to_owned();
    let ((name, partition), offset) = parts.ok_or_else(form)?;
    let topic = topic(name).map_err(|why| format!("{name} is {why}"))?;
    let partition = partition.parse().map_err(|_| form())?;
    let offset = offset.parse().map_err(|_| form())?;
    Ok((topic.partition(partition), offset))
}

impl Archive {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        match (&self.check, &self.out) {
            (Some(path), _) => check(path, out),
            (None, Some(path)) => self.copy(path, out),
            (None, None) => Err(Failure::Usage("--out names the archive's folder".into())),
        }
    }

    fn copy(&self, path: &Path, out: &mut Output<'_>) -> Outcome {
        let mut to = BTreeMap::new();
        for (partition, offset) in &self.to {
            if to.insert(*partition, *offset).is_some() {
                return Err(Failure::Usage(format!("--to is given twice for {partition}")));
            }
        }
        let bus = self.bus.open()?;
        let scope = ArchivedScope {
            topics: self.topics.iter().copied().collect(),
            with_ledger: self.with_ledger,
            to,
        };
        let bar = progress::bar("records", 0);
        let copied = archive(bus.as_ref(), path, &scope, |records| {
            bar.inc_length(records);
            bar.inc(records);
        });
        bar.finish_and_clear();
        let copied = copied?;
        write_line!(
            out,
            "{} archived in {}, {} compressed.",
            counted(copied.records, "record was", "records were"),
            path.display(),
            counted(copied.bytes, "byte", "bytes")
        )
    }
}

fn check(path: &Path, out: &mut Output<'_>) -> Outcome {
    let archive = ArchiveBus::open(path).map_err(|error| match error {
        OpenError::Missing { path } => {
            Failure::Usage(format!("there is no archive at {}: correct --check", path.display()))
        }
        error => error.into(),
    })?;
    let (files, records) = archive.check()?;
    let manifest = archive.manifest();
    write_line!(
        out,
        "{} with {}: every SHA-256 is right. In {}, offsets run from start to end without a gap.",
        counted(files, "file", "files"),
        counted(records, "record", "records"),
        counted(manifest.partitions.len() as u64, "partition", "partitions"),
    )?;
    let omitted = Topic::ALL.into_iter().filter(|topic| !manifest.scope.has(*topic));
    let omitted: Vec<_> = omitted.map(|topic| topic.to_string()).collect();
    if !omitted.is_empty() {
        write_line!(out, "Not in the archive: {}.", omitted.join(", "))?;
    }
    for (partition, offset) in &manifest.scope.to {
        write_line!(out, "{partition} was archived up to offset {offset} only, as asked.")?;
    }
    Ok(())
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            error @ (ArchiveError::OtherBus { .. } | ArchiveError::NotEmpty { .. }) => Self::Usage(error.to_string()),
            error @ (ArchiveError::NoTopic { .. }
            | ArchiveError::NoPartition { .. }
            | ArchiveError::Short { .. }
            | ArchiveError::NoRecords) => Self::Absent(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}
