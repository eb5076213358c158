//! `softstake gen`: generates a bus of synthetic events, or a bus from a tape of public trades.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::bus::Topic;
use crate::cli::message::message;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::table::{count, counted};
use crate::cli::{bus, progress};
use crate::config::BusAddress;
use crate::core::values::asset::Asset;
use crate::generate;
use crate::generate::{Summary, Synthetic, Tape, TapeSummary};

/// Flags for a synthetic bus only.
const SYNTHETIC: [&str; 9] = [
    "events",
    "assets",
    "epochs",
    "epoch_seconds",
    "duplicates",
    "late",
    "bad",
    "stage",
    "stages",
];

/// Generate a bus for trials
#[derive(Debug, Args)]
#[command(after_help = "\
The bus must be new, or --stage or --stages must continue a bus with the same settings. A stage is what reaches the bus \
during one epoch, and the close that ends it. Run softstake between two stages, and late events are really late.
Equal settings with an equal seed give equal bytes.

Example:
  softstake gen --bus dir:bus --events 1000000 --accounts 10000 --assets 8 --partitions 4 --seed 7
  softstake gen --bus dir:tape --trades XRPETH-aggTrades.csv --pair XRP/ETH --base-decimals 6 --quote-decimals 18")]
pub(super) struct Gen {
    /// The bus to write, as dir:PATH; never from the configuration, so that no real bus is written by mistake
    #[arg(long, value_name = "dir:PATH")]
    bus: BusAddress,
    /// Records on the source topics
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: u64,
    /// Accounts that take part
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    accounts: u64,
    /// Listed assets
    #[arg(long, value_name = "N", default_value_t = 4)]
    assets: u32,
    /// Partitions of each source topic
    #[arg(long, value_name = "N", default_value_t = 2)]
    partitions: u32,
    /// Epochs, and so stages
    #[arg(long, value_name = "N", default_value_t = 5)]
    epochs: u32,
    /// Length of an epoch
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    epoch_seconds: u64,
    /// Seed of the random draws
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Share of records that repeat an earlier one, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    duplicates: f64,
    /// Share of records dated into an epoch that is already closed, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    late: f64,
    /// Share of records made to be rejected, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    bad: f64,
    /// Append only what reaches the bus during epoch K
    #[arg(long, value_name = "K", conflicts_with = "stages")]
    stage: Option<u32>,
    /// Append only what reaches the bus during epochs A to B, B not included
    #[arg(long, value_name = "A..B", value_parser = stages)]
    stages: Option<Range<u32>>,
    /// Use the trades of a public CSV of trades or aggregate trades, plain or .gz, between drawn accounts
    #[arg(long, value_name = "FILE", requires = "pair", conflicts_with_all = SYNTHETIC)]
    trades: Option<PathBuf>,
    /// The two assets of the trades
    #[arg(long, value_name = "BASE/QUOTE", value_parser = pair, requires = "trades")]
    pair: Option<(Asset, Asset)>,
    /// Decimals of the base asset
    #[arg(long, value_name = "N", default_value_t = 8, requires = "trades")]
    base_decimals: u8,
    /// Decimals of the quote asset
    #[arg(long, value_name = "N", default_value_t = 8, requires = "trades")]
    quote_decimals: u8,
}

fn pair(text: &str) -> Result<(Asset, Asset), String> {
    let (base, quote) = text.split_once('/').ok_or("must be two assets, such as XRP/ETH")?;
    let asset = |name: &str| name.parse::<Asset>().map_err(|error| format!("\"{name}\" {error}"));
    Ok((asset(base)?, asset(quote)?))
}

fn stages(text: &str) -> Result<Range<u32>, String> {
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| "must be two epochs, such as 1..4, the second after the first".into())
}

impl Gen {
    pub(super) fn run(&self) -> Outcome {
        let root = bus::directory(&self.bus)?;
        match (&self.trades, &self.pair) {
            (Some(file), Some((base, quote))) => self.tape(root, file, *base, *quote),
            _ => self.synthetic(root),
        }
    }

