//! The fields of two records side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// A field whose published value is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// The path in the record, such as `data.amount`.
    pub field: String,
    /// `None` if the published record has no such field.
    pub published: Option<String>,
    /// What follows from the log; `None` if that record has no such field.
    pub replayed: Option<String>,
}

/// The fields in which two records differ; all fields if one of the records is missing.
pub(crate) fn different_fields(published: Option<&[u8]>, replayed: Option<&[u8]>) -> Vec<FieldDifference> {
    let flat = |record: Option<&[u8]>| {
        let mut flat = BTreeMap::new();
        if let Some(record) = record {
            match serde_json::from_slice(record) {
                Ok(value) => flatten(String::new(), &value, &mut flat),
                Err(_) => {
                    flat.insert("record".into(), String::from_utf8_lossy(record).into_owned());
                }
            }
        }
        flat
    };
    let (published, replayed) = (flat(published), flat(replayed));
    let names: BTreeSet<&String> = published.keys().chain(replayed.keys()).collect();
    let fields = names.into_iter().map(|name| FieldDifference {
        field: name.clone(),
        published: published.get(name).cloned(),
        replayed: replayed.get(name).cloned(),
    });
    fields.filter(|field| field.published != field.replayed).collect()
}

fn flatten(path: String, value: &Value, flat: &mut BTreeMap<String, String>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                flatten(below(name), value, flat);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                flatten(below(&index.to_string()), value, flat);
            }
        }
        Value::String(text) => {
            flat.insert(path, text.clone());
        }
        other => {
            flat.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_by_their_paths() {
        let published = br#"{"id":"a","data":{"amount":"1","cut":{"t":{"0":3}},"list":[1,2],"gone":"x"}}"#;
        let replayed = br#"{"data":{"cut":{"t":{"0":4}},"amount":"1","list":[1,3]},"id":"a"}"#;
        let found: Vec<_> = different_fields(Some(published), Some(replayed))
            .into_iter()
            .map(|field| (field.field, field.published, field.replayed))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("data.cut.t.0".to_owned(), some("3"), some("4")),
                ("data.gone".to_owned(), some("x"), None),
                ("data.list.1".to_owned(), some("2"), some("3")),
            ]
        );
        assert!(different_fields(Some(published), Some(published)).is_empty());
    }
}
