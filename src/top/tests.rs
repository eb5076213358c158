//! The screen of made-up statuses, drawn on terminals of several sizes.

use std::sync::Arc;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::instances::{InstanceAnswer, InstanceSample, SafeText};
use crate::top::compose::compose;
use crate::top::draw::{Navigation, as_text, draw};
use crate::top::lines::Palette;
use crate::top::screen::StatusScreen;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 10)];

fn answers(address: &str, status: &Value) -> InstanceSample {
    let status = Arc::new(serde_json::from_value(status.clone()).unwrap());
    InstanceSample {
        address: SafeText::new(address),
        answer: InstanceAnswer::Status(Arc::clone(&status)),
        last: Some((0.5, status)),
    }
}

fn away(address: &str, last: Option<(f64, &Value)>) -> InstanceSample {
    InstanceSample {
        address: SafeText::new(address),
        answer: InstanceAnswer::Away(SafeText::new("Connection refused (os error 111)")),
        last: last.map(|(seconds, status)| (seconds, Arc::new(serde_json::from_value(status.clone()).unwrap()))),
    }
}

/// An ingest task with the partition that it follows.
fn ingest(partition: u64, lag: u64, delay: f64, state: &str) -> (Value, Value) {
    let topic = "exchange.deposits";
    let input =
        |topic| json!({"topic": topic, "partition": partition, "offset": 7, "recovery_remaining_offsets": null});
    let task = json!({
        "task": format!("ingest {topic}:{partition}"), "type": "ingest", "state": state, "records_per_second": 100.4,
        "inputs": [input("softstake.decisions"), input(topic)],
    });
    let followed = json!({
        "topic": topic, "partition": partition, "offset": 7, "end": 7 + lag, "lag_records": lag, "lag_offsets": null,
        "event_time_delay_seconds": delay,
    });
    (task, followed)
}

fn healthy(instance: &str, partitions: std::ops::Range<u64>) -> Value {
    let (tasks, followed): (Vec<Value>, Vec<Value>) =
        partitions.map(|partition| ingest(partition, 0, 0.2, "working")).unzip();
    json!({
        "version": "0.1.0", "rules": 2, "bus": "kafka", "deployment": "payments", "instance": instance,
        "uptime_seconds": 90_000.0, "ready": true, "not_ready_because": [], "troubles": [], "tasks": tasks,
        "partitions": followed, "coordinator": null, "settlements": [],
        "stores": [{"type": "accrue", "stores": 4, "size_bytes": 5_000_000, "compaction_debt_bytes": 0, "level0_files": 2}],
        "disk_free_bytes": 50_u64 << 30, "snapshots": {"taken": 5, "failed": 0, "oldest_seconds": 300.0, "refused": false},
    })
}

fn coordinator() -> Value {
    let seal = |asset: &str, age: f64| {
        json!({
            "asset": asset, "epoch": 3, "epoch_end": "2026-11-01T00:01:40.000Z", "age_seconds": age, "epoch_seconds": 86_400.0,
        })
    };
    json!({
        "epochs": [], "control_events": [], "held": [], "halted": [],
        "seals": [seal("ATOM", 40_000.0), seal("SOL", 80_000.0)],
    })
}

/// Two instances at work, one of which has the coordinator.
fn at_work() -> [Value; 2] {
    let mut first = healthy("payments-0", 0..2);
    first["coordinator"] = coordinator();
    [first, healthy("payments-1", 2..4)]
}

