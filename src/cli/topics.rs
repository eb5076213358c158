//! `softstake topics`: creates and checks the Kafka topics of a deployment.

use std::path::PathBuf;

use crate::bus::kafka::topics::{Sizes, TopicFinding, check_topics};
use crate::cli::flags::{KafkaFlags, tell_notice};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::table::TextTable;
use crate::config::Loaded;

/// Check the Kafka topics, and create missing ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Existing topics are not changed. Exit status: 0 if every topic is right, 1 if not.

Example:
  softstake topics --create --kafka-brokers localhost:9092 --partitions 16")]
pub(super) struct Topics {
    /// The configuration to read: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    kafka: KafkaFlags,
    /// Create missing topics; without this flag, topics are only checked
    #[arg(long)]
    create: bool,
    /// Ledger partitions, a power of two up to 4096; `softstake repartition` changes them [default: those of the topic, or 8]
    #[arg(long, value_name = "N", value_parser = power_of_two)]
    partitions: Option<u32>,
    /// Partitions of each new source topic
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    source_partitions: u32,
    /// Partitions of each new output topic, except the seals'
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    output_partitions: u32,
    /// Replicas of each new topic [default: 3, or the number of brokers if that is less]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    replication: Option<u32>,
    /// JSON instead of a table
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
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let loaded = Loaded::of_process(self.config.as_deref(), &self.kafka.given())?;
        tell_notice(&loaded);
        let sizes = Sizes {
            ledger: self.partitions.or(loaded.config.partitions),
            sources: self.source_partitions,
            outputs: self.output_partitions,
            replication: self.replication,
        };
        let findings = check_topics(&loaded.config.kafka, sizes, self.create)?;
        if self.json {
            out.json(&findings)?;
        } else {
            show(&findings, out)?;
        }
        if findings.iter().any(|finding| !finding.wrong.is_empty()) {
            return Err(Failure::Found);
        }
        Ok(())
    }
}

fn show(findings: &[TopicFinding], out: &mut Output<'_>) -> Outcome {
    let mut table = TextTable::new(&["topic", ">partitions", ">replicas", "state"]);
    for finding in findings {
        let Some(topic) = finding.topic else { continue };
        let state = match (&finding.wrong[..], &finding.doubtful[..], finding.created) {
            ([], [], true) => "created",
            ([], _, true) => "created, see below",
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
            write_line!(out)?;
            write_line!(out, "wrong: {name}: {what}")?;
        }
        for what in &finding.doubtful {
            write_line!(out)?;
            write_line!(out, "note: {name}: {what}")?;
        }
    }
    Ok(())
}
