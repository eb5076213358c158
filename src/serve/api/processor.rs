//! What the instances of the processor do: who answers, what is wrong, what closed epochs wait for, and how far each partition is.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::instances::{
    AwaitedPartition, FollowedPartition, InstanceAnswer, InstanceSample, PartitionAt, PartitionPlaces, SafeText,
    Severity, StatusDocument, coordinators, instance_state, partitions_without_lag, problems, records_per_second,
    statuses, sum_of, tasks_by_state, version, worst_partitions,
};
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::reply;
use crate::serve::api::request::ApiRequest;
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};

/// The most items of each list, the worst first.
const MOST: usize = 500;
/// The most partitions that an event names.
const MOST_AWAITED: usize = 100;

/// What the instances of the processor do, as of at most two seconds ago.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ProcessorAnswer {
    /// What is wrong, in sentences, the worst first.
    pub problems: Vec<ProcessorProblem>,
    /// Those that answer, and those that do not.
    pub instances: Vec<ProcessorInstance>,
    /// The instances that have the coordinator. If there is none, `waits` is not known.
    pub coordinators: Vec<String>,
    /// Tasks of all instances that answer.
    pub tasks: Vec<TaskCount>,
    /// Records of source topics that all instances apply in a second, lately; null if none tells.
    pub records_per_second: Option<f64>,
    /// Records of source and control topics that can be read and are not applied; null if none tells.
    pub lag_records: Option<u64>,
    /// Partitions of these topics whose lag is not known, because their tasks do not work.
    pub partitions_without_lag: usize,
    /// Control events that are not finished: closed epochs on their way to the seal, and others. The longest wait comes first.
    pub waits: Vec<ProcessorWait>,
    /// By topic.
    pub topics: Vec<TopicLag>,
    /// Each task with the partition that it follows, the worst first.
    pub partitions: Vec<ProcessorPartition>,
    /// How many items are left out of the lists above, because each has at most 500.
    pub left_out: usize,
}

/// Something that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessorProblem {
    /// `bad` is to be mended, `warn` is to be looked at.
    #[schema(value_type = String)]
    pub severity: &'static str,
    pub text: String,
}

/// An instance of `softstake run`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessorInstance {
    /// Its own name, or its address.
    pub name: String,
    pub address: String,
    /// `ready`, `not ready`, `in trouble`, `ready, in trouble`, `unreachable`, `being asked`; `-` if it does not tell.
    #[schema(value_type = String)]
    pub state: &'static str,
    /// `bad`, `warn` or `plain`.
    #[schema(value_type = String)]
    pub severity: &'static str,
    /// Why it does not answer; null if it does.
    pub unreachable_because: Option<String>,
    /// The seconds since its last answer; null if there was none.
    pub answered_seconds_ago: Option<f64>,
    /// The program, and the newest rules that it knows.
    pub version: Option<String>,
    pub uptime_seconds: Option<f64>,
    pub tasks: Vec<TaskCount>,
}

/// How many tasks are in a state.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskCount {
    /// `starting`, `recovering`, `working`, `restarting`, `stopped` or `waiting`.
    pub state: String,
    pub count: u64,
}

/// A control event that is not finished.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessorWait {
    /// `close`, `listing`, `withdrawal`, `rules` or `loss`.
    pub event: String,
    /// Of a close.
    pub asset: Option<String>,
    /// Of a close.
    pub epoch: Option<u64>,
    /// Of another event, in words.
    pub what: Option<String>,
    /// `answers`, `seal`, `subtotals`, `previews` or `receipts`. Of a close; null for another event, which waits for answers.
    pub waits_for: Option<String>,
    /// What is missing, in words.
    pub missing: Option<String>,
    pub waits_seconds: Option<f64>,
    /// The partitions that keep it waiting: source partitions that have not answered or not passed the cut, or ledger partitions.
    pub partitions: Vec<ProcessorAwaited>,
    /// How many more there are.
    pub partitions_left_out: usize,
}

