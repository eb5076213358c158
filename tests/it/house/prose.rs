//! Prose: the paragraphs of Markdown and of doc comments, and their sentences.

use super::lexer::Kind;
use super::source::{Offence, Source};

/// The hard limit. The limit of the house style is about 25.
const MAX_SENTENCE_WORDS: usize = 40;

/// Follows the fences of code blocks through the lines of a document.
#[derive(Debug, Default)]
pub struct Fences {
    open: bool,
}

impl Fences {
    /// Whether the next line is a fence or between two.
    pub fn is_code(&mut self, line: &str) -> bool {
        let fence = line.trim_start().starts_with("```");
        let code = self.open || fence;
        self.open ^= fence;
        code
    }
}

pub fn is_table_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

/// Numbered lines that are read as one: a paragraph, a heading, a list item, a cell of a table.
type Block = Vec<(usize, String)>;

/// Sentences of Markdown that are too long.
pub fn long_sentences_in_documents(sources: &[Source]) -> Vec<Offence> {
    let documents = sources.iter().filter(|source| source.is_markdown());
    let lines = |text: &str| {
        text.lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.to_owned()))
            .collect()
    };
    documents
        .flat_map(|source| long_sentences(&source.path, lines(&source.text)))
        .collect()
}

/// Sentences of doc comments that are too long.
pub fn long_sentences_in_doc_comments(sources: &[Source]) -> Vec<Offence> {
    sources
        .iter()
        .flat_map(|source| {
            doc_comments(source)
                .into_iter()
                .flat_map(|c| long_sentences(&source.path, c))
        })
        .collect()
}

/// Doc comments on lines one after the other are one.
pub fn doc_comments(source: &Source) -> Vec<Block> {
    let mut comments: Vec<Block> = Vec::new();
    for token in source.tokens.iter().filter(|token| token.kind == Kind::DocComment) {
        let line = (token.line, token.text.clone());
        match comments
            .last_mut()
            .filter(|comment| comment.last().is_some_and(|(last, _)| last + 1 == token.line))
        {
            Some(comment) => comment.push(line),
            None => comments.push(vec![line]),
        }
    }
    comments
}

fn long_sentences(file: &str, document: Block) -> Vec<Offence> {
    let sentences = blocks(&document).into_iter().flat_map(|block| sentences(&block));
    sentences
        .filter(|(_, words)| words.len() > MAX_SENTENCE_WORDS)
        .map(|(line, words)| {
            let (count, start) = (words.len(), words[..6].join(" "));
            let text = format!("a sentence of {count} words, at most {MAX_SENTENCE_WORDS}: \"{start} ...\"; split it");
            Offence::new(file, line, text)
        })
        .collect()
}

/// The blocks of a document, without code.
fn blocks(document: &[(usize, String)]) -> Vec<Block> {
    let mut fences = Fences::default();
    let mut blocks: Vec<Block> = vec![Vec::new()];
    for (number, line) in document {
        let trimmed = line.trim();
        let code = fences.is_code(line);
        let item = after_marker(trimmed);
        let indented = line.starts_with("    ") && item.is_none() && blocks.last().is_some_and(Vec::is_empty);
        if code || trimmed.is_empty() || indented {
            blocks.push(Vec::new());
        } else if is_table_row(line) {
            blocks.extend(trimmed.split('|').map(|cell| vec![(*number, cell.to_owned())]));
            blocks.push(Vec::new());
        } else {
            let heading = trimmed.starts_with('#');
            if heading || item.is_some() {
                blocks.push(Vec::new());
            }
            if let Some(block) = blocks.last_mut() {
                block.push((*number, item.unwrap_or(trimmed).to_owned()));
            }
            if heading {
                blocks.push(Vec::new());
            }
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// The text of a list item, without the `- `, `* ` or `1. ` that begins it.
fn after_marker(line: &str) -> Option<&str> {
    let number = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let numbered = || number.strip_prefix(". ").filter(|_| number.len() < line.len());
    line.strip_prefix("- ")
        .or_else(|| line.strip_prefix("* "))
        .or_else(numbered)
}

/// The sentences of a block: where each begins, and its words. A piece of code in backticks is one word.
fn sentences(block: &[(usize, String)]) -> Vec<(usize, Vec<String>)> {
    let mut sentences = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut first_line = 0;
    let mut in_code = false;
    for (number, line) in block {
        for piece in line.split_whitespace() {
            let continues = in_code && !words.is_empty();
            in_code ^= piece.matches('`').count() % 2 == 1;
            if continues {
                if let Some(word) = words.last_mut() {
                    word.push(' ');
                    word.push_str(piece);
                }
            } else if piece.chars().any(char::is_alphanumeric) {
                first_line = if words.is_empty() { *number } else { first_line };
                words.push(piece.to_owned());
            }
            if !in_code && ends_sentence(piece) {
                sentences.push((first_line, std::mem::take(&mut words)));
            }
        }
    }
    sentences.push((first_line, words));
    sentences.retain(|(_, words)| !words.is_empty());
    sentences
}

fn ends_sentence(word: &str) -> bool {
    let bare = word.trim_end_matches([')', ']', '"', '\'', '*', '_', '`']);
    let abbreviation = ["e.g.", "i.e."]
        .iter()
        .any(|short| bare.trim_start_matches('(') == *short);
    bare.ends_with(['.', '!', '?']) && !abbreviation
}

mod tests {
    use super::{blocks, long_sentences_in_doc_comments, long_sentences_in_documents, sentences};
    use crate::house::source::Source;

    fn lengths(text: &str) -> Vec<(usize, usize)> {
        let lines: Vec<(usize, String)> = text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line.to_owned()))
            .collect();
        let found = blocks(&lines).into_iter().flat_map(|block| sentences(&block));
        found.map(|(line, words)| (line, words.len())).collect()
    }

    #[test]
    fn sentences_end_at_a_full_stop_and_at_the_end_of_a_block() {
        assert_eq!(
            lengths("One two\nthree. Four (five,\ne.g. six). `a b\nc.d` seven"),
            [(1, 3), (2, 4), (3, 2)]
        );
        assert_eq!(
            lengths("# A heading\nText here:\n- one\n- two\n  more\n1. three it\n\n    code code\n\nlast [a](b.md)."),
            [(1, 2), (2, 2), (3, 1), (4, 2), (6, 2), (10, 2)]
        );
        assert_eq!(
            lengths("| a b | c |\n|---|---|\n```\ncode code\n```\n| d. |"),
            [(1, 2), (1, 1), (6, 1)]
        );
    }

    #[test]
    fn a_sentence_may_have_40_words_and_no_more() {
        let text = |words: usize| format!("First line.\n\n{}end.", "word ".repeat(words - 1));
        let found = |words| long_sentences_in_documents(&[Source::new("docs/a.md", &text(words))]);
        assert_eq!(found(40), []);
        assert_eq!(found(41).len(), 1);
        assert!(
            found(41)[0]
                .to_string()
                .starts_with("docs/a.md:3: a sentence of 41 words, at most 40: \"word word")
        );
    }

    #[test]
    fn doc_comments_are_read_and_other_comments_are_not() {
        let long = "word\n/// word ".repeat(21);
        let source = format!(
            "// {}\n\nfn f() {{}}\n/// Short.\n/// A {long}\nfn g() {{}}",
            "word ".repeat(60)
        );
        let found = long_sentences_in_doc_comments(&[Source::new("src/a.rs", &source)]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(
            found[0].to_string().starts_with("src/a.rs:5: a sentence of 43 words"),
            "{found:#?}"
        );
    }
}
