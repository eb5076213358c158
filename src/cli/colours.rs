//! Whether an output has colours.

use std::io::IsTerminal;

/// Whether a text may have colours: it goes to a terminal, and `NO_COLOR` does not forbid it.
pub(super) fn has_colours(output: &impl IsTerminal) -> bool {
    output.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
