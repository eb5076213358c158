//! Functions, files and Markdown lines that are too long.

use super::lexer::{Kind, closing, code};
use super::prose::{Fences, is_table_row};
use super::source::{Offence, Source};

pub const RUST: [&str; 4] = ["src", "tests", "benches", "examples"];

const MAX_FUNCTION_LINES: usize = 100;
const MAX_FILE_LINES: usize = 600;
const MAX_MARKDOWN_CHARACTERS: usize = 120;

fn rust(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|source| source.is_rust() && source.is_in(&RUST))
}

/// Files of over 600 lines.
pub fn long_files(sources: &[Source]) -> Vec<Offence> {
    let lines = rust(sources).map(|source| (source, source.text.lines().count()));
    lines
        .filter(|(_, lines)| *lines > MAX_FILE_LINES)
        .map(|(source, lines)| {
            Offence::new(
                &source.path,
                1,
                format!("{lines} lines, at most {MAX_FILE_LINES}; split the file"),
            )
        })
        .collect()
}

/// Functions of over 100 lines, from `fn` to the closing brace.
pub fn long_functions(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in rust(sources) {
        for (name, from, to) in functions(source) {
            let lines = to - from + 1;
            if lines > MAX_FUNCTION_LINES {
                let text = format!("function `{name}` has {lines} lines, at most {MAX_FUNCTION_LINES}; split it");
                offences.push(Offence::new(&source.path, from, text));
            }
        }
    }
    offences
}

/// Name, first line and last line of each function that has a body.
pub fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let tokens = code(&source.tokens);
    let mut functions = Vec::new();
    for at in 0..tokens.len().saturating_sub(1) {
        let name = &tokens[at + 1];
        if !tokens[at].is("fn") || name.kind != Kind::Ident {
            continue;
        }
        let mut next = at + 2;
        while next < tokens.len() && !tokens[next].is("{") && !tokens[next].is(";") {
            next = if tokens[next].is("(") || tokens[next].is("[") {
                closing(&tokens, next) + 1
            } else {
                next + 1
            };
        }
        if tokens.get(next).is_some_and(|token| token.is("{")) {
            functions.push((name.text.clone(), tokens[at].line, tokens[closing(&tokens, next)].line));
        }
    }
    functions
}

/// Lines of Markdown over 120 characters, but for table rows, fenced code, and lines indented like code.
pub fn long_markdown_lines(sources: &[Source]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for source in sources.iter().filter(|source| source.is_markdown()) {
        let mut fences = Fences::default();
        for (at, line) in source.text.lines().enumerate() {
            let characters = line.chars().count();
            let free = fences.is_code(line) || is_table_row(line) || line.starts_with("    ");
            if !free && characters > MAX_MARKDOWN_CHARACTERS {
                let text = format!("{characters} characters, at most {MAX_MARKDOWN_CHARACTERS}; break the line");
                offences.push(Offence::new(&source.path, at + 1, text));
            }
        }
    }
    offences
}

mod tests {
    use super::{functions, long_files, long_functions, long_markdown_lines};
    use crate::house::source::Source;

    #[test]
    fn a_function_may_have_100_lines_and_no_more() {
        let body = |lines: usize| format!("\n\npub fn f<T>(x: [u8; 2]) -> T {{\n{}}}\n", "x();\n".repeat(lines));
        let source = |lines| [Source::new("tests/a.rs", &format!("mod a {{{}}}", body(lines)))];
        assert_eq!(long_functions(&source(98)), []);
        let found = long_functions(&source(99));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "tests/a.rs:3: function `f` has 101 lines, at most 100; split it"
        );
    }

    #[test]
    fn functions_without_a_body_and_in_strings_are_none() {
        let source = "trait T { fn a(&self) -> [u8; 3]; fn b(x: fn(u8)) { let s = \"fn c() {\"; fn d() {\n} } }";
        let names: Vec<(String, usize, usize)> = functions(&Source::new("src/a.rs", source));
        assert_eq!(names, [("b".to_owned(), 1, 2), ("d".to_owned(), 1, 2)]);
    }

    #[test]
    fn a_file_may_have_600_lines_and_no_more() {
        let source = |lines| {
            [
                Source::new("benches/a.rs", &"\n".repeat(lines)),
                Source::new("deploy/b.rs", &"\n".repeat(700)),
            ]
        };
        assert_eq!(long_files(&source(600)), []);
        assert_eq!(
            long_files(&source(601))[0].to_string(),
            "benches/a.rs:1: 601 lines, at most 600; split the file"
        );
    }

    #[test]
    fn a_markdown_line_may_have_120_characters_but_for_tables_and_code() {
        let long = "ä".repeat(121);
        let text = format!(
            "{}\n| {long} |\n```\n{long}\n```\n    {long}\n{long}\n",
            "ä".repeat(120)
        );
        let found = long_markdown_lines(&[Source::new("docs/a.md", &text), Source::new("src/a.rs", &long)]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(
            found[0].to_string(),
            "docs/a.md:7: 121 characters, at most 120; break the line"
        );
    }
}
