//! `softstake archive`: copies topics into a folder that is all an auditor needs beside the program.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;

use crate::audit::archive::{ArchiveError, ArchiveScope, archive};
use crate::bus::archive::ArchiveBus;
use crate::bus::{Topic, TopicPartition};
use crate::cli::failure::Failure;
use crate::cli::flags::Reading;
use crate::cli::table::counted;
use crate::cli::{Outcome, bus, progress};

/// Copy topics into an archive, or what has come since
#[derive(Debug, Args)]
#[command(after_help = "\
An archive is read like a bus, by its folder: `softstake reconcile --bus dir:archive`. Each file's SHA-256 stands in archive.json and is checked when
the file is read. Run it again to add what is new; killed, it goes on where it was. Softstake may go on working on the bus.

Example:
  softstake archive --bus kafka --out archive
  softstake archive --check archive")]
pub(super) struct Archive {
    #[command(flatten)]
    reading: Reading,
    /// The archive's folder
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Only this topic; may be given more than once
    #[arg(long = "topic", value_name = "NAME", value_parser = topic)]
    topics: Vec<Topic>,
    /// Not past this offset: TOPIC:PARTITION=OFFSET; may be given more than once
    #[arg(long = "to", value_name = "TOPIC:PARTITION=OFFSET", value_parser = bound)]
    to: Vec<(TopicPartition, u64)>,
    /// softstake.ledger as well, which nothing but Softstake itself can read
    #[arg(long)]
    with_ledger: bool,
    /// Check the sums of an archive, and do nothing else
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "topics", "to", "with_ledger"])]
    check: Option<PathBuf>,
}

fn topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        format!("no topic of Softstake; these are: {}", names.join(", "))
    })
}

fn bound(text: &str) -> Result<(TopicPartition, u64), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(partition, offset)| Some((TopicPartition::parse(partition)?, offset.parse().ok()?)));
    parsed.ok_or_else(|| "it has to be like exchange.trades:0=1000".into())
}

impl Archive {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        if let Some(path) = &self.check {
            let (files, records) = ArchiveBus::open(path)?.check()?;
            return Ok(writeln!(
                out,
                "{} with {}: every sum is right.",
                counted(files, "file", "files"),
                counted(records, "record", "records")
            )?);
        }
        let Some(path) = &self.out else {
            return Err(Failure::Usage("--out names the archive's folder".into()));
        };
        let loaded = self.reading.load()?;
        let Some(bus) = bus::view(loaded.bus()?, &loaded.config, &AtomicBool::new(false))? else {
            return Err(Failure::Failed("stopped before the bus was reached".into()));
        };
        let scope = ArchiveScope {
            topics: self.topics.clone(),
            with_ledger: self.with_ledger,
            to: self.to.iter().copied().collect(),
        };
        let bar = progress::bar("records", 0);
        let copied = archive(bus.as_ref(), path, &scope, |records| {
            bar.inc_length(records);
            bar.inc(records);
        });
        bar.finish_and_clear();
        let copied = copied?;
        Ok(writeln!(
            out,
            "{} archived in {}, {} compressed.",
            counted(copied.records, "record was", "records were"),
            path.display(),
            counted(copied.bytes, "byte", "bytes")
        )?)
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            error @ ArchiveError::OtherBus { .. } => Self::Usage(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}
