//! What no consumer pays: wrong seals, second records, and records that Softstake does not write. And what `reconcile payouts` finds on the topic
//! of executions.

use serde_json::{Value, json};
use softstake::generate::Synthetic;

use super::consumer::{Consumer, Program};
use super::database::Database;
use super::epoch::{Epoch, due, plain};
use super::settled::{Settled, reconcile};
use super::{DISTRIBUTIONS, EPOCHS, create_topics};
use crate::common::Dice;
use crate::common::fail;
use crate::common::kafka::Cluster;

/// A database for each of the three programs.
fn databases(cluster: &Cluster) -> [Database; 3] {
    Program::ALL.map(|program| Database::sqlite().of(program).with_topic(cluster))
}

fn changed(record: &str, pointer: &str, value: Value) -> String {
    let mut record: Value = serde_json::from_str(record).expect("JSON");
    *record.pointer_mut(pointer).expect("a field") = value;
    record.to_string()
}

#[test]
fn an_epoch_that_differs_from_its_seal_is_held_by_all_three() {
    let cluster = Cluster::single();
    create_topics(&cluster);
    let mut dice = Dice::new(4);
    let epochs: Vec<Epoch> = (0..10)
        .map(|number| Epoch::random("ATOM", number, 40, &mut dice))
        .collect();
    // The changes of what is published for the first epochs. The last two are right.
    let mut reasons = vec![
        "there are 39 distributions, the seal says 40",
        "they add up to ",
        "their Merkle root is ",
        "was first published with ",
        "a second seal says 41 distributions",
        "is paid in USDT, the seal says ATOM",
        "is paid in ATOM, the seal says USDT",
        "ATOM was first published with ",
    ];
    for (number, epoch) in epochs.iter().enumerate() {
        let (mut distributions, mut seals) = (epoch.distributions(), vec![epoch.seal()]);
        match number {
            0 => _ = distributions.pop(),
            1 => seals[0] = changed(&seals[0], "/data/distributed", "1".into()),
            2 => seals[0] = changed(&seals[0], "/data/root", "0".repeat(64).into()),
            3 => distributions.push(changed(
                &distributions[5],
                "/data/amount",
                "0.000000000000000007".into(),
            )),
            4 => seals.push(changed(&seals[0], "/data/distributions", 41.into())),
            // The root covers no reward asset, so nothing else differs.
            5 => distributions[7] = changed(&distributions[7], "/data/reward_asset", "USDT".into()),
            6 => seals[0] = changed(&seals[0], "/data/reward_asset", "USDT".into()),
            7 => {
                let first = changed(&distributions[7], "/data/reward_asset", "USDT".into());
                distributions.insert(0, first);
            }
            // A copy changes nothing.
            8 => {
                distributions.extend_from_within(..10);
                seals.push(seals[0].clone());
            }
            _ => {}
        }
        cluster.begin("payout", DISTRIBUTIONS, 1, distributions).commit();
        cluster.begin("payout", EPOCHS, 0, seals).commit();
    }
    let databases = databases(&cluster);
    for database in &databases {
        Consumer::run(&cluster, database);
        let status = |number| if number < 8 { "held" } else { "paid" };
        let expected: Vec<String> = (0..10)
            .map(|number| format!("ATOM {number} {}", status(number)))
            .collect();
        assert_eq!(database.statuses(), expected, "{:?}", database.program);
        let why = database.rows("SELECT reason FROM seals WHERE status = 'held' ORDER BY epoch");
        for (why, reason) in why.iter().zip(&mut reasons) {
            assert!(
                why.contains(*reason),
                "{:?}: {reason:?} is not in {why:?}",
                database.program
            );
        }
        assert!(database.balances() == due(&epochs[8..]), "{:?}", database.program);
        assert_eq!(database.check_executions(&cluster), 80);
    }
    // A record for an epoch that was judged right is told, and not paid.
    let late = Epoch {
        paid: vec![("late".to_owned(), 1.into())],
        asset: "ATOM",
        epoch: 8,
        reward_asset: "ATOM",
    };
    cluster.begin("payout", DISTRIBUTIONS, 0, late.distributions()).commit();
    for database in &databases {
        Consumer::run(&cluster, database);
        let told = database.rows("SELECT what FROM conflicts WHERE epoch = 8");
        let expected =
            "distribution \"ATOM:8:late\" of 0.000000000000000001 ATOM came after the epoch was judged right";
        assert_eq!(
            told.iter().map(|what| what.replace('\'', "\"")).collect::<Vec<_>>(),
            [expected]
        );
        assert_eq!(database.check_executions(&cluster), 80);
    }
}