/// A partition that an event waits for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessorAwaited {
    /// `topic:partition`.
    pub partition: String,
    /// The next offset that its task reads; null if no instance that answers tells it.
    pub offset: Option<u64>,
    /// The offset that it has to pass; null if that is not decided yet, or if it is no source partition.
    pub cut: Option<u64>,
    /// What its task does; null if no instance that answers has it.
    pub state: Option<String>,
    pub instance: Option<String>,
}

/// The partitions of a topic together.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopicLag {
    pub topic: String,
    pub partitions: usize,
    /// Of an input topic: records that can be read and are not applied.
    pub lag_records: Option<u64>,
    /// Of the ledger and the inbox: offsets that are not applied.
    pub lag_offsets: Option<u64>,
    pub records_per_second: Option<f64>,
    /// Of the worst partition: the age of the newest applied event.
    pub delay_seconds: Option<f64>,
}

/// A task with the partition that it follows.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProcessorPartition {
    /// The name of the task.
    pub task: String,
    pub state: Option<String>,
    /// `bad`, `warn` or `plain`.
    #[schema(value_type = String)]
    pub severity: &'static str,
    /// Null if the task does not tell it.
    pub topic: Option<String>,
    pub partition: Option<u64>,
    pub lag_records: Option<u64>,
    pub lag_offsets: Option<u64>,
    pub records_per_second: Option<f64>,
    pub delay_seconds: Option<f64>,
    /// Offsets that the task has still to read again; null if it does not recover.
    pub to_recover: Option<u64>,
    pub instance: String,
}

/// What the processor does
///
/// Asked from the instances of `softstake run` at `serve.processors`. One that does not answer is told with the reason, and the others are shown.
#[utoipa::path(get, path = "/v1/processor", tag = "operations",
    responses(
        (status = 200, description = "What all instances tell", body = ProcessorAnswer),
        (status = 400, description = "A parameter is given, and there is none", body = ProblemBody),
        (status = 401, description = "No valid token", body = ProblemBody),
        (status = 403, description = "No role of the token may see this", body = ProblemBody),
        (status = 404, description = "This server is told no address of a processor", body = ProblemBody)
    ))]
pub(super) async fn processor(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    request.allow(&[])?;
    caller.may(Right::Processor).await?;
    let Some(processors) = api.processors.clone() else {
        return Err(Problem::not_found(
            "This server asks no processor: set `serve.processors` and `serve.processors_token_file`.",
        ));
    };
    let samples = processors.samples().await;
    reply::json(&api, &request, &ProcessorAnswer::of(&samples))
}

impl ProcessorAnswer {
    fn of(samples: &[InstanceSample]) -> Self {
        let partitions = worst_partitions(samples);
        let mut answer = Self {
            coordinators: coordinators(samples),
            tasks: task_counts(statuses(samples)),
            records_per_second: records_per_second(samples),
            lag_records: sum_of(samples, |one| one.lag_records),
            partitions_without_lag: partitions_without_lag(samples),
            topics: topics(&partitions),
            ..Self::default()
        };
        let wrong = problems(samples).into_iter().map(|problem| ProcessorProblem {
            severity: problem.mark.name(),
            text: problem.text,
        });
        let mut instances: Vec<(Severity, ProcessorInstance)> = samples.iter().map(instance).collect();
        instances.sort_by(|(a, _), (b, _)| b.cmp(a));
        let left = &mut answer.left_out;
        answer.problems = first(wrong.collect(), left);
        answer.instances = first(instances.into_iter().map(|(_, one)| one).collect(), left);
        answer.waits = first(waits(samples), left);
        answer.partitions = first(partitions.iter().map(partition).collect(), left);
        answer
    }
}

/// The first items of a list. Adds the number of the others.
fn first<T>(mut items: Vec<T>, left_out: &mut usize) -> Vec<T> {
    *left_out = left_out.saturating_add(items.len().saturating_sub(MOST));
    items.truncate(MOST);
    items
}

