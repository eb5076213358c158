//! Faults of the outside while it serves: it answers what it has, tells of each fault once, and goes on when it is over.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};

use super::access::{empty, flags};
use super::served::{Desk, Served};
use crate::common::Place;
use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::process::until;

const DAY: u32 = 86_400;
const EXECUTIONS: &str = "payout.executions";

/// A bus on which one epoch of ATOM is paid to ann.
pub fn paid() -> Place {
    let place = Place::new();
    place.append(
        "softstake.control",
        0,
        [listing("ATOM", 6, DAY, &pool()), close("ATOM", 0, DAY, "4")],
    );
    place.append("exchange.deposits", 0, [deposit("1", 0, "ann", "ATOM", "10")]);
    place.run(Some(1));
    place
}

pub fn credit(place: &Place, epoch: u32) {
    let distribution = format!("ATOM:{epoch}:ann");
    let data = json!({"distribution": distribution, "amount": "4", "credited_at": "2026-11-02T01:00:00Z"});
    place.append(EXECUTIONS, 0, [event(&distribution, "payout.executed.v1", 0, &data)]);
}

fn with_executions(place: &Place) -> Served {
    let served = Served::start(place, &flags(&["--executions", EXECUTIONS]));
    served.caught_up();
    served
}

/// The distributions of ann, the newest first.
fn items(served: &Served) -> Vec<Value> {
    let list = served.value("/v1/accounts/ann/distributions");
    list["items"].as_array().expect("items").clone()
}

/// Puts a file in the place of a topic's folder, or the folder back, in one step: there is never nothing.
pub fn exchange(place: &Place, topic: &str) {
    let (folder, aside) = (place.bus().join(topic), place.bus().with_file_name("aside"));
    if !aside.exists() {
        fs::write(&aside, "no folder").expect("a file");
    }
    renameat_with(CWD, &folder, CWD, &aside, RenameFlags::EXCHANGE).expect("exchanged");
}

/// How many lines of the log have this text.
fn said(served: &Served, text: &str) -> usize {
    served.said().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn while_the_bus_cannot_be_read_it_answers_what_it_has() {
    let place = paid();
    let served = Served::start(&place, &[]);
    served.caught_up();
    assert_eq!(items(&served).len(), 1);
    exchange(&place, "softstake.distributions");
    until("the fault is told", || said(&served, "the view waits") == 1);
    // Several attempts later it has still told it once.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(
        (said(&served, "the view waits"), said(&served, "the view goes on")),
        (1, 0)
    );
    assert!(served.said().contains("cannot list"), "{}", served.said());
    assert_eq!(items(&served).len(), 1);
    exchange(&place, "softstake.distributions");
    until("the end is told", || said(&served, "the view goes on after") == 1);
    place.append("softstake.control", 0, [close("ATOM", 1, DAY, "4")]);
    place.run(Some(1));
    until("the next epoch is there", || items(&served).len() == 2);
    assert_eq!(said(&served, "the view waits"), 1);
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn a_topic_that_is_gone_ends_it_with_what_is_missing() {
    let place = paid();
    let mut served = Served::start(&place, &[]);
    served.caught_up();
    fs::remove_dir_all(place.bus().join("softstake.epochs")).expect("the topic");
    until("it has ended", || served.process.ended());
    let said = served.said();
    assert!(
        said.contains("softstake.epochs") && said.contains("shrank to 0 bytes"),
        "{said}"
    );
}

#[test]
fn while_acknowledgements_cannot_be_read_the_view_goes_on_without_them() {
    let place = paid();
    credit(&place, 0);
    let served = with_executions(&place);
    until("the credit is there", || items(&served)[0]["credited_amount"] == "4");
    exchange(&place, EXECUTIONS);
    until("the fault is told", || {
        said(&served, "acknowledges cannot be read now") == 1
    });
    // The view itself follows the bus.
    place.append("softstake.control", 0, [close("ATOM", 1, DAY, "4")]);
    place.run(Some(1));
    until("the next epoch is there", || items(&served).len() == 2);
    assert_eq!(items(&served)[0]["credited_amount"], Value::Null);
    assert_eq!(items(&served)[1]["credited_amount"], "4");
    exchange(&place, EXECUTIONS);
    credit(&place, 1);
    until("the next credit is there", || {
        items(&served)[0]["credited_amount"] == "4"
    });
    assert_eq!(said(&served, "acknowledges cannot be read now"), 1);
    assert_eq!(said(&served, "acknowledges is read again after"), 1);
    assert_eq!(said(&served, "the view waits"), 0);
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn acknowledgements_that_are_not_what_was_read_end_it_with_what_to_do() {
    let place = paid();
    credit(&place, 0);
    let mut served = with_executions(&place);
    until("the credit is there", || items(&served)[0]["credited_amount"] == "4");
    let file = fs::File::options()
        .write(true)
        .open(place.bus().join(EXECUTIONS).join("0.jsonl"));
    let file = file.expect("the file");
    file.write_all_at(b"\n", 0).expect("room");
    file.set_len(1).expect("shorter");
    until("it has ended", || served.process.ended());
    let said = served.said();
    assert!(
        said.contains("cannot read what the payout service acknowledged")
            && said.contains("is shorter than what was read of it: restore it, or delete the view"),
        "{said}"
    );
}

/// An issuer at this address: the first answer has status 503, later ones have the keys.
fn issue(address: SocketAddr, keys: String) {
    let listener = TcpListener::bind(address).expect("the port is still free");
    thread::spawn(move || {
        for (asked, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 4096]);
            let status = if asked == 0 { "503 Busy" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                keys.len()
            );
            let _ = stream.write_all((head + &keys).as_bytes());
        }
    });
}

