//! Rust source as tokens, each with its line. Comments and the text of strings are kept, as the rules about words read them.
//! It is much less than the compiler's lexer: it only has to be right for sources that compile.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ident,
    /// One character, or `::`.
    Punct,
    /// A string of any kind; the token's text is what is between the quotes, with escapes as blanks.
    Text,
    Comment,
    /// `///` or `//!`.
    DocComment,
    /// A number, a character, or a lifetime: no rule reads them.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub text: String,
    /// Where the token begins, from 1.
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Ident | Kind::Punct) && self.text == text
    }

    pub fn is_comment(&self) -> bool {
        matches!(self.kind, Kind::Comment | Kind::DocComment)
    }
}

pub fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.at < lexer.chars.len() {
        lexer.token();
    }
    lexer.tokens
}

/// The tokens without comments.
pub fn code(tokens: &[Token]) -> Vec<Token> {
    tokens.iter().filter(|token| !token.is_comment()).cloned().collect()
}

/// The index of the bracket that closes the one at `open`, or the last index if none does.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if ["{", "(", "["].iter().any(|bracket| token.is(bracket)) {
            depth += 1;
        } else if ["}", ")", "]"].iter().any(|bracket| token.is(bracket)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len().saturating_sub(1)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn next(&mut self) -> char {
        let next = self.peek(0);
        self.at += 1;
        if next == '\n' {
            self.line += 1;
        }
        next
    }

    fn push(&mut self, kind: Kind, text: impl Into<String>, line: usize) {
        self.tokens.push(Token {
            kind,
            text: text.into(),
            line,
        });
    }

    fn token(&mut self) {
        let line = self.line;
        let first = self.peek(0);
        if first.is_whitespace() {
            self.next();
        } else if first == '/' && self.peek(1) == '/' {
            self.line_comment();
        } else if first == '/' && self.peek(1) == '*' {
            self.block_comment();
        } else if first == '"' {
            self.next();
            self.quoted(line);
        } else if first == '\'' {
            self.character_or_lifetime();
        } else if first.is_ascii_digit() {
            self.number();
        } else if is_word(first) {
            self.word();
        } else if first == ':' && self.peek(1) == ':' {
            self.at += 2;
            self.push(Kind::Punct, "::", line);
        } else {
            self.next();
            self.push(Kind::Punct, first, line);
        }
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.at < self.chars.len() && self.peek(0) != '\n' {
            text.push(self.next());
        }
        let doc = (text.starts_with("///") && !text.starts_with("////")) || text.starts_with("//!");
        let kind = if doc { Kind::DocComment } else { Kind::Comment };
        let text = text.trim_start_matches('/');
        let text = if doc {
            text.strip_prefix('!').unwrap_or(text)
        } else {
            text
        };
        self.push(kind, text.strip_prefix(' ').unwrap_or(text), line);
    }

    fn block_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        let mut depth = 0_usize;
        while self.at < self.chars.len() {
            let pair = (self.peek(0), self.peek(1));
            if pair == ('/', '*') || pair == ('*', '/') {
                depth = if pair.0 == '/' { depth + 1 } else { depth - 1 };
                self.at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                text.push(self.next());
            }
        }
        self.push(Kind::Comment, text, line);
    }

    /// The rest of a string whose first quote was read.
    fn quoted(&mut self, line: usize) {
        let mut text = String::new();
        while self.at < self.chars.len() {
            match self.next() {
                '"' => break,
                '\\' => match self.next() {
                    '\n' => text.push('\n'),
                    quote @ ('"' | '\'') => text.push(quote),
                    _ => text.push(' '),
                },
                other => text.push(other),
            }
        }
        self.push(Kind::Text, text, line);
    }

    /// The rest of a raw string, from its hashes on.
    fn raw(&mut self, line: usize) {
        let mut hashes = 0;
        while self.peek(0) == '#' {
            self.next();
            hashes += 1;
        }
        self.next();
        let mut text = String::new();
        while self.at < self.chars.len() {
            let next = self.next();
            if next == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes;
                break;
            }
            text.push(next);
        }
        self.push(Kind::Text, text, line);
    }

    fn character_or_lifetime(&mut self) {
        let line = self.line;
        self.next();
        if self.peek(0) == '\\' {
            self.at += 2;
            while self.at < self.chars.len() && self.next() != '\'' {}
        } else if self.peek(1) == '\'' {
            self.next();
            self.next();
        } else {
            while is_word(self.peek(0)) {
                self.next();
            }
        }
        self.push(Kind::Other, "", line);
    }

    fn number(&mut self) {
        let line = self.line;
        while is_word(self.peek(0)) || (self.peek(0) == '.' && self.peek(1).is_ascii_digit()) {
            self.next();
        }
        self.push(Kind::Other, "", line);
    }

    fn word(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while is_word(self.peek(0)) {
            text.push(self.next());
        }
        match (text.as_str(), self.peek(0)) {
            ("b" | "c", '"') => {
                self.next();
                self.quoted(line);
            }
            ("b", '\'') => self.character_or_lifetime(),
            ("r" | "br" | "cr", '"') => self.raw(line),
            ("r" | "br" | "cr", '#') if matches!(self.peek(1), '"' | '#') => self.raw(line),
            ("r", '#') => {
                self.next();
                self.word();
            }
            _ => self.push(Kind::Ident, text, line),
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

mod tests {
    use super::{Kind, code, lex};

    fn kinds(text: &str) -> Vec<(Kind, String)> {
        lex(text).into_iter().map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn strings_characters_and_lifetimes_do_not_hide_code() {
        let source = r##"f('"', b'\'', '{', "a \"{\" b", r#"raw " {"#, r"\", &'a str); // end {"##;
        let idents: Vec<String> = lex(source)
            .into_iter()
            .filter(|token| token.kind == Kind::Ident)
            .map(|token| token.text)
            .collect();
        assert_eq!(idents, ["f", "str"]);
        assert!(!code(&lex(source)).iter().any(|token| token.is("{")));
        let texts: Vec<String> = lex(source)
            .into_iter()
            .filter(|token| token.kind == Kind::Text)
            .map(|token| token.text)
            .collect();
        assert_eq!(texts, ["a \"{\" b", "raw \" {", "\\"]);
    }

    #[test]
    fn comments_are_told_apart_and_nest() {
        assert_eq!(
            kinds("/// doc\n//! inner\n// plain\n//// rule\n/* a /* b */ c */x"),
            [
                (Kind::DocComment, "doc".to_owned()),
                (Kind::DocComment, "inner".to_owned()),
                (Kind::Comment, "plain".to_owned()),
                (Kind::Comment, "rule".to_owned()),
                (Kind::Comment, " a  b  c ".to_owned()),
                (Kind::Ident, "x".to_owned()),
            ]
        );
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let tokens = lex("\"a\nb \\\n c\" /* \n */ x\n r#type::y");
        let found: Vec<(&str, usize)> = tokens
            .iter()
            .filter(|token| token.kind == Kind::Ident)
            .map(|token| (token.text.as_str(), token.line))
            .collect();
        assert_eq!(found, [("x", 4), ("type", 5), ("y", 5)]);
        assert!(tokens.iter().any(|token| token.is("::")));
    }
}
