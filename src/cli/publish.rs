//! `softstake publish`: the source and control records of a directory bus, put onto Kafka.

use std::io::Write;
use std::path::PathBuf;

use crate::bus::kafka::publish::load;
use crate::cli::flags::Kafka;
use crate::cli::table::{Table, count};
use crate::cli::{Outcome, bus};
use crate::config::{BusAddress, Loaded};

/// Put the source and control records of a directory bus onto Kafka
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Line n of a file becomes offset n of the partition of that number. What is there already is not written again: it may be stopped and started
as one likes. Listings go first, then the sources, then closes.

Example:
  softstake publish --from dir:bus --kafka-brokers localhost:9092")]
pub(super) struct Publish {
    /// The directory bus to read, as dir:PATH or PATH
    #[arg(long, value_name = "dir:PATH")]
    from: String,
    /// Where to; kafka is all there is
    #[arg(long, value_name = "kafka", default_value = "kafka", value_parser = ["kafka"])]
    bus: String,
    /// Configuration to read instead of ./softstake.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    kafka: Kafka,
}

impl Publish {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = Loaded::of_process(self.config.as_deref(), &self.kafka.given())?;
        let path = self.from.strip_prefix("dir:").unwrap_or(&self.from);
        let address = BusAddress::Dir(path.into());
        let written = load(&loaded.config.kafka, bus::directory(&address)?)?;
        let mut table = Table::new(&["partition", ">records"]);
        for (partition, records) in &written {
            table.row([partition.to_string(), count(*records)]);
        }
        table.write(out)
    }
}
