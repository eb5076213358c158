//! No upward imports, by the table in `docs/architecture.md`.
//!
//! The table has the columns `folder | holds | may import`. A row of `src/NAME` is a layer; a row of `src/NAME/ROOM` is a room of that layer, a folder or
//! a file. The third column is `nothing`, `all above`, or names in backticks: of rooms of the same layer in a room's row, of layers in a layer's.
//! A row may name only rows above it, so the table itself cannot allow a circle. A layer with rooms in the table has all its rooms there.
//! What `mod.rs` of such a layer defines belongs to no room. `src/lib.rs` and `src/main.rs` may import all. Rows of other folders
//! (`tests/model`) must exist, and no more.

use std::collections::BTreeSet;

use super::modules::Import;
use super::source::{Offence, Source};

pub const TABLE: &str = "docs/architecture.md";
const COLUMNS: [&str; 3] = ["folder", "holds", "may import"];
const FREE: [&str; 2] = ["src/lib.rs", "src/main.rs"];

/// One row of the table.
#[derive(Debug, PartialEq)]
struct Row {
    line: usize,
    /// Without a slash at the end.
    folder: String,
    /// Full paths of other rows.
    may_import: Vec<String>,
}

pub fn offences(sources: &[Source], imports: &[Import]) -> Vec<Offence> {
    let document = sources
        .iter()
        .find(|source| source.path == TABLE)
        .map_or("", |source| &source.text);
    let (rows, mut offences) = read_table(document);
    if !rows.is_empty() {
        offences.extend(missing(&rows, sources));
        offences.extend(imports.iter().filter_map(|import| upward(&rows, import)));
    }
    offences
}

fn read_table(document: &str) -> (Vec<Row>, Vec<Offence>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut offences = Vec::new();
    let mut lines = document
        .lines()
        .enumerate()
        .skip_while(|(_, line)| cells(line) != COLUMNS);
    if lines.next().is_none() {
        let text = format!("no table with the columns {}; write it", COLUMNS.join(" | "));
        return (rows, vec![Offence::new(TABLE, 1, text)]);
    }
    for (at, line) in lines.skip(1).take_while(|(_, line)| line.starts_with('|')) {
        let cells = cells(line);
        let line = at + 1;
        let folder = quoted(cells.first().unwrap_or(&""))
            .first()
            .map_or("", |name| name.trim_end_matches('/'));
        if folder.is_empty() || cells.len() != COLUMNS.len() {
            offences.push(Offence::new(
                TABLE,
                line,
                "not a row of three cells that begins with a folder in backticks",
            ));
            continue;
        }
        let mut may_import = Vec::new();
        for name in allowed(cells[2], folder, &rows) {
            match name {
                Ok(path) => may_import.push(path),
                Err(text) => offences.push(Offence::new(TABLE, line, format!("`{folder}`: {text}"))),
            }
        }
        rows.push(Row {
            line,
            folder: folder.to_owned(),
            may_import,
        });
    }
    (rows, offences)
}

/// What a row may import: full paths of rows above it.
fn allowed(cell: &str, folder: &str, above: &[Row]) -> Vec<Result<String, String>> {
    let Some(within) = parent(folder).filter(|_| folder.starts_with("src/")) else {
        return Vec::new();
    };
    let siblings = || {
        above
            .iter()
            .map(|row| row.folder.as_str())
            .filter(|row| parent(row) == Some(within))
    };
    let names = quoted(cell);
    match cell.trim_matches('`') {
        "nothing" => Vec::new(),
        "all above" => siblings().map(|row| Ok(row.to_owned())).collect(),
        _ if names.is_empty() => {
            vec![Err(format!(
                "\"{cell}\" is not `nothing`, `all above`, or names in backticks"
            ))]
        }
        _ => names
            .iter()
            .map(|name| {
                let wanted = format!("{within}/{}", name.trim_start_matches("src/").trim_end_matches('/'));
                let known = siblings().any(|row| row == wanted);
                if known {
                    Ok(wanted)
                } else {
                    Err(format!("`{name}` is no row above this one beside it; order the rows"))
                }
            })
            .collect(),
    }
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// The names in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn parent(path: &str) -> Option<&str> {
    path.rfind('/').map(|slash| &path[..slash])
}

/// Rows without a folder, and folders without a row.
fn missing(rows: &[Row], sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let exists = |folder: &str| {
        sources
            .iter()
            .any(|source| source.path == folder || source.is_in(&[folder]))
    };
    for row in rows.iter().filter(|row| !exists(&row.folder)) {
        offences.push(Offence::new(
            TABLE,
            row.line,
            format!("there is no `{}`; take it out or correct it", row.folder),
        ));
    }
    let with_rooms = rows
        .iter()
        .filter(|row| row.folder.starts_with("src/"))
        .filter_map(|row| parent(&row.folder));
    for parent in with_rooms.collect::<BTreeSet<_>>() {
        for (entry, file) in entries(parent, sources) {
            if !rows.iter().any(|row| row.folder == entry) {
                offences.push(Offence::new(
                    file,
                    1,
                    format!("`{entry}` has no row in the table of {TABLE}; add it"),
                ));
            }
        }
    }
    offences
}

/// The files and folders in a folder, each with a file of it.
fn entries<'a>(parent: &str, sources: &'a [Source]) -> Vec<(&'a str, &'a str)> {
    let mut entries: Vec<(&str, &str)> = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.is_rust() && source.is_in(&[parent]))
    {
        let entry = entry(parent, &source.path);
        let free = FREE.contains(&entry)
            || is_face(parent, entry)
            || entry.ends_with("/tests.rs")
            || entry.ends_with("/tests");
        if !free && entries.last().is_none_or(|(last, _)| *last != entry) {
            entries.push((entry, &source.path));
        }
    }
    entries
}

