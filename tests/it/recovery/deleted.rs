//! Records that retention deleted before they were read: what was gone when a partition was announced is recorded, and
//! what is deleted later is never skipped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use softstake::audit::point_in_time::{OUTPUT_TOPICS, PointInTime};
use softstake::audit::replay::run::{ReplayPlan, ReplayResources, replay};
use softstake::audit::replay::schedule::{EpochFilter, Schedule};
use softstake::bus::{Log, Mark, Topic, TopicPartition};
use softstake::core::values::offset::Offset;
use softstake::task::stats::Stats;

use crate::common::Place;
use crate::common::events::{close, deposit, listing, pool};
use crate::common::in_memory::{InMemory, Shape};
use crate::judge::DEDUP_EPOCHS;

const DEPOSITS: TopicPartition = Topic::Deposits.partition(0);
const CONTROL: TopicPartition = Topic::Control.partition(0);

fn deployment() -> InMemory {
    let shape = Shape {
        partitions: 2,
        threads: 2,
        step_bytes: 1 << 20,
    };
    InMemory::new(shape, DEDUP_EPOCHS)
}

/// Deletes the first `before` records, which must have been appended.
fn delete(deployment: &InMemory, partition: TopicPartition, before: u64) {
    let end = deployment.bus().readable_end(partition).expect("its end");
    assert!(end >= Offset::new(before));
    deployment.bus().delete_before(partition, Offset::new(before));
}

fn announced(deployment: &InMemory) -> Vec<Value> {
    let decisions = deployment.records(Topic::Decisions).into_iter();
    decisions
        .map(|mut record| record["data"].take())
        .filter(|data| data["decision"] == "sources_added")
        .collect()
}

/// Replays the deployment, and compares every published record.
fn compare_with_replay(deployment: &InMemory) {
    let origin: Arc<dyn Log> = Arc::new(deployment.bus().clone());
    let point = PointInTime::read(origin.as_ref()).expect("its state");
    let schedule = Arc::new(Schedule::new(&point, EpochFilter::default()).expect("a schedule"));
    let place = Place::new();
    let work = place.bus();
    let replayed = replay(
        ReplayPlan {
            origin,
            schedule,
            dedup_epochs: DEDUP_EPOCHS,
            work: &work,
            resources: ReplayResources {
                partitions: 4,
                threads: 2,
                cache_bytes: 1 << 20,
            },
            rewrite: None,
            observer: None,
            keep_outputs: true,
        },
        &Arc::new(Stats::default()),
        &AtomicBool::new(false),
    )
    .expect("a replay");
    assert_eq!(replayed.deviation, None);
    for topic in OUTPUT_TOPICS {
        let mut lines = Vec::new();
        let again = replayed.bus.scratch();
        for number in again.partitions(topic).expect("partitions") {
            let mut reader = again.open(topic.partition(number), &Mark::default()).expect("a reader");
            let batch = reader.read(usize::MAX, Offset::NO_LIMIT).expect("records");
            lines.extend(batch.iter().map(|record| record.value.to_vec()));
        }
        let mut published: Vec<_> = deployment
            .lines(topic)
            .into_iter()
            .flat_map(|(_, lines)| lines)
            .collect();
        lines.sort();
        published.sort();
        assert_eq!(lines, published, "{topic}");
    }
}

/// What a run says that must not end well.
fn error(deployment: &InMemory) -> String {
    deployment.try_run().expect_err("an error").to_string()
}

#[test]
fn records_deleted_before_a_deployment_began_are_recorded_and_a_replay_is_the_same() {
    let mut deployment = deployment();
    deployment.append(CONTROL, &listing("A", 2, 100, &pool()));
    for (id, account) in [("1", "ann"), ("2", "bob"), ("3", "cyd")] {
        deployment.append(DEPOSITS, &deposit(id, 0, account, "A", "1"));
    }
    deployment.append(DEPOSITS, "bad");
    delete(&deployment, DEPOSITS, 2);
    deployment.run();
    deployment.append(CONTROL, &close("A", 0, 100, "5"));
    deployment.run();

    let first = json!({"decision": "sources_added", "sources": ["exchange.deposits:0"],
        "starts": {"exchange.deposits": {"0": 2}}});
    assert_eq!(announced(&deployment), [first]);
    let distributions = deployment.records(Topic::Distributions);
    let paid: Vec<_> = distributions.iter().map(|record| &record["data"]["account"]).collect();
    assert_eq!(paid, ["cyd"]);
    assert_eq!(deployment.records(Topic::DeadLetters)[0]["id"], "exchange.deposits:0:3");
    compare_with_replay(&deployment);

    // Without its stores it reads the partition again, from where it began.
    deployment.lose_stores();
    deployment.append(CONTROL, &close("A", 1, 100, "5"));
    deployment.run();
    assert_eq!(deployment.records(Topic::Epochs).len(), 2);
    compare_with_replay(&deployment);
    deployment.lose_stores();
    delete(&deployment, DEPOSITS, 3);
    let said = error(&deployment);
    assert!(
        said.contains("exchange.deposits:0 starts at offset 3 now, but has to be read from offset 2")
            && said.contains("restore a state directory that has read them"),
        "{said}"
    );
}

#[test]
fn records_deleted_after_their_partition_was_announced_are_never_skipped() {
    let deployment = deployment();
    deployment.append(CONTROL, &listing("A", 2, 100, &pool()));
    deployment.bus().create(DEPOSITS);
    deployment.run();
    assert_eq!(
        announced(&deployment),
        [json!({"decision": "sources_added", "sources": ["exchange.deposits:0"]})]
    );
    for id in ["1", "2", "3"] {
        deployment.append(DEPOSITS, &deposit(id, 0, "ann", "A", "1"));
    }
    delete(&deployment, DEPOSITS, 2);
    deployment.append(CONTROL, &close("A", 0, 100, "5"));
    let said = error(&deployment);
    assert!(
        said.contains("exchange.deposits:0 starts at offset 2 now, but has to be read from offset 0")
            && said.contains("before this deployment read them")
            && said.contains("begin a new deployment"),
        "{said}"
    );
    assert_eq!(deployment.records(Topic::Epochs).len(), 0);
}

#[test]
fn a_control_topic_that_begins_late_is_recorded_too() {
    let deployment = deployment();
    deployment.append(CONTROL, &listing("A", 2, 100, &pool()));
    deployment.append(CONTROL, &listing("B", 2, 100, &pool()));
    delete(&deployment, CONTROL, 1);
    deployment.run();
    assert_eq!(
        announced(&deployment),
        [json!({"decision": "sources_added", "sources": [], "starts": {"softstake.control": {"0": 1}}})]
    );
    deployment.append(DEPOSITS, &deposit("1", 0, "ann", "B", "1"));
    deployment.append(CONTROL, &close("B", 0, 100, "5"));
    deployment.run();
    assert_eq!(deployment.records(Topic::Epochs).len(), 1);
    compare_with_replay(&deployment);

    deployment.append(CONTROL, &close("B", 1, 100, "5"));
    deployment.append(CONTROL, &close("B", 2, 100, "5"));
    delete(&deployment, CONTROL, 4);
    let said = error(&deployment);
    assert!(
        said.contains("softstake.control:0 starts at offset 4 now, but has to be read from offset 3"),
        "{said}"
    );
}
