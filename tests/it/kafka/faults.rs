//! One fault of Kafka at a time: what the program reports, what goes on meanwhile, and that no record is lost or
//! doubled.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use softstake::generate::Synthetic;

use crate::common::events::{close, deposit, listing, loss, pool};
use crate::common::kafka::acls::{ADMIN, Operation, Resource, SOFTSTAKE, password};
use crate::common::kafka::proxy::{Api, Fault, Proxy};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::{copy, fail, fixture, softstake, succeed};
use crate::judge::judge;

/// Publishes the worked example.
fn publish_example(deployment: &Deployment<'_>) {
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
}

#[test]
fn a_missing_permission_is_named_and_work_goes_on_when_it_is_granted() {
    let cluster = Cluster::with_acls();
    let deployment = Deployment::between(&cluster, 2, 1, [ADMIN, SOFTSTAKE]);
    publish_example(&deployment);
    // The permissions of docs/operations.md, except one.
    let allow = |resource, operations: &[Operation]| {
        for operation in operations {
            cluster.allow(SOFTSTAKE, resource, *operation);
        }
    };
    allow(Resource::Topic("exchange.*"), &[Operation::Read, Operation::Describe]);
    allow(Resource::Topic("softstake.*"), &[Operation::Read, Operation::Describe]);
    for topic in [
        "softstake.decisions",
        "softstake.ledger",
        "softstake.inbox",
        "softstake.distributions",
        "softstake.late-postings",
        "softstake.epochs",
    ] {
        allow(Resource::Topic(topic), &[Operation::Write]);
    }
    allow(Resource::Group("softstake"), &[Operation::Read]);
    allow(
        Resource::TransactionalId("softstake.*"),
        &[Operation::Write, Operation::Describe],
    );
    let mut instance = deployment.start(0);
    deployment.until("it reports what is missing", || {
        let said = deployment.said(0);
        said.contains("--operation Write --topic softstake.dead-letters")
    });
    assert!(!instance.ended(), "{}", deployment.said(0));
    allow(Resource::Topic("softstake.dead-letters"), &[Operation::Write]);
    deployment.until_sealed(2);
    let said = deployment.said(0);
    assert!(!said.contains(&password(SOFTSTAKE)), "the log contains a password");
    assert_eq!(instance.stop(), Some(0), "{said}");
    deployment.dump();
    judge(&deployment.place);
}