fn text(text: Option<&SafeText>) -> Option<String> {
    text.map(ToString::to_string)
}

fn task_counts<'a>(statuses: impl IntoIterator<Item = &'a StatusDocument>) -> Vec<TaskCount> {
    let counts = tasks_by_state(statuses).into_iter().map(|(state, count)| TaskCount {
        state: state.to_owned(),
        count,
    });
    counts.collect()
}

fn instance(sample: &InstanceSample) -> (Severity, ProcessorInstance) {
    let (severity, state) = instance_state(sample);
    let status = sample.status();
    let told = ProcessorInstance {
        name: sample.name(),
        address: sample.address.to_string(),
        state,
        severity: severity.name(),
        unreachable_because: match &sample.answer {
            InstanceAnswer::Away(why) => Some(why.to_string()),
            InstanceAnswer::Asked | InstanceAnswer::Status(_) => None,
        },
        answered_seconds_ago: sample.last.as_ref().map(|(seconds, _)| *seconds),
        version: status.and_then(version),
        uptime_seconds: status.and_then(|status| status.uptime_seconds),
        tasks: task_counts(status),
    };
    (severity, told)
}

fn waits(samples: &[InstanceSample]) -> Vec<ProcessorWait> {
    let places = PartitionPlaces::new(samples);
    let mut waits = Vec::new();
    for coordinator in statuses(samples).filter_map(|status| status.coordinator.as_ref()) {
        waits.extend(coordinator.epochs.iter().map(|one| {
            let (partitions, partitions_left_out) = awaited(places.awaited_by(one));
            ProcessorWait {
                event: "close".into(),
                asset: text(one.asset.as_ref()),
                epoch: one.epoch,
                what: None,
                waits_for: text(one.waits_for.as_ref()),
                missing: text(one.missing.as_ref()),
                waits_seconds: one.waits_seconds,
                partitions,
                partitions_left_out,
            }
        }));
        waits.extend(coordinator.control_events.iter().map(|one| {
            let (partitions, partitions_left_out) = awaited(places.missing(&one.missing_partitions));
            ProcessorWait {
                event: text(one.event.as_ref()).unwrap_or_default(),
                asset: None,
                epoch: None,
                what: text(one.what.as_ref()),
                waits_for: None,
                missing: text(one.missing.as_ref()),
                waits_seconds: one.waits_seconds,
                partitions,
                partitions_left_out,
            }
        }));
    }
    let since = |one: &ProcessorWait| one.waits_seconds.unwrap_or_default();
    waits.sort_by(|a, b| since(b).total_cmp(&since(a)));
    waits
}

fn awaited(all: Vec<AwaitedPartition>) -> (Vec<ProcessorAwaited>, usize) {
    let left_out = all.len().saturating_sub(MOST_AWAITED);
    let first = all.into_iter().take(MOST_AWAITED).map(|one| ProcessorAwaited {
        partition: one.name,
        offset: one.offset,
        cut: one.cut,
        state: one.state,
        instance: one.instance,
    });
    (first.collect(), left_out)
}

fn partition(at: &PartitionAt<'_>) -> ProcessorPartition {
    let followed = &at.followed;
    let home = followed.partition;
    ProcessorPartition {
        task: followed.name(),
        state: text(followed.state()),
        severity: at.mark.name(),
        topic: home.and_then(|home| text(home.topic.as_ref())),
        partition: home.and_then(|home| home.partition),
        lag_records: home.and_then(|home| home.lag_records),
        lag_offsets: home.and_then(|home| home.lag_offsets),
        records_per_second: followed.rate(),
        delay_seconds: followed.delay(),
        to_recover: followed.to_recover(),
        instance: at.instance.clone(),
    }
}

