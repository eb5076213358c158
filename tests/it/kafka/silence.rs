//! A broker is silent for longer than its session, and is fenced for a moment when it comes back. Each instance goes on by itself.

use std::time::Duration;

use crate::common::events::{close, deposit, listing, pool};
use crate::common::kafka::proxy::{Api, Proxy};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::setting;
use crate::deployment::monitor::endpoint::{Endpoint, LISTEN};
use crate::judge::judge;

const EPOCH: u32 = 100;
const TOLD: &str = "no broker is connected to ";

/// Starts an instance that asks for metadata so often that several replies wait when a silence ends.
fn start(deployment: &Deployment<'_>, instance: usize) -> (Instance, Endpoint) {
    let mut command = deployment.run(instance);
    command.env("SOFTSTAKE_KAFKA__PROPERTIES__TOPIC_METADATA_REFRESH_INTERVAL_MS", "400");
    let process = Instance::start(command.args(LISTEN), deployment.log(instance));
    (process, Endpoint::of_log(|| deployment.said(instance)))
}

/// Lists an asset and seals its first epoch.
fn begin(deployment: &Deployment<'_>) {
    deployment
        .place
        .append("softstake.control", 0, [listing("A", 2, EPOCH, &pool())]);
    seal_one_more(deployment, 0);
}

/// Publishes a deposit for an epoch and the close of the epoch, and waits for its seal. That takes seconds, on a loaded machine up to a minute. An
/// instance whose clients know no broker would never seal it.
fn seal_one_more(deployment: &Deployment<'_>, epoch: u32) {
    let place = &deployment.place;
    let at = i64::from(epoch * EPOCH) * 1_000;
    for partition in 0..2 {
        let id = format!("{epoch}-{partition}");
        let account = format!("account-{partition}");
        place.append("exchange.deposits", partition, [deposit(&id, at, &account, "A", "10")]);
    }
    place.append("softstake.control", 0, [close("A", epoch, EPOCH, "5")]);
    publish(deployment);
    deployment.until_sealed(usize::try_from(epoch + 1).expect("a small number"));
}

/// Publishes what is not on the topics yet. The broker may still be fenced, and a command that finds no leader ends with an error.
fn publish(deployment: &Deployment<'_>) {
    deployment.until("the records are published", || {
        let mut publish = deployment.softstake(&["publish"]);
        publish.arg("--from").arg(deployment.place.bus());
        publish.output().expect("it starts").status.success()
    });
}

/// Stops the instances, and judges all that they published.
fn end(deployment: &Deployment<'_>, instances: Vec<(Instance, Endpoint)>) {
    for (number, (mut instance, _)) in instances.into_iter().enumerate() {
        assert_eq!(instance.stop(), Some(0), "{}", deployment.said(number));
    }
    deployment.dump();
    judge(&deployment.place);
}

fn rounds() -> u32 {
    u32::try_from(setting("TEST_SILENCES", 3)).expect("a small number")
}

/// The replies that a fenced broker gives make librdkafka forget all brokers of some clients.
#[test]
fn clients_whose_brokers_are_forgotten_connect_again() {
    let cluster = Cluster::single();
    let proxy = Proxy::before(&cluster);
    let mut deployment = Deployment::new(&cluster, 2, 2);
    deployment.bootstrap = proxy.bootstrap();
    let instances: Vec<_> = (0..2).map(|instance| start(&deployment, instance)).collect();
    begin(&deployment);
    for round in 1..=rounds() {
        let struck = proxy.struck(Api::Metadata);
        proxy.hide_brokers();
        proxy.hold_replies(0, true);
        std::thread::sleep(Duration::from_secs(2));
        proxy.hold_replies(0, false);
        std::thread::sleep(Duration::from_millis(500));
        proxy.forget_plans();
        assert!(proxy.struck(Api::Metadata) > struck, "no reply was without brokers");
        seal_one_more(&deployment, round);
    }
    let said = [0, 1].map(|instance| deployment.said(instance)).concat();
    assert!(said.contains(TOLD), "no client has lost its brokers: {said}");
    end(&deployment, instances);
}

#[test]
fn a_broker_that_was_silent_for_longer_than_its_session_stops_no_instance() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 2);
    let instances: Vec<_> = (0..2).map(|instance| start(&deployment, instance)).collect();
    begin(&deployment);
    for round in 1..=rounds() {
        cluster.pause(0);
        std::thread::sleep(Duration::from_secs(4));
        cluster.resume(0);
        seal_one_more(&deployment, round);
    }
    end(&deployment, instances);
}

/// Lines of librdkafka's log wait in one queue with the records. After an outage there may be hundreds.
#[test]
fn records_behind_many_lines_of_the_log_are_read() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 2);
    let mut command = deployment.run(0);
    command.env("SOFTSTAKE_KAFKA__PROPERTIES__DEBUG", "all");
    let process = Instance::start(command.args(LISTEN), deployment.log(0));
    let endpoint = Endpoint::of_log(|| deployment.said(0));
    begin(&deployment);
    seal_one_more(&deployment, 1);
    end(&deployment, vec![(process, endpoint)]);
}

/// An instance that has lost its partitions says that it is because of the brokers, and the age of its lags grows.
#[test]
fn an_instance_without_partitions_says_that_no_broker_answers() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 2);
    let instance = start(&deployment, 0);
    begin(&deployment);
    cluster.pause(0);
    let endpoint = &instance.1;
    deployment.until("it says that no broker answers", || {
        let (status, ready) = endpoint.json("/readyz");
        let why = "no partition is assigned to this instance, and no broker has answered it for ";
        let reasons = ready["reasons"].as_array().expect("reasons");
        status == 503
            && reasons
                .iter()
                .any(|reason| reason.as_str().expect("a sentence").starts_with(why))
    });
    let age = || endpoint.metric("softstake_lag_age_seconds", &[]);
    assert!(age().is_some_and(|age| age > 10.0), "{:?}", age());
    cluster.resume(0);
    deployment.until("it works again", || endpoint.json("/readyz").0 == 200);
    deployment.until("its lags are new", || age().is_some_and(|age| age < 5.0));
    end(&deployment, vec![instance]);
}
