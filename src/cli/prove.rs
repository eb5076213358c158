//! `softstake prove`: a small file that proves a payout.

use std::path::PathBuf;

use clap::Args;

use crate::audit::asked::{Asked, EpochProgress, Inventory};
use crate::audit::proof::{Proof, ProofError, prove};
use crate::bus::Log;
use crate::cli::flags::PayoutFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};

/// Write a proof that a payout is under the root of its epoch's seal
#[derive(Debug, Args)]
#[command(after_help = "\
The file and the root are enough to verify the payout, with `softstake verify` or without Softstake: \
examples/verify_proof.py is a second verifier in a few lines of Python.
Exit status: 3 if the asset is not listed, the epoch is not sealed, or the account was paid nothing.

Example:
  softstake prove ATOM 12 u-0042 --bus dir:bus --out proof.json")]
pub(super) struct Prove {
    #[command(flatten)]
    payout: PayoutFlags,
    /// The file to write, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let PayoutFlags {
            asset, epoch, account, ..
        } = &self.payout;
        let read = |bus: &dyn Log| {
            let asked = Asked::epoch(Some(*asset), Some(*epoch));
            let resolved = Inventory::read(bus)?.resolve(asked, EpochProgress::Sealed)?;
            resolved.check()?;
            Ok(prove(bus, *asset, *epoch, account.as_str())?)
        };
        let proof = self.payout.bus.read(read)?;
        let Some(path) = &self.out else {
            return out.json(&proof);
        };
        let mut file = serde_json::to_vec_pretty(&proof)?;
        file.push(b'\n');
        std::fs::write(path, file)
            .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
        proven(&proof, out)
    }
}

/// Says what a proof proves.
pub(super) fn proven(proof: &Proof, out: &mut Output<'_>) -> Outcome {
    write_line!(
        out,
        "Proven: {} was paid {} for epoch {} of {}, under root {}. The seal names the asset that it was paid in.",
        proof.account,
        proof.amount,
        proof.epoch,
        proof.asset,
        proof.root
    )
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::NotSealed { .. } | ProofError::NotPaid { .. } => Self::Absent(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}