#[test]
fn a_record_that_softstake_does_not_write_stops_all_three() {
    let epoch = Epoch::random("ATOM", 0, 3, &mut Dice::new(5));
    let right = epoch.distributions().remove(0);
    let hostile = "ATOM:0:\u{1b}[31m\u{202e}";
    let cases = [
        "nonsense".to_owned(),
        "{}".to_owned(),
        right.replace("\"specversion\"", "\"id\":\"twice\",\"specversion\""),
        changed(&right, "/type", "softstake.distribution.v2".into()),
        changed(&right, "/data/amount", json!(1.5)),
        changed(&right, "/data/amount", "1.50".into()),
        changed(&right, "/data/amount", "-1".into()),
        changed(&right, "/data/amount", "0".into()),
        changed(&right, "/data/amount", "1e3".into()),
        changed(&right, "/data/amount", "\u{663}".into()),
        changed(&right, "/data/epoch", "0".into()),
        changed(&right, "/data/account", "somebody else".into()),
        changed(&right, "/id", hostile.into()),
        changed(&right, "/data/reward_asset", Value::Null),
        right.replace("\"reward_asset\"", "\"paid_in\""),
    ];
    let cluster = Cluster::single();
    create_topics(&cluster);
    let all: Vec<Vec<Database>> = Program::ALL
        .iter()
        .map(|program| cases.iter().map(|_| Database::sqlite().of(*program)).collect())
        .collect();
    // Each record is the last one of its topic when it is met, because the topics are made anew for it.
    for (number, case) in cases.iter().enumerate() {
        if number > 0 {
            cluster.delete_topic(DISTRIBUTIONS);
            cluster.create_topic(DISTRIBUTIONS, 3, &[]);
        }
        cluster.begin("payout", DISTRIBUTIONS, 2, [case.as_str()]).commit();
        for databases in &all {
            let database = &databases[number];
            if number == 0 {
                database.create_topic(&cluster);
            }
            let said = Consumer::fail(&cluster, database);
            assert!(
                said.contains("partition 2, offset 0 cannot be read: "),
                "{case}: {said}"
            );
            assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
            assert_eq!(database.rows("SELECT count(*) FROM distributions"), ["0"]);
        }
    }
}

#[test]
fn two_databases_under_one_name_are_told_apart_by_all_three() {
    let cluster = Cluster::single();
    create_topics(&cluster);
    for program in Program::ALL {
        let [first, mut second] = [0, 1].map(|_| Database::sqlite().of(program));
        let first = first.with_topic(&cluster);
        Consumer::run(&cluster, &first);
        second.take_name_of(&first);
        let said = Consumer::fail(&cluster, &second);
        assert!(said.contains("publishes the executions of another database"), "{said}");
    }
}

#[test]
fn reconcile_reads_the_executions_from_the_topic() {
    let cluster = Cluster::single();
    let spec = Synthetic {
        events: 4_000,
        accounts: 100,
        assets: 1,
        seed: 6,
        ..Synthetic::default()
    };
    let settled = Settled::publish(&cluster, &spec);
    let database = Database::sqlite();
    // Without the topic there is nothing to compare.
    let said = fail(&mut reconcile(&cluster, &database.executions()), 3);
    let missing = format!("there is no topic {}: ", database.executions());
    assert!(said.contains(&missing), "{said}");
    let database = database.with_topic(&cluster);
    let found = settled.reconcile(&cluster, &database, 1);
    assert_eq!(found["counts"], json!({"unpaid": found["sealed"]}));

    Consumer::run(&cluster, &database);
    settled.check(&cluster, &database);
    // Records of aborted and open transactions do not count, and neither does the same event again.
    let topic = database.executions();
    let records = cluster.read_committed(&topic);
    let [first, second] = [0, 1].map(|at| records[at].text().to_owned());
    cluster.begin("other", &topic, 0, ["nonsense"]).abort();
    cluster.begin("other", &topic, 1, [first.clone()]).commit();
    let open = cluster.begin("open", &topic, 0, ["nonsense"]);
    let found = settled.reconcile(&cluster, &database, 0);
    assert_eq!(found["redelivered"], 1);
    open.abort();

    // What is wrong is found with its partition and offset.
    let twice = changed(&second, "/id", "another".into());
    let other = changed(&first, "/data/amount", plain(&3.into()).into());
    cluster
        .begin("other", &topic, 1, [twice, other, "nonsense".to_owned()])
        .commit();
    let found = settled.reconcile(&cluster, &database, 1);
    assert_eq!(
        found["counts"],
        json!({"paid_twice": 1, "conflicting": 1, "malformed": 1})
    );
    for finding in found["findings"].as_array().expect("findings") {
        assert_eq!(finding["partition"], 1, "{finding}");
        assert!(finding["offset"].is_u64(), "{finding}");
    }
}
