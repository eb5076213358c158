//! `softstake verify`: checks a proof of a payout from the proof and the root alone.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;

use crate::audit::proof::Proof;
use crate::cli::input;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::prove::proven;

/// The largest file that is read, in bytes. A proof has some kilobytes.
const LARGEST: u64 = 1 << 20;

/// Check a proof of a payout against the root of its epoch
#[derive(Debug, Args)]
#[command(after_help = "\
The command needs the file and the root only. Take the root from the seal (`softstake query epochs ATOM --json`), or from \
somebody you trust: a proof can be trusted as much as its root.

Example:
  softstake verify proof.json --root 7d0c6a7f0f4e9be1ae0f1d1a4a7bd0a2d6a4ef6c3bf2f1c3f8d3ac0f4b0bb0c1")]
pub(super) struct Verify {
    /// The proof; - for standard input
    file: PathBuf,
    /// The root of the epoch, in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = root)]
    root: Option<String>,
}

/// A root, which is 64 hexadecimal digits.
fn root(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a root has 64 hexadecimal digits; `softstake query epochs ASSET --json` shows it whole".into()),
    }
}

impl Verify {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let name = self.file.display();
        let mut bytes = Vec::new();
        let read = input::open(&self.file)?.take(LARGEST + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure::Failed(format!("cannot read {name}: {error}")))?;
        let wrong = |why: String| Failure::Failed(format!("{name} proves nothing: {why}"));
        if bytes.len() as u64 > LARGEST {
            return Err(wrong(format!("it is larger than {LARGEST} bytes")));
        }
        let proof: Proof = serde_json::from_slice(&bytes)
            .map_err(|error| wrong(format!("{error}; name a file that `softstake prove` wrote")))?;
        proof
            .verify(self.root.as_deref().unwrap_or(&proof.root))
            .map_err(wrong)?;
        if self.root.is_none() {
            write_line!(
                out,
                "No --root was given: the root below comes from the proof itself. Compare it with the root of the seal."
            )?;
        }
        proven(&proof, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_root_is_refused() {
        let whole = "7D0c".repeat(16);
        assert_eq!(root(&whole), Ok("7d0c".repeat(16)));
        for text in ["", "7d0c", &whole[1..], &"x".repeat(64)] {
            assert!(root(text).unwrap_err().contains("64 hexadecimal digits"), "{text}");
        }
    }
}
