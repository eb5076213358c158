//! Plain values: amounts, rates, times, calendars, names, offsets, and numbers that identify.

pub mod account;
pub mod amount;
pub mod asset;
pub mod bucket;
pub mod calendar;
pub mod credentials;
pub mod csv_cell;
pub mod ids;
pub mod offset;
pub mod period;
pub mod printable;
pub mod rate;
pub mod sha256;
pub mod similar;
pub mod time;
