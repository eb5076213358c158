//! Epochs that the program settled, published to Kafka.

use std::collections::BTreeMap;
use std::process::Command;

use num_bigint::BigInt;
use serde_json::Value;
use softstake::generate::Synthetic;

use super::create_topics;
use super::database::Database;
use super::{DISTRIBUTIONS, EPOCHS};
use crate::common::kafka::Cluster;
use crate::common::records::{scaled, text};
use crate::common::{Place, softstake};

const DECISIONS: &str = "softstake.decisions";

/// What Softstake published on a directory bus.
pub struct Settled {
    distributions: Vec<Value>,
    seals: usize,
}

impl Settled {
    /// Settles a synthetic bus, and publishes what Softstake published to Kafka. Between the transactions of the distributions, there are aborted
    /// ones with other amounts.
    pub fn publish(cluster: &Cluster, spec: &Synthetic) -> Self {
        let place = Place::new();
        place.bring_all(spec);
        place.run(Some(4));
        create_topics(cluster);
        cluster.create_topic(DECISIONS, 1, &[]);
        let [distributions, seals, decisions] = [DISTRIBUTIONS, EPOCHS, DECISIONS].map(|topic| place.records(topic));
        let lines = |records: &[Value]| -> Vec<String> { records.iter().map(ToString::to_string).collect() };
        for (number, part) in (0..).zip(distributions.chunks(distributions.len().div_ceil(7))) {
            let mut wrong = part[0].clone();
            wrong["data"]["amount"] = "7".into();
            let partition = number % 3;
            cluster
                .begin("softstake", DISTRIBUTIONS, partition, lines(&[wrong]))
                .abort();
            cluster
                .begin("softstake", DISTRIBUTIONS, partition, lines(part))
                .commit();
        }
        cluster.begin("softstake", EPOCHS, 0, lines(&seals)).commit();
        cluster.begin("softstake", DECISIONS, 0, lines(&decisions)).commit();
        Self {
            distributions,
            seals: seals.len(),
        }
    }

    /// The balances by reward asset and account after all epochs are paid.
    fn due(&self) -> BTreeMap<String, BigInt> {
        let mut due = BTreeMap::new();
        for record in &self.distributions {
            let data = &record["data"];
            let key = format!("{} {}", text(&data["reward_asset"]), text(&data["account"]));
            *due.entry(key).or_default() += scaled(text(&data["amount"]));
        }
        due
    }

    /// Checks that each distribution was credited once, and each execution published once, as the program sees it, too.
    pub fn check(&self, cluster: &Cluster, database: &Database) {
        assert!(database.balances() == self.due(), "something was lost or paid twice");
        assert_eq!(database.rows("SELECT DISTINCT status FROM seals"), ["paid"]);
        assert_eq!(database.rows("SELECT count(*) FROM seals"), [self.seals.to_string()]);
        assert_eq!(database.rows("SELECT what FROM conflicts"), Vec::<String>::new());
        assert_eq!(database.check_executions(cluster), self.distributions.len());
        let report = self.reconcile(cluster, database, 0);
        assert_eq!(report["credited_as_they_should_be"], self.distributions.len());
        assert_eq!(report["redelivered"], 0);
    }

    /// The report of `softstake reconcile payouts` about the topic of a database.
    pub fn reconcile(&self, cluster: &Cluster, database: &Database, status: i32) -> Value {
        let output = reconcile(cluster, &database.executions()).output();
        let output = output.expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// `softstake reconcile payouts` with a topic of executions.
pub fn reconcile(cluster: &Cluster, topic: &str) -> Command {
    let mut command = softstake();
    command.args(["reconcile", "payouts", "--json", "--bus", "kafka", "--kafka-brokers"]);
    command.arg(cluster.bootstrap()).args(["--executions", topic]);
    command
}