    fn synthetic(&self, root: &Path) -> Outcome {
        let spec = Synthetic {
            events: self.events,
            accounts: self.accounts,
            assets: self.assets,
            partitions: self.partitions,
            epochs: self.epochs,
            epoch_seconds: self.epoch_seconds,
            seed: self.seed,
            duplicates: self.duplicates,
            late: self.late,
            bad: self.bad,
        };
        let stages = match (self.stage, &self.stages) {
            (Some(stage), _) => stage..stage.saturating_add(1),
            (None, Some(stages)) => stages.clone(),
            (None, None) => 0..self.epochs,
        };
        if stages.start > 0 && !has_stage_0(root) {
            return Err(Failure::Usage(format!(
                "stage {} continues a bus that stage 0 created, but there is none at {}; start with --stage 0",
                stages.start,
                root.display()
            )));
        }
        let share = u64::from(stages.end.saturating_sub(stages.start));
        let expected = u128::from(spec.events) * u128::from(share) / u128::from(spec.epochs.max(1));
        let bar = progress::bar("records", u64::try_from(expected).unwrap_or(u64::MAX));
        let written = generate::write(root, &spec, stages, &mut |records| bar.set_position(records));
        bar.finish_and_clear();
        let Summary {
            events,
            duplicates,
            conflicting,
            late,
            bad,
            control,
            bytes,
            ..
        } = written?;
        message!(
            "Wrote {} to {}: {} (second copies: {}, of which {} differ; late: {}; made to be rejected: {}) and {}.",
            counted(bytes, "byte", "bytes"),
            self.bus,
            counted(events, "source record", "source records"),
            count(duplicates),
            count(conflicting),
            count(late),
            count(bad),
            counted(control, "control record", "control records"),
        );
        Ok(())
    }

    fn tape(&self, root: &Path, file: &Path, base: Asset, quote: Asset) -> Outcome {
        let tape = Tape {
            base: base.to_string(),
            quote: quote.to_string(),
            base_decimals: self.base_decimals,
            quote_decimals: self.quote_decimals,
            accounts: self.accounts,
            partitions: self.partitions,
            seed: self.seed,
        };
        let csv = generate::open(file).map_err(|error| Failure::Usage(error.to_string()))?;
        let summary =
            generate::write_tape(root, csv, &tape, &mut |_| {}).map_err(|error| match Failure::from(error) {
                Failure::Failed(message) => Failure::Failed(format!("{}: {message}", file.display())),
                other => other,
            })?;
        message!("Wrote {} to {}.", described(&summary), self.bus);
        Ok(())
    }
}

/// The contents of a tape's bus, in words.
pub(super) fn described(summary: &TapeSummary) -> String {
    format!(
        "{}, {} (opening balances, deposits, withdrawals, transfers), {}, {} and {} made to be rejected; {}",
        counted(summary.trades, "trade", "trades"),
        counted(summary.transfers, "movement of money", "movements of money"),
        counted(summary.statuses, "change of status", "changes of status"),
        counted(summary.duplicates, "second copy", "second copies"),
        counted(summary.bad, "record", "records"),
        counted(summary.control, "control record", "control records"),
    )
}

/// Whether stage 0 was written: it begins with the listings on the control topic.
fn has_stage_0(root: &Path) -> bool {
    let control = root.join(Topic::Control.name()).join("0.jsonl");
    fs::metadata(control).is_ok_and(|file| file.len() > 0)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn gen_(line: &str) -> Gen {
        let command = Gen::augment_args(Command::new("gen").no_binary_name(true));
        Gen::from_arg_matches(&command.try_get_matches_from(line.split(' ')).unwrap()).unwrap()
    }

    #[test]
    fn defaults_are_those_of_the_library() {
        let Gen {
            events,
            accounts,
            assets,
            partitions,
            epochs,
            epoch_seconds,
            seed,
            duplicates,
            late,
            bad,
            ..
        } = gen_("--bus dir:a");
        let given = Synthetic {
            events,
            accounts,
            assets,
            partitions,
            epochs,
            epoch_seconds,
            seed,
            duplicates,
            late,
            bad,
        };
        assert_eq!(format!("{given:?}"), format!("{:?}", Synthetic::default()));
    }

    #[test]
    fn stages_and_pairs() {
        assert_eq!(stages("1..4"), Ok(1..4));
        for wrong in ["", "1", "4..1", "1..1", "a..b", "1..=2", "-1..2"] {
            stages(wrong).unwrap_err();
        }
        assert_eq!(
            pair("XRP/ETH").map(|(base, quote)| (base.to_string(), quote.to_string())),
            Ok(("XRP".into(), "ETH".into()))
        );
        for wrong in ["XRPETH", "X P/ETH", "XRP:/ETH", "/ETH", "XRP/"] {
            pair(wrong).unwrap_err();
        }
    }

    #[test]
    fn a_bus_is_created_once_and_continued() {
        let folder = tempfile::tempdir().unwrap();
        let line = |rest: &str| gen_(&format!("--bus dir:{}/b --events 100 {rest}", folder.path().display()));
        assert!(matches!(line("--stage 1").run(), Err(Failure::Usage(_))));
        line("--stage 0").run().unwrap();
        line("--stages 1..3").run().unwrap();
        assert!(matches!(line("--seed 1").run(), Err(Failure::Usage(_))));
        assert!(matches!(line("--epochs 0 --stage 0").run(), Err(Failure::Usage(_))));
    }
}
