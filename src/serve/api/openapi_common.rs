//! What the routes share, and what a name means wherever it is used: it is added to the description here, so that no route repeats it.
//!
//! `openapi_common.json` has it, as the description has it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bus::Topic;
use crate::core::contract::rejection::Code;

const COMMON: &str = include_str!("openapi_common.json");

/// A part of the description that has names.
type Named = Map<String, Value>;

#[derive(Deserialize)]
struct Common {
    servers: Value,
    tags: Value,
    components: BTreeMap<String, Named>,
    /// What a route may answer, by status. Of a refusal it lacks the body, which is always a problem.
    answers: BTreeMap<String, Named>,
    /// By the name of a parameter.
    parameters: BTreeMap<String, Named>,
    fields: Vec<FieldRule>,
    /// The words that a field can be, by `Type.field`.
    choices: BTreeMap<String, Vec<Value>>,
    /// The fields that an answer may leave out. All others are there, and null if there is nothing to tell.
    left_out: BTreeSet<String>,
}

/// What fields of some names are.
#[derive(Deserialize)]
struct FieldRule {
    names: Vec<String>,
    is: Named,
}

/// The description with what the routes share.
///
/// # Errors
/// If `openapi_common.json` is none of ours. A test reads it.
pub(super) fn with_common(mut description: Value) -> Result<Value, serde_json::Error> {
    let mut common: Common = serde_json::from_str(COMMON)?;
    common.add_words();
    for (path, methods) in members_mut(description.get_mut("paths")) {
        for (_, operation) in members_mut(Some(methods)) {
            common.complete_operation(path, operation);
        }
    }
    let schemas = description.pointer_mut("/components/schemas");
    let types: BTreeSet<String> = members_mut(schemas).map(|(name, _)| name.clone()).collect();
    for (name, schema) in members_mut(description.pointer_mut("/components/schemas")) {
        name_items(name, schema, &types);
        common.complete_schema(name, schema);
    }
    common.add_components(&mut description);
    Ok(description)
}

/// The members of an object; none if it is no object.
fn members_mut(value: Option<&mut Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    value.and_then(Value::as_object_mut).into_iter().flatten()
}

/// Adds what is not there yet.
fn complete(value: &mut Value, more: &Named) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    for (name, value) in more {
        object.entry(name.as_str()).or_insert_with(|| value.clone());
    }
}

/// Lets the items of `List_Item` be of the type `Item`, where they are described in place: so a client has one type for them.
fn name_items(name: &str, schema: &mut Value, types: &BTreeSet<String>) {
    let item = name
        .split_once('_')
        .map(|(_, item)| item)
        .filter(|item| types.contains(*item));
    if let (Some(item), Some(items)) = (item, schema.pointer_mut("/properties/items/items")) {
        *items = json!({ "$ref": format!("#/components/schemas/{item}") });
    }
}

fn problem_body() -> Value {
    json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/ProblemBody" } } })
}

/// The name of a shared answer.
fn answer_name(status: &str) -> String {
    format!("Status{status}")
}

fn is_refusal(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

impl Common {
    /// The words that the program has in a list.
    fn add_words(&mut self) {
        let codes: Vec<Value> = Code::ALL.into_iter().map(|code| code.name().into()).collect();
        let topics = Topic::SOURCES.into_iter().chain([Topic::Control]);
        let topics: Vec<Value> = topics.map(|topic| topic.name().into()).collect();
        for (name, words) in [("code", codes), ("topic", topics)] {
            for answer in ["DeadLetterAnswer", "DeadLetterCountAnswer"] {
                self.choices.insert(format!("{answer}.{name}"), words.clone());
            }
            let schema = json!({ "type": "string", "enum": words });
            self.parameters
                .insert(name.to_owned(), Map::from_iter([("schema".to_owned(), schema)]));
        }
    }

    fn complete_operation(&self, path: &str, operation: &mut Value) {
        let Some(operation) = operation.as_object_mut() else {
            return;
        };
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            for parameter in parameters.iter_mut() {
                self.complete_parameter(parameter);
            }
            parameters.push(json!({ "$ref": "#/components/parameters/IfNoneMatch" }));
        }
        let responses = operation.entry("responses").or_insert_with(|| json!({}));
        let Some(responses) = responses.as_object_mut() else {
            return;
        };
        for (status, shared) in &self.answers {
            match responses.get_mut(status) {
                Some(own) => complete_answer(status, own, shared),
                // Without a name in the path, there is nothing that could be missing.
                None if status == "404" && !path.contains('{') => {}
                None => {
                    let place = format!("#/components/responses/{}", answer_name(status));
                    responses.insert(status.clone(), json!({ "$ref": place }));
                }
            }
        }
    }

    fn complete_parameter(&self, parameter: &mut Value) {
        let name = parameter.get("name").and_then(Value::as_str);
        let Some(known) = name.and_then(|name| self.parameters.get(name)) else {
            return;
        };
        if let Some(parameter) = parameter.as_object_mut() {
            parameter.extend(known.clone());
        }
    }

    fn complete_schema(&self, name: &str, schema: &mut Value) {
        for part in schema
            .get_mut("allOf")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            self.complete_schema(name, part);
        }
        let mut required = Vec::new();
        for (field, property) in members_mut(schema.get_mut("properties")) {
            let full_name = format!("{name}.{field}");
            self.complete_field(field, &full_name, property);
            if !self.left_out.contains(&full_name) {
                required.push(field.clone());
            }
        }
        if let Some(schema) = schema.as_object_mut().filter(|_| !required.is_empty()) {
            schema.insert("required".into(), json!(required));
        }
    }

    fn complete_field(&self, field: &str, full_name: &str, property: &mut Value) {
        if let Some(words) = self.choices.get(full_name) {
            let words = Map::from_iter([("enum".to_owned(), json!(words))]);
            match property.get_mut("items") {
                Some(items) => complete(items, &words),
                None => complete(property, &words),
            }
        } else if is_text(property)
            && let Some(rule) = self
                .fields
                .iter()
                .find(|rule| rule.names.iter().any(|name| name == field))
        {
            complete(property, &rule.is);
        }
    }

    fn add_components(self, description: &mut Value) {
        let answers = self.answers.into_iter().filter(|(status, _)| status != "200");
        let answers = answers.map(|(status, mut answer)| {
            if is_refusal(&status) {
                answer.insert("content".into(), problem_body());
            }
            (answer_name(&status), Value::Object(answer))
        });
        let mut shared = self.components;
        shared.insert("responses".into(), answers.collect());
        let Some(description) = description.as_object_mut() else {
            return;
        };
        description.insert("servers".into(), self.servers);
        description.insert("tags".into(), self.tags);
        let components = description.entry("components").or_insert_with(|| json!({}));
        for (kind, named) in shared {
            let there = components
                .as_object_mut()
                .map(|all| all.entry(kind).or_insert_with(|| json!({})));
            if let Some(there) = there {
                complete(there, &named);
            }
        }
    }
}

