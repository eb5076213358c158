//! The test brokers and the proxy themselves: they must do what the other tests rely on.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::common::kafka::acls::{ADMIN, Operation, Resource, SOFTSTAKE};
use crate::common::kafka::proxy::{Api, Proxy};
use crate::common::kafka::records::{Read, Record};
use crate::common::kafka::{Cluster, PATIENCE, wait_for};

fn texts(records: &[Read]) -> Vec<&str> {
    records.iter().map(Read::text).collect()
}

#[test]
fn a_broker_keeps_committed_records_over_restarts() {
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

#[test]
fn three_brokers_go_on_without_any_one_of_them() {
    let cluster = Cluster::three();
    cluster.create_topic("t", 1, &[]);
    cluster.begin("id", "t", 0, ["one"]).commit();
    let (coordinator, _) = (
        cluster.transaction_coordinator("id"),
        cluster.group_coordinator("group"),
    );
    cluster.move_leader("t", 0, (coordinator + 1) % 3);
    assert_eq!(cluster.leader_of("t", 0), (coordinator + 1) % 3);

    cluster.kill(coordinator);
    assert_ne!(cluster.transaction_coordinator("id"), coordinator);
    cluster.begin("id", "t", 0, ["two"]).commit();
    cluster.start(coordinator);
    cluster.wait_until_in_sync();

    let leader = cluster.leader_of("t", 0);
    cluster.pause(leader);
    assert_ne!(cluster.leader_of("t", 0), leader);
    cluster.begin("id", "t", 0, ["three"]).commit();
    cluster.resume(leader);
    assert_eq!(texts(&cluster.read_committed("t")), ["one", "two", "three"]);
}

/// A producer behind the proxy, in a transaction with one record.
fn begin_behind(proxy: &Proxy, value: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", proxy.bootstrap())
        .set("transactional.id", "id")
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("a producer id");
    producer.begin_transaction().expect("a transaction");
    let record = BaseRecord::<(), str>::to("t").partition(0).payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("room for it");
    producer
}

#[test]
fn the_proxy_drops_requests_and_replies() {
    let cluster = Cluster::single();
    cluster.create_topic("t", 1, &[]);
    let proxy = Proxy::before(&cluster);
    begin_behind(&proxy, "plain")
        .commit_transaction(PATIENCE)
        .expect("a commit");
    assert_eq!((proxy.seen(Api::EndTxn), proxy.struck(Api::EndTxn)), (1, 0));

    // The request never reaches the broker.
    let producer = begin_behind(&proxy, "no request");
    proxy.drop_requests_of(Api::EndTxn, usize::MAX);
    thread::scope(|scope| {
        let commit = scope.spawn(|| producer.commit_transaction(PATIENCE));
        proxy.wait_until_struck(Api::EndTxn, 2);
        assert_eq!(texts(&cluster.read_decided("t")), ["plain"]);
        proxy.forget_plans();
        commit.join().expect("a thread").expect("a commit");
    });
    assert_eq!(texts(&cluster.read_committed("t")), ["plain", "no request"]);

    // The broker commits, and the client gets no reply.
    let producer = begin_behind(&proxy, "no reply");
    let before = proxy.struck(Api::EndTxn);
    proxy.drop_replies_of(Api::EndTxn, 1);
    proxy.drop_requests_of(Api::EndTxn, usize::MAX);
    thread::scope(|scope| {
        let commit = scope.spawn(|| producer.commit_transaction(PATIENCE));
        proxy.wait_until_struck(Api::EndTxn, before + 2);
        assert_eq!(texts(&cluster.read_committed("t")), ["plain", "no request", "no reply"]);
        assert!(!commit.is_finished(), "the client believes that the commit is done");
        proxy.forget_plans();
        commit.join().expect("a thread").expect("a commit");
    });
    assert_eq!(cluster.read_committed("t").len(), 3);
}

#[test]
fn the_proxy_cuts_stalls_refuses_and_delays_connections() {
    let cluster = Cluster::single();
    let proxy = Proxy::before(&cluster);
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", proxy.bootstrap())
        .set("reconnect.backoff.max.ms", "100")
        .create()
        .expect("a client");
    let answered = |within: u64| client.fetch_metadata(None, Duration::from_millis(within)).is_ok();
    let patience = 30_000;
    assert!(answered(patience));

    proxy.cut_all();
    assert!(answered(patience), "it connects again");

    proxy.stall(0);
    assert!(!answered(300));
    proxy.resume(0);
    assert!(answered(patience));

    proxy.refuse(0, true);
    let refused = || TcpStream::connect(proxy.bootstrap()).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    wait_for("connections to be refused", || refused().then_some(()));
    assert!(!answered(300));
    proxy.refuse(0, false);
    assert!(answered(patience));

    let started = Instant::now();
    proxy.delay_replies_of(Api::Metadata, 1, Duration::from_millis(300));
    assert!(answered(patience));
    assert!(started.elapsed() >= Duration::from_millis(300));
    proxy.delay(0, Duration::from_millis(300));
    assert!(answered(patience));
    assert!(started.elapsed() >= Duration::from_millis(600));
}

#[test]
fn a_client_can_do_only_what_it_is_allowed_to() {
    let cluster = Cluster::with_acls();
    cluster.create_topic("some.topic", 1, &[]);
    let code = |outcome: KafkaResult<()>| outcome.expect_err("it is not allowed").rdkafka_error_code();
    let producer = || -> BaseProducer {
        let mut config = cluster.client_as(SOFTSTAKE);
        config.set("transactional.id", "some-id").create().expect("a producer")
    };
    let init = || producer().init_transactions(PATIENCE);
    assert_eq!(code(init()), Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed));
    cluster.allow(SOFTSTAKE, Resource::TransactionalId("some-*"), Operation::Write);
    init().expect("it is allowed");

    let write = || {
        let producer = producer();
        producer.init_transactions(PATIENCE)?;
        producer.begin_transaction()?;
        let record = BaseRecord::<(), str>::to("some.topic").partition(0).payload("one");
        producer.send(record).map_err(|(error, _)| error)?;
        producer.commit_transaction(PATIENCE)
    };
    assert!(write().is_err(), "a record was written without permission");
    cluster.allow(SOFTSTAKE, Resource::Topic("some.topic"), Operation::Write);
    write().expect("it is allowed to write");
    assert_eq!(texts(&cluster.read_committed("some.topic")), ["one"]);
    cluster.disallow(SOFTSTAKE, Resource::TransactionalId("some-*"), Operation::Write);
    assert_eq!(code(init()), Some(RDKafkaErrorCode::TransactionalIdAuthorizationFailed));

    for (user, mechanism, password, good) in [
        (ADMIN, "PLAIN", "admin-secret", true),
        (SOFTSTAKE, "PLAIN", "softstake-secret", true),
        (SOFTSTAKE, "SCRAM-SHA-256", "wrong", false),
    ] {
        let mut config = cluster.client_as(user);
        config.set("sasl.mechanism", mechanism).set("sasl.password", password);
        let client: BaseConsumer = config.create().expect("a client");
        let within = if good { PATIENCE } else { Duration::from_secs(1) };
        assert_eq!(
            client.fetch_metadata(None, within).is_ok(),
            good,
            "{user} by {mechanism}"
        );
    }
}
