//! Decimal numbers in half a byte for each character. What is read is what was written, character by character.

/// The character of each half byte; the last one ends a number.
const CHARACTERS: [u8; 12] = *b"0123456789.-";
const END: u8 = 15;

/// Appends numbers to `out`.
///
/// `false` if one of them is no plain decimal number. Then a part may be written.
pub(super) fn pack<'a>(numbers: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) -> bool {
    let mut half: Option<u8> = None;
    let mut push = |nibble: u8, out: &mut Vec<u8>| match half.take() {
        Some(first) => out.push(first << 4 | nibble),
        None => half = Some(nibble),
    };
    for number in numbers {
        for byte in number.bytes() {
            let nibble = match byte {
                b'0'..=b'9' => byte - b'0',
                b'.' => 10,
                b'-' => 11,
                _ => return false,
            };
            push(nibble, out);
        }
        push(END, out);
    }
    if let Some(first) = half {
        out.push(first << 4 | END);
    }
    true
}

/// Reads `N` numbers; `None` if the bytes hold fewer.
pub(super) fn unpack<const N: usize>(bytes: &[u8]) -> Option<[String; N]> {
    let mut numbers: [String; N] = std::array::from_fn(|_| String::new());
    let mut nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for number in &mut numbers {
        loop {
            match nibbles.next()? {
                END => break,
                nibble => number.push(char::from(*CHARACTERS.get(usize::from(nibble))?)),
            }
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = ["0", "-0.2", "7775784", "89.9975", ""];
        let mut packed = Vec::new();
        assert!(pack(numbers, &mut packed));
        // 19 characters and five ends.
        assert_eq!(packed.len(), 12);
        assert_eq!(unpack::<5>(&packed).unwrap(), numbers.map(str::to_owned));
        assert_eq!(unpack::<6>(&packed), None);
        assert_eq!(unpack::<1>(&[0xcf]), None);
        for text in ["1e3", "+1", "1 ", "１"] {
            assert!(!pack([text], &mut Vec::new()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_numbers(a in "-?[0-9]{1,40}(\\.[0-9]{1,18})?", b in "-?[0-9]{1,9}", c in "[0-9.-]{0,9}") {
            let mut packed = Vec::new();
            prop_assert!(pack([a.as_str(), &b, &c], &mut packed));
            prop_assert_eq!(unpack::<3>(&packed), Some([a, b, c]));
        }
    }
}
