//! Three instances on three brokers, while instances are killed, stopped in their tracks, robbed of their state and started again, and brokers are
//! killed, paused and cut off: what a committed reader sees in the end is what the model says, nothing missing and nothing twice.
//!
//! `make chaos-test` runs it at length; by itself it is short.

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

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use common::{copy, setting};
use deployment::{Deployment, Instance};
use kafka::Cluster;
use kafka::proxy::{Api, Proxy};
use softstake::core::protocol::ledger::{Entry, LedgerRecord};
use softstake::core::protocol::messages::Notice;
use softstake::generate::{Synthetic, write};

const INSTANCES: usize = 3;

/// A small generator of our own: which fault, when, where.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pause(&mut self, at_most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.throw(at_most_ms)));
    }

    fn one_of(&mut self, count: usize) -> usize {
        usize::try_from(self.throw(count as u64)).expect("small")
    }
}

/// What was done to the deployment, by name.
type Done = BTreeMap<&'static str, u64>;

struct Chaos<'a> {
    deployment: &'a Deployment<'a>,
    proxy: &'a Proxy,
    dice: Dice,
    instances: Vec<Option<Instance>>,
    /// Whether there is an older copy of an instance's state.
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

    /// An instance that is there; it may have ended only because it was told to.
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
                // It may not have got as far as to have a state.
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
            // Long enough for its partitions to go to the others.
            0 => {
                std::thread::sleep(Duration::from_secs(6));
                self.count("long away");
            }
            _ => self.dice.pause(800),
        }
        self.start(instance);
    }

    /// One fault among instances.
    fn instance_fault(&mut self) {
        let instance = self.alive();
        match self.dice.throw(12) {
            0 => {
                // It wakes up as a zombie: its session is over, and what it still tries must not land.
                let running = self.instances[instance].as_ref().expect("it runs");
                running.signal("STOP");
                std::thread::sleep(Duration::from_secs(5));
                running.signal("CONT");
                self.count("paused past its session");
            }
            1 => {
                let status = self.instances[instance].as_mut().expect("it runs").stop();
                // A signal that comes before it listens ends it as a kill does.
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
                // Between the bus's commit and the store's: the store comes a second later.
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

    /// One fault among brokers.
    fn broker_fault(&mut self) {
        let cluster = self.deployment.cluster;
        // One at a time: with two of three away nothing can be written, and that is how it should be.
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
}

/// Holds the ledger against itself: no record of a source is in two blocks of a partition, and every barrier is there once.
fn audit_ledger(cluster: &Cluster) {
    let mut reached: BTreeMap<(i32, String), u64> = BTreeMap::new();
    let mut barriers = BTreeMap::new();
    let mut faults = Vec::new();
    for record in cluster.read_committed("softstake.ledger") {
        let value = record.value.as_deref().expect("a value");
        match LedgerRecord::read(value).expect("a record of the ledger") {
            LedgerRecord::Block(block) => {
                let (first, next) = block.offsets;
                let before = reached.entry((record.partition, block.source.to_string())).or_default();
                if first < *before || next <= first {
                    faults.push(format!(
                        "ledger {} offset {}: {} {first}..{next} after {before}",
                        record.partition, record.offset, block.source
                    ));
                }
                *before = next;
            }
            LedgerRecord::Notice(Notice::Barrier { at, source }) => {
                *barriers.entry((record.partition, at, source)).or_insert(0) += 1;
            }
            LedgerRecord::Notice(_) => {}
        }
    }
    for (barrier, times) in barriers {
        if times != 1 {
            faults.push(format!("the barrier {barrier:?} is there {times} times"));
        }
    }
    assert!(
        faults.is_empty(),
        "the ledger is not what it should be:\n{}",
        faults.join("\n")
    );
}

/// What the ledger's postings come to: for each asset number, epoch and account, the sum of deltas and of delta * (end - t).
fn ledger_sums(cluster: &Cluster) -> BTreeMap<(u16, u32, String), (i128, i128)> {
    let mut sums: BTreeMap<(u16, u32, String), (i128, i128)> = BTreeMap::new();
    for record in cluster.read_committed("softstake.ledger") {
        let value = record.value.as_deref().expect("a value");
        if let LedgerRecord::Block(mut block) = LedgerRecord::read(value).expect("a record of the ledger") {
            while let Some(entry) = block.next_entry().expect("an entry") {
                if let Entry::Posting(posting) = entry {
                    let sum = sums
                        .entry((posting.at.number, posting.at.epoch, posting.account.to_owned()))
                        .or_default();
                    sum.0 += posting.delta;
                    sum.1 += posting.delta * i128::from(posting.before_end_ms);
                }
            }
        }
    }
    sums
}

/// Where published distributions differ from what the ledger adds up to: accrual lost something. Where they do not, ingest did.
fn held_against_ledger(cluster: &Cluster, place: &common::Place, length_ms: i128) -> Vec<String> {
    let sums = ledger_sums(cluster);
    let mut numbers = BTreeMap::new();
    for decision in place.records("softstake.decisions") {
        if decision["data"]["decision"] == "listing_accepted" {
            let listing = &decision["data"]["listing"];
            numbers.insert(
                listing["asset"].as_str().expect("an asset").to_owned(),
                (
                    u16::try_from(decision["data"]["number"].as_u64().expect("a number")).expect("small"),
                    listing["decimals"].as_u64().expect("decimals"),
                ),
            );
        }
    }
    let mut faults = Vec::new();
    for record in place.records("softstake.distributions") {
        let data = &record["data"];
        let (asset, account) = (
            data["asset"].as_str().expect("an asset"),
            data["account"].as_str().expect("an account"),
        );
        let epoch = u32::try_from(data["epoch"].as_u64().expect("an epoch")).expect("small");
        let (number, decimals) = numbers[asset];
        let sum = |epoch| {
            sums.get(&(number, epoch, account.to_owned()))
                .copied()
                .unwrap_or_default()
        };
        let opening: i128 = (0..epoch).map(|epoch| sum(epoch).0).sum();
        let held = opening * length_ms + sum(epoch).1;
        let digits = u32::try_from(decimals).expect("small") + 3;
        let scale = 10_i128.pow(digits);
        let text = format!("{}.{:0width$}", held / scale, held % scale, width = digits as usize);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text != data["balance_seconds"] {
            faults.push(format!(
                "{}: the ledger makes {text}, published {}",
                record["id"], data["balance_seconds"]
            ));
        }
    }
    faults
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Where `TEST_CHAOS_KEEP` says, all that was on the bus, the state and the logs of a run that failed.
struct KeepOnFailure<'a>(&'a common::Place);

impl Drop for KeepOnFailure<'_> {
    fn drop(&mut self) {
        if let (Some(keep), true) = (std::env::var_os("TEST_CHAOS_KEEP"), std::thread::panicking()) {
            let keep = std::path::Path::new(&keep);
            copy(&self.0.bus(), &keep.join("bus"));
            copy(&self.0.state(), &keep.join("state"));
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled() {
    let kills = setting("TEST_CHAOS_KILLS", 10);
    let broker_faults = setting("TEST_CHAOS_BROKER_FAULTS", 3);
    let seed = setting("TEST_CHAOS_SEED", 1);
    let spec = Synthetic {
        events: setting("TEST_CHAOS_EVENTS", 15_000),
        accounts: setting("TEST_CHAOS_ACCOUNTS", 1_000),
        assets: 3,
        partitions: u32::try_from(setting("TEST_CHAOS_SOURCES", 2)).expect("small"),
        epochs: u32::try_from(setting("TEST_CHAOS_EPOCHS", 3)).expect("small"),
        seed,
        duplicates: 0.03,
        late: 0.03,
        bad: 0.03,
        ..Synthetic::default()
    };
    let cluster = Cluster::three();
    let proxy = Proxy::before(&cluster);
    let mut deployment = Deployment::new(&cluster, 16, spec.partitions);
    deployment.bootstrap = proxy.bootstrap();
    let deployment = deployment;
    let _keep = KeepOnFailure(&deployment.place);
    let mut chaos = Chaos {
        deployment: &deployment,
        proxy: &proxy,
        dice: Dice(seed),
        instances: (0..INSTANCES).map(|_| None).collect(),
        kept: [false; INSTANCES],
        done: Done::new(),
    };
    (0..INSTANCES).for_each(|instance| chaos.start(instance));
    let began = Instant::now();
    for stage in 0..spec.epochs {
        write(&deployment.place.bus(), &spec, stage..stage + 1, &mut |_| {}).expect("a stage is written");
        let share = |all: u64| (all * u64::from(stage + 1)).div_ceil(u64::from(spec.epochs));
        let mut command = deployment.softstake(&["publish"]);
        command.arg("--from").arg(deployment.place.bus());
        let mut publishing = Some(Instance::start(&mut command, deployment.log(7)));
        while chaos.kills() < share(kills) || chaos.broker_faults() < share(broker_faults) {
            if publishing.as_mut().is_some_and(Instance::ended) {
                let status = publishing.take().and_then(|mut ended| ended.end(Duration::ZERO));
                assert_eq!(status, Some(0), "{}", deployment.said(7));
                // The closes are there: the settlements are under way.
                let instance = chaos.alive();
                chaos.kill(instance, "kill while settling");
            }
            let brokers_behind = chaos.broker_faults() * kills.max(1) < chaos.kills() * broker_faults;
            if brokers_behind && chaos.broker_faults() < share(broker_faults) {
                chaos.broker_fault();
            } else if chaos.dice.throw(4) == 0 {
                chaos.network_fault();
            } else {
                chaos.instance_fault();
            }
        }
        if let Some(mut publishing) = publishing {
            assert_eq!(
                publishing.end(Duration::from_secs(300)),
                Some(0),
                "{}",
                deployment.said(7)
            );
        }
        let seals = usize::try_from((stage + 1) * spec.assets).expect("small");
        deployment.until_sealed(seals);
        println!("epoch {stage} is sealed after {:?}: {:?}", began.elapsed(), chaos.done);
    }
    proxy.forget_plans();
    for instance in 0..INSTANCES {
        let status = chaos.instances[instance].as_mut().expect("it runs").stop();
        assert_eq!(
            status,
            Some(0),
            "instance {instance}:\n{}",
            tail(&deployment.said(instance))
        );
    }
    // An independent reader: Kafka's own consumer, reading what is committed.
    deployment.dump_with(|topic| cluster.console_consumer(topic));
    audit_ledger(&cluster);
    let faults = held_against_ledger(&cluster, &deployment.place, i128::from(spec.epoch_seconds) * 1000);
    assert!(
        faults.is_empty(),
        "accrual is not what the ledger adds up to:\n{}",
        faults.join("\n")
    );
    let published = program::judge(&deployment.place);
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
    assert_eq!(
        published.seals.len(),
        usize::try_from(spec.epochs * spec.assets).expect("small")
    );
    assert!(chaos.kills() >= kills && chaos.broker_faults() >= broker_faults);
}