/// A night on which everything is wrong.
fn night() -> Vec<InstanceSample> {
    let [mut first, mut second] = at_work();
    first["coordinator"]["epochs"] = json!([
        {"asset": "ATOM", "epoch": 4, "waits_for": "answers", "missing": "the answers of exchange.deposits:3", "waits_seconds": 4_000.0},
        {"asset": "SOL", "epoch": 9, "waits_for": "seal", "missing": "the seal of epoch 8", "waits_seconds": 3.0},
    ]);
    first["coordinator"]["held"] =
        json!([{"asset": "BTC", "epoch": 5, "state": "held"}, {"asset": "DOT", "epoch": 6, "state": "void"}]);
    first["coordinator"]["halted"] = json!([{"asset": "ETH", "epoch": 7, "state": "halted"}]);
    first["coordinator"]["seals"][1]["age_seconds"] = json!(300_000.0);
    first["settlements"] = json!([{"asset": "SOL", "epoch": 9, "done_ratio": 0.75}]);
    second["settlements"] = json!([{"asset": "SOL", "epoch": 9, "done_ratio": 0.259}]);
    let trouble = "ingest exchange.deposits:3 restarts again and again: the disk is full";
    second["ready"] = json!(false);
    second["not_ready_because"] = json!([
        trouble,
        "accrue 1 is recovering: softstake.ledger:1 is read to offset 5 of 9"
    ]);
    second["troubles"] = json!([trouble]);
    let (task, followed) = ingest(3, 12_345, 7_500.0, "restarting");
    (second["tasks"][1], second["partitions"][1]) = (task, followed);
    second["disk_free_bytes"] = json!(100 << 20);
    second["version"] = json!("0.2.0");
    let third = healthy("payments-2", 4..5);
    vec![
        answers("10.0.0.1:9464", &first),
        answers("10.0.0.2:9464", &second),
        away("10.0.0.3:9464", Some((34.0, &third))),
    ]
}

fn screen(samples: &[InstanceSample]) -> StatusScreen {
    compose(samples, "2026-11-27T03:12:08Z")
}

fn drawn_with(screen: &StatusScreen, navigation: &mut Navigation, (width, height): (u16, u16)) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, screen, navigation, Palette::Colours))
        .unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        let mut line = String::new();
        for x in 0..width {
            // A wide character has the next cell as well.
            if line.width() <= usize::from(x) {
                line.push_str(buffer[(x, y)].symbol());
            }
        }
        line.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

fn drawn(samples: &[InstanceSample], size: (u16, u16)) -> Vec<String> {
    drawn_with(&screen(samples), &mut Navigation::default(), size)
}

