//! A hand-written endpoint, for the states that no process gets into within seconds.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::prometheus::Prometheus;

/// What it tells, with the alert, and why no process is made to tell it. The values grow with each scrape, but for a zero.
const TOLD: [(&str, f64, &str, &str); 3] = [
    (
        "softstake_level0_files",
        20.0,
        "Level0Files",
        "RocksDB merges four files at once: twenty come only from a load that a disk cannot keep up with for minutes",
    ),
    (
        "softstake_compaction_debt_bytes",
        5e9,
        "CompactionDebt",
        "four gigabytes have to be written first",
    ),
    (
        "softstake_view_ready",
        0.0,
        "ViewBehind",
        "the brokers of a view have to be away for more than a minute",
    ),
];

/// Answers every request with the metrics.
fn serve(listener: &TcpListener) {
    for (scrape, stream) in listener.incoming().enumerate() {
        let Ok(mut stream) = stream else { continue };
        let mut request = [0; 4096];
        // What it asks for does not matter.
        let _ = stream.read(&mut request);
        let line = |(name, value, ..): &(&str, f64, &str, &str)| {
            let grown = if *value > 0.0 { value + scrape as f64 } else { 0.0 };
            format!("{name}{{task=\"accrue\"}} {grown}\n")
        };
        let lines: String = TOLD.iter().map(line).collect();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(format!("{head}{lines}").as_bytes());
    }
}

pub fn what_takes_too_long(prometheus: &Prometheus) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let job = prometheus.job("told");
    job.add(listener.local_addr().expect("its address"));
    std::thread::spawn(move || serve(&listener));
    for (metric, _, alert, why) in TOLD {
        println!("{metric} is told, not caused: {why}");
        job.until_fired(&[alert]);
    }
}
