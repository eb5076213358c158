//! Kafka's own console consumer, and the Java SDK of CloudEvents: they share no code with the client library of the tests and the program.

use std::io::{BufRead, BufReader};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::broker::{finish, tool};
use super::records::Read;
use super::{Cluster, PATIENCE};

/// How long to wait for records beyond the expected ones. Longer if none is expected: the consumer may not have started
/// to read yet.
const SURPLUS: Duration = Duration::from_secs(1);
const SURPLUS_OVER_NOTHING: Duration = Duration::from_secs(5);

// Characters that no text contains.
const RECORD: u8 = 0x1e;
const FIELD: u8 = 0x1f;
const HEADER: u8 = 0x1d;
const NULL: u8 = 0x1c;

impl Cluster {
    /// The records of a topic as Kafka's console consumer reads them with `read_committed`.
    ///
    /// It never ends by itself. So it is ended when it has read as many records as `read_decided` and no more come.
    pub fn console_consumer(&self, topic: &str) -> Vec<Read> {
        let expected = self.read_decided(topic).len();
        let mut arguments = vec![
            "--topic",
            topic,
            "--from-beginning",
            "--isolation-level",
            "read_committed",
        ];
        let character = |byte: u8| char::from(byte).to_string();
        let mut properties: Vec<String> = ["partition", "offset", "headers", "key", "value"]
            .iter()
            .map(|field| format!("print.{field}=true"))
            .collect();
        properties.push(format!("line.separator={}", character(RECORD)));
        properties.push(format!("key.separator={}", character(FIELD)));
        properties.push(format!("headers.separator={}", character(HEADER)));
        properties.push(format!("null.literal={}", character(NULL)));
        for property in &properties {
            arguments.extend(["--property", property]);
        }
        let bootstrap = self.addresses(|ports| ports.internal);
        let mut process = tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            &bootstrap,
            &arguments,
        );
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (sender, printed) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for record in output.split(RECORD) {
                if sender.send(record.expect("what it prints")).is_err() {
                    return;
                }
            }
        });
        let mut records = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wait = match records.len() {
                count if count < expected => deadline - Instant::now(),
                0 => SURPLUS_OVER_NOTHING,
                _ => SURPLUS,
            };
            match printed.recv_timeout(wait) {
                Ok(record) => records.push(parse(&record)),
                Err(mpsc::RecvTimeoutError::Timeout) => break,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    finish(process);
                    panic!("the console consumer stopped by itself after {} records", records.len());
                }
            }
        }
        drop(process.stdin.take());
        process.wait().expect("the end of the console consumer");
        reader.join().expect("a reader");
        records.sort();
        records
    }
}

impl Cluster {
    /// Id and type of each event of a topic, as the Java SDK of CloudEvents reads them. It must read all records that `read_committed` has.
    pub fn java_sdk(&self, topic: &str) -> Vec<(String, String)> {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/ReadEvents.java");
        let count = self.read_committed(topic).len().to_string();
        let bootstrap = self.addresses(|ports| ports.internal);
        let output = finish(tool(program, &bootstrap, &[topic, &count]));
        let printed = String::from_utf8(output.stdout).expect("text");
        let fields = |line: &str| line.split_once('\t').map(|(id, kind)| (id.to_owned(), kind.to_owned()));
        printed.lines().map(|line| fields(line).expect("two fields")).collect()
    }
}

fn split(text: &[u8], at: u8) -> Vec<&[u8]> {
    text.split(|byte| *byte == at).collect()
}

fn bytes(text: &[u8]) -> Option<Vec<u8>> {
    (text != [NULL]).then(|| text.to_vec())
}

fn parse(record: &[u8]) -> Read {
    let fields = split(record, FIELD);
    let [partition, offset, headers, key, value] = fields[..] else {
        panic!(
            "a record of {} fields: {}",
            fields.len(),
            String::from_utf8_lossy(record)
        );
    };
    let headers = match headers {
        b"NO_HEADERS" => Vec::new(),
        headers => split(headers, HEADER).into_iter().map(header).collect(),
    };
    Read {
        partition: i32::try_from(number(partition, "Partition:")).expect("a partition"),
        offset: number(offset, "Offset:"),
        key: bytes(key),
        value: bytes(value),
        headers,
    }
}

fn number(text: &[u8], name: &str) -> i64 {
    let text = String::from_utf8_lossy(text);
    let digits = text.strip_prefix(name).and_then(|digits| digits.parse().ok());
    digits.unwrap_or_else(|| panic!("{text} is not what {name} should be followed by"))
}

fn header(text: &[u8]) -> (String, Option<Vec<u8>>) {
    let colon = text.iter().position(|byte| *byte == b':').expect("a header's value");
    let name = String::from_utf8_lossy(&text[..colon]).into_owned();
    (name, bytes(&text[colon + 1..]))
}
