//! `softstake prove`: a small file that proves a payout.

use std::path::PathBuf;

use clap::Args;

use crate::audit::proof::{ProofError, prove};
use crate::cli::flags::{ReadFlags, account};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// Write a proof that a payout is under the root of its epoch's seal
#[derive(Debug, Args)]
#[command(after_help = "\
The file and the root are enough to verify the payout, with `softstake verify` or without Softstake: \
examples/verify_proof.py is a second verifier in a few lines of Python.

Example:
  softstake prove ATOM 12 u-0042 --bus dir:bus --out proof.json")]
pub(super) struct Prove {
    /// The asset
    asset: Asset,
    /// The epoch
    epoch: Epoch,
    /// The account
    #[arg(value_parser = account)]
    account: AccountName<'static>,
    #[command(flatten)]
    bus: ReadFlags,
    /// The file to write, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let bus = self.bus.open()?;
        let proof = prove(bus.as_ref(), self.asset, self.epoch, self.account.as_str())?;
        let Some(path) = &self.out else {
            return out.json(&proof);
        };
        let mut file = serde_json::to_vec_pretty(&proof)?;
        file.push(b'\n');
        std::fs::write(path, file)
            .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
        write_line!(
            out,
            "Proven: {} was paid {} {} for epoch {}, under root {}.",
            proof.account,
            proof.amount,
            proof.asset,
            proof.epoch,
            proof.root
        )
    }
}

impl From<ProofError> for Failure {
    fn from(error: ProofError) -> Self {
        Self::Failed(error.to_string())
    }
}
