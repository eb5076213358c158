//! `softstake explain`: why an account was paid an amount, or nothing.

mod text;

use clap::Args;

use crate::audit::explain::{ExplainError, Explainer};
use crate::cli::flags::{ReadFlags, account};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::Output;
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// Explain a payout, or why there is none
#[derive(Debug, Args)]
#[command(after_help = "\
The explanation is computed from the log. It shows the balance at the start of the epoch, and every change with its event. \
It shows the part that counts, the rules in force, the division, and the part that is cut off. It also names rejected \
events, late events and second copies. The text can be sent to the customer. --json has every number exactly, in the \
smallest units of the asset.

Example:
  softstake explain ATOM 12 u-0042 --bus dir:bus")]
pub(super) struct Explain {
    /// The asset
    asset: Asset,
    /// The epoch
    epoch: Epoch,
    /// The account
    #[arg(value_parser = account)]
    account: AccountName<'static>,
    #[command(flatten)]
    bus: ReadFlags,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let bus = self.bus.open()?;
        let explanation = Explainer::new(bus.as_ref())?.explain(self.asset, self.epoch, &self.account)?;
        if self.json {
            out.json(&explanation)?;
        } else {
            text::write(&explanation, out)?;
        }
        match explanation.agrees {
            Some(false) => Err(Failure::Found),
            _ => Ok(()),
        }
    }
}

impl From<ExplainError> for Failure {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Audit(error) => error.into(),
            error @ (ExplainError::NotListed(_) | ExplainError::NoEpoch(_)) => Self::Usage(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}