/// The file or folder directly in `parent` that a path leads into.
fn entry<'a>(parent: &str, path: &'a str) -> &'a str {
    path[parent.len() + 1..]
        .find('/')
        .map_or(path, |slash| &path[..parent.len() + 1 + slash])
}

fn is_face(parent: &str, entry: &str) -> bool {
    entry.strip_prefix(parent) == Some("/mod.rs")
}

/// The import as an offence if the two rows where its paths part do not allow it.
fn upward(rows: &[Row], import: &Import) -> Option<Offence> {
    let mut parent = "src";
    loop {
        let (from, to) = (entry(parent, &import.from), entry(parent, &import.to));
        if from == to {
            parent = from;
            continue;
        }
        let row = rows.iter().find(|row| row.folder == from)?;
        let ruled = rows.iter().any(|row| row.folder == to);
        if !ruled || row.may_import.iter().any(|allowed| allowed == to) {
            return None;
        }
        let text = format!(
            "`{}`: {from} may not import {to} (table of {TABLE}, line {}); move one of them",
            import.path, row.line
        );
        return Some(Offence::new(&import.from, import.line, text));
    }
}

mod tests {
    use super::offences;
    use crate::house::modules::Modules;
    use crate::house::source::Source;

    const LIBRARY: (&str, &str) = ("src/lib.rs", "mod core; mod bus; mod cli;");

    fn found(table: &str, files: &[(&str, &str)]) -> Vec<String> {
        let mut sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        sources.push(Source::new(
            "docs/architecture.md",
            &format!("# A\n\n| folder | holds | may import |\n|---|---|---|\n{table}\n\nEnd"),
        ));
        sources.sort_by(|a, b| a.path.cmp(&b.path));
        let imports = Modules::read(&sources).imports();
        offences(&sources, &imports).iter().map(ToString::to_string).collect()
    }

    const ROOMS: &str = "| `src/core` | x | nothing |
| `src/core/values/` | x | nothing |
| `src/core/dedup.rs` | x | `values` |
| `src/bus` | x | `core` |
| `src/cli` | x | all above |";

    #[test]
    fn imports_that_the_table_allows_pass() {
        let files = [
            LIBRARY,
            ("src/core/mod.rs", "pub mod values; pub mod dedup;"),
            ("src/core/values/mod.rs", "pub struct V;"),
            ("src/core/dedup.rs", "use super::values::V; pub struct D;"),
            (
                "src/bus/mod.rs",
                "use crate::core::{dedup::D, values::V}; pub struct Bus;",
            ),
            ("src/cli/mod.rs", "use crate::{bus::Bus, core::dedup::D};"),
        ];
        assert_eq!(found(ROOMS, &files), [""; 0]);
    }

    #[test]
    fn imports_that_the_table_does_not_allow_are_offences() {
        let files = [
            LIBRARY,
            ("src/core/mod.rs", "pub mod values; pub mod dedup;"),
            ("src/core/values/mod.rs", "use crate::core::dedup::D;"),
            ("src/core/dedup.rs", "pub struct D;\nfn f() { crate::bus::g() }"),
            ("src/bus/mod.rs", "pub fn g() {} use crate::cli::Flag;"),
            ("src/cli/mod.rs", "pub struct Flag;"),
        ];
        let found = found(ROOMS, &files);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(
            found[0].starts_with("src/bus/mod.rs:1: `crate::cli::Flag`: src/bus may not import src/cli"),
            "{found:#?}"
        );
        assert!(
            found[1].starts_with("src/core/dedup.rs:2: `crate::bus::g`: src/core may not import src/bus"),
            "{found:#?}"
        );
        assert!(
            found[2].contains("src/core/values may not import src/core/dedup.rs"),
            "{found:#?}"
        );
    }

    #[test]
    fn the_table_and_the_tree_have_the_same_folders() {
        let files = [
            LIBRARY,
            ("src/core/mod.rs", "mod values;"),
            ("src/core/values/mod.rs", ""),
            ("src/core/other.rs", ""),
            ("src/serve/mod.rs", ""),
            ("src/bus/mod.rs", ""),
        ];
        let found = found(ROOMS, &files);
        assert_eq!(
            found,
            [
                "docs/architecture.md:7: there is no `src/core/dedup.rs`; take it out or correct it",
                "docs/architecture.md:9: there is no `src/cli`; take it out or correct it",
                "src/serve/mod.rs:1: `src/serve` has no row in the table of docs/architecture.md; add it",
                "src/core/other.rs:1: `src/core/other.rs` has no row in the table of docs/architecture.md; add it",
            ]
        );
    }

    #[test]
    fn a_table_that_is_wrong_or_not_there_is_an_offence() {
        let files = [("src/lib.rs", ""), ("src/a/mod.rs", ""), ("src/b/mod.rs", "")];
        let upside_down = found(
            "| `src/a` | x | `b` |\n| `src/b` | x | what it likes |\n| c | x | nothing |",
            &files,
        );
        assert_eq!(upside_down.len(), 3, "{upside_down:#?}");
        assert!(
            upside_down[0].starts_with("docs/architecture.md:5: `src/a`: `b` is no row above this one"),
            "{upside_down:#?}"
        );
        assert!(upside_down[1].contains("\"what it likes\" is not"), "{upside_down:#?}");
        assert!(upside_down[2].contains("not a row of three cells"), "{upside_down:#?}");
        let none = offences(
            &[Source::new(
                "docs/architecture.md",
                "| folder | what | imports |\n|---|---|---|",
            )],
            &[],
        );
        assert_eq!(none.len(), 1);
        assert!(
            none[0]
                .text
                .starts_with("no table with the columns folder | holds | may import")
        );
    }
}
