//! Changes to files, as damage and as an attacker would make them.

use crate::common::Dice;

/// Numbers that overflow, wrap, or are no numbers of ours.
const NUMBERS: [&str; 8] = [
    "18446744073709551615",
    "9223372036854775807",
    "-1",
    "0",
    "1e308",
    "0.5",
    "340282366920938463463374607431768211456",
    "null",
];
/// Texts that lead out of a folder, break terminals, or are empty.
const TEXTS: [&str; 6] = [
    "/etc/hostname",
    "../../../../etc/hostname",
    "/dev/zero",
    "\\u001b[2J\\u202e",
    "",
    "exchange.trades:4294967295",
];

/// A changed copy of a file, and what was done.
pub(super) fn mutate(dice: &mut Dice, whole: &[u8]) -> (Vec<u8>, String) {
    let mut bytes = whole.to_vec();
    let at = dice.one_of(bytes.len().max(1)).min(bytes.len());
    let len = (dice.one_of(64) + 1).min(bytes.len() - at);
    let what = match dice.throw(11) {
        0..=2 => {
            let bit = dice.throw(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            format!("flip bit {bit} of byte {at}")
        }
        3 => {
            bytes.truncate(at);
            format!("cut off at byte {at}")
        }
        4 => {
            bytes.drain(at..at + len);
            format!("remove {len} bytes from byte {at}")
        }
        5 => {
            let again = bytes[at..at + len].to_vec();
            bytes.splice(at..at, again);
            format!("repeat {len} bytes from byte {at}")
        }
        6 => {
            bytes[at..].fill(0);
            format!("zeros from byte {at}")
        }
        7 => {
            let junk: Vec<u8> = (0..len)
                .map(|_| u8::try_from(dice.throw(256)).expect("a byte"))
                .collect();
            bytes.splice(at..at, junk);
            format!("insert {len} bytes at byte {at}")
        }
        8 => {
            bytes.clear();
            "empty the file".to_owned()
        }
        9 => {
            let number = NUMBERS[dice.one_of(NUMBERS.len())];
            match replace_run(&mut bytes, at, u8::is_ascii_digit, number) {
                Some(at) => format!("{number} for the number at byte {at}"),
                None => String::new(),
            }
        }
        _ => {
            let text = TEXTS[dice.one_of(TEXTS.len())];
            match replace_run(&mut bytes, at, |byte| !matches!(byte, b'"' | b'\n'), text) {
                Some(at) => format!("{text:?} for the text at byte {at}"),
                None => String::new(),
            }
        }
    };
    (bytes, what)
}

/// Replaces the first run of bytes of a class after `at`.
fn replace_run(bytes: &mut Vec<u8>, at: usize, class: impl Fn(&u8) -> bool, with: &str) -> Option<usize> {
    let start = at + bytes[at..].iter().position(&class)?;
    let end = start + bytes[start..].iter().take_while(|byte| class(byte)).count();
    bytes.splice(start..end, with.bytes());
    Some(start)
}
