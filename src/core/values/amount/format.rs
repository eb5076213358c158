//! Whole numbers of units as decimal text.

use std::borrow::Cow;

use ruint::aliases::U512;

use crate::core::values::amount::digits::without_trailing_zeros;

/// Appends the units, as plain decimal text without trailing zeros ("0" for zero).
pub fn write_units(out: &mut Vec<u8>, units: u128, decimals: u8) {
    place_point(out, itoa::Buffer::new().format(units).as_bytes(), usize::from(decimals));
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
        // Most numbers have 64 bits, and these are written in half the time.
        match (u64::try_from(self.magnitude), u128::try_from(self.magnitude)) {
            (Ok(units), _) => place_point(out, itoa::Buffer::new().format(units).as_bytes(), decimals),
            (_, Ok(units)) => place_point(out, itoa::Buffer::new().format(units).as_bytes(), decimals),
            _ => place_point(out, self.magnitude.to_string().as_bytes(), decimals),
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

/// Appends digits without leading zeros ("0" for zero), the last `decimals` of them after the point.
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
