//! Chaos: three instances on three brokers, under kills, pauses, lost state and network faults. In the end a reader of
//! committed records must see exactly what the model says.
//!
//! `make chaos-test` runs it for longer.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use softstake::generate::Synthetic;

use super::ledger;
use crate::common::kafka::proxy::{Api, Proxy};
use crate::common::kafka::{Cluster, Deployment, Instance};
use crate::common::{Dice, Place, copy, setting};
use crate::judge::judge;

const INSTANCES: usize = 3;

/// The number of the log of `softstake publish`.
const PUBLISHER: usize = 7;

/// The number of faults so far, by name.
type Done = BTreeMap<&'static str, u64>;

/// How many faults there must be.
struct Faults {
    kills: u64,
    of_brokers: u64,
}

impl Faults {
    /// The share of the first `stages` of `all` stages.
    fn share(&self, stages: u32, all: u32) -> Self {
        let share = |count: u64| (count * u64::from(stages)).div_ceil(u64::from(all));
        Self {
            kills: share(self.kills),
            of_brokers: share(self.of_brokers),
        }
    }
}

struct Chaos<'a> {
    deployment: &'a Deployment<'a>,
    proxy: &'a Proxy,
    dice: Dice,
    instances: Vec<Option<Instance>>,
    /// Whether there is an older copy of the state of each instance.
    kept: [bool; INSTANCES],
    done: Done,
}