/// The sums of each topic. A task that does not tell its partition is in none.
fn topics(partitions: &[PartitionAt<'_>]) -> Vec<TopicLag> {
    let mut topics: BTreeMap<&str, Vec<&FollowedPartition<'_>>> = BTreeMap::new();
    for at in partitions {
        if let Some(topic) = at.followed.partition.and_then(|home| home.topic.as_ref()) {
            topics.entry(topic.as_str()).or_default().push(&at.followed);
        }
    }
    let sums = topics.into_iter().map(|(topic, all)| {
        let homes = || all.iter().filter_map(|one| one.partition);
        TopicLag {
            topic: topic.to_owned(),
            partitions: all.len(),
            lag_records: homes().filter_map(|home| home.lag_records).reduce(u64::saturating_add),
            lag_offsets: homes().filter_map(|home| home.lag_offsets).reduce(u64::saturating_add),
            records_per_second: all.iter().filter_map(|one| one.rate()).reduce(|a, b| a + b),
            delay_seconds: all.iter().filter_map(|one| one.delay()).reduce(f64::max),
        }
    });
    sums.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn sample(status: &Value) -> InstanceSample {
        let status = Arc::new(serde_json::from_value(status.clone()).unwrap());
        InstanceSample {
            address: SafeText::new("10.0.0.1:9464"),
            answer: InstanceAnswer::Status(Arc::clone(&status)),
            last: Some((0.5, status)),
        }
    }

    #[test]
    fn sums_are_by_topic_and_lists_have_an_end() {
        let number = MOST + 30;
        let task = |partition: usize| {
            json!({
                "task": format!("ingest exchange.trades:{partition}"), "type": "ingest", "state": "working", "records_per_second": 2.0,
                "inputs": [{"topic": "exchange.trades", "partition": partition}],
            })
        };
        let home = |partition: usize| json!({"topic": "exchange.trades", "partition": partition, "offset": 1, "lag_records": partition, "event_time_delay_seconds": 1.5});
        let missing = |partition: usize| json!({"topic": "exchange.trades", "partition": partition});
        let status = json!({
            "instance": "alpha", "ready": true, "tasks": (0..number).map(task).collect::<Vec<_>>(),
            "partitions": (0..number).map(home).collect::<Vec<_>>(),
            "coordinator": {"epochs": [{
                "asset": "ATOM", "epoch": 3, "waits_for": "answers", "waits_seconds": 2.0,
                "missing_partitions": (0..150).map(missing).collect::<Vec<_>>(),
            }]},
        });
        let answer = ProcessorAnswer::of(&[sample(&status)]);
        assert_eq!((answer.partitions.len(), answer.left_out), (MOST, 30));
        assert_eq!(answer.partitions[0].partition, Some(529), "the greatest lag is first");
        let topic = &answer.topics[0];
        assert_eq!(
            (topic.partitions, topic.lag_records, topic.records_per_second),
            (number, Some(529 * 530 / 2), Some(1_060.0))
        );
        assert_eq!(
            (answer.lag_records, topic.delay_seconds),
            (topic.lag_records, Some(1.5))
        );
        let wait = &answer.waits[0];
        assert_eq!((wait.partitions.len(), wait.partitions_left_out), (MOST_AWAITED, 50));
        assert_eq!(wait.partitions[7].instance.as_deref(), Some("alpha"));
        assert_eq!(
            (answer.tasks[0].state.as_str(), answer.tasks[0].count),
            ("working", 530)
        );
    }

    #[test]
    fn without_any_answer_the_lists_are_empty() {
        let mut away = sample(&json!({}));
        (away.answer, away.last) = (InstanceAnswer::Away(SafeText::new("Connection refused")), None);
        let answer = ProcessorAnswer::of(&[away]);
        let instance = &answer.instances[0];
        assert_eq!((instance.state, instance.severity), ("unreachable", "bad"));
        assert_eq!(instance.unreachable_because.as_deref(), Some("Connection refused"));
        assert!(answer.waits.is_empty() && answer.coordinators.is_empty() && answer.lag_records.is_none());
        assert!(answer.problems[0].text.contains("does not answer"));
    }
}
