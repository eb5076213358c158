//! CloudEvents 1.0 in Kafka. In structured mode the record's value is the event. In binary mode the attributes are headers (`ce_*`, or `ce-*`) and
//! the value is `data`. The tasks only read structured mode.

use rdkafka::message::{BorrowedHeaders, Header, Headers, OwnedHeaders};
use serde_json::value::RawValue;

/// Each begins the name of a header that holds an attribute. The first is that of the standard; Spring writes the second.
const PREFIXES: [&str; 2] = ["ce_", "ce-"];
const CONTENT_TYPE: &str = "content-type";
/// Begins the content type of structured mode.
const STRUCTURED: &[u8] = b"application/cloudevents";

/// The headers of a published event. Without them, the SDKs of CloudEvents refuse to read it.
pub(super) fn published_headers() -> OwnedHeaders {
    OwnedHeaders::new_with_capacity(1).insert(Header {
        key: CONTENT_TYPE,
        value: Some("application/cloudevents+json"),
    })
}

/// Appends the event of a record, in structured mode. If no header holds an attribute, the value is the event.
///
/// In binary mode, a value that is not JSON is appended alone. The tasks reject it for that, whatever its headers are.
pub(super) fn append_structured(headers: Option<&BorrowedHeaders>, value: &[u8], to: &mut Vec<u8>) {
    let Some(headers) = headers.filter(|all| all.iter().any(|header| attribute(header.key).is_some())) else {
        to.extend_from_slice(value);
        return;
    };
    let pairs: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|header| (header.key, header.value.unwrap_or_default()))
        .collect();
    append(&pairs, value, to);
}

fn append(headers: &[(&str, &[u8])], value: &[u8], to: &mut Vec<u8>) {
    let structured = headers.iter().any(|(name, value)| {
        let start = value.get(..STRUCTURED.len());
        name.eq_ignore_ascii_case(CONTENT_TYPE) && start.is_some_and(|start| start.eq_ignore_ascii_case(STRUCTURED))
    });
    let attributes = headers
        .iter()
        .filter_map(|(name, value)| Some((attribute(name)?, *value)));
    if structured || attributes.clone().next().is_none() {
        to.extend_from_slice(value);
        return;
    }
    // Only one whole JSON value can be `data`. Other bytes could end the event early.
    let data = std::str::from_utf8(value)
        .ok()
        .filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    if data.is_none() && !value.is_empty() {
        to.extend_from_slice(value);
        return;
    }
    to.push(b'{');
    for (index, (name, value)) in attributes.enumerate() {
        if index > 0 {
            to.push(b',');
        }
        append_string(name.as_bytes(), to);
        to.push(b':');
        append_string(value, to);
    }
    // A record without a value becomes an event without data. The tasks reject it for that.
    if let Some(data) = data {
        to.extend_from_slice(b",\"data\":");
        to.extend_from_slice(data.as_bytes());
    }
    to.push(b'}');
}

/// The attribute that a header holds.
fn attribute(header: &str) -> Option<&str> {
    PREFIXES.iter().find_map(|prefix| header.strip_prefix(prefix))
}

/// Appends a JSON string. Bytes that are not UTF-8 are kept, so that the tasks reject the record for them.
fn append_string(text: &[u8], to: &mut Vec<u8>) {
    to.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => to.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => to.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => to.push(*byte),
        }
    }
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn structured(headers: &[(&str, &[u8])], value: &[u8]) -> Vec<u8> {
        let mut to = Vec::new();
        append(headers, value, &mut to);
        to
    }

    #[test]
    fn binary_mode_becomes_structured() {
        let headers: [(&str, &[u8]); 5] = [
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", b"a\"\n"),
            ("ce_type", b"exchange.deposit.v1"),
            ("trace", b"x"),
        ];
        let event: Value = serde_json::from_slice(&structured(&headers, b" {\"account\":\"u\"} ")).unwrap();
        assert_eq!(
            event,
            json!({ "specversion": "1.0", "id": "a\"\n", "type": "exchange.deposit.v1", "data": { "account": "u" } })
        );
    }

    #[test]
    fn headers_with_a_hyphen_count_as_well_and_both_together_are_a_doubled_field() {
        let hyphen: [(&str, &[u8]); 2] = [("ce-id", b"a"), ("ce-source", b"/s")];
        assert_eq!(structured(&hyphen, b"{}"), br#"{"id":"a","source":"/s","data":{}}"#);
        let both: [(&str, &[u8]); 2] = [("ce-id", b"a"), ("ce_id", b"b")];
        assert_eq!(structured(&both, b"{}"), br#"{"id":"a","id":"b","data":{}}"#);
    }

    #[test]
    fn structured_mode_is_not_changed() {
        let value = b"{\"specversion\":\"1.0\"}";
        let typed: [(&str, &[u8]); 2] = [
            ("Content-Type", b"application/cloudevents+json; charset=utf-8"),
            ("ce_id", b"x"),
        ];
        assert_eq!(structured(&typed, value), value);
        assert_eq!(structured(&[("trace", b"x")], value), value);
        assert_eq!(structured(&[], b""), b"");
    }

    #[test]
    fn a_value_that_is_not_json_cannot_end_the_event_early() {
        let headers: [(&str, &[u8]); 1] = [("ce_id", b"x")];
        for value in [&b"1},\"id\":\"other\",\"data\":{"[..], b"{", b"\xff", b"1 2"] {
            assert_eq!(structured(&headers, value), value);
        }
        assert_eq!(structured(&headers, b""), b"{\"id\":\"x\"}");
    }

    #[test]
    fn an_attribute_that_is_not_utf8_is_not_repaired() {
        let headers: [(&str, &[u8]); 1] = [("ce_id", b"\xff")];
        assert!(std::str::from_utf8(&structured(&headers, b"{}")).is_err());
    }

    proptest! {
        #[test]
        fn any_attribute_is_kept(id in any::<String>(), data in any::<i64>()) {
            let headers = [("ce_id", id.as_bytes())];
            let event: Value = serde_json::from_slice(&structured(&headers, data.to_string().as_bytes())).unwrap();
            prop_assert_eq!(event, json!({ "id": id, "data": data }));
        }
    }
}
