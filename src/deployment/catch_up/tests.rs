use std::sync::mpsc::{Sender, channel};

use crate::bus::memory::MemoryBus;
use crate::bus::{Bus, Outputs, Position};

use super::*;

const DEPOSITS: TopicPartition = Topic::Deposits.partition(0);
const INBOX: TopicPartition = Topic::Inbox.partition(0);
const LEDGER: TopicPartition = Topic::Ledger.partition(0);

/// A deployment in which nothing works but what a test commits.
struct Deployed {
    bus: MemoryBus,
    unfinished: Mutex<UnfinishedWork>,
    task_states: TaskStates,
    search: Option<Search>,
    _running: Sender<()>,
    ended: Receiver<()>,
}

impl Deployed {
    /// One record is on a source partition, and a close on the control topic.
    fn new() -> Self {
        let (running, ended) = channel();
        let bus = MemoryBus::new();
        bus.append(DEPOSITS, b"a deposit");
        bus.append(CONTROL, b"a close");
        Self {
            bus,
            unfinished: Mutex::default(),
            task_states: TaskStates::default(),
            search: None,
            _running: running,
            ended,
        }
    }

    /// What a look finds: a word and the reason.
    fn look(&mut self) -> String {
        let catch_up = CatchUp {
            log: &self.bus,
            ledger_partitions: 1,
            unfinished: &self.unfinished,
            task_states: &self.task_states,
        };
        match catch_up.look(&mut self.search, &self.ended) {
            Ok(CaughtUp::Done) => "done".into(),
            Ok(CaughtUp::Stuck(why)) => format!("stuck: {why}"),
            Err(Pending::Waits(what)) => format!("waits: {what}"),
            Err(Pending::Ended) => "ended".into(),
            Err(Pending::Error(error)) => format!("error: {error}"),
        }
    }

    fn waits_for(&mut self, what: &str) {
        let found = self.look();
        assert!(found.starts_with("waits: ") && found.contains(what), "{found}");
    }

    fn decide(&self, data: &str) {
        let record = format!(
            r#"{{"specversion":"1.0","id":"0","source":"/softstake","type":"softstake.decision.v1","data":{data}}}"#
        );
        self.bus.append(DECISIONS, record.as_bytes());
    }

    fn close_and_decide(&self) {
        self.decide(
            r#"{"decision":"close_accepted","control_offset":0,"asset":"A","number":0,"epoch":3,"reward_pool":"1"}"#,
        );
        self.decide(r#"{"decision":"control_read","to":1}"#);
    }

    /// Commits a position at the ends of these inputs.
    fn commit(&self, task: TaskId, inputs: &[TopicPartition]) {
        let mut position = Position::default();
        for input in inputs {
            let end = self.bus.readable_end(*input).unwrap();
            position.inputs.insert(*input, Mark::at(end));
        }
        self.bus.commit(task, &Outputs::default(), &position).unwrap();
    }

    /// Both records are processed, but for the seal.
    fn process(&self) {
        self.close_and_decide();
        self.commit(TaskId::ingest(DEPOSITS), &[DEPOSITS, DECISIONS]);
    }

    fn seal(&self) {
        self.bus.append(EPOCHS, br#"{"data":{"asset":"A","epoch":3}}"#);
    }
}

#[test]
fn inputs_come_first_then_what_they_caused_then_seals() {
    let mut deployed = Deployed::new();
    deployed.waits_for("softstake.control:0 is decided up to offset 0 of 1");
    // Later records change nothing.
    deployed.bus.append(CONTROL, b"a later close");
    deployed.decide(
        r#"{"decision":"close_accepted","control_offset":1,"asset":"B","number":1,"epoch":0,"reward_pool":"1"}"#,
    );
    deployed.commit(TaskId::ingest(DEPOSITS), &[DEPOSITS]);
    deployed.close_and_decide();
    // Its outputs may depend on decisions that it has not read.
    deployed.waits_for("of exchange.deposits:0");
    deployed.commit(TaskId::ingest(DEPOSITS), &[DEPOSITS, DECISIONS]);
    deployed.bus.append(DEPOSITS, b"a later deposit");
    deployed.bus.append(LEDGER, b"a block");
    let end = deployed.bus.append(INBOX, b"an answer");
    deployed.waits_for(&format!("at offset {end} of softstake.inbox:0"));
    deployed.commit(TaskId::COORDINATE, &[INBOX]);
    deployed.bus.append(INBOX, b"a later answer");
    deployed.waits_for("of softstake.ledger:0");
    deployed.commit(TaskId::accrue(0), &[LEDGER]);
    deployed.waits_for("A epoch 3 is closed and has no seal");
    deployed.seal();
    assert_eq!(deployed.look(), "done");
}

#[test]
fn a_failed_check_is_told_by_the_process_that_has_the_coordinator() {
    let mut deployed = Deployed::new();
    deployed.process();
    deployed.waits_for("no seal");
    let note = |deployed: &Deployed, halted: u64, is_current: bool| {
        *deployed.unfinished.lock().unwrap() = UnfinishedWork {
            alarms: vec!["a check failed".into()],
            halted: vec![(Asset::parse("A").unwrap(), Epoch::new(halted))],
            is_current,
            ..UnfinishedWork::default()
        };
    };
    note(&deployed, 3, false);
    deployed.waits_for("no seal");
    note(&deployed, 4, true);
    deployed.waits_for("no seal");
    // Those behind it are not settled either.
    note(&deployed, 2, true);
    assert_eq!(deployed.look(), "stuck: a check failed");
}

#[test]
fn a_task_that_waits_for_a_decision_is_told_once_all_are_decided() {
    let mut deployed = Deployed::new();
    let task = TaskId::ingest(DEPOSITS);
    deployed
        .task_states
        .note(task, TroubleKind::Waits, "records are gone".into());
    deployed.waits_for("decided up to");
    deployed.close_and_decide();
    // The decisions may accept the loss.
    deployed.waits_for("of exchange.deposits:0");
    deployed.commit(task, &[DECISIONS]);
    let found = deployed.look();
    assert!(
        found.starts_with("stuck: ") && found.ends_with("waits for a decision: records are gone"),
        "{found}"
    );
    deployed.task_states.forget(task);
    deployed.waits_for("of exchange.deposits:0");
}

#[test]
fn nothing_on_the_bus_is_nothing_to_do() {
    let mut deployed = Deployed::new();
    deployed.bus = MemoryBus::new();
    assert_eq!(deployed.look(), "done");
    // Control records that were deleted before a deployment saw them are not decided.
    let mut deployed = Deployed::new();
    deployed.bus.delete_before(CONTROL, Offset::new(1));
    deployed.commit(TaskId::ingest(DEPOSITS), &[DEPOSITS]);
    assert_eq!(deployed.look(), "done");
}
