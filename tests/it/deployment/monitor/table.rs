//! The tables of metrics in the documentation, compared with what an endpoint has.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use softstake::metrics::{Family, FamilyKind};

use super::open_metrics::Scrape;

/// The rows of the table in a page, without what to do: name, type, unit, labels, meaning.
pub fn documented_in(page: &str) -> Vec<[String; 5]> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("the table");
    let rows = text.lines().filter(|line| line.starts_with("| `softstake_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 8, "{row}");
        assert!(!cells[6].is_empty(), "{row}");
        [cells[1], cells[2], cells[3], cells[4], cells[5]].map(str::to_owned)
    })
    .collect()
}

/// The families as the rows of a table.
pub fn as_rows(families: &[Family]) -> Vec<[String; 5]> {
    let suffix = |family: &Family| match family.kind {
        FamilyKind::Counter => "_total",
        FamilyKind::Info => "_info",
        FamilyKind::Gauge | FamilyKind::Histogram => "",
    };
    let row = |family: &Family| {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        [
            format!("`{}{}`", family.name, suffix(family)),
            family.kind.name().to_owned(),
            family.unit.to_owned(),
            labels.join(", "),
            family.help.to_owned(),
        ]
    };
    families.iter().map(row).collect()
}

/// Checks that a scrape has these families in this order, and each sample their labels.
pub fn check_families(scrape: &Scrape, families: &[Family]) {
    let seen: Vec<(&str, &str, &str, &str)> = scrape
        .families
        .iter()
        .map(|family| {
            (
                family.name.as_str(),
                family.kind.as_str(),
                family.unit.as_str(),
                family.help.as_str(),
            )
        })
        .collect();
    let expected: Vec<(&str, &str, &str, &str)> = families
        .iter()
        .map(|family| (family.name, family.kind.name(), family.unit, family.help))
        .collect();
    assert_eq!(seen, expected);
    for (family, known) in scrape.families.iter().zip(families) {
        for sample in &family.samples {
            let names = sample.labels.keys().map(String::as_str).filter(|name| *name != "le");
            assert_eq!(
                names.collect::<BTreeSet<_>>(),
                known.labels.iter().copied().collect(),
                "{sample:?}"
            );
        }
    }
}
