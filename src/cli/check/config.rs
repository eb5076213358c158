//! `softstake check --config`: the settings in force, and the origin of each.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::flags::tell_notice;
use crate::cli::outcome::Outcome;
use crate::cli::output::Output;
use crate::cli::table::TextTable;
use crate::config::{Key, Loaded};

pub(super) fn check(file: Option<&Path>, json: bool, out: &mut Output<'_>) -> Outcome {
    let loaded = Loaded::of_process(file, &[])?;
    tell_notice(&loaded);
    show(&loaded, json, out)
}

fn show(loaded: &Loaded, json: bool, out: &mut Output<'_>) -> Outcome {
    let settings = Key::ALL
        .into_iter()
        .map(|key| (key, key.shown(&loaded.config), loaded.origin(key).to_string()));
    if json {
        let setting = |(key, value, from): (Key, Option<String>, String)| {
            (key.name().to_owned(), json!({ "value": value, "from": from }))
        };
        let mut shown: Map<_, _> = settings.map(setting).collect();
        for (name, value, from) in loaded.properties() {
            let name = format!("kafka.properties.{name}");
            shown.insert(name, json!({ "value": value, "from": from.to_string() }));
        }
        return out.json(&Value::Object(shown));
    }
    let mut table = TextTable::new(&["setting", "value", "from", "variable", "flag"]);
    for (key, value, from) in settings {
        let value = value.unwrap_or_else(|| "(not set)".into());
        table.row([key.name(), &value, &from, &key.variable(), &key.flag()]);
    }
    for (name, value, from) in loaded.properties() {
        table.row([&format!("kafka.properties.{name}"), &value, &from.to_string(), "", ""]);
    }
    table.write(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::text;

    #[test]
    fn shows_values_and_their_origins() {
        let variables = [("SOFTSTAKE_LOG__FORMAT".into(), "json".into())];
        let flags = [(Key::Partitions, "16".into())];
        let loaded = Loaded::from(None, variables, &flags).unwrap();
        let shown: Value = serde_json::from_str(&text(|out| show(&loaded, true, out))).unwrap();
        assert_eq!(shown["bus"], json!({ "value": null, "from": "default" }));
        assert_eq!(
            shown["log.format"],
            json!({ "value": "json", "from": "SOFTSTAKE_LOG__FORMAT" })
        );
        assert_eq!(shown["partitions"], json!({ "value": "16", "from": "--partitions" }));
        let table = text(|out| show(&loaded, false, out));
        assert_eq!(
            table.lines().filter(|line| line.contains("SOFTSTAKE_")).count(),
            Key::ALL.len(),
            "{table}"
        );
    }
}
