//! The payout example, `examples/payout_consumer`, between a real broker and real databases.

mod consumer;
mod database;
mod epoch;
mod faults;
mod folder;
mod kills;
mod payments;
mod refusals;
mod settled;

use crate::common::kafka::Cluster;

const DISTRIBUTIONS: &str = "softstake.distributions";
const EPOCHS: &str = "softstake.epochs";

fn create_topics(cluster: &Cluster) {
    cluster.create_topic(DISTRIBUTIONS, 3, &[]);
    cluster.create_topic(EPOCHS, 1, &[]);
}
