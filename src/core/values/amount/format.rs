//! Whole numbers of units as decimal text.

use std::borrow::Cow;

use ruint::aliases::U512;

use crate::core::values::amount::digits::{U64_DIGITS, without_trailing_zeros};

/// Appends the units, as plain decimal text without trailing zeros ("0" for zero).
pub fn write_units(out: &mut Vec<u8>, units: u128, decimals: u8) {
    let mut buffer = [0; 39];
    place_point(out, decimal_digits(&mut buffer, units), usize::from(decimals));
}

/// Like [`write_units`], with a leading `-` below zero.
pub fn write_signed_units(out: &mut Vec<u8>, units: i128, decimals: u8) {
    if units < 0 {
        out.push(b'-');
    }
    write_units(out, units.unsigned_abs(), decimals);
}

/// The units as plain decimal text without trailing zeros ("0" for zero).
pub fn format_units(units: u128, decimals: u8) -> String {
    let mut out = Vec::new();
    write_units(&mut out, units, decimals);
    into_text(out)
}

/// Like [`format_units`], with a leading `-` below zero.
pub fn format_signed_units(units: i128, decimals: u8) -> String {
    let mut out = Vec::new();
    write_signed_units(&mut out, units, decimals);
    into_text(out)
}

/// A decimal number: `magnitude * 10^-decimals`, below zero if `is_negative`. It is written as plain decimal text without trailing zeros, never longer
/// than the digits of `magnitude` and `decimals` zeros.
#[derive(Debug, Clone, Copy)]
pub struct WideNumber {
    pub is_negative: bool,
    pub magnitude: U512,
    pub decimals: u32,
}

impl WideNumber {
    /// Appends its text.
    pub fn write(&self, out: &mut Vec<u8>) {
        if self.magnitude.is_zero() {
            return out.push(b'0');
        }
        if self.is_negative {
            out.push(b'-');
        }
        // On a machine whose addresses have fewer than 32 bits this would be out of memory anyway.
        let decimals = usize::try_from(self.decimals).unwrap_or(usize::MAX);
        match u128::try_from(self.magnitude) {
            Ok(units) => {
                let mut buffer = [0; 39];
                place_point(out, decimal_digits(&mut buffer, units), decimals);
            }
            Err(_) => place_point(out, self.magnitude.to_string().as_bytes(), decimals),
        }
    }
}

impl From<WideNumber> for String {
    fn from(number: WideNumber) -> Self {
        let mut out = Vec::new();
        number.write(&mut out);
        into_text(out)
    }
}

impl From<WideNumber> for Cow<'_, str> {
    fn from(number: WideNumber) -> Self {
        Cow::Owned(number.into())
    }
}

/// The text of a [`WideNumber`].
pub fn format_units_wide(is_negative: bool, magnitude: U512, decimals: u32) -> String {
    WideNumber {
        is_negative,
        magnitude,
        decimals,
    }
    .into()
}

/// The decimal digits of a number, without leading zeros: none for zero. 39 digits hold any u128.
fn decimal_digits(buffer: &mut [u8; 39], mut number: u128) -> &[u8] {
    const CHUNK: u128 = 10u128.pow(19);
    let mut start = buffer.len();
    let mut slots = buffer.iter_mut().rev();
    while number > 0 {
        // Arithmetic in 64 bits wherever it fits; a remainder is below 10^19, so it does.
        let (high, mut low) = match u64::try_from(number) {
            Ok(number) => (0, number),
            Err(_) => (number / CHUNK, (number % CHUNK) as u64),
        };
        let mut missing = if high > 0 { U64_DIGITS } else { 0 };
        while low > 0 || missing > 0 {
            let Some(slot) = slots.next() else { break };
            *slot = b'0' + (low % 10) as u8;
            low /= 10;
            start -= 1;
            missing = missing.saturating_sub(1);
        }
        number = high;
    }
    buffer.get(start..).unwrap_or_default()
}

/// Appends digits (without leading zeros, none for zero), the last `decimals` of them after the point.
fn place_point(out: &mut Vec<u8>, digits: &[u8], decimals: usize) {
    let whole_digits = digits.len().saturating_sub(decimals);
    let (whole, fraction) = digits.split_at_checked(whole_digits).unwrap_or((digits, &[]));
    if whole.is_empty() {
        out.push(b'0');
    } else {
        out.extend_from_slice(whole);
    }
    let zeros = decimals.saturating_sub(digits.len());
    let fraction = without_trailing_zeros(fraction);
    if !fraction.is_empty() {
        out.push(b'.');
        out.resize(out.len().saturating_add(zeros), b'0');
        out.extend_from_slice(fraction);
    }
}

/// All that is written here is ASCII, so nothing is ever replaced.
fn into_text(ascii: Vec<u8>) -> String {
    String::from_utf8(ascii).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