/// A text, or a text or null.
fn is_text(property: &Value) -> bool {
    match property.get("type") {
        Some(Value::Array(types)) => types.iter().any(|one| one == "string"),
        Some(one) => one == "string",
        None => false,
    }
}

/// An answer that a route describes in its own words.
fn complete_answer(status: &str, own: &mut Value, shared: &Named) {
    if is_refusal(status)
        && let Some(own) = own.as_object_mut()
    {
        own.insert("content".into(), problem_body());
    }
    let headers = shared.get("headers").and_then(Value::as_object);
    if let (Some(own), Some(headers)) = (own.as_object_mut(), headers) {
        complete(own.entry("headers").or_insert_with(|| json!({})), headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::api::description;

    fn common() -> Common {
        serde_json::from_str(COMMON).unwrap()
    }

    /// All schemas that have fields, with the name of the type they belong to.
    fn fields() -> BTreeSet<String> {
        let description = description().unwrap();
        let mut found = BTreeSet::new();
        for (name, schema) in description["components"]["schemas"].as_object().unwrap() {
            let parts = schema["allOf"].as_array().cloned().unwrap_or_default();
            for part in parts.iter().chain([schema]) {
                let fields = part["properties"].as_object().into_iter().flatten();
                found.extend(fields.map(|(field, _)| format!("{name}.{field}")));
            }
        }
        found
    }

    #[test]
    fn each_name_that_is_explained_is_there() {
        let (common, fields) = (common(), fields());
        for full_name in common.choices.keys().chain(&common.left_out) {
            assert!(fields.contains(full_name), "{full_name}");
        }
        for name in common.fields.iter().flat_map(|rule| &rule.names) {
            let ending = format!(".{name}");
            assert!(fields.iter().any(|field| field.ends_with(&ending)), "{name}");
        }
        let text = description().unwrap().to_string();
        for name in common.parameters.keys() {
            assert!(text.contains(&format!("\"name\":\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn each_reference_leads_somewhere() {
        fn check(value: &Value, all: &Value, checked: &mut u32) {
            match value {
                Value::Object(members) => {
                    if let Some(place) = members.get("$ref").and_then(Value::as_str) {
                        let place = place.strip_prefix('#').unwrap();
                        assert!(all.pointer(place).is_some(), "{place}");
                        *checked += 1;
                    }
                    members.values().for_each(|value| check(value, all, checked));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, all, checked)),
                _ => {}
            }
        }
        let (description, mut checked) = (description().unwrap(), 0);
        check(description, description, &mut checked);
        assert!(checked > 100, "{checked}");
    }

    #[test]
    fn each_operation_has_a_name_and_a_tag_that_is_explained() {
        let description = description().unwrap();
        let tags: Vec<&Value> = description["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| &tag["name"])
            .collect();
        let mut names = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            let operation = &methods["get"];
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{path}");
            assert!(tags.contains(&&operation["tags"][0]), "{path}");
            assert!(operation["summary"].is_string(), "{path}");
            for status in ["200", "304", "400", "401", "403", "405", "429", "500", "503"] {
                assert!(operation["responses"][status].is_object(), "{path} {status}");
            }
            // Something is named that may not be there, or the server is not set up for it.
            let may_be_missing = path.contains('{') || path == "/v1/processor";
            assert_eq!(operation["responses"]["404"].is_object(), may_be_missing, "{path}");
        }
    }
}