fn pressed(navigation: &mut Navigation, code: KeyCode) -> bool {
    navigation.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn instances_at_work_fit_on_80_by_24() {
    let [first, second] = at_work();
    let samples = [answers("10.0.0.1:9464", &first), answers("10.0.0.2:9464", &second)];
    let lines = drawn(&samples, (80, 24));
    let expected = [
        &format!("{:<60}2026-11-27T03:12:08Z", "softstake top  kafka payments"),
        "2 of 2 instances ready  version 0.1.0 rules 2  coordinator payments-0",
        "402 records/s  lag 0  inner lag -  worst delay 0.2s  epochs under way 0  held 0",
        "halted 0",
    ];
    assert_eq!(lines[..4], expected);
    assert!(lines[4].starts_with("── no problem seen ───"), "{lines:#?}");
    let all = lines.join("\n");
    for part in [
        "payments-0  ready  2 working   1d 1h  0.1.0 rules 2  10.0.0.1:9464",
        "── held, void and halted epochs: none ──",
        "ingest exchange.deposits:0  working    0    100   0.2s",
    ] {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
    assert_eq!(
        lines[23],
        "[0 all] 1 problems 2 instances 3 partitions 4 epochs 5 seals 6 disks q quit"
    );
}

#[test]
fn what_is_bad_is_always_there() {
    let samples = night();
    let lines = drawn(&samples, (80, 24));
    let all = lines.join("\n");
    for part in [
        "1 of 3 instances ready",
        "!1 not ready",
        "!!1 unreachable",
        "!versions 0.1.0 rules 2, 0.2.0 rules 2",
        "!lag 12,345",
        "!held 2",
        "!!halted 1",
        "!! payments-2 at 10.0.0.3:9464 does not answer (last answer 34s ago): ",
        "!! payments-1: ingest exchange.deposits:3 restarts again and again: ",
        "!! payments-1: its disk is full",
        "!! epoch 7 of ETH is halted",
    ] {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
    // Scrolled to the end, and on each other section, the worst is still there.
    let screen = screen(&samples);
    for size in SIZES {
        let mut navigation = Navigation::default();
        for key in [KeyCode::End, KeyCode::Char('2'), KeyCode::Char('6'), KeyCode::PageDown] {
            pressed(&mut navigation, key);
            let lines = drawn_with(&screen, &mut navigation, size).join("\n");
            assert!(
                lines.contains("!!1 unreachable") && lines.contains("!! payments-2"),
                "{lines}"
            );
        }
    }
}

#[test]
fn every_figure_of_a_bad_night_is_on_the_printed_screen() {
    let text = as_text(&screen(&night()), None).join("\n");
    for part in [
        "!! payments-2 at 10.0.0.3:9464 does not answer (last answer 34s ago): Connection refused (os error 111)",
        "!! epoch 7 of ETH is halted: a check of conservation failed. Keep bus and state, and report it",
        "!  the versions differ: 0.1.0 rules 2 on 1, 0.2.0 rules 2 on 1",
        "!  payments-1 is not ready: accrue 1 is recovering: softstake.ledger:1 is read to offset 5 of 9",
        "!  epoch 5 of BTC is held: treasury releases or voids it",
        "!  epoch 6 of DOT is void: treasury closes it again",
        "!  epoch 4 of ATOM has waited 1h 6m: the answers of exchange.deposits:3 missing",
        "!  1 asset late with a seal: SOL by 3.5 epochs. A close is missing, or it waits, or an epoch is held",
        "!  ingest exchange.deposits:3 is behind: 12,345 records wait, 100 records/s, delay 2h 5m",
        "!! payments-2  unreachable",
        "!! payments-1  in trouble   1 restarting, 1 working",
        "!  ATOM       4  1h 6m  answers  the answers of exchange.deposits:3",
        "   SOL        9   25%  payments-1          2",
        "!! ingest exchange.deposits:3  restarting  12,345    100  2h 5m           -  payments-1",
        "!! payments-1  100.00 MiB",
        "!  SOL         3  3d 11h         1d 0h         3.5",
        "   accrue       8  9.54 MiB         0 B        2",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(!text.contains("epoch 9 of SOL has waited"), "3 s are not long\n{text}");
    // A trouble is said once, and the worst comes first.
    assert_eq!(text.matches("restarts again and again").count(), 1);
    let first = text.lines().position(|line| line.starts_with("!  ")).unwrap();
    let last_bad = text
        .lines()
        .take_while(|line| !line.starts_with("── instances"))
        .collect::<Vec<_>>();
    assert!(last_bad[first..].iter().all(|line| !line.starts_with("!!")), "{text}");
}

#[test]
fn exactly_one_instance_has_the_coordinator() {
    let [first, mut second] = at_work();
    let both = |second: &Value| {
        let samples = [answers("10.0.0.1:9464", &first), answers("10.0.0.2:9464", second)];
        as_text(&screen(&samples), None).join("\n")
    };
    assert!(both(&second).contains("no problem seen"));
    second["coordinator"] = coordinator();
    let two = both(&second);
    assert!(
        two.contains("!! 2 instances have the coordinator: payments-0, payments-1"),
        "{two}"
    );
    assert!(two.contains("!!2 coordinators"), "{two}");
    let none = as_text(&screen(&[answers("10.0.0.2:9464", &healthy("b", 0..1))]), None).join("\n");
    assert!(
        none.contains("!! no instance has the coordinator: nothing is closed or sealed"),
        "{none}"
    );
    let one_away = [
        answers("10.0.0.2:9464", &healthy("b", 0..1)),
        away("10.0.0.1:9464", None),
    ];
    let one_away = as_text(&screen(&one_away), None).join("\n");
    assert!(
        one_away.contains("!  none of the instances that answer has the coordinator"),
        "{one_away}"
    );
}

#[test]
fn a_partition_at_two_instances_and_two_deployments_are_told() {
    let [first, mut second] = at_work();
    second["partitions"] = first["partitions"].clone();
    let text = |second: &Value| {
        let samples = [answers("10.0.0.1:9464", &first), answers("10.0.0.2:9464", second)];
        as_text(&screen(&samples), None).join("\n")
    };
    let twice = text(&second);
    let said = "!  2 partitions at two instances, such as exchange.deposits:0 at payments-0 and payments-1.";
    assert!(twice.contains(said), "{twice}");
    second["deployment"] = json!("other");
    let other = text(&second);
    let said = "!! the instances are of 2 deployments: kafka other, kafka payments";
    assert!(other.contains(said) && !other.contains("at two instances"), "{other}");
}

#[test]
fn a_close_that_waits_names_who_has_not_passed_its_cut() {
    let [mut first, second] = at_work();
    first["coordinator"]["epochs"] = json!([{
        "asset": "ATOM", "epoch": 4, "waits_for": "subtotals", "missing": "the subtotals of the ledger partitions 0", "waits_seconds": 61.0,
        "missing_partitions": [{"topic": "softstake.ledger", "partition": 0}],
        "cut": {"exchange.deposits": {"0": 7, "3": 9, "8": 1}},
    }]);
    let samples = [answers("10.0.0.1:9464", &first), answers("10.0.0.2:9464", &second)];
    let text = as_text(&screen(&samples), None).join(" ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "epoch 4 of ATOM has waited 1m 1s: the subtotals of the ledger partitions 0 missing. Not past its cut: exchange.deposits:3 at \
                offset 7 of 9, exchange.deposits:8 at no instance that answers";
    assert!(text.contains(said), "{text}");
}

#[test]
fn records_that_nobody_reads_are_told() {
    let text = |lag: u64, rate: f64| {
        let [mut first, _] = at_work();
        (first["tasks"][1], first["partitions"][1]) = ingest(1, lag, 0.3, "working");
        first["tasks"][1]["records_per_second"] = json!(rate);
        as_text(&screen(&[answers("10.0.0.1:9464", &first)]), None).join("\n")
    };
    let said = "!  ingest exchange.deposits:1 is behind: 5,000 records wait, 0 records/s, delay 0.3s";
    let unread = text(5_000, 0.0);
    assert!(
        unread.contains(said) && unread.contains("!  ingest exchange.deposits:1  working"),
        "{unread}"
    );
    for (lag, rate) in [(5_000, 10.0), (1_000, 0.0), (0, 0.0)] {
        assert!(text(lag, rate).contains("no problem seen"), "{lag} {rate}");
    }
}

#[test]
fn nothing_is_known_of_an_empty_answer() {
    for size in SIZES {
        let lines = drawn(&[answers("10.0.0.1:9464", &json!({}))], size).join("\n");
        assert!(lines.contains("0 of 1 instance ready"), "{lines}");
    }
    let text = as_text(&screen(&[answers("10.0.0.1:9464", &json!({}))]), None).join("\n");
    for part in [
        "- records/s",
        "lag -",
        "inner lag -",
        "worst delay -",
        "epochs under way -",
        "held -",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(
        text.contains("   10.0.0.1:9464  -      none        -  -        10.0.0.1:9464"),
        "{text}"
    );
    let none = as_text(&screen(&[]), None).join("\n");
    assert!(none.contains("!! no instance is found"), "{none}");
}

#[test]
fn all_instances_away_is_a_screen() {
    let samples: Vec<InstanceSample> = (0..30)
        .map(|number| away(&format!("10.0.0.{number}:9464"), None))
        .collect();
    for size in SIZES {
        let lines = drawn(&samples, size).join("\n");
        assert!(
            lines.contains("no instance answers") && lines.contains("!!30 unreachable"),
            "{lines}"
        );
        assert!(
            lines.contains("30 problems") && lines.contains("!! 10.0.0.0:9464 does not answer"),
            "{lines}"
        );
    }
}

/// 500 partitions, with names of 200 characters.
fn huge() -> Vec<InstanceSample> {
    let mut status = healthy(&"instance-with-a-long-name-".repeat(8), 0..500);
    for number in 0..500 {
        let name = format!("{}{number}", "客户-".repeat(60));
        status["partitions"][number]["topic"] = json!(name.clone());
        status["partitions"][number]["lag_records"] = json!(number * 1_000_000_007);
        status["partitions"][number]["event_time_delay_seconds"] = json!(number * 1_000);
        status["tasks"][number]["inputs"][1]["topic"] = json!(name.clone());
        status["tasks"][number]["task"] = json!(format!("ingest {name}"));
    }
    status["coordinator"] = coordinator();
    status["coordinator"]["epochs"] = (0..100)
        .map(|number| {
            json!({"asset": "A".repeat(32), "epoch": u64::MAX - number, "waits_for": "answers",
                "missing": "the answers of many ".repeat(50), "waits_seconds": 1e9})
        })
        .collect();
    vec![answers(
        "[fe80::1234:5678:9abc:def0]:9464 (a-name-of-a-headless-service.namespace.svc)",
        &status,
    )]
}

#[test]
fn a_huge_deployment_fits_and_scrolls() {
    let samples = huge();
    let screen = screen(&samples);
    for size in SIZES {
        let mut navigation = Navigation::default();
        let lines = drawn_with(&screen, &mut navigation, size);
        assert!(lines[size.1 as usize - 1].contains("q quit"), "{lines:#?}");
        assert!(
            lines.iter().all(|line| line.width() <= usize::from(size.0)),
            "{lines:#?}"
        );
        // The worst partition is the first row of its section.
        pressed(&mut navigation, KeyCode::Char('3'));
        let lines = drawn_with(&screen, &mut navigation, size).join("\n");
        assert!(
            lines.contains("partitions: 500") && lines.contains("499,000,003,493"),
            "{lines}"
        );
        let rows = usize::from(size.1);
        assert!(lines.contains(" of 502"), "{lines}");
        pressed(&mut navigation, KeyCode::End);
        let end = drawn_with(&screen, &mut navigation, size);
        assert!(end.join("\n").contains("-502 of 502"), "{end:#?}");
        assert_eq!(end.len(), rows);
        pressed(&mut navigation, KeyCode::Up);
        assert!(
            drawn_with(&screen, &mut navigation, size)
                .join("\n")
                .contains("-501 of 502")
        );
        pressed(&mut navigation, KeyCode::Home);
        assert!(drawn_with(&screen, &mut navigation, size).join("\n").contains("↑↓ 1-"));
    }
    assert!(as_text(&screen, None).len() > 600);
    assert!(as_text(&screen, Some(80)).iter().all(|line| line.width() <= 80));
}

#[test]
fn no_size_of_a_terminal_is_too_small() {
    for samples in [night(), huge(), Vec::new()] {
        let screen = screen(&samples);
        for size in [(1, 1), (2, 3), (10, 4), (19, 7), (300, 2), (5, 60), (200, 100)] {
            for key in ['0', '1', '2', '3', '4', '5', '6'] {
                let mut navigation = Navigation::default();
                pressed(&mut navigation, KeyCode::Char(key));
                pressed(&mut navigation, KeyCode::PageDown);
                assert_eq!(drawn_with(&screen, &mut navigation, size).len(), usize::from(size.1));
            }
        }
    }
}

#[test]
fn keys_choose_sections_and_end_the_program() {
    let screen = screen(&night());
    let mut navigation = Navigation::default();
    let shown = |navigation: &mut Navigation| drawn_with(&screen, navigation, (80, 24)).pop().unwrap();
    for (key, section) in [
        (KeyCode::Tab, "[1 problems]"),
        (KeyCode::Right, "[2 instances]"),
        (KeyCode::Left, "[1 problems]"),
        (KeyCode::BackTab, "[0 all]"),
        (KeyCode::BackTab, "[6 disks]"),
        (KeyCode::Char('9'), "[6 disks]"),
        (KeyCode::Char('4'), "[4 epochs]"),
        (KeyCode::Esc, "[0 all]"),
    ] {
        assert!(!pressed(&mut navigation, key));
        assert!(shown(&mut navigation).contains(section), "{key:?}");
    }
    assert!(pressed(&mut navigation, KeyCode::Char('q')));
    assert!(navigation.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(!pressed(&mut navigation, KeyCode::Char('c')));
}

#[test]
fn hostile_names_are_harmless() {
    let mut status = healthy("a\u{1b}[2J\n\u{202e}", 0..1);
    status["troubles"] = json!(["x\u{1b}]0;title\u{7}y"]);
    status["version"] = json!("1\u{9b}2J");
    status["coordinator"] = coordinator();
    status["coordinator"]["seals"][0]["asset"] = json!("A\u{200b}T\tOM");
    let samples = [answers("10.0.0.1:9464", &status), away("b\u{1b}[0m:1", None)];
    let text = as_text(&screen(&samples), None);
    let is_harmless = |line: &String| {
        !line
            .chars()
            .any(|one| one.is_control() || matches!(one, '\u{202e}' | '\u{200b}'))
    };
    assert!(text.iter().all(is_harmless), "{text:#?}");
    assert!(text.join("\n").contains(r"a\u{1b}[2J\u{a}\u{202e}"));
    assert!(drawn(&samples, (80, 24)).iter().all(is_harmless));
}