#[test]
fn a_record_that_is_too_large_for_its_topic_stops_only_its_own_task() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    publish_example(&deployment);
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    cluster.configure_topic("softstake.dead-letters", "max.message.bytes", "2000");
    // It must not be compressible: a broker checks the compressed size.
    let large: String = (0..1_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let large = format!("bad xxx {large}");
    deployment.place.append("exchange.trades", 0, [&large]);
    deployment.publish();
    deployment.until("it reports that the record is too large", || {
        let said = deployment.said(0);
        said.contains("stopped, the other tasks continue: ") && said.contains("a record for softstake.dead-letters")
    });
    let said = deployment.said(0);
    assert!(said.contains("max.message.bytes"), "{said}");
    // The other sources go on.
    deployment.place.append("exchange.deposits", 0, ["bad"]);
    deployment.publish();
    let refused = |what: &str| {
        let letters = cluster.read_committed("softstake.dead-letters");
        letters.iter().any(|letter| letter.text().contains(what))
    };
    deployment.until("a bad deposit is rejected", || refused(r#""payload":"bad""#));
    assert!(!refused("xxx"));
    assert_eq!(instance.stop(), Some(1), "the exit status must tell the error as well");
    cluster.configure_topic("softstake.dead-letters", "max.message.bytes", "16777216");
    let mut instance = deployment.start(0);
    deployment.until("the large record is rejected", || refused("xxx"));
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    judge(&deployment.place);
}

#[test]
fn topics_with_misspelt_names_and_a_close_without_records_are_warnings() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    for name in ["exchange.deposit", "softstake.controls", "exchange.orders", "payments"] {
        cluster.create_topic(name, 1, &[]);
    }
    deployment.place.append(
        "softstake.control",
        0,
        [listing("A", 2, 100, &pool()), close("A", 0, 100, "5")],
    );
    deployment.publish();
    // Everybody's deposits go to the wrong topic.
    cluster.produce("exchange.deposit", 0, [deposit("1", 0, "ann", "A", "1")]);
    let mut instance = deployment.start(0);
    deployment.until_sealed(1);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    let said = deployment.said(0);
    for (expected, times) in [
        ("topic exchange.deposit is not read: did you mean exchange.deposits?", 1),
        (
            "topic softstake.controls is not read: did you mean softstake.control?",
            1,
        ),
        ("topics are not read, though they begin like ours: exchange.orders; ", 1),
        ("epoch 0 of A is closed, but no source topic has ever had a record", 1),
        ("payments", 0),
    ] {
        assert_eq!(said.matches(expected).count(), times, "{expected}\n{said}");
    }
    deployment.dump();
    judge(&deployment.place);
}

#[test]
fn records_that_retention_deleted_are_never_skipped() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    publish_example(&deployment);
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0));
    cluster.delete_before("exchange.deposits", 0, 3);
    // An instance that has read them does not need them.
    let mut instance = deployment.start(0);
    cluster.produce("exchange.deposits", 0, ["bad"]);
    deployment.until("a bad deposit is rejected", || {
        let letters = cluster.read_committed("softstake.dead-letters");
        letters
            .iter()
            .any(|letter| letter.text().contains(r#""payload":"bad""#))
    });
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    // An instance that has not read them stops.
    std::fs::remove_dir_all(deployment.state(0)).expect("the state");
    let mut instance = deployment.start(0);
    deployment.until("it reports what is missing", || {
        let said = deployment.said(0);
        said.contains("stopped, the other tasks continue: ")
            && said.contains("exchange.deposits:0 starts at offset 3 now")
    });
    assert!(!instance.ended());
    assert_eq!(instance.stop(), Some(1));
}

#[test]
fn records_deleted_before_they_are_read_are_told_or_stop_their_task() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let place = &deployment.place;
    place.append("softstake.control", 0, [listing("A", 2, 100, &pool())]);
    let deposits = [("1", "ann"), ("2", "bob"), ("3", "cyd"), ("4", "dee")];
    let deposits = deposits.map(|(id, account)| deposit(id, 0, account, "A", "1"));
    place.append("exchange.deposits", 0, deposits);
    deployment.publish();
    cluster.delete_before("exchange.deposits", 0, 2);
    let mut instance = deployment.start(0);
    let told = "exchange.deposits:0 begins at offset 2, so 2 offsets are missing";
    deployment.until("it tells what is missing", || deployment.said(0).contains(told));
    place.append("softstake.control", 0, [close("A", 0, 100, "5")]);
    deployment.publish();
    deployment.until_sealed(1);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));

    // Without its state it reads again from where the deployment began, and tells nothing twice.
    std::fs::remove_dir_all(deployment.state(0)).expect("the state");
    let mut instance = deployment.start(0);
    place.append("softstake.control", 0, [close("A", 1, 100, "5")]);
    deployment.publish();
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    assert_eq!(deployment.said(0).matches(told).count(), 1, "{}", deployment.said(0));
    let paid = cluster.read_committed("softstake.distributions");
    let ids = paid
        .iter()
        .map(|record| serde_json::from_str::<Value>(record.text()).expect("JSON")["id"].clone());
    let mut ids: Vec<Value> = ids.collect();
    ids.sort_by_key(Value::to_string);
    assert_eq!(ids, ["A:0:cyd", "A:0:dee", "A:1:cyd", "A:1:dee"]);

    // A replay is the same, on Kafka and on an archive.
    let archive = place.bus().with_file_name("archive");
    let on_kafka = ["--bus", "kafka", "--kafka-brokers", &deployment.bootstrap];
    succeed(softstake().arg("reconcile").args(on_kafka));
    succeed(softstake().arg("archive").args(on_kafka).arg("--out").arg(&archive));
    succeed(softstake().args(["archive", "--check"]).arg(&archive));
    let of_archive = format!("dir:{}", archive.display());
    succeed(softstake().args(["reconcile", "--bus", &of_archive]));
    succeed(softstake().args(["explain", "A", "0", "cyd", "--bus", &of_archive]));

    // An archive that begins later than the deployment is not whole.
    cluster.delete_before("exchange.deposits", 0, 3);
    let later = place.bus().with_file_name("later");
    succeed(softstake().arg("archive").args(on_kafka).arg("--out").arg(&later));
    let said = fail(softstake().args(["archive", "--check"]).arg(&later), 1);
    assert!(
        said.contains("exchange.deposits:0 begins at offset 3, but a replay needs offset 2"),
        "{said}"
    );

    // Its partition was announced while it was empty, so what is deleted now was never read.
    let trades = ["5", "6", "7"].map(|id| deposit(id, 0, "eve", "A", "1"));
    cluster.produce("exchange.trades", 0, trades);
    cluster.delete_before("exchange.trades", 0, 2);
    let mut instance = deployment.start(0);
    deployment.until("it reports what is missing", || {
        let said = deployment.said(0);
        said.contains("waits for a decision, the other tasks continue: ")
            && said.contains("exchange.trades:0 starts at offset 2 now, but has to be read from offset 0")
            && said.contains("(topic exchange.trades, partition 0, from_offset 0, to_offset 2)")
    });
    assert!(!instance.ended());
    assert_eq!(instance.stop(), Some(1));

    accept_the_loss(&deployment, &archive);
}

