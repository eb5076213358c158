//! `softstake topics`: the Kafka topics of a deployment, made and checked.

use std::io::Write;
use std::path::PathBuf;

use crate::bus::kafka::topics::{Sizes, TopicFinding, look};
use crate::cli::failure::Failure;
use crate::cli::flags::Kafka;
use crate::cli::table::Table;
use crate::cli::{Outcome, query};
use crate::config::Loaded;

/// Make the Kafka topics that are missing, and check those that are there
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing that exists is changed. Exit status 0 if all is as it should be, 1 if something is not.

Example:
  softstake topics --create --kafka-brokers localhost:9092 --partitions 16")]
pub(super) struct Topics {
    /// Configuration to read instead of ./softstake.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    kafka: Kafka,
    /// Make what is missing; without it, topics are only looked at
    #[arg(long)]
    create: bool,
    /// Ledger partitions, a power of two up to 4096; `softstake repartition` changes them [default: what is there, or 8]
    #[arg(long, value_name = "N", value_parser = power_of_two)]
    partitions: Option<u32>,
    /// Partitions of each source topic that is made
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    source_partitions: u32,
    /// Partitions of each output topic that is made, the seals' apart
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    output_partitions: u32,
    /// Replicas of each topic that is made [default: 3, or as many as there are brokers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    replication: Option<u32>,
    /// JSON in place of a table
    #[arg(long)]
    json: bool,
}

fn power_of_two(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count @ 1..=4096_u32) if count.is_power_of_two() => Ok(count),
        _ => Err("must be a power of two from 1 to 4096".into()),
    }
}

impl Topics {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = Loaded::of_process(self.config.as_deref(), &self.kafka.given())?;
        let sizes = Sizes {
            ledger: self.partitions.or(loaded.config.partitions),
            sources: self.source_partitions,
            outputs: self.output_partitions,
            replication: self.replication,
        };
        let findings = look(&loaded.config.kafka, sizes, self.create)?;
        if self.json {
            query::write_json(&findings, out)?;
        } else {
            show(&findings, out)?;
        }
        if findings.iter().any(|finding| !finding.wrong.is_empty()) {
            return Err(Failure::Found);
        }
        Ok(())
    }
}

fn show(findings: &[TopicFinding], out: &mut dyn Write) -> Outcome {
    let mut table = Table::new(&["topic", ">partitions", ">replicas", "state"]);
    for finding in findings {
        let Some(topic) = finding.topic else { continue };
        let state = match (&finding.wrong[..], &finding.doubtful[..], finding.created) {
            ([], [], true) => "made",
            ([], _, true) => "made, see below",
            ([], [], false) => "right",
            ([], _, false) => "see below",
            _ => "wrong, see below",
        };
        table.row([
            topic,
            &finding.partitions.to_string(),
            &finding.replication.to_string(),
            state,
        ]);
    }
    table.write(out)?;
    for finding in findings {
        let name = finding.topic.unwrap_or("the brokers");
        for what in &finding.wrong {
            writeln!(out, "\nwrong: {name}: {what}")?;
        }
        for what in &finding.doubtful {
            writeln!(out, "\nto know: {name}: {what}")?;
        }
    }
    Ok(())
}
