//! Traces, as a collector gets them over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::{EPOCH, listed};
use crate::common::events::{close, deposit, pool};
use crate::common::process::{Process, until};
use crate::common::{Place, fail, on_bus, succeed};

const ACCOUNT: &str = "an-account-that-nobody-may-see";
const AMOUNT: &str = "31.4159";

/// A collector that keeps what it gets.
struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

struct Got {
    head: String,
    body: Vec<u8>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let all = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, all) = (stream.expect("a connection"), Arc::clone(&all));
                thread::spawn(move || serve(stream, &all));
            }
        });
        Self { address, got }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans, with the attributes of their resource.
    fn spans(&self) -> Vec<(Span, Vec<KeyValue>)> {
        let got = self.got.lock().expect("what came");
        let mut spans = Vec::new();
        for request in got.iter() {
            let request = ExportTraceServiceRequest::decode(request.body.as_slice()).expect("protobuf");
            for resource in request.resource_spans {
                let attributes = resource.resource.expect("a resource").attributes;
                for scope in resource.scope_spans {
                    spans.extend(scope.spans.into_iter().map(|span| (span, attributes.clone())));
                }
            }
        }
        spans
    }

    fn named(&self, name: &str) -> Vec<Span> {
        let spans = self.spans().into_iter().map(|(span, _)| span);
        spans.filter(|span| span.name == name).collect()
    }

    fn requests(&self) -> usize {
        self.got.lock().expect("what came").len()
    }
}

/// Answers the requests of a connection, one after the other.
fn serve(mut stream: TcpStream, all: &Mutex<Vec<Got>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.expect("a length").parse().expect("a number")];
        reader.read_exact(&mut body).expect("a body");
        all.lock().expect("what came").push(Got { head, body });
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .expect("an answer");
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Attribute> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.clone()?.value
}

fn text(text: &str) -> Option<Attribute> {
    Some(Attribute::StringValue(text.to_owned()))
}

fn run(place: &Place, collector: &str) -> Command {
    let mut command = on_bus("run", &place.bus());
    command
        .arg("--state")
        .arg(place.state())
        .args(["--partitions", "2", "--dir-sync", "false"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("OTEL_BSP_SCHEDULE_DELAY", "100");
    command
}

/// A bus with many deposits, and a close.
fn full() -> Place {
    let place = listed(&pool());
    let deposits = (0..20_000).map(|number| deposit(&format!("d{number}"), 1_000, ACCOUNT, "ATOM", AMOUNT));
    place.append("exchange.deposits", 0, deposits);
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "4")]);
    place
}

#[test]
fn a_collector_gets_the_spans_of_a_run() {
    let (place, collector) = (full(), Collector::start());
    let snapshots = place.bus().with_file_name("places");
    let mut command = run(&place, &collector.url());
    command.arg("--until-idle").arg("--snapshots-place").arg(&snapshots);
    succeed(&mut command);
    for name in ["batch", "transaction", "persist", "settlement", "snapshot"] {
        assert!(!collector.named(name).is_empty(), "no span {name}");
    }
    let settlements = collector.named("settlement");
    let [settlement] = settlements.as_slice() else {
        panic!("one epoch was settled: {settlements:?}");
    };
    assert_eq!(attribute(&settlement.attributes, "asset"), text("ATOM"));
    assert_eq!(attribute(&settlement.attributes, "epoch"), Some(Attribute::IntValue(0)));
    assert_eq!(
        attribute(&settlement.attributes, "sealed"),
        Some(Attribute::BoolValue(true))
    );
    assert!(settlement.end_time_unix_nano > settlement.start_time_unix_nano);
    let (batch, resource) = collector
        .spans()
        .into_iter()
        .find(|(span, _)| span.name == "batch")
        .expect("a batch");
    assert!(attribute(&batch.attributes, "task").is_some() && attribute(&batch.attributes, "records").is_some());
    assert_eq!(attribute(&resource, "service.name"), text("softstake"));
    assert_eq!(attribute(&resource, "service.version"), text(env!("CARGO_PKG_VERSION")));
    let spans = collector.spans().len();
    assert!(spans < 500, "{spans} spans for 20,000 records");
    for got in collector.got.lock().expect("what came").iter() {
        assert!(got.head.starts_with("post /v1/traces "), "{}", got.head);
        let body = String::from_utf8_lossy(&got.body);
        assert!(!body.contains(ACCOUNT) && !body.contains(AMOUNT), "{body}");
    }
    // A new disk: the tasks recover.
    fs::remove_dir_all(place.state()).expect("the stores");
    let (url, before) = (collector.url(), collector.spans().len());
    let mut command = run(&place, "http://127.0.0.1:1");
    command
        .arg("--until-idle")
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{url}/v1/traces"));
    command
        .env("OTEL_SERVICE_NAME", "payments")
        .env("OTEL_RESOURCE_ATTRIBUTES", "zone=a");
    succeed(&mut command);
    let recoveries = collector.named("recovery");
    assert!(
        recoveries
            .iter()
            .any(|span| attribute(&span.attributes, "task") == text("coordinate")),
        "{recoveries:?}"
    );
    let (_, resource) = collector.spans().swap_remove(before);
    assert_eq!(attribute(&resource, "service.name"), text("payments"));
    assert_eq!(attribute(&resource, "zone"), text("a"));
}

#[test]
fn the_sampler_of_the_environment_is_used() {
    let (place, collector) = (full(), Collector::start());
    let mut command = run(&place, &collector.url());
    succeed(command.arg("--until-idle").env("OTEL_TRACES_SAMPLER", "always_off"));
    assert_eq!(collector.requests(), 0);
}

#[test]
fn without_a_collector_nothing_is_sent() {
    let (place, collector) = (full(), Collector::start());
    let mut command = run(&place, &collector.url());
    succeed(command.arg("--until-idle").env("OTEL_SDK_DISABLED", "true"));
    assert_eq!(collector.requests(), 0);
    let said = fail(
        run(&place, &collector.url()).env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        2,
    );
    assert!(said.contains("only sent as http/protobuf"), "{said}");
    let said = fail(&mut run(&place, "no url"), 2);
    assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{said}");
}

/// One collector refuses connections, and another never answers.
#[test]
fn a_collector_that_is_away_is_told_once_and_holds_up_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", silent.local_addr().expect("its address"));
    for url in ["http://127.0.0.1:1", &silent] {
        let place = full();
        let log = place.bus().with_file_name("run.log");
        let process = Process::logging(&mut run(&place, url), &log);
        until("the epoch is sealed", || !place.records("softstake.epochs").is_empty());
        let said = || fs::read_to_string(&log).expect("the log");
        until("the log tells of the collector", || {
            said().contains("traces are lost, and nothing else: ")
        });
        thread::sleep(Duration::from_millis(500));
        let began = Instant::now();
        assert_eq!(process.stop(), Some(0));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(said().matches("traces are lost").count(), 1, "{}", said());
    }
}