/// Records 0 and 1 of a partition are gone. A close waits, until their loss is accepted. An event that names other records changes nothing. `archive` has
/// what the deployment read before.
fn accept_the_loss(deployment: &Deployment<'_>, archive: &Path) {
    let (cluster, place) = (deployment.cluster, &deployment.place);
    let mut instance = deployment.start(0);
    let wrong = loss("wrong", "exchange.trades", 0, 1, 2);
    place.append("softstake.control", 0, [close("A", 2, 100, "5"), wrong]);
    deployment.publish();
    deployment.until("it tells that nothing is skipped", || {
        deployment.said(0).contains("is accepted, but nothing is skipped")
    });
    assert_eq!(deployment.sealed(), 2);
    instance.kill();
    place.append("softstake.control", 0, [loss("right", "exchange.trades", 0, 0, 9)]);
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until_sealed(3);
    let skipped = "the loss of records of exchange.trades:0 is accepted: offsets 0 to 1 are skipped for ever";
    assert!(deployment.said(0).contains(skipped), "{}", deployment.said(0));
    // Its store may still be before what was skipped. What comes next finds the way from there.
    instance.kill();
    let mut instance = deployment.start(0);
    place.append("softstake.control", 0, [close("A", 3, 100, "5")]);
    deployment.publish();
    deployment.until_sealed(4);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    let paid = cluster.read_committed("softstake.distributions");
    assert_eq!(
        paid.iter()
            .filter(|record| record.text().contains(r#""id":"A:2:eve""#))
            .count(),
        1
    );

    // The archive goes on behind what was skipped, and a replay skips it as well.
    let on_kafka = ["--bus", "kafka", "--kafka-brokers", &deployment.bootstrap];
    succeed(softstake().arg("archive").args(on_kafka).arg("--out").arg(archive));
    succeed(softstake().args(["archive", "--check"]).arg(archive));
    let of_archive = format!("dir:{}", archive.display());
    let said = succeed(softstake().args(["reconcile", "--bus", &of_archive]));
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("EQUAL: all 15 records follow from the log"), "{said}");
}

#[test]
fn lost_replies_and_requests_change_nothing() {
    let cluster = Cluster::single();
    let proxy = Proxy::before(&cluster);
    let mut deployment = Deployment::new(&cluster, 4, 2);
    deployment.bootstrap = proxy.bootstrap();
    let spec = Synthetic {
        events: 3_000,
        accounts: 200,
        assets: 2,
        epochs: 2,
        late: 0.05,
        duplicates: 0.05,
        ..Synthetic::default()
    };
    let mut instance = deployment.start(0);
    for stage in 0..spec.epochs {
        // For each request of a transaction: the reply is lost twice, and the request itself once.
        for api in [
            Api::InitProducerId,
            Api::AddPartitionsToTxn,
            Api::Produce,
            Api::AddOffsetsToTxn,
            Api::TxnOffsetCommit,
            Api::EndTxn,
        ] {
            proxy.drop_replies_of(api, 2);
            proxy.drop_requests_of(api, 1);
        }
        // A commit whose reply comes long after the client has looked for its result.
        proxy.plan_for(Api::EndTxn, 1, Fault::DelayReply(Duration::from_secs(5)), |_| true);
        deployment.place.bring(&spec, stage);
        deployment.publish();
        deployment.until_sealed(usize::try_from((stage + 1) * spec.assets).expect("small"));
    }
    for api in [Api::TxnOffsetCommit, Api::EndTxn, Api::Produce] {
        assert!(proxy.struck(api) > 0, "{api:?} was never struck");
    }
    proxy.forget_plans();
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    let published = judge(&deployment.place);
    assert_eq!(published.seals.len(), 4);
}

/// An orchestrator kills a process that takes longer to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn an_instance_stops_within_ten_seconds_whatever_the_brokers_do() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    publish_example(&deployment);
    let assigned = || deployment.said(0).matches("partitions assigned").count();
    let start = || {
        let before = assigned();
        let instance = deployment.start(0);
        deployment.until("it has its partitions", || assigned() > before);
        instance
    };
    let stop = |mut instance: Instance, what: &str| {
        let began = Instant::now();
        instance.signal("TERM");
        assert_eq!(instance.end(STOP_WITHIN), Some(0), "{what}: {}", deployment.said(0));
        println!("{what}: stopped after {:?}", began.elapsed());
    };
    let deposits = |name: &'static str| {
        (0..20_000).map(move |number| {
            deposit(&format!("{name}-{number}"), 1_000, "u-1", "ATOM", "1")
                .to_string()
                .into_bytes()
        })
    };
    let instance = start();
    deployment.until_sealed(2);
    cluster.produce("exchange.deposits", 0, deposits("silent"));
    cluster.pause(0);
    std::thread::sleep(Duration::from_secs(3));
    stop(instance, "brokers that are silent");
    cluster.resume(0);

    let instance = start();
    cluster.produce("exchange.deposits", 0, deposits("gone"));
    cluster.kill(0);
    std::thread::sleep(Duration::from_secs(3));
    stop(instance, "brokers that are gone");

    let instance = deployment.start(0);
    std::thread::sleep(Duration::from_secs(2));
    stop(instance, "brokers that were never there");
    cluster.start(0);
    stop(start(), "brokers that work");
}
