//! Reads the fields inside a programme.

use crate::core::contract::fields;
use crate::core::contract::fields::RawField;
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::rate::Factor;

/// A rejection with the code for faults inside a programme.
pub fn invalid(reason: impl Into<String>) -> Rejection {
    Code::InvalidProgramme.because(reason)
}

/// An amount, zero included, in units.
pub fn units(field: RawField<'_>, name: &str, decimals: u8) -> Result<u128, Rejection> {
    fields::amount_or_zero(field, name)?
        .units(decimals)
        .map_err(|error| fields::bad_amount(name, &error))
}

/// A factor from 0 to `most`.
pub fn factor<const DECIMALS: u8>(field: RawField<'_>, name: &str, most: u32) -> Result<Factor<DECIMALS>, Rejection> {
    let text = fields::text(field, name)?;
    Factor::parse(&text, most).map_err(|error| invalid(format!("`{name}` {error}")))
}
