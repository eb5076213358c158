//! `softstake explain`: why an account was paid an amount, or nothing.

mod auditor;
mod corrections;
mod customer;

use clap::{Args, ValueEnum};

use crate::audit::explain::{ExplainError, Explainer, Explanation, words};
use crate::cli::flags::PayoutFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::Output;

/// Explain a payout, or why there is none
#[derive(Debug, Args)]
#[command(after_help = "\
The explanation is computed from the log. For an auditor it shows the balance at the start of the epoch, and every change \
with its event. It shows the part that counts, the rules in force, the division, and the part that is not paid yet. Closed epochs \
that late events changed are shown one by one, as sealed and as corrected. It also names rejected events, late events and second \
copies. With --for customer it is a short letter in everyday words, which can be sent. Neither shows anything of another owner. \
--json has every number exactly, in the smallest units of the asset.
Exit status: 0 if the published record agrees in every field, or the epoch is not sealed; 1 if it does not agree; 3 if no \
record names the account, the asset is not listed, or the epoch is too far ahead.

Example:
  softstake explain ATOM 12 u-0042 --bus dir:bus
  softstake explain ATOM 12 u-0042 --bus dir:bus --for customer")]
pub(super) struct Explain {
    #[command(flatten)]
    payout: PayoutFlags,
    /// The reader of the text
    #[arg(long = "for", value_name = "READER", default_value = "auditor")]
    reader: Reader,
    /// JSON instead of text, for the auditor
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reader {
    Auditor,
    Customer,
}

impl Explain {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        if self.json && self.reader == Reader::Customer {
            return Err(Failure::Usage(
                "--json is for the auditor: leave out --for customer".into(),
            ));
        }
        let PayoutFlags {
            asset, epoch, account, ..
        } = &self.payout;
        let explanation = self.payout.bus.read(|bus| {
            let explainer = Explainer::new(bus)?;
            Ok(explainer.explain(*asset, *epoch, account)?)
        })?;
        let agrees = explanation.agrees != Some(false);
        match self.reader {
            Reader::Customer if !agrees => return Err(not_for_customers(&explanation)),
            Reader::Customer => customer::write(&explanation, out)?,
            Reader::Auditor if self.json => out.json(&explanation)?,
            Reader::Auditor => auditor::write(&explanation, out)?,
        }
        if agrees { Ok(()) } else { Err(Failure::Found) }
    }
}

/// A letter would explain an amount that was not published.
fn not_for_customers(explanation: &Explanation) -> Failure {
    let fields: Vec<&str> = explanation.differences.iter().map(|one| one.field.as_str()).collect();
    Failure::Failed(format!(
        "the published record is not what follows from the log: it differs in {}. There is no letter for the customer; run the command \
         without --for customer, and then `softstake reconcile`",
        fields.join(", ")
    ))
}

impl From<ExplainError> for Failure {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Audit(error) => error.into(),
            ExplainError::Asked(error) => error.into(),
            error @ (ExplainError::NoEpoch { .. }
            | ExplainError::BeforeFirst { .. }
            | ExplainError::Withdrawn { .. }
            | ExplainError::NoRecord { .. }) => Self::Absent(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}