impl Chaos<'_> {
    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn times(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.done.get(name)).sum()
    }

    fn kills(&self) -> u64 {
        self.times(&["kill", "kill after a commit", "kill while settling"])
    }

    fn broker_faults(&self) -> u64 {
        self.times(&[
            "broker killed",
            "broker paused",
            "transaction coordinator killed",
            "ledger leader killed",
            "leader moved",
        ])
    }

    fn start(&mut self, instance: usize) {
        self.instances[instance] = Some(self.deployment.start(instance));
    }

    /// A random instance. It must not have ended by itself.
    fn alive(&mut self) -> usize {
        let instance = self.dice.one_of(INSTANCES);
        let running = self.instances[instance].as_mut().expect("it was started");
        assert!(
            !running.ended(),
            "instance {instance} ended by itself:\n{}",
            tail(&self.deployment.said(instance))
        );
        instance
    }

    fn kill(&mut self, instance: usize, how: &'static str) {
        self.instances[instance].as_mut().expect("it was started").kill();
        self.count(how);
        let state = self.deployment.state(instance);
        let older = self.deployment.place.state().join(format!("older-{instance}"));
        match self.dice.throw(10) {
            0 => {
                // It may have no state yet.
                let _ = fs::remove_dir_all(&state);
                self.count("state deleted");
            }
            1 if self.kept[instance] => {
                let _ = fs::remove_dir_all(&state);
                copy(&older, &state);
                self.count("state made older");
            }
            2 if state.is_dir() => {
                let _ = fs::remove_dir_all(&older);
                copy(&state, &older);
                self.kept[instance] = true;
            }
            _ => {}
        }
        match self.dice.throw(8) {
            // Long enough for a rebalance: its partitions go to the others.
            0 => {
                std::thread::sleep(Duration::from_secs(6));
                self.count("long away");
            }
            _ => self.dice.pause(800),
        }
        self.start(instance);
    }

    /// One fault of an instance.
    fn instance_fault(&mut self) {
        let instance = self.alive();
        match self.dice.throw(12) {
            0 => {
                // Its session times out meanwhile. It is fenced, so its commits must fail.
                let running = self.instances[instance].as_ref().expect("it runs");
                running.signal("STOP");
                std::thread::sleep(Duration::from_secs(5));
                running.signal("CONT");
                self.count("paused past its session");
            }
            1 => {
                let status = self.instances[instance].as_mut().expect("it runs").stop();
                // If the signal comes before its handler is set, it ends the process as a kill does.
                assert!(
                    matches!(status, Some(0) | None),
                    "{status:?}: {}",
                    tail(&self.deployment.said(instance))
                );
                self.count("stopped in order");
                self.dice.pause(1000);
                self.start(instance);
            }
            2..=5 => {
                // Between the commit on the bus and that of the store, which comes a second later.
                let before = self.proxy.seen(Api::EndTxn);
                let patience = Instant::now() + Duration::from_secs(2);
                while self.proxy.seen(Api::EndTxn) == before && Instant::now() < patience {
                    std::thread::yield_now();
                }
                self.kill(instance, "kill after a commit");
            }
            _ => {
                self.dice.pause(600);
                self.kill(instance, "kill");
            }
        }
    }

    /// One fault of the network.
    fn network_fault(&mut self) {
        let times = 1 + self.dice.one_of(3);
        match self.dice.throw(6) {
            0 => {
                self.proxy.cut_all();
                self.count("all connections cut");
            }
            1 => {
                self.proxy.drop_replies_of(Api::TxnOffsetCommit, times);
                self.count("replies to position commits lost");
            }
            2 => {
                self.proxy.delay_replies_of(Api::EndTxn, times, Duration::from_secs(3));
                self.count("commit replies late");
            }
            3 => {
                self.proxy.drop_replies_of(Api::Produce, times);
                self.count("replies to records lost");
            }
            _ => {
                self.proxy.drop_replies_of(Api::EndTxn, times);
                self.count("commit replies lost");
            }
        }
    }

    /// One fault of a broker.
    fn broker_fault(&mut self) {
        let cluster = self.deployment.cluster;
        // One broker at a time: with two of three away, nothing can be written.
        cluster.wait_until_in_sync();
        let instance = self.dice.one_of(INSTANCES);
        let broker = match self.dice.throw(5) {
            0 => {
                let broker = self.dice.one_of(cluster.len());
                cluster.pause(broker);
                std::thread::sleep(Duration::from_secs(4));
                cluster.resume(broker);
                return self.count("broker paused");
            }
            1 => {
                self.count("transaction coordinator killed");
                cluster.transaction_coordinator(&format!("softstake.instance-{instance}"))
            }
            2 => {
                self.count("ledger leader killed");
                cluster.leader_of("softstake.ledger", 0)
            }
            3 => {
                let leader = cluster.leader_of("softstake.inbox", 0);
                cluster.move_leader("softstake.inbox", 0, (leader + 1) % cluster.len());
                return self.count("leader moved");
            }
            _ => {
                self.count("broker killed");
                self.dice.one_of(cluster.len())
            }
        };
        cluster.kill(broker);
        self.dice.pause(3000);
        cluster.start(broker);
    }

    /// Publishes what is new on the directory bus, with faults until there are as many as wanted.
    fn publish(&mut self, wanted: &Faults) {
        let deployment = self.deployment;
        let mut command = deployment.softstake(&["publish"]);
        command.arg("--from").arg(deployment.place.bus());
        let mut publishing = Some(Instance::start(&mut command, deployment.log(PUBLISHER)));
        while self.kills() < wanted.kills || self.broker_faults() < wanted.of_brokers {
            if publishing.as_mut().is_some_and(Instance::ended) {
                let status = publishing.take().and_then(|mut ended| ended.end(Duration::ZERO));
                assert_eq!(status, Some(0), "{}", deployment.said(PUBLISHER));
                // The closes are published: the settlements have begun.
                let instance = self.alive();
                self.kill(instance, "kill while settling");
            }
            let brokers_behind = self.broker_faults() * wanted.kills.max(1) < self.kills() * wanted.of_brokers;
            if brokers_behind && self.broker_faults() < wanted.of_brokers {
                self.broker_fault();
            } else if self.dice.throw(4) == 0 {
                self.network_fault();
            } else {
                self.instance_fault();
            }
        }
        if let Some(mut publishing) = publishing {
            let status = publishing.end(Duration::from_secs(300));
            assert_eq!(status, Some(0), "{}", deployment.said(PUBLISHER));
        }
    }

    fn stop_all(&mut self) {
        for instance in 0..INSTANCES {
            let status = self.instances[instance].as_mut().expect("it runs").stop();
            assert_eq!(
                status,
                Some(0),
                "instance {instance}:\n{}",
                tail(&self.deployment.said(instance))
            );
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// If the test fails, copies the bus, the state and the logs to the folder in `TEST_CHAOS_KEEP`.
struct KeepOnFailure<'a>(&'a Place);

impl Drop for KeepOnFailure<'_> {
    fn drop(&mut self) {
        if let (Some(keep), true) = (std::env::var_os("TEST_CHAOS_KEEP"), std::thread::panicking()) {
            let keep = std::path::Path::new(&keep);
            copy(&self.0.bus(), &keep.join("bus"));
            copy(&self.0.state(), &keep.join("state"));
        }
    }
}

