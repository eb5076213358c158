//! A process with an endpoint for monitoring, and requests to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::open_metrics::Scrape;
use crate::common::process::{Process, until};
use crate::common::{Place, on_bus};

/// Flags for an endpoint on a free port.
pub const LISTEN: [&str; 2] = ["--monitor-listen", "127.0.0.1:0"];

/// How long a request waits for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A run of a place that does not stop when idle, with an endpoint on a free port.
pub struct Watched {
    pub process: Process,
    endpoint: Endpoint,
    log: PathBuf,
}

/// The endpoint of a process.
pub struct Endpoint {
    address: SocketAddr,
}

/// The status and the body of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Watched {
    pub fn start(place: &Place, more: &[&str]) -> Self {
        let mut command = on_bus("run", &place.bus());
        command.arg("--state").arg(place.state()).args(more).args(LISTEN);
        Self::of(&mut command, place.bus().with_file_name("run.log"))
    }

    /// A command that runs the program with an endpoint, and writes its log to a new file.
    pub fn of(command: &mut Command, log: PathBuf) -> Self {
        let process = Process::logging(command, &log);
        let endpoint = Endpoint::of_log(|| fs::read_to_string(&log).expect("the log"));
        Self { process, endpoint, log }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }
}

impl Deref for Watched {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Endpoint {
    /// The endpoint that a process with the flags [`LISTEN`] tells in its log.
    pub fn of_log(said: impl Fn() -> String) -> Self {
        let mut address = None;
        until("the endpoint listens", || {
            let text = said();
            let line = text
                .lines()
                .rev()
                .find_map(|line| line.split_once("monitoring: http://"));
            address = line.and_then(|(_, rest)| rest.split_once(' ')?.0.parse().ok());
            address.is_some()
        });
        Self {
            address: address.expect("an address"),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends bytes, and reads what comes until the other side closes.
    pub fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The other side may close before it has read all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    pub fn request(&self, method: &str, path: &str) -> Answer {
        self.request_with(method, path, "")
    }

    /// `headers` is lines that each end with CRLF.
    pub fn request_with(&self, method: &str, path: &str, headers: &str) -> Answer {
        let text = self.send(format!("{method} {path} HTTP/1.1\r\nHost: softstake\r\n{headers}\r\n").as_bytes());
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    /// The metrics, which must be valid.
    pub fn metrics(&self) -> Scrape {
        let answer = self.request("GET", "/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert!(answer.head.contains(kind), "{}", answer.head);
        Scrape::read(&answer.body).unwrap_or_else(|what| panic!("{what}\n{}", answer.body))
    }

    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.metrics().get(name, labels)
    }

    /// Waits until a metric has this value.
    pub fn until_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        until(&format!("{name} {labels:?} is {value}"), || {
            self.metric(name, labels) == Some(value)
        });
    }

    /// The status and the JSON of a path.
    pub fn json(&self, path: &str) -> (u16, Value) {
        let answer = self.request("GET", path);
        assert!(
            answer.head.contains("content-type: application/json"),
            "{}",
            answer.head
        );
        let json = serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body));
        (answer.status, json)
    }

    pub fn until_ready(&self) {
        until("it is ready", || self.json("/readyz").0 == 200);
    }
}
