//! `softstake top` over real processes: printed, and on a terminal.

use std::env;
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;
use softstake::top::{Palette, terminal};

use super::endpoint::{LISTEN, Watched};
use super::{EPOCH, begun, troubled};
use crate::common::events::{close, event, pool};
use crate::common::live_terminal::LiveTerminal;
use crate::common::{fail, softstake, succeed};

const SIGTERM: u32 = 15;

fn top(arguments: &[&str]) -> Command {
    let mut command = softstake();
    command.arg("top").args(arguments).env_remove("NO_COLOR");
    command
}

fn printed(arguments: &[&str]) -> String {
    String::from_utf8(succeed(&mut top(arguments)).stdout).expect("text")
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

#[test]
fn troubles_are_printed() {
    let (_place, watched) = troubled("ingest/exchange.deposits/0");
    let (address, nobody) = (watched.address().to_string(), nobody());
    let text = printed(&[&address, &nobody, "no-such-host.invalid:9464"]);
    for part in [
        "0 of 3 instances ready  !1 not ready  !!2 unreachable".to_owned(),
        "epochs under way 1".into(),
        // Not known is not 0.
        "!lag 0 without 1 partition".into(),
        format!("!! {address}: ingest exchange.deposits:0 restarts again and again: "),
        format!("!! {nobody} does not answer (no answer yet): Connection refused"),
        "!! no-such-host.invalid:9464 does not answer (no answer yet): its name is not found".into(),
        "!! ingest exchange.deposits:0  restarting".into(),
        "the answers of exchange.deposits:0".into(),
        "ATOM".into(),
    ] {
        assert!(text.contains(&part), "{part} is not in\n{text}");
    }
    assert!(
        !text.contains("none of the instances that answer"),
        "one has the coordinator:\n{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_eq!(watched.process.stop(), Some(0));
    // Nobody is left to answer.
    let output = top(&[&address]).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("!!1 unreachable"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no instance answers"));
}

#[test]
fn the_configuration_names_the_instance_and_others_are_refused() {
    let place = begun(&pool());
    let watched = Watched::start(&place, &[]);
    watched.until_ready();
    let address = watched.address().to_string();
    let by_configuration = succeed(top(&["--once"]).env("SOFTSTAKE_MONITOR__LISTEN", &address));
    let text = String::from_utf8_lossy(&by_configuration.stdout);
    assert!(
        text.contains("1 of 1 instance ready") && text.contains("dir:"),
        "{text}"
    );
    for (arguments, listen, expected) in [
        (&[][..], None, "no instance is given, and `monitor.listen` is not set"),
        (&[], Some(LISTEN[1]), "`monitor.listen` has port 0"),
        (&["localhost"], None, "must be host:port"),
        (&["http://a:b@localhost:1"], None, "must not have a user name"),
        (&["--interval", "1ms"], None, "must be from 100ms to 1h"),
    ] {
        let mut command = top(arguments);
        if let Some(listen) = listen {
            command.env("SOFTSTAKE_MONITOR__LISTEN", listen);
        }
        let said = fail(&mut command, 2);
        assert!(said.contains(expected), "{arguments:?} {said}");
    }
    // An endpoint of another program, or another path.
    let wrong = top(&[&format!("http://{address}/metrics")])
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&wrong.stdout);
    assert!(
        text.contains("it answers with status 404: is it the address of `monitor.listen`?"),
        "{text}"
    );
    assert_eq!((wrong.status.code(), watched.process.stop()), (Some(1), Some(0)));
}

#[test]
fn two_deployments_are_not_taken_for_one() {
    let places = [begun(&pool()), begun(&pool())];
    let [first, second] = places.each_ref().map(|place| Watched::start(place, &[]));
    first.until_ready();
    second.until_ready();
    let text = printed(&[&first.address().to_string(), &second.address().to_string()]);
    assert!(text.contains("!! the instances are of 2 deployments: dir:"), "{text}");
    assert!(text.contains("!! 2 instances have the coordinator: "), "{text}");
}

#[test]
fn the_screen_follows_the_instances_keys_and_sizes() {
    let place = begun(&json!({"from_epoch": 0, "mode": "pool", "gate": "always"}));
    let watched = Watched::start(&place, &[]);
    watched.until_ready();
    let address = watched.address().to_string();
    let mut terminal = LiveTerminal::start(&top(&[&address, "--interval", "200ms"]), 24, 80);
    terminal.until_shown("1 of 1 instance ready");
    terminal.until_shown("[0 all] 1 problems 2 instances 3 partitions 4 epochs 5 seals 6 disks q quit");
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "1")]);
    terminal.until_shown("!  epoch 0 of ATOM is held: treasury releases or voids it");
    terminal.until_shown("!held 1");
    terminal.press("3");
    terminal.until_shown("[3 partitions]");
    terminal.until_shown("ingest exchange.deposits:0");
    let data = json!({"asset": "ATOM", "epoch": 0, "by": "treasury", "reason": "checked"});
    place.append(
        "softstake.control",
        0,
        [event("release", "softstake.epoch_release.v1", 200_000, &data)],
    );
    terminal.until_shown("held 0");
    terminal.resize(10, 40);
    terminal.until_shown("[partitions] 0-6 ↑↓ q quit");
    assert!(terminal.shown().lines().count() <= 10, "{}", terminal.shown());
    terminal.resize(40, 120);
    terminal.press("0");
    terminal.until_shown("disks and snapshots: 1");
    assert_eq!(watched.process.stop(), Some(0));
    terminal.until_shown("does not answer (last answer ");
    terminal.until_shown("!!1 unreachable");
    assert!(terminal.written().contains("\u{1b}[38;5;"), "it has colours");
    terminal.press("q");
    let left = terminal.left();
    assert_eq!(left.status, 0);
    check_restored(&left.written, left.is_restored);
}

