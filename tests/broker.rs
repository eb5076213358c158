//! The brokers that other tests run on do what those tests take for granted.

#[path = "common/kafka/mod.rs"]
mod kafka;

use kafka::Cluster;
use kafka::records::{Read, Record};

fn texts(records: &[Read]) -> Vec<&str> {
    records.iter().map(Read::text).collect()
}

#[test]
fn a_broker_keeps_what_was_committed() {
    let cluster = Cluster::single();
    cluster.create_topic("t", 2, &[("retention.ms", "-1")]);
    let odd = Record::new("one:\tänd\nmore")
        .key("k")
        .header("ce_type", "a:b,c")
        .header("ce_id", "1");
    assert_eq!(cluster.produce("t", 1, [odd.clone()]), [0]);
    cluster.begin("id", "t", 0, ["two"]).commit();
    cluster.begin("id", "t", 0, ["never"]).abort();
    cluster.begin("id", "t", 0, ["three"]).commit();

    let read = cluster.read_committed("t");
    assert_eq!(texts(&read), ["two", "three", "one:\tänd\nmore"]);
    assert_eq!((&read[2].key, &read[2].headers), (&odd.key, &odd.headers));
    assert_eq!(cluster.read_uncommitted("t").len(), 4);
    assert_eq!(
        cluster.console_consumer("t"),
        read,
        "Kafka's own consumer reads the same"
    );

    cluster.kill(0);
    cluster.start(0);
    assert_eq!(cluster.read_committed("t"), read);
    cluster.stop(0);
    cluster.start(0);
    assert_eq!(cluster.read_committed("t"), read);

    let open = cluster.begin("id", "t", 1, ["open"]);
    assert_eq!(cluster.read_decided("t"), read);
    open.commit();
    assert_eq!(cluster.read_committed("t").len(), 4);
    cluster.delete_topic("t");
}
