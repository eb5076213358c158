//! `softstake preview`: what the open epoch of an asset would pay if it closed now.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use crate::audit::asked::check_listed;
use crate::cli::csv_file::{CsvFile, SpreadsheetFlag};
use crate::cli::flags::DeploymentFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::scratch::Scratch;
use crate::cli::table::{TextTable, count};
use crate::core::contract::control::{CloseRates, ControlEvent};
use crate::core::contract::event::EventType;
use crate::core::values::asset::Asset;
use crate::deployment::preview::{AssumedClose, Preview, PreviewError, PreviewedAccount, TakeAccount, read_preview};

/// How long stores of different epochs are waited for.
const APART_FOR: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);

const CSV_COLUMNS: [&str; 10] = [
    "account",
    "average_balance",
    "balance_seconds",
    "eligibility",
    "rewarded",
    "made_good",
    "adjusted",
    "withheld_before",
    "amount",
    "withheld_after",
];

/// Show what the open epoch of an asset would pay if it closed now; nothing is published
#[derive(Debug, Args)]
#[command(after_help = "\
The stores of the state directory are read beside a running deployment, as of their newest persisted state. On Kafka, an \
instance has only the stores of its own tasks: all ledger partitions must be in this state directory.
Exit status: 3 if the asset is not listed or has no open epoch.

Example:
  softstake preview ATOM --pool 150 --state state
  softstake preview SOL --apr 0.062 --state state --csv sol.csv")]
pub(super) struct PreviewCommand {
    /// The asset
    asset: Asset,
    /// The pool that the close would order, in the reward asset [default: 0]
    #[arg(long, value_name = "AMOUNT")]
    pool: Option<String>,
    /// The yearly rate for the epoch, in place of the programme's: 0.05 is 5 %
    #[arg(long, value_name = "RATE")]
    apr: Option<String>,
    /// With a reward asset and mode apr: how much of it one unit of the asset is worth
    #[arg(long, value_name = "RATE")]
    reward_rate: Option<String>,
    /// Write one line for each account to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    spreadsheet: SpreadsheetFlag,
    #[command(flatten)]
    deployment: DeploymentFlags,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl PreviewCommand {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let loaded = self.deployment.load()?;
        let state = loaded.state()?;
        let close = self.close()?;
        let began = Instant::now();
        let preview = loop {
            let scratch = Scratch::new("preview")?;
            let read = |take: Option<TakeAccount<'_>>| read_preview(state, self.asset, &close, scratch.path(), take);
            match self.with_csv(read)? {
                Ok(preview) => break preview,
                Err(PreviewError::Apart { .. }) if began.elapsed() < APART_FOR => thread::sleep(LOOK_EVERY),
                Err(error) => return Err(self.failure(error)),
            }
        };
        if self.json {
            return out.json(&preview);
        }
        show(&preview, out)
    }

    /// Reads the preview, and writes its accounts to the CSV file if one is asked for.
    fn with_csv(
        &self,
        read: impl FnOnce(Option<TakeAccount<'_>>) -> Result<Preview, PreviewError>,
    ) -> Result<Result<Preview, PreviewError>, Failure> {
        let Some(path) = &self.csv else { return Ok(read(None)) };
        let mut file = CsvFile::create(path, self.spreadsheet.form(), &CSV_COLUMNS)?;
        let mut written = Ok(());
        let preview = read(Some(&mut |account| {
            if written.is_ok() {
                written = file.row(cells(account));
            }
        }));
        written?;
        file.finish()?;
        Ok(preview)
    }

    /// The close that is assumed. Its fields are read as a run reads them.
    fn close(&self) -> Result<AssumedClose, Failure> {
        let mut data = serde_json::json!({ "asset": self.asset, "epoch": 0 });
        let fields = [
            ("reward_pool", &self.pool),
            ("apr", &self.apr),
            ("reward_rate", &self.reward_rate),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                data[field] = value.as_str().into();
            }
        }
        match ControlEvent::read(EventType::EpochClose, &data.to_string()) {
            Ok(ControlEvent::EpochClose { reward_pool, rates, .. }) => Ok(AssumedClose { reward_pool, rates }),
            Ok(_) => Ok(AssumedClose {
                reward_pool: None,
                rates: CloseRates::default(),
            }),
            Err(rejection) => Err(Failure::Usage(rejection.reason)),
        }
    }

