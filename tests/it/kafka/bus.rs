//! A deployment on Kafka publishes what the model says and what the same input makes on a directory bus.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use softstake::generate::Synthetic;

use crate::common::kafka::deployment::payouts;
use crate::common::kafka::records::Record;
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::records::{by_id, text};
use crate::common::{OUTPUTS, Place, copy, fail, fixture, json_lines, setting, softstake};
use crate::judge::judge;

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read(path).expect("a file");
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// The event of a line as a record in binary mode.
fn binary(line: &[u8]) -> Record {
    let event: Value = serde_json::from_slice(line).expect("an event");
    let mut record = Record::new(event["data"].to_string()).header("content-type", "application/json");
    for (name, value) in event.as_object().expect("an object") {
        if name != "data" {
            // Spring writes a hyphen.
            let prefix = if matches!(name.as_str(), "id" | "type") {
                "ce-"
            } else {
                "ce_"
            };
            record = record.header(&format!("{prefix}{name}"), value.as_str().expect("a text"));
        }
    }
    record
}

/// Publishes the worked example, partly in binary mode and partly in transactions.
fn produce_example(deployment: &Deployment<'_>) {
    let cluster = deployment.cluster;
    copy(&fixture("example/bus"), &deployment.place.bus());
    let file = |topic: &str| deployment.place.bus().join(topic).join("0.jsonl");
    let control = lines(&file("softstake.control"));
    let (listing, closes) = control.split_at(1);
    cluster.produce("softstake.control", 0, listing.iter().map(|line| binary(line)));
    // Some sources are in binary mode, some in transactions. Transaction markers are offsets without records, and a cut
    // may be before one.
    cluster.produce("exchange.deposits", 0, lines(&file("exchange.deposits")));
    cluster.produce(
        "exchange.withdrawals",
        0,
        lines(&file("exchange.withdrawals")).iter().map(|line| binary(line)),
    );
    let trades = cluster.begin("exchange", "exchange.trades", 0, lines(&file("exchange.trades")));
    trades.commit();
    let never = cluster.begin("exchange", "exchange.trades", 0, ["{\"never\":1}"]);
    never.abort();
    for topic in ["exchange.accounts", "exchange.transfers"] {
        cluster.produce(topic, 0, lines(&file(topic)).iter().map(|line| binary(line)));
    }
    let close = cluster.begin("treasury", "softstake.control", 0, closes.to_vec());
    close.commit();
}

#[test]
fn the_worked_example_in_both_content_modes_and_in_transactions() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 1);
    produce_example(&deployment);
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    // The last epoch of the example is not on this bus.
    let is_here = |record: &Value| record["data"]["epoch"].as_u64() < Some(2);
    let expected = json_lines(&fixture("example/expected/distributions.jsonl"));
    assert_eq!(
        by_id(deployment.place.records("softstake.distributions")),
        by_id(expected.into_iter().filter(is_here).collect())
    );
    let without_cut = |mut seal: Value| {
        seal["data"]["cut"] = Value::Null;
        seal
    };
    let seals: Vec<Value> = json_lines(&fixture("example/expected/epochs.jsonl"))
        .into_iter()
        .filter(is_here)
        .map(without_cut)
        .collect();
    let published: Vec<Value> = deployment
        .place
        .records("softstake.epochs")
        .into_iter()
        .map(without_cut)
        .collect();
    assert_eq!(by_id(published), by_id(seals));
    let letters: Vec<String> = deployment
        .place
        .records("softstake.dead-letters")
        .iter()
        .map(|letter| letter["data"]["code"].as_str().expect("a code").to_owned())
        .collect();
    let expected = std::fs::read_to_string(fixture("example/expected/dead-letters.txt")).expect("a fixture");
    let mut expected: Vec<&str> = expected.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    let mut letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    letters.sort_unstable();
    expected.sort_unstable();
    assert_eq!(letters, expected);
    // The key of a distribution is its account, that of a seal its asset.
    for record in cluster.read_committed("softstake.distributions") {
        let value: Value = serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        assert_eq!(
            record.key.as_deref(),
            value["data"]["account"].as_str().map(str::as_bytes)
        );
    }
    for record in cluster.read_committed("softstake.epochs") {
        assert_eq!(record.key.as_deref(), Some(&b"ATOM"[..]));
    }
    // A stranger's library reads all that is published.
    for topic in OUTPUTS {
        let id_and_type = |event: &Value| (text(&event["id"]).to_owned(), text(&event["type"]).to_owned());
        let mut expected: Vec<_> = deployment.place.records(topic).iter().map(id_and_type).collect();
        let mut read = cluster.java_sdk(topic);
        expected.sort_unstable();
        read.sort_unstable();
        assert_eq!(read, expected, "{topic}");
    }
}

