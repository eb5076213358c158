//! Asks before something is published.

use std::io::{self, IsTerminal};

use crate::cli::message::message;
use crate::cli::outcome::{Failure, Outcome};

/// Asks a question on the terminal; with `yes`, it is answered already.
///
/// # Errors
/// If the answer is no, or if there is nobody to ask.
pub(super) fn confirmed(question: &str, yes: bool) -> Outcome {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::Usage(
            "nothing is published: there is no terminal to ask on; give --yes to publish without asking".into(),
        ));
    }
    message!("{question} Type yes, or anything else to leave it.");
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.map_err(|error| Failure::Failed(format!("cannot read the answer: {error}")))?;
    if matches!(answer.trim(), "y" | "yes" | "Y" | "Yes" | "YES") {
        return Ok(());
    }
    Err(Failure::Failed("nothing is published".into()))
}