    fn failure(&self, error: PreviewError) -> Failure {
        match error {
            PreviewError::Task(error) => error.into(),
            PreviewError::NotListed { listed } => match check_listed(self.asset, listed) {
                Err(error) => error.into(),
                Ok(()) => Failure::Absent(format!("{} is not listed", self.asset)),
            },
            error @ (PreviewError::NoOpenEpoch { .. } | PreviewError::Unsettled { .. }) => {
                Failure::Absent(error.to_string())
            }
            PreviewError::Rejected(rejection) => Failure::Usage(rejection.reason),
            error @ PreviewError::Apart { .. } => Failure::Failed(error.to_string()),
        }
    }
}

fn cells(account: &PreviewedAccount) -> [&str; 10] {
    [
        &account.account,
        &account.average_balance,
        &account.balance_seconds,
        account.eligibility,
        &account.rewarded,
        &account.made_good,
        &account.adjusted,
        &account.withheld_before,
        &account.amount,
        &account.withheld_after,
    ]
}

fn show(preview: &Preview, out: &mut Output<'_>) -> Outcome {
    let unit = preview.reward_asset;
    write_line!(
        out,
        "Preview of epoch {} of {}, from {} to {}. Nothing is published, and nothing of it is final.",
        preview.epoch,
        preview.asset,
        preview.epoch_start,
        preview.epoch_end
    )?;
    write_line!(out)?;
    let mut table = TextTable::new(&["", &format!(">{unit}")]);
    let pooled = preview.mode == "pool";
    for (name, amount, is_shown) in [
        ("pool", &preview.reward_pool, true),
        ("of it rewards and adjustments added so far", &preview.added, true),
        ("commission", &preview.commission, pooled),
        ("carried in", &preview.carried_in, true),
        ("rewards", &preview.rewarded, true),
        ("made good for late events", &preview.made_good, true),
        ("adjustments of accounts", &preview.adjusted, true),
        ("withheld before", &preview.withheld_before, true),
        ("paid", &preview.total, true),
        ("withheld after", &preview.withheld_after, true),
        ("carried out", &preview.carried_out, true),
        ("returned to the treasury", &preview.returned, pooled),
    ] {
        if is_shown {
            table.row([name, amount]);
        }
    }
    table.write(out)?;
    write_line!(out)?;
    let ineligible = &preview.ineligible;
    write_line!(
        out,
        "{} accounts are paid. Not eligible: {} by status, {} negative, {} below the minimum.",
        count(preview.distributions),
        count(ineligible.status),
        count(ineligible.negative),
        count(ineligible.below_minimum)
    )?;
    if let Some(largest) = &preview.largest {
        write_line!(
            out,
            "The largest payout is {} {unit}, to {}.",
            largest.amount,
            largest.account
        )?;
    }
    show_gate(preview, out)?;
    show_deciles(preview, out)?;
    show_read_to(preview, out)
}

fn show_gate(preview: &Preview, out: &mut Output<'_>) -> Outcome {
    let gate = &preview.gate;
    let change = match &gate.change {
        Some(change) => format!("change {change} against the epoch before"),
        None => "no epoch before to compare with".into(),
    };
    let figures = format!("largest {}, total {}, {change}", gate.largest, gate.total);
    if gate.gate.is_null() {
        return write_line!(out, "The programme has no gate ({figures}).");
    }
    match gate.held_by {
        Some(limit) => write_line!(
            out,
            "The gate would hold it, by {limit} ({figures}; gate {}).",
            gate.gate
        ),
        None => write_line!(out, "The gate would let it pass ({figures}; gate {}).", gate.gate),
    }
}

fn show_deciles(preview: &Preview, out: &mut Output<'_>) -> Outcome {
    if preview.deciles.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    write_line!(out, "Payouts by tenths of the paid accounts, from the smallest up")?;
    let mut table = TextTable::new(&[">tenth", ">accounts", ">smallest", ">largest", ">sum"]);
    for decile in &preview.deciles {
        table.row([
            &decile.decile.to_string(),
            &count(decile.accounts),
            &decile.smallest,
            &decile.largest,
            &decile.total,
        ]);
    }
    table.write(out)
}

fn show_read_to(preview: &Preview, out: &mut Output<'_>) -> Outcome {
    let read_to = &preview.read_to;
    write_line!(out)?;
    match &read_to.persisted_at {
        Some(time) => write_line!(
            out,
            "The stores were last written at {time}. Later records are not in the preview."
        )?,
        None => write_line!(out, "It is not known when the stores were last written.")?,
    }
    let mut table = TextTable::new(&["partition", ">read up to offset"]);
    for (partition, offset) in read_to.sources.iter().chain(&read_to.inner) {
        table.row([partition, &offset.to_string()]);
    }
    table.write(out)
}
