//! The values that everything is made of: amounts, times, calendars, names, and the numbers that identify.

pub mod account;
pub mod amount;
pub mod asset;
pub mod bucket;
pub mod calendar;
pub mod ids;
pub mod printable;
pub mod rate;
pub mod time;
