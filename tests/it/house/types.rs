//! No two public types of one name in `src`: a reader who searches for a type finds it.

use std::collections::BTreeMap;

use super::lexer::{Kind, code};
use super::modules::test_only;
use super::source::{Offence, Source};

const KEYWORDS: [&str; 5] = ["struct", "enum", "union", "trait", "type"];

pub fn offences(sources: &[Source]) -> Vec<Offence> {
    let mut names: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    for source in sources
        .iter()
        .filter(|source| source.is_rust() && source.is_in(&["src"]))
    {
        for (name, line) in public_types(source) {
            names.entry(name).or_default().push((&source.path, line));
        }
    }
    names.retain(|_, places| places.len() > 1);
    let mut offences = Vec::new();
    for (name, places) in &names {
        for (file, line) in places {
            let others: Vec<String> = places
                .iter()
                .filter(|place| **place != (*file, *line))
                .map(|(file, line)| format!("{file}:{line}"))
                .collect();
            let text = format!(
                "public type `{name}` has the name of another at {}; rename one",
                others.join(", ")
            );
            offences.push(Offence::new(file, *line, text));
        }
    }
    offences
}

/// Names and lines of types that are `pub`, or `pub` within some part of the crate. Associated types are not.
pub fn public_types(source: &Source) -> Vec<(String, usize)> {
    let tokens = code(&source.tokens);
    let mut types = Vec::new();
    let mut at = 0;
    while at + 1 < tokens.len() {
        if let Some(end) = test_only(&tokens, at) {
            at = end;
        } else if tokens[at + 1].kind == Kind::Ident && KEYWORDS.iter().any(|keyword| tokens[at].is(keyword)) {
            let mut before = tokens[..at].iter().rev().skip_while(|token| token.is("unsafe"));
            if before.next().is_some_and(|token| token.is("pub") || token.is(")")) {
                types.push((tokens[at + 1].text.clone(), tokens[at + 1].line));
            }
        }
        at += 1;
    }
    types
}

mod tests {
    use super::offences;
    use crate::house::source::Source;

    #[test]
    fn public_types_of_one_name_are_offences_wherever_they_are() {
        let sources = [
            Source::new(
                "src/a.rs",
                "pub struct Kind;\npub(crate) enum Row {}\nmod inner { pub type Seal = u8; }",
            ),
            Source::new(
                "src/b/c.rs",
                "pub trait Row {}\n/// pub struct Kind;\npub(super) struct Seal;",
            ),
            Source::new("src/d.rs", "pub enum Row {}"),
        ];
        let found: Vec<String> = offences(&sources).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "src/a.rs:2: public type `Row` has the name of another at src/b/c.rs:1, src/d.rs:1; rename one",
                "src/b/c.rs:1: public type `Row` has the name of another at src/a.rs:2, src/d.rs:1; rename one",
                "src/d.rs:1: public type `Row` has the name of another at src/a.rs:2, src/b/c.rs:1; rename one",
                "src/a.rs:3: public type `Seal` has the name of another at src/b/c.rs:3; rename one",
                "src/b/c.rs:3: public type `Seal` has the name of another at src/a.rs:3; rename one",
            ]
        );
    }

    #[test]
    fn private_and_associated_types_and_those_of_tests_may_share_a_name() {
        let sources = [
            Source::new(
                "src/a.rs",
                "pub struct A; struct B; impl T for A { type Error = B; fn f(x: u8) { struct A; } }",
            ),
            Source::new(
                "src/b.rs",
                "pub struct B; impl T for B { type Error = A; }\n#[cfg(test)] mod tests { pub struct A; }",
            ),
            Source::new("tests/c.rs", "pub struct A;"),
        ];
        assert_eq!(offences(&sources), []);
    }
}
