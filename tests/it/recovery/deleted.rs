//! Records that retention deleted before they were read: what was gone when a partition was announced is recorded, and
//! what is deleted later is never skipped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use softstake::audit::point_in_time::{OUTPUT_TOPICS, PointInTime};
use softstake::audit::replay::run::{ReplayPlan, ReplayResources, replay};
use softstake::audit::replay::schedule::{EpochFilter, Schedule};
use softstake::bus::memory::MemoryBus;
use softstake::bus::{Log, Mark, Topic, TopicPartition};
use softstake::core::values::offset::Offset;
use softstake::task::stats::Stats;

use crate::common::Place;
use crate::common::events::{close, deposit, listing, loss, pool};
use crate::common::in_memory::{InMemory, Shape};
use crate::judge::DEDUP_DAYS;

const DEPOSITS: TopicPartition = Topic::Deposits.partition(0);
const CONTROL: TopicPartition = Topic::Control.partition(0);

fn deployment() -> InMemory {
    let shape = Shape {
        partitions: 2,
        threads: 2,
        step_bytes: 1 << 20,
    };
    InMemory::new(shape, DEDUP_DAYS)
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
    compare_with_replay_of(deployment.bus(), deployment);
}

/// The same with a bus that has the topics of the deployment.
fn compare_with_replay_of(bus: &MemoryBus, deployment: &InMemory) {
    let origin: Arc<dyn Log> = Arc::new(bus.clone());
    let point = PointInTime::read(origin.as_ref()).expect("its state");
    let schedule = Arc::new(Schedule::new(&point, EpochFilter::default()).expect("a schedule"));
    let place = Place::new();
    let work = place.bus();
    let replayed = replay(
        ReplayPlan {
            origin,
            schedule,
            dedup_days: DEDUP_DAYS,
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
            && said.contains("begin a new deployment")
            && said.contains("(topic exchange.deposits, partition 0, from_offset 0, to_offset 2)"),
        "{said}"
    );
    assert_eq!(deployment.records(Topic::Epochs).len(), 0);
    // Nor does an event help that names only a part of what comes next.
    deployment.append(CONTROL, &loss("other", "exchange.deposits", 0, 1, 2));
    assert!(error(&deployment).contains("has to be read from offset 0"));
    assert_eq!(losses(&deployment), [(0, 0)]);
    deployment.append(CONTROL, &loss("part", "exchange.deposits", 0, 0, 1));
    assert!(error(&deployment).contains("has to be read from offset 1"));
    assert_eq!(losses(&deployment), [(0, 0), (0, 1)]);
    assert_eq!(deployment.records(Topic::Epochs).len(), 0);
}

/// The offsets that each accepted loss skipped.
fn losses(deployment: &InMemory) -> Vec<(u64, u64)> {
    let decisions = deployment.records(Topic::Decisions).into_iter();
    decisions
        .map(|mut record| record["data"].take())
        .filter(|data| data["decision"] == "loss_accepted")
        .map(|data| {
            let offset = |name: &str| data[name].as_u64().expect("an offset");
            (offset("skipped_from"), offset("skipped_to"))
        })
        .collect()
}

/// A deployment that lost records 3 to 6 of a source partition before it read them, and accepted that. The cut of epoch 0 lies among them. The bus
/// beside it has the same input, but all records.
fn with_an_accepted_loss() -> (InMemory, MemoryBus) {
    let (deployment, whole) = (deployment(), MemoryBus::new());
    let append = |to, line: &str| {
        deployment.append(to, line);
        whole.append(to, line.as_bytes());
    };
    let deposits = |ids: std::ops::Range<u32>, ms| {
        for id in ids {
            append(DEPOSITS, &deposit(&id.to_string(), ms, &format!("u-{id}"), "A", "1"));
        }
    };
    append(CONTROL, &listing("A", 2, 100, &pool()));
    deposits(0..3, 0);
    deployment.run();
    deposits(3..5, 0);
    delete(&deployment, DEPOSITS, 5);
    append(CONTROL, &close("A", 0, 100, "5"));
    assert!(error(&deployment).contains("(topic exchange.deposits, partition 0, from_offset 3, to_offset 5)"));
    deposits(5..9, 100_000);
    delete(&deployment, DEPOSITS, 7);
    assert!(error(&deployment).contains("(topic exchange.deposits, partition 0, from_offset 3, to_offset 7)"));
    assert_eq!(deployment.records(Topic::Epochs).len(), 0);
    append(CONTROL, &loss("loss", "exchange.deposits", 0, 0, 20));
    deployment.run();
    append(CONTROL, &close("A", 1, 100, "5"));
    deployment.run();
    (deployment, whole)
}

#[test]
fn a_loss_is_skipped_after_a_control_event_and_a_replay_skips_the_same() {
    let (mut deployment, whole) = with_an_accepted_loss();
    assert_eq!(losses(&deployment), [(3, 7)]);
    let seals = deployment.records(Topic::Epochs);
    assert_eq!(seals[0]["data"]["cut"], json!({"exchange.deposits": {"0": 5}}));
    let paid = deployment.records(Topic::Distributions).into_iter();
    let mut paid: Vec<_> = paid.map(|record| record["id"].to_string()).collect();
    paid.sort();
    let wanted = ["0:u-0", "0:u-1", "0:u-2", "1:u-0", "1:u-1", "1:u-2", "1:u-7", "1:u-8"];
    assert_eq!(paid, wanted.map(|id| format!("\"A:{id}\"")));

    // What was deleted is on the other bus, and a replay of it passes over the same records.
    for topic in [Topic::Decisions].into_iter().chain(OUTPUT_TOPICS) {
        for (number, lines) in deployment.lines(topic) {
            for line in lines {
                whole.append(topic.partition(number), &line);
            }
        }
    }
    compare_with_replay_of(&whole, &deployment);

    // What was read before the loss cannot be read again, so a lost store is not rebuilt.
    deployment.lose_stores();
    let said = error(&deployment);
    assert!(said.contains("restore a state directory that has read them"), "{said}");
}
