//! CSV files for spreadsheets: they show the values of the exact file, and nothing from outside is a formula.

use std::fs;

use super::World;
use super::undone;

/// What a spreadsheet shows for a cell: a formula may only join texts and the characters of line ends and tabs.
fn shown(cell: &str) -> String {
    let Some(formula) = cell.strip_prefix('=') else {
        return cell.to_owned();
    };
    let (mut text, mut rest) = (String::new(), formula);
    loop {
        let behind = if let Some(code) = rest.strip_prefix("CHAR(") {
            let (number, behind) = code.split_once(')').expect("the end of a character");
            let number: u8 = number.parse().expect("the number of a character");
            assert!(matches!(number, 9 | 10 | 13), "{cell:?}");
            text.push(char::from(number));
            behind
        } else {
            let mut literal = rest
                .strip_prefix('"')
                .unwrap_or_else(|| panic!("{cell:?} is a formula"));
            loop {
                let (part, behind) = literal.split_once('"').expect("the end of a text");
                text.push_str(part);
                match behind.strip_prefix('"') {
                    Some(more) => {
                        text.push('"');
                        literal = more;
                    }
                    None => break behind,
                }
            }
        };
        match behind.strip_prefix('&') {
            Some(next) => rest = next,
            None => {
                assert_eq!(behind, "", "{cell:?}");
                return text;
            }
        }
    }
}

fn rows(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut csv = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    let rows = csv
        .records()
        .map(|row| row.expect("a row").iter().map(str::to_owned).collect());
    rows.collect()
}

#[test]
fn a_spreadsheet_shows_the_values_of_the_exact_file() {
    let world = World::new();
    let mut formulas = 0;
    for words in [
        &["what-if", "--programme", "programme.json"][..],
        &["reconcile", "balances", "--against", "ledger.csv"],
        &["reconcile", "payouts", "--acks", "acks.jsonl"],
        &["reconcile"],
        &["statement"],
    ] {
        let place = if words == ["reconcile"] {
            &world.changed
        } else {
            &world.place
        };
        world.on(place, &[words, &["--csv", "exact.csv"]].concat());
        world.on(place, &[words, &["--csv", "spreadsheet.csv", "--spreadsheet"]].concat());
        let [exact, spreadsheet] =
            ["exact.csv", "spreadsheet.csv"].map(|name| fs::read(world.file(name)).expect("a CSV file"));
        assert!(!exact.starts_with(b"\xef\xbb\xbf"), "{words:?}");
        let spreadsheet = spreadsheet.strip_prefix(b"\xef\xbb\xbf").expect("a byte order mark");
        let (exact, spreadsheet) = (rows(&exact), rows(spreadsheet));
        assert!(exact.len() > 1, "{words:?} has no rows");
        assert_eq!(exact.len(), spreadsheet.len(), "{words:?}");
        for (exact, spreadsheet) in exact.iter().zip(&spreadsheet) {
            let exact: Vec<String> = exact.iter().map(|cell| undone(cell)).collect();
            let values: Vec<String> = spreadsheet.iter().map(|cell| shown(cell)).collect();
            assert_eq!(values, exact, "{words:?}");
            formulas += spreadsheet.iter().filter(|cell| cell.starts_with('=')).count();
        }
    }
    assert!(formulas > 100, "{formulas}");
}

#[test]
fn the_form_needs_a_file() {
    let world = World::new();
    let output = world.on(&world.place, &["statement", "--spreadsheet"]);
    assert_eq!(output.status.code(), Some(2));
}
