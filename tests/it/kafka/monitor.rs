//! Monitoring of instances that share a deployment.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::events::{close, deposit, listing, pool};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::deployment::monitor::endpoint::{Endpoint, LISTEN};
use crate::deployment::monitor::open_metrics::Scrape;
use crate::judge::judge;

const EPOCH: u32 = 100;
/// A sequencer, a coordinator, an ingest task for each source topic, and an accrue task for each of two ledger partitions.
const TASKS: f64 = 9.0;

fn start(deployment: &Deployment<'_>, instance: usize) -> (Instance, Endpoint) {
    let mut command = deployment.run(instance);
    let process = Instance::start(command.args(LISTEN), deployment.log(instance));
    (process, Endpoint::of_log(|| deployment.said(instance)))
}

/// The number of tasks that work, of one kind or of all.
fn working(metrics: &Scrape, kind: Option<&str>) -> f64 {
    let kinds = ["sequence", "ingest", "coordinate", "accrue"];
    let kinds = kinds.into_iter().filter(|one| kind.is_none_or(|kind| kind == *one));
    let number = |kind| metrics.get("softstake_tasks", &[("task", kind), ("state", "working")]);
    kinds.filter_map(number).sum()
}

#[test]
fn a_takeover_is_seen_on_both_instances() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let place = &deployment.place;
    place.append("softstake.control", 0, [listing("A", 2, EPOCH, &pool())]);
    let deposits = ["1", "2", "3"].map(|id| deposit(id, 0, "ann", "A", "10"));
    place.append("exchange.deposits", 0, deposits);
    deployment.publish();
    let (mut first, one) = start(&deployment, 0);
    deployment.until("all tasks work", || working(&one.metrics(), None) == TASKS);
    assert_eq!(one.json("/readyz").0, 200);
    let (_, status) = one.json("/status");
    assert_eq!(
        (&status["bus"], &status["instance"]),
        (&"kafka".into(), &"instance-0".into())
    );
    let deposits = [("topic", "exchange.deposits"), ("outcome", "applied")];
    deployment.until("the deposits are counted", || {
        one.metric("softstake_source_records_total", &deposits) == Some(3.0)
    });
    // The marker of a transaction of the publisher may count as well.
    let lag = [("topic", "exchange.deposits"), ("partition", "0")];
    deployment.until("the lag is known", || {
        one.metric("softstake_input_lag_records", &lag)
            .is_some_and(|lag| lag <= 1.0)
    });
    assert!(deployment.said(0).contains("this instance has taken over the task"));

    let (mut second, two) = start(&deployment, 1);
    deployment.until("both instances share the tasks", || {
        let (here, there) = (working(&one.metrics(), None), working(&two.metrics(), None));
        here > 0.0 && there > 0.0 && here + there == TASKS
    });
    let coordinators = [&one, &two].map(|endpoint| working(&endpoint.metrics(), Some("coordinate")));
    assert_eq!(coordinators.iter().sum::<f64>(), 1.0);
    assert_eq!(first.stop(), Some(0), "{}", deployment.said(0));
    // The row "a takeover" of the table in docs/operations.md; deployment::alerts has its alert.
    deployment.until("the second instance has all tasks", || {
        let (code, ready) = two.json("/readyz");
        for reason in ready["reasons"].as_array().expect("reasons") {
            let reason = reason.as_str().expect("a sentence");
            let is_on_its_way = reason.contains(" is starting") || reason.contains(" is recovering");
            assert!(code == 503 && is_on_its_way, "{ready}");
        }
        working(&two.metrics(), None) == TASKS
    });
    assert_eq!(two.json("/readyz").0, 200);
    let said = deployment.said(1);
    let taken: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("this instance has taken over the task"))
        .collect();
    for task in [
        "sequence",
        "coordinate",
        "accrue 0",
        "accrue 1",
        "ingest exchange.deposits:0",
    ] {
        let named = |line: &&&str| line.contains("INFO") && line.contains(&format!("task={task}"));
        assert!(taken.iter().any(|line| named(&line)), "{task}\n{taken:?}");
    }
    // What the first instance has published is not counted again by the second.
    assert_eq!(two.metric("softstake_source_records_total", &deposits), Some(0.0));
    place.append("softstake.control", 0, [close("A", 0, EPOCH, "5")]);
    deployment.publish();
    deployment.until("the seal is counted", || {
        two.metric("softstake_seals_total", &[]) == Some(1.0)
    });
    deployment.until("the seal is in the status", || {
        two.json("/status").1["coordinator"]["seals"][0]["epoch"] == 0
    });
    assert_eq!(second.stop(), Some(0), "{}", deployment.said(1));
    deployment.dump();
    judge(place);
}

/// The last offset of a partition is the marker of a transaction, which is no record.
#[test]
fn a_source_that_ends_with_the_marker_of_a_transaction_has_no_lag() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    let place = &deployment.place;
    place.append("softstake.control", 0, [listing("A", 2, EPOCH, &pool())]);
    deployment.publish();
    let (mut instance, endpoint) = start(&deployment, 0);
    deployment.until("all tasks work", || working(&endpoint.metrics(), None) == TASKS);
    let source = [("topic", "exchange.deposits"), ("partition", "0")];
    let lag = || endpoint.metric("softstake_input_lag_records", &source);
    let delay = || endpoint.metric("softstake_event_time_delay_seconds", &source);
    // The offset that is read next, and the end as it was last looked up.
    let place_of = |status: Value| {
        let all = status["partitions"].as_array().cloned().unwrap_or_default();
        let deposits = all.into_iter().find(|one| one["topic"] == source[0].1);
        deposits.map(|one| (one["offset"].as_u64(), one["end"].as_u64()))
    };
    for number in 1..=2_u32 {
        let record = deposit(&number.to_string(), 0, "ann", "A", "10");
        cluster.begin("exchange", "exchange.deposits", 0, [record]).commit();
        // A record and a marker each.
        let end = Some(u64::from(2 * number));
        deployment.until("the marker is passed", || {
            place_of(endpoint.json("/status").1) == Some((end, end))
        });
        let applied = [("topic", "exchange.deposits"), ("outcome", "applied")];
        let records = endpoint.metric("softstake_source_records_total", &applied);
        assert_eq!((records, lag()), (Some(f64::from(number)), Some(0.0)));
        let (before, began) = (delay().expect("an event"), Instant::now());
        // Ends are looked up every 2 s.
        while began.elapsed() < Duration::from_secs(5) {
            assert_eq!(
                (lag(), delay()),
                (Some(0.0), Some(before)),
                "after {:?}",
                began.elapsed()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
}
