//! The directory bus, read as a whole (contract, section 7).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fields::Rejection;

pub const SOURCE_TOPICS: [&str; 5] = [
    "exchange.deposits",
    "exchange.withdrawals",
    "exchange.trades",
    "exchange.transfers",
    "exchange.accounts",
];
pub const CONTROL_TOPIC: &str = "softstake.control";

/// The position of a record.
#[derive(Debug, Clone)]
pub struct Position {
    pub topic: &'static str,
    pub partition: u32,
    pub offset: u64,
}

impl Position {
    /// The id of a report about the record there.
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

/// One partition: its complete lines, and the bytes after the last newline.
#[derive(Debug, Clone, Default)]
pub struct Partition {
    pub records: Vec<Vec<u8>>,
    pub unfinished: Vec<u8>,
}

/// The partitions of a topic. A missing topic has none.
pub fn read_topic(bus: &Path, topic: &str) -> Result<BTreeMap<u32, Partition>, String> {
    let folder = bus.join(topic);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let mut partitions = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_suffix(".jsonl").and_then(|stem| stem.parse::<u32>().ok());
        // A partition's name is its number, without leading zeros or a sign.
        let Some(number) = number.filter(|number| name == format!("{number}.jsonl")) else {
            continue;
        };
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut records: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let unfinished = records.pop().unwrap_or_default();
        partitions.insert(number, Partition { records, unfinished });
    }
    Ok(partitions)
}

/// Whether a line is blank. It still counts as an offset.
pub fn is_blank(record: &[u8]) -> bool {
    record.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

/// The envelope of an output record. Dead letters have another one, whose time may be absent.
pub fn output(kind: &str, id: &str, time: &str, data: Value) -> Value {
    let mut envelope = json!({"specversion": "1.0", "id": id, "source": "/softstake", "type": kind, "time": time});
    envelope["data"] = data;
    envelope
}

/// The dead letter of a record, with the time of the record if it can be read.
pub fn dead_letter(position: &Position, record: &[u8], rejection: &Rejection, time: Option<&str>) -> Value {
    let mut data = json!({
        "code": rejection.code, "reason": rejection.reason,
        "topic": position.topic, "partition": position.partition, "offset": position.offset,
    });
    let encoded = STANDARD.encode(record);
    match std::str::from_utf8(record) {
        // Quotation marks on both sides.
        Ok(text) if json!(text).to_string().len() - 2 <= encoded.len() => data["payload"] = json!(text),
        _ => data["payload_base64"] = json!(encoded),
    }
    let mut envelope = json!({
        "specversion": "1.0", "id": position.id(), "source": "/softstake", "type": "softstake.dead_letter.v1", "data": data,
    });
    if let Some(time) = time {
        envelope["time"] = json!(time);
    }
    envelope
}