fn spec(seed: u64) -> Synthetic {
    Synthetic {
        events: setting("TEST_CHAOS_EVENTS", 15_000),
        accounts: setting("TEST_CHAOS_ACCOUNTS", 1_000),
        assets: u32::try_from(setting("TEST_CHAOS_ASSETS", 3)).expect("small"),
        partitions: u32::try_from(setting("TEST_CHAOS_SOURCES", 2)).expect("small"),
        epochs: u32::try_from(setting("TEST_CHAOS_EPOCHS", 3)).expect("small"),
        seed,
        duplicates: 0.03,
        late: 0.03,
        bad: 0.03,
        ..Synthetic::default()
    }
}

/// How many epochs are sealed after each stage. With more than three assets, not each epoch of each is.
fn seals_after_stages(spec: &Synthetic) -> Vec<usize> {
    let place = Place::new();
    let after = |stage| {
        place.bring(spec, stage);
        place.run(None);
        place.records("softstake.epochs").len()
    };
    (0..spec.epochs).map(after).collect()
}

#[test]
fn no_record_is_lost_or_doubled() {
    let wanted = Faults {
        kills: setting("TEST_CHAOS_KILLS", 6),
        of_brokers: setting("TEST_CHAOS_BROKER_FAULTS", 2),
    };
    let seed = setting("TEST_CHAOS_SEED", 1);
    let spec = spec(seed);
    let seals = seals_after_stages(&spec);
    let cluster = Cluster::three();
    let proxy = Proxy::before(&cluster);
    let mut deployment = Deployment::new(&cluster, 16, spec.partitions);
    deployment.bootstrap = proxy.bootstrap();
    let deployment = deployment;
    let _keep = KeepOnFailure(&deployment.place);
    let mut chaos = Chaos {
        deployment: &deployment,
        proxy: &proxy,
        dice: Dice::new(seed),
        instances: (0..INSTANCES).map(|_| None).collect(),
        kept: [false; INSTANCES],
        done: Done::new(),
    };
    (0..INSTANCES).for_each(|instance| chaos.start(instance));
    let began = Instant::now();
    for (stage, sealed) in (0..spec.epochs).zip(&seals) {
        deployment.place.bring(&spec, stage);
        chaos.publish(&wanted.share(stage + 1, spec.epochs));
        deployment.until_sealed(*sealed);
        println!("epoch {stage} is sealed after {:?}: {:?}", began.elapsed(), chaos.done);
    }
    proxy.forget_plans();
    chaos.stop_all();
    // An independent reader: Kafka's own consumer.
    deployment.dump_with(|topic| cluster.console_consumer(topic));
    ledger::check_blocks_and_barriers(&cluster);
    ledger::check_distributions(&cluster, &deployment.place, i128::from(spec.epoch_seconds) * 1000);
    let published = judge(&deployment.place);
    println!(
        "{} distributions, {} seals, {} dead letters, {} late postings, {} kills, {} broker faults, {:?}: {:?}",
        published.distributions.len(),
        published.seals.len(),
        published.dead_letters.len(),
        published.late_postings.len(),
        chaos.kills(),
        chaos.broker_faults(),
        began.elapsed(),
        chaos.done
    );
    assert_eq!(Some(&published.seals.len()), seals.last());
    assert!(chaos.kills() >= wanted.kills && chaos.broker_faults() >= wanted.of_brokers);
}
