//! The unit tests of the payout example. For an example Cargo builds either the tests or the program, which `consumer`
//! runs.

#[path = "../../../examples/payout_consumer/main.rs"]
#[allow(dead_code, reason = "its tests do not call `main`")]
mod payout_consumer;
