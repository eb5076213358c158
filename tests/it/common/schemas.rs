//! The event schemas of `schemas/`, compiled once, to validate records.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::{Registry, RegistryBuilder, Validator};
use serde_json::{Value, json};

const COMMON: &str = "common";
const SUFFIX: &str = ".schema.json";

/// Every schema of the folder by the name of its file, and a validator for every event type.
pub struct Schemas {
    documents: BTreeMap<String, Value>,
    registry: Registry<'static>,
    validators: BTreeMap<String, Validator>,
}

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::load);

/// The schemas in the source tree.
pub fn schemas() -> &'static Schemas {
    &SCHEMAS
}

/// Validates a structured-mode record against the schema of its `type`. The error names every field that does not fit.
pub fn check_record(record: &Value) -> Result<(), String> {
    let Some(event_type) = record.get("type").and_then(Value::as_str) else {
        return Err("type: missing, or no string".to_owned());
    };
    schemas().check_as(event_type, record)
}

/// The folder of the schemas.
pub fn schemas_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// Reads one JSON file. A failure names the file.
pub fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

impl Schemas {
    fn load() -> Self {
        let dir = schemas_dir();
        let mut documents = BTreeMap::new();
        for entry in std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a readable folder entry").path();
            let file_name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if let Some(name) = file_name.strip_suffix(SUFFIX) {
                documents.insert(name.to_owned(), read_json(&path));
            }
        }

        let resources = documents.iter().map(|(name, document)| (uri(name), document.clone()));
        let registry = Registry::new()
            .extend(resources)
            .and_then(RegistryBuilder::prepare)
            .unwrap_or_else(|e| panic!("the references among the schemas do not resolve: {e}"));

        let validators = documents
            .iter()
            .filter(|(name, _)| name.as_str() != COMMON)
            .map(|(name, document)| (name.clone(), compile(&registry, name, document)))
            .collect();
        Self {
            documents,
            registry,
            validators,
        }
    }

    /// The event types that have a schema, in order.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.validators.keys().map(String::as_str)
    }

    /// Every schema document by name, including the shared definitions.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.documents.iter().map(|(name, document)| (name.as_str(), document))
    }

    /// The validator of one event type.
    pub fn validator(&self, event_type: &str) -> Option<&Validator> {
        self.validators.get(event_type)
    }

    /// A validator for one entry of a document's `$defs`.
    pub fn piece(&self, document: &str, piece: &str) -> Validator {
        let schema = json!({ "$ref": format!("{}#/$defs/{piece}", uri(document)) });
        compile(&self.registry, &format!("{document}#/$defs/{piece}"), &schema)
    }

    /// Validates a record against the schema of this type, without regard to its own `type`.
    pub fn check_as(&self, event_type: &str, record: &Value) -> Result<(), String> {
        let validator = self
            .validator(event_type)
            .ok_or_else(|| format!("type: no schema for \"{event_type}\""))?;
        let faults: Vec<String> = validator
            .iter_errors(record)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }
}

/// The `$id` that a schema must have.
pub fn uri(name: &str) -> String {
    format!("https://softstake.example/schemas/{name}{SUFFIX}")
}

fn compile(registry: &Registry<'_>, name: &str, schema: &Value) -> Validator {
    // In 2020-12 `format` is an annotation only: the patterns decide.
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_registry(registry)
        .with_base_uri(uri(name))
        .build(schema)
        .unwrap_or_else(|e| panic!("{name}: {e}"))
}
