//! The `softstake` program of the test of upgrades: it knows a made-up version 3 of the contract's rules as well.

use std::process::ExitCode;

fn main() -> ExitCode {
    softstake::cli::main()
}
