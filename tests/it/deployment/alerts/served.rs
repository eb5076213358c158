//! The read side: it is gone, others write to what it reads, and what is around it fails.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::json;

use super::prometheus::Prometheus;
use super::scene::{DEPOSITS, HOUR, Scene, on_own_disk, seen_of};
use crate::common::events::event;
use crate::common::on_bus;
use crate::common::process::until;
use crate::serve::outages::exchange;
use crate::serve::served::{Desk, Served};

const EXECUTIONS: &str = "payout.executions";

/// Flags as the command takes them.
fn flags(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

/// A deployment that has paid an epoch to one account.
fn paid<'a>(prometheus: &'a Prometheus, name: &str) -> Scene<'a> {
    let scene = Scene::listed(prometheus, name);
    scene.deposit("1", 0);
    scene.close(HOUR / 1000);
    scene.place.run(Some(1));
    scene
}

pub fn the_read_side_reads_strange_records_and_goes_away(prometheus: &Prometheus) {
    let scene = paid(prometheus, "read-side");
    let data = json!({"distribution": "ATOM:0:account-1", "amount": "5", "credited_at": "2026-11-02T01:00:00Z"});
    scene
        .place
        .append(EXECUTIONS, 0, [event("credit", "payout.executed.v1", 0, &data)]);
    let served = Served::start(&scene.place, &flags(&["--executions", EXECUTIONS]));
    let job = prometheus.read_side_job("read-side");
    job.add(served.address);
    until("it is ready", || job.values("softstake_view_ready") == [1.0]);
    exchange(&scene.place, EXECUTIONS);
    job.until_fired(&["ExecutionsUnread"]);
    assert!(served.said().contains("cannot be read now"), "{}", served.said());
    exchange(&scene.place, EXECUTIONS);
    until("they are read again", || served.said().contains("is read again after"));
    scene.place.append("softstake.distributions", 0, [r#"{"data":{}}"#]);
    job.until_fired(&["ViewUnreadable"]);
    assert!(served.said().contains("the view leaves it out"), "{}", served.said());
    drop(served);
    job.until_fired(&["ServeUnavailable", "ServeDown"]);
    let expected = ["ExecutionsUnread", "ViewUnreadable", "ServeUnavailable", "ServeDown"];
    job.check_fired(&expected, &[]);
}

/// Nobody answers at the address of the keys.
pub fn the_issuer_of_tokens_does_not_answer(prometheus: &Prometheus) {
    let (scene, desk) = (paid(prometheus, "issuer"), Desk::new());
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", free.local_addr().expect("its address"));
    drop(free);
    let audit = desk.path("reads.jsonl").display().to_string();
    let served = Served::start(&scene.place, &flags(&["--token-jwks-url", &url, "--audit-log", &audit]));
    let job = prometheus.read_side_job("issuer");
    job.add(served.address);
    job.until_fired(&["SigningKeysOld", "ServeUnavailable", "ViewBehind"]);
    assert!(
        served.said().contains("the keys of tokens cannot be fetched"),
        "{}",
        served.said()
    );
    job.check_fired(&["SigningKeysOld", "ServeUnavailable", "ViewBehind"], &[]);
}

/// The disk with the view and the audit log fills up.
pub fn the_disk_of_the_read_side_is_full(prometheus: &Prometheus) {
    let (scene, desk) = (paid(prometheus, "read-side-disk"), Desk::new());
    let disk: PathBuf = scene.place.bus().with_file_name("disk");
    let mut command = on_bus("serve", &scene.place.bus());
    command
        .arg("--view")
        .arg(disk.join("view"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--requests-per-minute",
            "1000000",
            "--token-keys",
        ])
        .arg(desk.path("keys.json"))
        .arg("--audit-log")
        .arg(disk.join("reads.jsonl"));
    let mut command = on_own_disk(&command, &disk, 1500);
    let served = Served::of(&mut command, scene.place.bus().with_file_name("serve.log"));
    let job = prometheus.read_side_job("read-side-disk");
    job.add(served.address);
    let token = desk.role("support");
    let read = || served.get("/v1/accounts/account-1/distributions", &token);
    let items = || read().json()["items"].as_array().map_or(0, Vec::len);
    until("it is ready", || served.ask("GET", "/readyz", &[]).status == 200);
    assert_eq!(items(), 1);
    let filler = seen_of(&served.process, &disk).join("others");
    let mut file = File::create(&filler).expect("a file");
    let piece = vec![1; 1 << 20];
    while file.write_all(&piece).is_ok() {}
    // The last page of the audit log has room for some lines.
    until("a read is refused", || read().status == 503);
    job.until_fired_while(&["ReadAuditFails", "ServeErrors", "ViewDiskLow"], || {
        for _ in 0..20 {
            read().problem(503);
        }
    });
    // What is published meanwhile waits for room.
    scene.place.append(DEPOSITS, 0, ["{"]);
    scene.place.run(Some(1));
    until("the view waits", || served.said().contains("the view waits"));
    assert!(
        served.said().contains("MB free, and needs 256 MB: make room"),
        "{}",
        served.said()
    );
    fs::remove_file(&filler).expect("removed");
    drop(file);
    until("it shows accounts again", || read().status == 200);
    until("the view goes on", || served.said().contains("the view goes on"));
    let read = "softstake_view_records_total{topic=\"softstake.dead-letters\"} 1\n";
    until("the record is in the view", || {
        served.ask("GET", "/metrics", &[]).body.contains(read)
    });
    for told in [
        "reads of accounts are refused",
        "the view waits",
        "is written again after",
    ] {
        let times = served.said().lines().filter(|line| line.contains(told)).count();
        assert_eq!(times, 1, "{told}\n{}", served.said());
    }
    job.check_fired(&["ReadAuditFails", "ServeErrors", "ViewDiskLow"], &[]);
}