/// The terminal is left as it was: the last thing is that the first screen is back, with its cursor.
fn check_restored(written: &str, is_restored: bool) {
    assert!(is_restored, "keys are not echoed any more");
    let after = |sequence| {
        written
            .rfind(sequence)
            .unwrap_or_else(|| panic!("no {sequence:?} in {written:?}"))
    };
    assert!(after("\u{1b}[?1049l") > after("\u{1b}[?1049h"), "{written:?}");
    assert!(after("\u{1b}[?25h") > after("\u{1b}[?25l"), "{written:?}");
}

#[test]
fn signals_and_control_c_restore_the_terminal() {
    let nobody = nobody();
    type Ends = fn(&mut LiveTerminal);
    let ends: [Ends; 3] = [
        |terminal| terminal.signal(SIGTERM),
        |terminal| terminal.press("\u{3}"),
        |terminal| terminal.press("\u{1b}q"),
    ];
    for end in ends {
        let mut terminal = LiveTerminal::start(top(&[&nobody]).env("NO_COLOR", "1"), 24, 80);
        terminal.until_shown("!!1 unreachable");
        // Without colours, the symbols tell.
        assert!(!terminal.written().contains("\u{1b}[38;5;"), "{}", terminal.written());
        terminal.until_shown(&format!("!! {nobody} does not answer"));
        end(&mut terminal);
        let left = terminal.left();
        assert_eq!(left.status, 0, "{}", left.written);
        check_restored(&left.written, left.is_restored);
    }
}

/// Set for this test's own process on a terminal.
const PANICS: &str = "SOFTSTAKE_TEST_TOP_PANICS";

#[test]
fn a_panic_restores_the_terminal_and_is_readable() {
    if env::var_os(PANICS).is_some() {
        let never: Result<(), _> = terminal::show(|| panic!("it fails on purpose"), || false, Palette::Colours);
        panic!("it ended without a panic: {never:?}");
    }
    let mut command = Command::new(env::current_exe().expect("this program"));
    let name = "deployment::monitor::top::a_panic_restores_the_terminal_and_is_readable";
    command.args(["--exact", name, "--nocapture"]).env(PANICS, "1");
    let left = LiveTerminal::start(&command, 24, 80).left();
    assert_eq!(left.status, 101, "{}", left.written);
    assert!(left.is_restored, "{}", left.written);
    let back = left.written.find("\u{1b}[?1049l").expect("the first screen is back");
    let message = left.written.find("it fails on purpose").expect("the message");
    assert!(
        back < message && left.written[..back].contains("\u{1b}[?1049h"),
        "{:?}",
        left.written
    );
}
