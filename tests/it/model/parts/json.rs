//! A plain JSON reader. It keeps what the contract needs: repeated fields, the exact value of every number, and escapes
//! of lone surrogates, which are JSON but not text.

use std::str::Chars;

use num_bigint::BigInt;
use num_traits::Zero;

#[derive(Debug, Clone)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    Array(Vec<Json>),
    Object(Vec<(Text, Json)>),
}

/// The code points of a string, including lone surrogates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Vec<u32>);

/// `digits * 10^exponent`. The digits have no zeros at either end, and zero has no digits. So numbers of equal value
/// are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    digits: String,
    exponent: BigInt,
}

/// Runs `work` with a stack for a hundred thousand nested brackets.
pub fn on_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    const STACK_BYTES: usize = 512 << 20;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| format!("cannot start the model's thread: {error}"))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Parses one JSON value. The error is a description.
pub fn parse(text: &str) -> Result<Json, String> {
    let mut parser = Parser { rest: text.chars() };
    parser.skip_blanks();
    let value = parser.value()?;
    parser.skip_blanks();
    match parser.peek() {
        None => Ok(value),
        Some(extra) => Err(format!("{extra:?} after the value")),
    }
}

impl Json {
    /// Whether two values are the same. Members may be in any order; numbers are compared by value, strings by
    /// characters.
    pub fn same(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Null, Json::Null) => true,
            (Json::Bool(a), Json::Bool(b)) => a == b,
            (Json::Number(a), Json::Number(b)) => a == b,
            (Json::Text(a), Json::Text(b)) => a == b,
            (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Json::Object(a), Json::Object(b)) => {
                let (a, b) = (by_key(a), by_key(b));
                a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && a.1.same(&b.1))
            }
            _ => false,
        }
    }
}

fn by_key(members: &[(Text, Json)]) -> Vec<&(Text, Json)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    members
}

impl Text {
    pub fn is(&self, name: &str) -> bool {
        self.0.iter().copied().eq(name.chars().map(u32::from))
    }

    /// The string, unless it has a lone surrogate.
    pub fn to_text(&self) -> Option<String> {
        self.0.iter().map(|code| char::from_u32(*code)).collect()
    }

    fn push_escaped(&mut self, code: u32) {
        match self.0.last_mut() {
            Some(high) if (0xD800..0xDC00).contains(high) && (0xDC00..0xE000).contains(&code) => {
                *high = 0x10000 + ((*high - 0xD800) << 10) + (code - 0xDC00);
            }
            _ => self.0.push(code),
        }
    }
}

impl Number {
    fn new(negative: bool, integer: &str, fraction: &str, exponent: &BigInt) -> Number {
        let all_digits = format!("{integer}{fraction}");
        let without_leading = all_digits.trim_start_matches('0');
        let digits = without_leading.trim_end_matches('0');
        if digits.is_empty() {
            return Number {
                negative: false,
                digits: String::new(),
                exponent: BigInt::zero(),
            };
        }
        let trailing_zeros = without_leading.len() - digits.len();
        let exponent = exponent - BigInt::from(fraction.len()) + BigInt::from(trailing_zeros);
        Number {
            negative,
            digits: digits.to_owned(),
            exponent,
        }
    }

    /// The value, if it is a whole number that fits.
    pub fn to_u64(&self) -> Option<u64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = usize::try_from(&self.exponent).ok().filter(|zeros| *zeros < 20)?;
        let plain = format!("{}{}", self.digits, "0".repeat(zeros));
        if self.negative { None } else { plain.parse().ok() }
    }
}

struct Parser<'a> {
    rest: Chars<'a>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Result<char, String> {
        self.rest.next().ok_or_else(|| "the text ends too early".to_owned())
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest.next();
        }
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        for wanted in wanted.chars() {
            let found = self.next()?;
            if found != wanted {
                return Err(format!("{found:?} where {wanted:?} should be"));
            }
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.rest.next();
        }
    }

    fn value(&mut self) -> Result<Json, String> {
        match self.peek() {
            Some('{') => self.object(),
            Some('[') => self.array(),
            Some('"') => self.string().map(Json::Text),
            Some('-' | '0'..='9') => self.number().map(Json::Number),
            Some('t') => self.expect("true").map(|()| Json::Bool(true)),
            Some('f') => self.expect("false").map(|()| Json::Bool(false)),
            Some('n') => self.expect("null").map(|()| Json::Null),
            Some(other) => Err(format!("{other:?} where a value should be")),
            None => Err("no value".to_owned()),
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = Vec::new();
        self.expect("{")?;
        self.skip_blanks();
        if self.take('}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_blanks();
            let key = self.string()?;
            self.skip_blanks();
            self.expect(":")?;
            self.skip_blanks();
            members.push((key, self.value()?));
            self.skip_blanks();
            if self.take('}') {
                return Ok(Json::Object(members));
            }
            self.expect(",")?;
        }
    }

    fn array(&mut self) -> Result<Json, String> {
        let mut elements = Vec::new();
        self.expect("[")?;
        self.skip_blanks();
        if self.take(']') {
            return Ok(Json::Array(elements));
        }
        loop {
            self.skip_blanks();
            elements.push(self.value()?);
            self.skip_blanks();
            if self.take(']') {
                return Ok(Json::Array(elements));
            }
            self.expect(",")?;
        }
    }

    fn string(&mut self) -> Result<Text, String> {
        let mut text = Text(Vec::new());
        self.expect("\"")?;
        loop {
            match self.next()? {
                '"' => return Ok(text),
                '\\' => match self.next()? {
                    'u' => {
                        let code = self.four_hex_digits()?;
                        text.push_escaped(code);
                    }
                    'b' => text.0.push(0x08),
                    't' => text.0.push(0x09),
                    'n' => text.0.push(0x0A),
                    'f' => text.0.push(0x0C),
                    'r' => text.0.push(0x0D),
                    plain @ ('"' | '\\' | '/') => text.0.push(u32::from(plain)),
                    other => return Err(format!("no such escape: \\{other}")),
                },
                control if control < ' ' => return Err("a raw control character in a string".to_owned()),
                plain => text.0.push(u32::from(plain)),
            }
        }
    }

    fn four_hex_digits(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next()?;
            code = code * 16 + digit.to_digit(16).ok_or_else(|| format!("{digit:?} is no hex digit"))?;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Number, String> {
        let negative = self.take('-');
        let integer = if self.take('0') { "0".to_owned() } else { self.digits()? };
        let fraction = if self.take('.') { self.digits()? } else { String::new() };
        let mut exponent = BigInt::zero();
        if self.take('e') || self.take('E') {
            let exponent_negative = self.take('-');
            if !exponent_negative {
                self.take('+');
            }
            exponent = self.digits()?.parse().map_err(|error| format!("exponent: {error}"))?;
            if exponent_negative {
                exponent = -exponent;
            }
        }
        Ok(Number::new(negative, &integer, &fraction, &exponent))
    }

    fn digits(&mut self) -> Result<String, String> {
        let mut digits = String::new();
        while let Some(digit @ '0'..='9') = self.peek() {
            digits.push(digit);
            self.rest.next();
        }
        if digits.is_empty() {
            Err("a digit is missing".to_owned())
        } else {
            Ok(digits)
        }
    }
}
