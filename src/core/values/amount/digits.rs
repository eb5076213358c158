//! Decimal digits: the one reader of plain decimal text, `[0-9]+(\.[0-9]+)?` (contract, section 3).

use ruint::Uint;

use crate::core::values::amount::error::AmountError;

/// Any number of so many digits fits into 64 bits.
pub(super) const U64_DIGITS: usize = 19;

/// All powers of ten below 2^128.
const POWERS_OF_TEN: [u128; 39] = {
    let mut powers = [1; 39];
    let mut i = 1;
    while i < powers.len() {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

#[inline]
pub(super) fn power_of_ten(exponent: usize) -> Option<u128> {
    POWERS_OF_TEN.get(exponent).copied()
}

/// The digits before and after the point of a plain decimal number, as they are written. Without a point, the fraction is empty.
///
/// # Errors
/// [`AmountError::Syntax`].
#[inline]
pub(super) fn split(text: &str) -> Result<(&[u8], &[u8]), AmountError> {
    let bytes = text.as_bytes();
    let (whole, rest) = bytes
        .split_at_checked(digits_at_start(bytes))
        .ok_or(AmountError::Syntax)?;
    let fraction: &[u8] = match rest {
        [] => &[],
        [b'.', fraction @ ..] if !fraction.is_empty() && digits_at_start(fraction) == fraction.len() => fraction,
        _ => return Err(AmountError::Syntax),
    };
    if whole.is_empty() {
        return Err(AmountError::Syntax);
    }
    Ok((whole, fraction))
}

/// A plain decimal number of at most [`U64_DIGITS`] characters, in one pass: the number that its digits are up to the last of the fraction
/// that is not zero, and how many of them are behind the point. `None` for a longer text, and for one that is no such number.
#[inline]
pub(super) fn short(text: &str) -> Option<(u64, usize)> {
    let bytes = text.as_bytes();
    if bytes.len() > U64_DIGITS {
        return None;
    }
    let (mut value, mut trimmed) = (0, 0);
    // Up to where the text counts, and where its fraction begins.
    let (mut end, mut fraction) = (0, None);
    for (at, byte) in bytes.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            value = append_digits(value, &[*byte]);
            if digit != 0 || fraction.is_none() {
                (trimmed, end) = (value, at + 1);
            }
        } else if *byte == b'.' && fraction.is_none() && at > 0 {
            fraction = Some(at + 1);
        } else {
            return None;
        }
    }
    match fraction {
        None => (!bytes.is_empty()).then_some((trimmed, 0)),
        Some(fraction) if fraction == bytes.len() => None,
        Some(fraction) => Some((trimmed, end.saturating_sub(fraction))),
    }
}

#[inline]
fn digits_at_start(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len())
}

#[inline]
pub(super) fn without_leading_zeros(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

#[inline]
pub(super) fn without_trailing_zeros(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

/// `value` with ASCII digits appended. Callers pass at most [`U64_DIGITS`] digits in all, leading zeros apart, so
/// that nothing wraps.
#[inline]
pub(super) fn append_digits(value: u64, digits: &[u8]) -> u64 {
    digits.iter().fold(value, |value, digit| {
        value.wrapping_mul(10).wrapping_add(u64::from(digit & 0x0f))
    })
}

/// The number that these digits are, one part after the other; `None` if it does not fit.
pub(super) fn number<const BITS: usize, const LIMBS: usize>(parts: [&[u8]; 2]) -> Option<Uint<BITS, LIMBS>> {
    let mut value = Uint::ZERO;
    for chunk in parts.into_iter().flat_map(|part| part.chunks(U64_DIGITS)) {
        let scale = Uint::from(power_of_ten(chunk.len())?);
        value = value
            .checked_mul(scale)?
            .checked_add(Uint::from(append_digits(0, chunk)))?;
    }
    Some(value)
}
