//! The `softstake` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    softstake::cli::main()
}