#[test]
fn payouts_are_those_of_a_directory_bus_on_any_number_of_partitions_and_instances() {
    let spec = Synthetic {
        events: setting("TEST_KAFKA_EVENTS", 20_000),
        accounts: 800,
        assets: 3,
        partitions: 2,
        epochs: 4,
        seed: 11,
        duplicates: 0.03,
        late: 0.03,
        bad: 0.03,
        ..Synthetic::default()
    };
    let seals = 12;
    let directory = Place::new();
    directory.bring_all(&spec);
    let bare = Place::new();
    copy(&directory.bus(), &bare.bus());
    directory.run(Some(8));
    let expected = payouts(&directory);
    assert_eq!(expected.1.len(), seals);
    for (ledger, instances) in [(1, 1), (16, 3)] {
        let cluster = Cluster::single();
        let deployment = Deployment::new(&cluster, ledger, 2);
        copy(&bare.bus(), &deployment.place.bus());
        deployment.publish();
        let mut running: Vec<_> = (0..instances).map(|number| deployment.start(number)).collect();
        deployment.until_sealed(seals);
        for (number, instance) in running.iter_mut().enumerate() {
            assert_eq!(instance.stop(), Some(0), "{}", deployment.said(number));
        }
        // Read by Kafka's own consumer, not by the client library of the program.
        deployment.dump_with(|topic| cluster.console_consumer(topic));
        assert_eq!(
            payouts(&deployment.place),
            expected,
            "{ledger} ledger partitions, {instances} instances"
        );
        judge(&deployment.place);
    }
}

#[test]
fn a_restarted_instance_goes_on_and_publishes_nothing_twice() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 1);
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    instance.kill();
    deployment.dump();
    let outcome = deployment.place.outcome();
    // With its state, without it, and with an older state.
    let older = deployment.place.state().join("older");
    copy(&deployment.state(0), &older);
    for life in 0..3 {
        match life {
            0 => {}
            1 => std::fs::remove_dir_all(deployment.state(0)).expect("the state goes"),
            _ => {
                std::fs::remove_dir_all(deployment.state(0)).expect("the state goes");
                copy(&older, &deployment.state(0));
            }
        }
        let mut instance = deployment.start(0);
        // One more bad record shows that it works.
        cluster.produce("exchange.deposits", 0, [format!("bad {life}")]);
        deployment.until("the bad record is rejected", || {
            let letters = cluster.read_committed("softstake.dead-letters");
            letters
                .iter()
                .any(|letter| letter.text().contains(&format!("bad {life}")))
        });
        instance.kill();
    }
    deployment.dump();
    for (topic, lines) in deployment.place.outcome() {
        let before = outcome
            .iter()
            .find(|(name, _)| *name == topic)
            .expect("the topic")
            .1
            .len();
        let more = if topic == "softstake.dead-letters" { 3 } else { 0 };
        assert_eq!(lines.len(), before + more, "{topic}");
    }
}

