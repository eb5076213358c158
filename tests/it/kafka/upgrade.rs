//! An upgrade that changes the rules. A newer program, which knows a made-up version 3 of the contract's rules as well, takes the place of two
//! instances, one after the other; then version 3 is put in force. In it `max_balance` means nothing, and
//! `exchange.made_up_credit.v1` is a deposit. What was published and decided before must be the same in every replay.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::events::{close, deposit, event, listing};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::records::text;
use crate::common::{fail, made_up_rules, on_bus, succeed};

const DAY: u32 = 86_400;
const DAY_MS: i64 = 86_400_000;

struct Upgrade<'a> {
    deployment: &'a Deployment<'a>,
    newer: PathBuf,
    /// Each with whether it is the newer program.
    instances: Vec<(Instance, bool)>,
}

/// A command as that of another program.
fn of_program(program: &PathBuf, command: &Command) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}

impl Upgrade<'_> {
    fn start(&self, number: usize, is_newer: bool) -> (Instance, bool) {
        let mut command = self.deployment.run(number);
        if is_newer {
            command = of_program(&self.newer, &command);
        }
        let log = self.deployment.log(number);
        (Instance::start(&mut command, log), is_newer)
    }

    /// Kills an instance, and starts the newer program in its place.
    fn upgrade(&mut self, number: usize) {
        self.instances[number].0.kill();
        self.instances[number] = self.start(number, true);
    }

    /// Kills an instance, and starts the same program again.
    fn kill(&mut self, number: usize) {
        self.instances[number].0.kill();
        self.instances[number] = self.start(number, self.instances[number].1);
    }

    fn send(&self, topic: &str, record: &str) {
        self.deployment.place.append(topic, 0, [record]);
        self.deployment.publish();
    }

    fn deposit(&self, id: &str, ms: i64, account: &str, amount: &str) {
        self.send("exchange.deposits", &deposit(id, ms, account, "A", amount));
    }

    /// A credit of 100 to carol at the start of an epoch.
    fn credit(&self, epoch: i64) {
        let data = json!({"account": "carol", "asset": "A", "amount": "100"});
        let id = format!("credit-{epoch}");
        let credit = event(&id, "exchange.made_up_credit.v1", epoch * DAY_MS, &data);
        self.send("exchange.deposits", &credit);
    }

    /// Proposes version 3, kills the first instance, and returns the decision.
    fn propose(&mut self, id: &str) -> Value {
        let before = self.deployment.place.records("softstake.control").len();
        let proposed = event(id, "softstake.rules.v1", 0, &json!({"version": 3}));
        self.send("softstake.control", &proposed);
        self.kill(0);
        let mut found = None;
        self.deployment.until("the version is decided", || {
            let decisions = self.read("softstake.decisions");
            let is_meant = |data: &&Value| data["control_offset"] == before && data["decision"] != "rules_proposed";
            found = decisions
                .iter()
                .map(|decision| &decision["data"])
                .find(is_meant)
                .cloned();
            found.is_some()
        });
        found.expect("a decision")
    }

    /// Closes an epoch, kills an instance before it is sealed, and returns what each account was paid.
    fn close(&mut self, epoch: u32, pool: &str, kill: usize) -> Vec<(String, String)> {
        self.send("softstake.control", &close("A", epoch, DAY, pool));
        self.kill(kill);
        self.deployment.until_sealed(epoch as usize + 1);
        let distributions = self.read("softstake.distributions");
        let of_epoch = distributions
            .iter()
            .map(|record| &record["data"])
            .filter(|data| data["epoch"] == epoch);
        let mut paid: Vec<_> = of_epoch
            .map(|data| (text(&data["account"]).to_owned(), text(&data["amount"]).to_owned()))
            .collect();
        paid.sort();
        paid
    }

    fn read(&self, topic: &str) -> Vec<Value> {
        let records = self.deployment.cluster.read_committed(topic);
        let value = |bytes: Option<Vec<u8>>| serde_json::from_slice(&bytes.expect("a value")).expect("JSON");
        records.into_iter().map(|record| value(record.value)).collect()
    }
}

fn paid(amounts: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(account, amount): &(&str, &str)| ((*account).to_owned(), (*amount).to_owned());
    amounts.iter().map(owned).collect()
}

