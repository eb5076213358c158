//! Escapes of UTF-16 code units in JSON strings (RFC 8259, section 7).

/// The four hexadecimal digits that a text begins with, behind `\u`, and what follows them.
#[must_use]
pub fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | char::from(*digit).to_digit(16)?;
    }
    Some((unit, rest))
}

/// The character of an escaped code unit, and what follows its escape. If `rest` begins with the escape of the other half of a surrogate pair, it
/// is the character of both. `None` for a lone surrogate.
#[must_use]
pub fn character(unit: u32, rest: &[u8]) -> (Option<char>, &[u8]) {
    if let 0xd800..=0xdbff = unit
        && let [b'\\', b'u', next @ ..] = rest
        && let Some((low @ 0xdc00..=0xdfff, after)) = code_unit(next)
        && let Some(character) = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    {
        return (Some(character), after);
    }
    (char::from_u32(unit), rest)
}
