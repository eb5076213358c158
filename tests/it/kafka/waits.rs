//! Commands that only read: they tell what they wait for, and give up after `--timeout` without progress.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::common::events::{listing, pool};
use crate::common::kafka::proxy::{Api, Fault, Proxy};
use crate::common::kafka::{Cluster, Deployment};
use crate::common::{copy, fixture, softstake, succeed};

/// Nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// A command gives up within this time after its `--timeout`, on a machine that is busy with other tests.
const WITHIN: Duration = Duration::from_secs(40);

/// Each command that only reads a bus, without the flags for the bus.
fn commands(folder: &Path) -> Vec<Vec<String>> {
    let file = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    };
    let acks = file("acks.jsonl", "");
    let balances = file(
        "balances.csv",
        "account,asset,balance,time\nann,A,1,2026-11-01T00:00:00Z\n",
    );
    let programme = file(
        "programme.json",
        r#"{"asset":"ATOM","decimals":6,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,
            "programme":{"from_epoch":0,"mode":"apr","apr":"0.04"}}"#,
    );
    let archive = folder.join("archive").display().to_string();
    [
        "query distributions ann",
        "query epochs ATOM",
        "reconcile",
        &format!("reconcile payouts --acks {acks}"),
        &format!("reconcile balances --against {balances}"),
        "explain ATOM 0 ann",
        "prove ATOM 0 ann",
        "statement",
        &format!("archive --out {archive}"),
        &format!("what-if --programme {programme}"),
    ]
    .iter()
    .map(|line| line.split(' ').map(str::to_owned).collect())
    .collect()
}

fn on_kafka(arguments: &[String], brokers: &str, timeout: &str) -> Command {
    let mut command = softstake();
    command.args(arguments);
    command.args(["--bus", "kafka", "--kafka-brokers", brokers, "--timeout", timeout]);
    command
}

/// Runs all commands at once. Each must give up with status 1 and these words.
fn give_up(brokers: &str, told: &[&str]) {
    let folder = tempdir().expect("a folder");
    let commands = commands(folder.path());
    let run = |arguments: &[String]| -> (Duration, Output) {
        let began = Instant::now();
        let output = on_kafka(arguments, brokers, "4").output().expect("the program starts");
        (began.elapsed(), output)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|arguments| (arguments, scope.spawn(|| run(arguments))))
            .collect();
        for (arguments, running) in running {
            let (took, output) = running.join().expect("an output");
            let said = String::from_utf8_lossy(&output.stderr);
            println!("{arguments:?}, {took:?}: {said}");
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(took < WITHIN, "{arguments:?} took {took:?}: {said}");
            for told in told {
                assert!(said.contains(told), "{arguments:?}: no {told:?} in {said}");
            }
        }
    });
}

#[test]
fn commands_that_only_read_give_up_on_brokers_that_are_not_there() {
    give_up(
        NOWHERE,
        &[
            "WARN cannot connect to the brokers at 127.0.0.1:1 for ",
            "127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused",
            "s without progress: cannot connect to the brokers at 127.0.0.1:1: ",
        ],
    );
}

#[test]
fn commands_that_only_read_give_up_on_records_that_do_not_come_and_wait_for_those_that_do() {
    let cluster = Cluster::single();
    let proxy = Proxy::before(&cluster);
    let deployment = Deployment::new(&cluster, 2, 1);
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));

    proxy.delay_replies_of(Api::Fetch, 100_000, Duration::from_secs(300));
    give_up(
        &proxy.bootstrap(),
        &[
            "WARN cannot read softstake.",
            "s without progress: cannot read softstake.",
            "from offset 0 to ",
            "no record arrives",
        ],
    );

    proxy.forget_plans();
    proxy.delay_replies_of(Api::Fetch, 1, Duration::from_secs(6));
    let reconcile = ["reconcile".to_owned()];
    let output = succeed(&mut on_kafka(&reconcile, &proxy.bootstrap(), "30"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no record arrives; trying again"), "{said}");
    // A lost connection in the middle changes nothing.
    proxy.plan_for(Api::Fetch, 3, Fault::DropReply, |_| true);
    succeed(&mut on_kafka(&reconcile, &proxy.bootstrap(), "0"));
}

#[test]
fn a_topic_of_executions_is_waited_for_like_the_other_topics() {
    let cluster = Cluster::single();
    let proxy = Proxy::before(&cluster);
    let deployment = Deployment::new(&cluster, 2, 1);
    deployment
        .place
        .append("softstake.control", 0, [listing("A", 2, 100, &pool())]);
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until("A is listed", || deployment.said(0).contains("an asset is listed"));
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    let topic = "payout.executions";
    cluster.create_topic(topic, 2, &[]);
    cluster.produce(topic, 1, ["nonsense"]);

    let of_topic = |request: &[u8]| request.windows(topic.len()).any(|part| part == topic.as_bytes());
    let run = |timeout: &str, delay: Duration, times: usize| {
        proxy.plan_for(Api::ListOffsets, times, Fault::DelayReply(delay), of_topic);
        let began = Instant::now();
        let reconcile = ["reconcile", "payouts"].map(str::to_owned);
        let output = on_kafka(&reconcile, &proxy.bootstrap(), timeout).output();
        let output = output.expect("the program starts");
        proxy.forget_plans();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        (began.elapsed(), said)
    };
    let (took, said) = run("4", Duration::from_secs(300), 100_000);
    assert!(took < WITHIN, "{took:?}: {said}");
    let told = "s without progress: cannot read topic payout.executions: ";
    assert!(said.contains(told), "{said}");
    // An answer that takes longer than one look-up is waited for.
    let (_, said) = run("30", Duration::from_secs(12), 1);
    assert!(said.contains("cannot read topic payout.executions for "), "{said}");
    assert!(said.contains("NOT RIGHT: 1 malformed"), "{said}");
}