#[test]
fn an_issuer_that_does_not_answer_at_the_start_is_waited_for() {
    let (place, desk) = (empty(), Desk::new());
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("its address");
    drop(free);
    let (url, audit) = (
        format!("http://{address}/keys"),
        desk.path("reads.jsonl").display().to_string(),
    );
    let served = Served::start(&place, &flags(&["--token-jwks-url", &url, "--audit-log", &audit]));
    let session = || served.get("/v1/session", &desk.role("support"));
    assert!(session().problem(503).contains("has not told its keys yet"));
    let ready = served.read("/readyz");
    assert_eq!(
        (ready.status, &ready.json()["why"]),
        (503, &json!("the issuer of tokens has not told its keys yet"))
    );
    issue(address, desk.key_set("first").to_string());
    until("the keys are there", || session().status == 200);
    until("it is ready", || served.read("/readyz").status == 200);
    assert_eq!(
        said(&served, "the keys of tokens cannot be fetched from"),
        1,
        "{}",
        served.said()
    );
    assert_eq!(said(&served, "the keys of tokens are fetched from"), 1);
    assert_eq!(served.process.stop(), Some(0));
}

/// A file of the audit log that is deleted or moved away is followed by a new one: no read goes unrecorded.
#[test]
fn an_audit_log_that_is_moved_away_is_begun_again_and_one_that_cannot_be_refuses_reads() {
    let (place, desk) = (paid(), Desk::new());
    let served = Served::start(&place, &desk.flags());
    let token = desk.role("support");
    let read = || served.get("/v1/accounts/ann/distributions", &token);
    let lines = |name: &str| match fs::read_to_string(desk.path(name)) {
        Ok(text) => text.lines().count(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            0
        }
    };
    assert_eq!((read().status, lines("reads.jsonl")), (200, 1));
    fs::rename(desk.path("reads.jsonl"), desk.path("reads.1.jsonl")).expect("moved");
    assert_eq!(
        (read().status, lines("reads.jsonl"), lines("reads.1.jsonl")),
        (200, 1, 1)
    );
    // A folder cannot be written.
    fs::remove_file(desk.path("reads.jsonl")).expect("deleted");
    fs::create_dir(desk.path("reads.jsonl")).expect("a folder");
    for _ in 0..3 {
        assert!(read().problem(503).contains("audit log cannot be written"));
    }
    assert_eq!(said(&served, "reads of accounts are refused"), 1);
    fs::remove_dir(desk.path("reads.jsonl")).expect("the folder");
    assert_eq!((read().status, lines("reads.jsonl")), (200, 1));
    assert_eq!(said(&served, "is written again after"), 1);
    assert_eq!(served.process.stop(), Some(0));
}