#[test]
fn two_instances_are_upgraded_and_what_was_decided_stays() {
    let newer = made_up_rules::program();
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 2, 2);
    let mut upgrade = Upgrade {
        deployment: &deployment,
        newer,
        instances: Vec::new(),
    };
    upgrade.instances = vec![upgrade.start(0, false), upgrade.start(1, false)];
    let programme = json!({"from_epoch": 0, "mode": "pool", "max_balance": "100", "late_policy": "resettle"});
    upgrade.send("softstake.control", &listing("A", 2, DAY, &programme));
    upgrade.deposit("alice", 0, "alice", "300");
    upgrade.deposit("bob", 0, "bob", "100");
    upgrade.credit(0);
    let capped = paid(&[("alice", "100"), ("bob", "100")]);
    assert_eq!(upgrade.close(0, "200", 1), capped);

    // No instance knows version 3: it is refused, now and in each replay.
    let refused = upgrade.propose("too-early");
    assert_eq!(
        (&refused["decision"], &refused["code"]),
        (&json!("refused"), &json!("invalid_event"))
    );

    // One instance after the other. Both judge by version 2.
    upgrade.upgrade(0);
    upgrade.credit(1);
    assert_eq!(upgrade.close(1, "200", 0), capped);
    upgrade.upgrade(1);
    assert_eq!(upgrade.close(2, "200", 1), capped);

    // Version 3 is in force for the records from here on, and for the closes from here on.
    let accepted = upgrade.propose("rules-3");
    assert_eq!(
        (&accepted["decision"], &accepted["version"]),
        (&json!("rules"), &json!(3))
    );
    upgrade.credit(3);
    // Epochs 1 and 2 are settled again by version 2: bob's 200 count as 100, and nothing is made good.
    upgrade.deposit("bob-late", DAY_MS, "bob", "100");
    let uncapped = paid(&[("alice", "300"), ("bob", "200"), ("carol", "100")]);
    assert_eq!(upgrade.close(3, "600", 0), uncapped);
    // Epoch 3 is settled again by version 3: 600 * 1,000 / (300 + 200 + 1,000) = 400, so 300 are made good.
    upgrade.deposit("carol-late", 3 * DAY_MS, "carol", "900");
    let made_good = paid(&[("alice", "300"), ("bob", "200"), ("carol", "1300")]);
    assert_eq!(upgrade.close(4, "1500", 1), made_good);

    // An instance that has lost its stores makes them again, and publishes nothing again.
    let everything = |upgrade: &Upgrade<'_>| {
        [
            "softstake.decisions",
            "softstake.distributions",
            "softstake.epochs",
            "softstake.dead-letters",
        ]
        .map(|topic| upgrade.read(topic))
    };
    let before = everything(&upgrade);
    for number in 0..2 {
        upgrade.instances[number].0.kill();
        fs::remove_dir_all(deployment.state(number)).expect("a state to lose");
    }
    upgrade.instances = vec![upgrade.start(0, true), upgrade.start(1, true)];
    let again = paid(&[("alice", "300"), ("bob", "200"), ("carol", "1000")]);
    assert_eq!(upgrade.close(5, "1500", 0), again);
    let codes: Vec<&Value> = before[3].iter().map(|letter| &letter["data"]["code"]).collect();
    assert_eq!(codes, ["unsupported_type", "invalid_event", "unsupported_type"]);
    for (before, mut after) in before.into_iter().zip(everything(&upgrade)) {
        after.retain(|record| before.contains(record));
        assert_eq!(before, after);
    }

    check_the_programs(&mut upgrade);
}

/// The newer program finds the log right. The older one starts no more, and audits nothing: it cannot know what is right.
fn check_the_programs(upgrade: &mut Upgrade<'_>) {
    for (instance, _) in &mut upgrade.instances {
        assert_eq!(instance.stop(), Some(0));
    }
    let (mut older, _) = upgrade.start(0, false);
    assert_eq!(older.end(Duration::from_secs(60)), Some(2));
    let said = upgrade.deployment.said(0);
    assert!(
        said.contains("version 3") && said.contains("start a newer softstake"),
        "{said}"
    );
    upgrade.deployment.dump();
    let reconcile = on_bus("reconcile", &upgrade.deployment.place.bus());
    let said = fail(&mut on_bus("reconcile", &upgrade.deployment.place.bus()), 2);
    assert!(said.contains("version 3"), "{said}");
    let found = succeed(of_program(&upgrade.newer, &reconcile).arg("--json"));
    let found: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!(found["differences"], json!([]), "{found}");
}
