//! `softstake publish`: copies the source and control records of a directory bus to Kafka.

use std::path::PathBuf;

use crate::bus::kafka::publish::publish;
use crate::cli::bus;
use crate::cli::flags::{KafkaFlags, tell_notice};
use crate::cli::outcome::Outcome;
use crate::cli::output::Output;
use crate::cli::table::{TextTable, count};
use crate::config::{BusAddress, Loaded};

/// Copy the source and control records of a directory bus to Kafka
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Line n of a file becomes offset n of the partition with the same number. Records already on the topic are not written \
again, so the command may be stopped and started at any time. Listings are copied first, then the sources, then the closes.

Example:
  softstake publish --from dir:bus --kafka-brokers localhost:9092")]
pub(super) struct Publish {
    /// The directory bus to read, as dir:PATH or PATH
    #[arg(long, value_name = "dir:PATH")]
    from: String,
    /// The bus to write to; only kafka is possible
    #[arg(long, value_name = "kafka", default_value = "kafka", value_parser = ["kafka"])]
    bus: String,
    /// The configuration to read: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    kafka: KafkaFlags,
}

impl Publish {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let loaded = Loaded::of_process(self.config.as_deref(), &self.kafka.given())?;
        tell_notice(&loaded);
        let path = self.from.strip_prefix("dir:").unwrap_or(&self.from);
        let address = BusAddress::Dir(path.into());
        let written = publish(&loaded.config.kafka, bus::directory(&address)?)?;
        let mut table = TextTable::new(&["partition", ">records"]);
        for (partition, records) in &written {
            table.row([partition.to_string(), count(*records)]);
        }
        table.write(out)
    }
}
