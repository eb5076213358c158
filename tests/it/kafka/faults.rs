//! What goes wrong on a real Apache Kafka, one thing at a time: what is said, what goes on meanwhile, and that nothing is lost or doubled by it.

mod common;
#[path = "common/deployment.rs"]
mod deployment;
#[path = "common/kafka/mod.rs"]
mod kafka;
mod model;
#[path = "common/program.rs"]
mod program;
#[path = "common/schemas.rs"]
mod schemas;

use common::{copy, fixture};
use deployment::Deployment;
use kafka::Cluster;
use kafka::acls::{ADMIN, Operation, Resource, SOFTSTAKE, password};
use kafka::proxy::{Api, Fault, Proxy};
use softstake::generate::{Synthetic, write};

/// The worked example on this deployment's topics.
fn with_example(deployment: &Deployment<'_>) {
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
}

#[test]
fn a_right_that_is_missing_is_named_and_once_granted_it_goes_on() {
    let cluster = Cluster::with_acls();
    let deployment = Deployment::between(&cluster, 2, 1, [ADMIN, SOFTSTAKE]);
    with_example(&deployment);
    // As docs/operations.md has it, but for one line.
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
    deployment.until("it says what is missing", || {
        let said = deployment.said(0);
        said.contains("--operation Write --topic softstake.dead-letters")
    });
    assert!(!instance.ended(), "{}", deployment.said(0));
    allow(Resource::Topic("softstake.dead-letters"), &[Operation::Write]);
    deployment.until_sealed(2);
    let said = deployment.said(0);
    assert!(!said.contains(&password(SOFTSTAKE)), "a secret was told");
    assert_eq!(instance.stop(), Some(0), "{said}");
    deployment.dump();
    program::judge(&deployment.place);
}

#[test]
fn a_record_that_is_too_large_for_its_topic_stops_its_task_alone() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    with_example(&deployment);
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    cluster.set_of_topic("softstake.dead-letters", "max.message.bytes", "2000");
    // As a broker counts what is compressed, nothing that can be.
    let large: String = (0..1_000_u64)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let large = format!("bad xxx {large}");
    deployment.place.append("exchange.trades", 0, [&large]);
    deployment.publish();
    deployment.until("it says that the record is too large", || {
        let said = deployment.said(0);
        said.contains("stopped, the others go on: ") && said.contains("a record for softstake.dead-letters")
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
    deployment.until("a bad deposit is refused", || refused(r#""payload":"bad""#));
    assert!(!refused("xxx"));
    assert_eq!(
        instance.stop(),
        Some(1),
        "it says at its end, too, that not all is well"
    );
    cluster.set_of_topic("softstake.dead-letters", "max.message.bytes", "16777216");
    let mut instance = deployment.start(0);
    deployment.until("the large record is refused", || refused("xxx"));
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    program::judge(&deployment.place);
}

#[test]
fn what_retention_deleted_is_never_skipped() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    with_example(&deployment);
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0));
    cluster.delete_before("exchange.deposits", 0, 3);
    // Whoever has read them does not need them.
    let mut instance = deployment.start(0);
    cluster.produce("exchange.deposits", 0, ["bad"]);
    deployment.until("a bad deposit is refused", || {
        let letters = cluster.read_committed("softstake.dead-letters");
        letters
            .iter()
            .any(|letter| letter.text().contains(r#""payload":"bad""#))
    });
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    // Whoever has not, cannot do without.
    std::fs::remove_dir_all(deployment.state(0)).expect("the state");
    let mut instance = deployment.start(0);
    deployment.until("it says what is missing", || {
        let said = deployment.said(0);
        said.contains("stopped, the others go on: ") && said.contains("exchange.deposits:0 starts at offset 3 now")
    });
    assert!(!instance.ended());
    assert_eq!(instance.stop(), Some(1));
}

#[test]
fn replies_that_are_lost_change_nothing() {
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
        // Each request of a transaction once done and not heard of, and once not even done.
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
        // A commit that takes place long after its client has gone on to look for it.
        proxy.plan_for(
            Api::EndTxn,
            1,
            Fault::DelayReply(std::time::Duration::from_secs(5)),
            |_| true,
        );
        write(&deployment.place.bus(), &spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
        deployment.publish();
        deployment.until_sealed(usize::try_from((stage + 1) * spec.assets).expect("small"));
    }
    for api in [Api::TxnOffsetCommit, Api::EndTxn, Api::Produce] {
        assert!(proxy.struck(api) > 0, "{api:?} was never struck");
    }
    proxy.forget_plans();
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    let published = program::judge(&deployment.place);
    assert_eq!(published.seals.len(), 4);
}
