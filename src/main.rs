//! The `softstake` program.

use std::process::ExitCode;

/// Records, accounts and rows are many small pieces of memory that come and go; measured a tenth faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    softstake::cli::main()
}