#[test]
fn errors_in_topics_and_settings_say_what_to_do() {
    let cluster = Cluster::single();
    let place = Place::new();
    let run = |extra: &[&str]| {
        let mut command = softstake();
        command.args([
            "run",
            "--bus",
            "kafka",
            "--kafka-brokers",
            &cluster.bootstrap(),
            "--state",
        ]);
        command.arg(place.state()).args(extra);
        command
    };
    let said = fail(&mut run(&[]), 1);
    assert!(
        said.contains("softstake.control") && said.contains("softstake topics --create"),
        "{said}"
    );
    let mut command = run(&[]);
    command.env("SOFTSTAKE_KAFKA__PROPERTIES__SASL_PASWORD", "hush");
    let said = fail(&mut command, 2);
    assert!(
        said.contains("sasl.pasword") && said.contains("did you mean `sasl.password`?") && !said.contains("hush"),
        "{said}"
    );
    let mut command = run(&[]);
    command.env("SOFTSTAKE_KAFKA__PROPERTIES__ACKS", "1");
    let said = fail(&mut command, 2);
    assert!(said.contains("acks") && said.contains("exactly once"), "{said}");

    // Topics that exist with wrong settings.
    cluster.create_topic("softstake.decisions", 2, &[("retention.ms", "1000")]);
    let mut topics = softstake();
    topics.args([
        "topics",
        "--create",
        "--kafka-brokers",
        &cluster.bootstrap(),
        "--partitions",
        "4",
    ]);
    let output = topics.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for what in [
        "it has 2 partitions and must have 1",
        "retention.ms is 1000",
        "kafka-configs.sh --alter --topic softstake.decisions",
    ] {
        assert!(said.contains(what), "{what}: {said}");
    }

    // Another number of ledger partitions than the topic has.
    cluster.delete_topic("softstake.decisions");
    let output = topics.output().expect("the program runs");
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let said = fail(&mut run(&["--partitions", "8"]), 2);
    assert!(said.contains("partitions is 8") && said.contains('4'), "{said}");
}

#[test]
fn a_second_process_under_the_same_name_replaces_the_first() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    let mut first = deployment.start(0);
    deployment.until_sealed(2);
    // The same instance name with another state directory.
    let mut command = {
        let mut command = softstake();
        command.args(["run", "--bus", "kafka", "--kafka-brokers", &deployment.bootstrap]);
        command
            .args(["--kafka-instance", "instance-0", "--state"])
            .arg(deployment.state(9));
        command.env("SOFTSTAKE_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "3000");
        command
    };
    let mut second = Instance::start(&mut command, deployment.log(1));
    assert_eq!(first.end(Duration::from_secs(60)), Some(1), "{}", deployment.said(0));
    assert!(
        deployment.said(0).contains("give each instance its own"),
        "{}",
        deployment.said(0)
    );
    assert!(!second.ended(), "{}", deployment.said(1));
    assert_eq!(second.stop(), Some(0), "{}", deployment.said(1));
}

#[test]
fn a_source_topic_that_was_recreated_stops_only_its_own_task() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    copy(&fixture("example/bus"), &deployment.place.bus());
    deployment.publish();
    let mut instance = deployment.start(0);
    deployment.until_sealed(2);
    assert_eq!(instance.stop(), Some(0));
    // Deleted and created again, with more records than were read before.
    cluster.delete_topic("exchange.trades");
    cluster.create_topic("exchange.trades", 1, &[]);
    cluster.produce("exchange.trades", 0, (0..50).map(|number| format!("another {number}")));
    let mut instance = deployment.start(0);
    deployment.until("it reports the error", || {
        deployment.said(0).contains("stopped, the other tasks continue")
    });
    let said = deployment.said(0);
    assert!(said.contains("ingest exchange.trades:0"), "{said}");
    // The other sources go on.
    cluster.produce("exchange.deposits", 0, ["bad"]);
    deployment.until("a bad deposit is rejected", || {
        let letters = cluster.read_committed("softstake.dead-letters");
        letters
            .iter()
            .any(|letter| letter.text().contains("exchange.deposits:0:8"))
    });
    let letters = cluster.read_committed("softstake.dead-letters");
    assert!(
        !letters.iter().any(|letter| letter.text().contains("another")),
        "nothing of the new topic was read"
    );
    assert_eq!(instance.stop(), Some(1), "the exit status must tell the error as well");
}

#[test]
fn an_instance_waits_for_brokers_that_are_down() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 1);
    copy(&fixture("example/bus"), &deployment.place.bus());
    let mut instance = deployment.start(0);
    cluster.kill(0);
    std::thread::sleep(Duration::from_secs(4));
    assert!(!instance.ended(), "{}", deployment.said(0));
    cluster.start(0);
    deployment.publish();
    let began = Instant::now();
    deployment.until_sealed(2);
    println!("sealed {:?} after the records were there", began.elapsed());
    assert_eq!(instance.stop(), Some(0), "{}", deployment.said(0));
    deployment.dump();
    judge(&deployment.place);
}
