//! `softstake reconcile`: a replay must equal what was published, and every difference must be found and named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use softstake::generate::Synthetic;
use tempfile::TempDir;

use crate::common::kafka::{Cluster, Deployment};
use crate::common::process::Process;
use crate::common::records::text;
use crate::common::{OUTPUTS, Place, copy, fail, fixture, on_bus, softstake, start, succeed};

fn reconcile(bus: &Path) -> Command {
    on_bus("reconcile", bus)
}

fn output(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

/// Its verdict, whether all is equal, and its report.
fn report(command: &mut Command) -> (bool, Value) {
    let output = output(command.arg("--json"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no report: {error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    let equal = report["equal"].as_bool().expect("a verdict");
    assert_eq!(output.status.code(), Some(i32::from(!equal)), "{report}");
    (equal, report)
}

/// Reconciles. All must be equal. Returns the number of records.
fn equal(command: &mut Command) -> u64 {
    let (equal, report) = report(command);
    assert!(
        equal,
        "{}\n{}",
        report["deviation"],
        report["differences"]
            .to_string()
            .chars()
            .take(2_000)
            .collect::<String>()
    );
    report["total"]["equal"].as_u64().expect("a count")
}

fn spec() -> Synthetic {
    Synthetic {
        events: 20_000,
        accounts: 500,
        assets: 3,
        partitions: 3,
        epochs: 4,
        late: 0.1,
        duplicates: 0.05,
        bad: 0.02,
        ..Synthetic::default()
    }
}

/// A bus that was settled stage by stage, so that there are late postings, and cuts in the middle.
fn grown(spec: &Synthetic) -> Place {
    let place = Place::new();
    place.grow(spec, Some(4));
    place
}

/// A copy of a bus, to tamper with.
struct Copy(TempDir);

impl Copy {
    fn of(place: &Place) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&place.bus(), folder.path());
        Self(folder)
    }

    /// The files of a topic.
    fn files(&self, topic: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path().join(topic)).expect("a topic");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        files
    }

    /// Changes the lines of the first file of a topic.
    fn change(&self, topic: &str, change: impl FnOnce(&mut Vec<String>)) {
        let file = &self.files(topic)[0];
        let bytes = fs::read(file).expect("lines");
        // A line that is not UTF-8 is never the one to change, and is put back unchanged.
        let mut strange = Vec::new();
        let mut lines = Vec::new();
        for (number, line) in bytes
            .strip_suffix(b"\n")
            .expect("lines")
            .split(|byte| *byte == b'\n')
            .enumerate()
        {
            match String::from_utf8(line.to_vec()) {
                Ok(line) => lines.push(line),
                Err(_) => {
                    strange.push((number, line));
                    lines.push(String::new());
                }
            }
        }
        change(&mut lines);
        let mut changed: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        for (number, line) in strange {
            changed[number] = line;
        }
        let mut bytes = changed.join(&b'\n');
        bytes.push(b'\n');
        fs::write(file, bytes).expect("lines");
    }

    /// The differences that reconciling finds: kind, id and names of fields.
    fn found(&self) -> Vec<(String, String, Vec<String>)> {
        let (equal, report) = report(&mut reconcile(self.0.path()));
        assert!(!equal, "{report:#}");
        let differences = report["differences"].as_array().expect("differences").iter();
        differences
            .map(|difference| {
                let fields = difference["fields"].as_array().expect("fields").iter();
                (
                    text(&difference["kind"]).to_owned(),
                    text(&difference["id"]).to_owned(),
                    fields.map(|field| text(&field["field"]).to_owned()).collect(),
                )
            })
            .collect()
    }
}

fn id(line: &str) -> String {
    let record: Value = serde_json::from_str(line).expect("a record");
    text(&record["id"]).to_owned()
}

#[test]
fn the_worked_example_is_equal() {
    let place = Place::new();
    copy(&fixture("example/bus"), &place.bus());
    place.run(Some(2));
    let records: usize = OUTPUTS.iter().map(|topic| place.records(topic).len()).sum();
    assert_eq!(equal(&mut reconcile(&place.bus())), records as u64);
    let said = String::from_utf8(output(&mut reconcile(&place.bus())).stdout).expect("text");
    assert!(said.starts_with("EQUAL: all "), "{said}");
}

#[test]
fn output_that_was_published_in_stages_is_equal() {
    let place = grown(&spec());
    assert!(place.records("softstake.late-postings").len() > 100);
    let records: usize = OUTPUTS.iter().map(|topic| place.records(topic).len()).sum();
    assert_eq!(equal(&mut reconcile(&place.bus())), records as u64);
}

#[test]
fn one_changed_digit_is_found_and_named_on_each_topic() {
    let place = grown(&spec());
    for (topic, field) in [
        ("softstake.distributions", "amount"),
        ("softstake.distributions", "balance_seconds"),
        ("softstake.epochs", "distributed"),
        ("softstake.dead-letters", "code"),
        ("softstake.late-postings", "delta"),
    ] {
        let copy = Copy::of(&place);
        let mut changed = String::new();
        copy.change(topic, |lines| {
            let middle = lines.len() / 2;
            changed = id(&lines[middle]);
            let mut record: Value = serde_json::from_str(&lines[middle]).expect("a record");
            let value = record["data"][field].as_str().expect("a text");
            // Another last digit or letter.
            let last = if value.ends_with('7') { "3" } else { "7" };
            record["data"][field] = format!("{}{last}", &value[..value.len() - 1]).into();
            lines[middle] = record.to_string();
        });
        let expected = ("different".to_owned(), changed, vec![format!("data.{field}")]);
        assert_eq!(copy.found(), [expected], "{topic}");
    }
}

#[test]
fn a_record_with_equal_values_but_another_text_is_a_difference() {
    let place = grown(&spec());
    for topic in ["softstake.distributions", "softstake.epochs"] {
        for (old, new) in [("{", "{ "), (r#""data":"#, r#""data":{},"data":"#)] {
            let copy = Copy::of(&place);
            let mut changed = String::new();
            copy.change(topic, |lines| {
                changed = id(&lines[1]);
                lines[1] = lines[1].replacen(old, new, 1);
            });
            let expected = ("different".to_owned(), changed, vec!["the record's text".to_owned()]);
            assert_eq!(copy.found(), [expected], "{topic}: {new}");
        }
    }
}

#[test]
fn one_missing_extra_or_doubled_record_is_found_and_named_on_each_topic() {
    let place = grown(&spec());
    for topic in OUTPUTS {
        for at in [0, 1, 2] {
            let nth = |lines: &[String]| at * (lines.len() - 1) / 2;
            let copy = Copy::of(&place);
            let mut changed = String::new();
            copy.change(topic, |lines| changed = id(&lines.remove(nth(lines))));
            let found = copy.found();
            assert_eq!(found.len(), 1, "{topic}: {found:?}");
            assert_eq!((&*found[0].0, &found[0].1), ("missing", &changed), "{topic}");

            let copy = Copy::of(&place);
            copy.change(topic, |lines| lines.push(lines[nth(lines)].clone()));
            let found = copy.found();
            assert_eq!(found.len(), 1, "{topic}: {found:?}");
            assert_eq!((&*found[0].0, &found[0].1), ("doubled", &changed), "{topic}");
        }
    }
    // Records that were never published: of unknown accounts, epochs, assets and positions.
    for (topic, added) in [
        ("softstake.distributions", "ATOM:1:nobody"),
        ("softstake.distributions", "ATOM:999:nobody"),
        ("softstake.distributions", "NONE:0:nobody"),
        ("softstake.epochs", "ATOM:77"),
        ("softstake.dead-letters", "exchange.trades:0:99999999"),
        ("softstake.dead-letters", "exchange.trades:0:0"),
        ("softstake.late-postings", "exchange.trades:0:99999999:0"),
    ] {
        let copy = Copy::of(&place);
        copy.change(topic, |lines| {
            let mut record: Value = serde_json::from_str(&lines[0]).expect("a record");
            record["id"] = added.into();
            lines.push(record.to_string());
        });
        let found = copy.found();
        let found: Vec<_> = found.iter().map(|(kind, id, _)| (kind.as_str(), id.as_str())).collect();
        assert_eq!(found, [("extra", added)], "{topic}");
    }
    let copy = Copy::of(&place);
    copy.change("softstake.distributions", |lines| lines.insert(1, "no record".into()));
    let found = copy.found();
    assert_eq!(found[0].0, "extra");
    assert!(
        found[0].1.starts_with("softstake.distributions:0, offset 1"),
        "{found:?}"
    );
}

#[test]
fn a_decision_that_does_not_follow_from_the_log_is_found() {
    let place = grown(&spec());
    // Another cut: the payouts of that epoch and the next differ.
    let copy = Copy::of(&place);
    copy.change("softstake.decisions", |lines| {
        let cut = lines
            .iter()
            .rposition(|line| line.contains(r#""decision":"cut""#))
            .expect("a cut");
        let mut record: Value = serde_json::from_str(&lines[cut]).expect("a record");
        let offset = &mut record["data"]["cut"]["exchange.trades"]["1"];
        *offset = (offset.as_u64().expect("an offset") - 200).into();
        lines[cut] = record.to_string();
    });
    let found = copy.found();
    assert!(found.iter().any(|(kind, ..)| kind == "different"), "{found:?}");
    // A close that the replay rejects, but the decisions accept.
    let copy = Copy::of(&place);
    copy.change("softstake.control", |lines| {
        let close = lines
            .iter()
            .position(|line| line.contains("epoch_close"))
            .expect("a close");
        lines[close] = lines[close].replace(r#""epoch":0"#, r#""epoch":1"#);
    });
    let (equal, report) = report(&mut reconcile(copy.0.path()));
    assert!(!equal);
    assert_eq!(report["deviation"]["replayed"]["decision"], "refused", "{report:#}");
    assert_eq!(
        report["deviation"]["recorded"]["decision"], "close_accepted",
        "{report:#}"
    );
}

#[test]
fn an_event_that_was_changed_later_is_found() {
    let place = grown(&spec());
    let copy = Copy::of(&place);
    // It must be a deposit that counted: not rejected, to an account that was paid.
    let paid: Vec<Value> = place.records("softstake.distributions");
    let rejected: Vec<String> = place
        .records("softstake.dead-letters")
        .iter()
        .map(|letter| letter["id"].to_string())
        .collect();
    let counted = |offset: usize, line: &String| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let (data, id) = (&event["data"], format!("\"exchange.deposits:0:{offset}\""));
        event["type"] == "exchange.deposit.v1"
            && data["asset"] == "ATOM"
            && paid
                .iter()
                .any(|record| record["data"]["asset"] == "ATOM" && record["data"]["account"] == data["account"])
            && !rejected.contains(&id)
    };
    copy.change("exchange.deposits", |lines| {
        let mut numbered = lines.iter().enumerate();
        let (deposit, _) = numbered
            .find(|(offset, line)| counted(*offset, line))
            .expect("a deposit");
        lines[deposit] = lines[deposit].replace(r#""amount":""#, r#""amount":"1"#);
    });
    let found = copy.found();
    assert!(
        found.iter().any(|(kind, id, fields)| kind == "different"
            && id.starts_with("ATOM:")
            && fields.iter().any(|field| field == "data.balance_seconds")),
        "{found:?}"
    );
}

#[test]
fn one_asset_or_one_epoch_can_be_compared_alone() {
    let place = grown(&spec());
    let copy = Copy::of(&place);
    // The seal of the last epoch is missing.
    copy.change("softstake.epochs", |lines| {
        lines.retain(|line| !line.contains(r#""id":"ATOM:3""#))
    });
    let alone = |asset: &str, epoch: &str| report(reconcile(copy.0.path()).args(["--asset", asset, "--epoch", epoch]));
    assert!(!alone("ATOM", "3").0);
    let (equal, first) = alone("ATOM", "1");
    assert!(equal, "{first:#}");
    let all = place.records("softstake.distributions");
    let of = |asset: &str, epoch: u64| {
        let of = all
            .iter()
            .filter(|record| record["data"]["asset"] == asset && record["data"]["epoch"] == epoch);
        of.count() as u64
    };
    let groups = first["groups"].as_array().expect("groups");
    let distributions = groups.iter().find(|group| group["topic"] == "softstake.distributions");
    assert_eq!(distributions.expect("distributions")["equal"], of("ATOM", 1));
    // Only the records that the epoch needs are replayed.
    let (_, whole) = report(&mut reconcile(copy.0.path()));
    assert!(first["source_records"].as_u64() < whole["source_records"].as_u64());
    assert!(report(reconcile(copy.0.path()).args(["--asset", "SOL"])).0);
    assert!(!report(reconcile(copy.0.path()).args(["--asset", "ATOM"])).0);
}

#[test]
fn a_kept_replay_goes_on_after_an_interruption_and_with_new_records() {
    let spec = Synthetic {
        events: 60_000,
        ..spec()
    };
    let place = Place::new();
    let work = tempfile::tempdir().expect("a folder");
    let kept = || {
        let mut command = reconcile(&place.bus());
        command.arg("--work").arg(work.path().join("work"));
        command
    };
    for stage in 0..spec.epochs {
        place.bring(&spec, stage);
        place.run(Some(2));
        for after_ms in [20, 60, 110] {
            let mut child = start(&mut kept());
            sleep(Duration::from_millis(after_ms));
            // It may have ended already.
            let _ = child.kill();
            child.wait().expect("its end");
        }
        let records: usize = OUTPUTS.iter().map(|topic| place.records(topic).len()).sum();
        assert_eq!(equal(&mut kept()), records as u64, "stage {stage}");
    }
    // A kept replay belongs to its bus.
    let other = grown(&Synthetic { events: 2_000, ..spec });
    let said = fail(reconcile(&other.bus()).arg("--work").arg(work.path().join("work")), 2);
    assert!(said.contains("holds a replay of another bus"), "{said}");
}

#[test]
fn a_bus_in_use_is_equal_at_every_moment() {
    let spec = Synthetic {
        events: 120_000,
        ..spec()
    };
    let place = Place::new();
    place.bring(&spec, 0);
    let mut process = Process::running(&place, Some(4));
    let mut compared = 0;
    for stage in 1..=spec.epochs {
        for _ in 0..3 {
            match fs::metadata(place.bus().join("softstake.decisions")) {
                Ok(_) => compared = compared.max(equal(&mut reconcile(&place.bus()))),
                Err(_) => sleep(Duration::from_millis(100)),
            }
        }
        if stage < spec.epochs {
            place.bring(&spec, stage);
        }
    }
    assert!(!process.ended(), "it ended by itself");
    drop(process);
    assert!(compared > 0, "nothing was ever compared");
    place.run(None);
    assert!(equal(&mut reconcile(&place.bus())) >= compared);
}

#[test]
fn reports_are_written_for_programs_and_for_people() {
    let place = grown(&Synthetic {
        events: 3_000,
        ..spec()
    });
    let copy = Copy::of(&place);
    copy.change("softstake.distributions", |lines| {
        lines[0] = lines[0].replace(r#""account":""#, r#""account":"<script>alert(1)</script>"#);
    });
    let folder = tempfile::tempdir().expect("a folder");
    let (page, table) = (folder.path().join("report.html"), folder.path().join("differences.csv"));
    let mut command = reconcile(copy.0.path());
    command.arg("--html").arg(&page).arg("--csv").arg(&table);
    command.env("SOURCE_DATE_EPOCH", "1764172800");
    let said = output(&mut command);
    assert_eq!(said.status.code(), Some(1));
    let page = fs::read_to_string(page).expect("a page");
    assert!(
        page.contains("NOT EQUAL: 0 missing, 0 extra, 1 different") && page.contains("<svg"),
        "{page}"
    );
    assert!(page.contains("Made on 2025-11-26 at 16:00 UTC."), "{page}");
    for seal in place.records("softstake.epochs") {
        assert!(page.contains(text(&seal["data"]["root"])), "{seal}: {page}");
    }
    // The page refers to nothing else, and the text of records is escaped.
    assert!(
        !page.contains("<script") && !page.contains("src=") && !page.contains("href="),
        "{page}"
    );
    let table = fs::read_to_string(table).expect("a table");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "kind,topic,id,field,published,replayed");
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[1].contains("data.account,<script>"), "{table}");
    succeed(
        reconcile(&place.bus())
            .arg("--html")
            .arg(folder.path().join("equal.html")),
    );
}

#[test]
fn a_bus_without_decisions_is_refused() {
    let place = Place::new();
    let said = fail(&mut reconcile(&place.bus()), 3);
    assert!(said.contains("has no decisions"), "{said}");
    let said = fail(&mut reconcile(&place.bus().join("missing")), 2);
    assert!(said.contains("no bus directory"), "{said}");
}

#[test]
fn a_deployment_on_kafka_is_equal_during_work_and_afterwards() {
    let cluster = Cluster::single();
    let deployment = Deployment::new(&cluster, 4, 3);
    let spec = Synthetic {
        events: 30_000,
        ..spec()
    };
    let on_kafka = || {
        let mut command = softstake();
        command.args(["reconcile", "--bus", "kafka", "--kafka-brokers", &deployment.bootstrap]);
        command
    };
    let mut instances = [deployment.start(0), deployment.start(1)];
    let mut compared = 0;
    for stage in 0..spec.epochs {
        deployment.place.bring(&spec, stage);
        deployment.publish();
        if stage > 0 {
            compared = compared.max(equal(&mut on_kafka()));
        }
        if stage == 1 {
            // The restarted instance must publish the same.
            instances[0].kill();
            instances[0] = deployment.start(0);
        }
        deployment.until_sealed(usize::try_from((stage + 1) * spec.assets).expect("small"));
    }
    assert!(compared > 0, "nothing was ever compared");
    for mut instance in instances {
        assert_eq!(instance.stop(), Some(0));
    }
    let records: usize = OUTPUTS.iter().map(|topic| cluster.read_committed(topic).len()).sum();
    assert_eq!(equal(&mut on_kafka()), records as u64);
}
