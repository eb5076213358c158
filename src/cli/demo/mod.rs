//! `softstake demo`: two days of a public market, from trades to sealed payouts.

mod afterwards;
mod audit;
mod results;
mod show;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use flate2::read::MultiGzDecoder;
use indicatif::MultiProgress;

use crate::cli::demo::afterwards::Afterwards;
use crate::cli::deployment::{alarmed, deployment};
use crate::cli::generate::described;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::scratch::Scratch;
use crate::cli::{bus, logging, progress, signals};
use crate::config::{BusAddress, Config, LogConfig, LogFormat};
use crate::deployment::{RunEnd, run};
use crate::generate::{Tape, write_tape};
use crate::task::stats::Stats;

/// 12,477 trades of XRP against ETH; `demo/README.md` names their source.
const TAPE: &[u8] = include_bytes!("../../../demo/xrpeth-aggtrades-2019-10-11_13.csv.gz");

/// Settle two days of real trades, and show the results
#[derive(Debug, Args)]
#[command(after_help = "\
The demo uses the trades of the XRP/ETH market on two days in October 2019, between invented accounts. Both assets are \
listed, an epoch is a day, and each midnight has a close. Then late deposits arrive, a sub-account trades with a rebate, and \
two more days are closed. The gate holds the last one, and it is released. The demo reads and writes only its own folder.

Example:
  softstake demo --dir demo-run")]
pub(super) struct Demo {
    /// A new or empty folder for the demo [default: a new temporary folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Accounts that take part
    #[arg(long, value_name = "N", default_value_t = 500)]
    accounts: u64,
    /// Seed of the random draws
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

impl Demo {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let folder = DemoFolder::new(self.dir.as_deref())?;
        let (root, state) = (folder.path().join("bus"), folder.path().join("state"));
        let bars = logging::start(&LogConfig {
            format: LogFormat::Human,
            level: "warn".into(),
        })?;
        let stop = signals::stop_on_signals(1)?;

        let tape = Tape {
            base: "XRP".into(),
            quote: "ETH".into(),
            base_decimals: 6,
            quote_decimals: 18,
            accounts: self.accounts,
            partitions: 4,
            seed: self.seed,
        };
        let summary = write_tape(&root, MultiGzDecoder::new(TAPE), &tape, &mut |_| {})?;
        write_line!(out, "The market: {}.", described(&summary))?;
        write_line!(out, "The bus: {}", root.display())?;
        write_line!(out)?;
        out.flush()?;

        let stats = Arc::new(Stats::default());
        settle(&root, &state, &stop, &stats, &bars)?;
        let afterwards = Afterwards::new(&root, &summary);
        for publish in [Afterwards::late_events, Afterwards::closes, Afterwards::release] {
            publish(&afterwards)?;
            settle(&root, &state, &stop, &stats, &bars)?;
        }

        let results = results::read(&root)?;
        show::seals(&results, out)?;
        show::payouts(&results, out)?;
        show::rejected(&results, &stats.counts(), out)?;
        show::late(&results, out)?;
        show::made_good(&results, out)?;
        show::held(&results, out)?;
        let audited = audit::show(&results.seals, &results.distributions, out)?;
        show::next(&results, &folder.keep(), out)?;
        if audited {
            Ok(())
        } else {
            Err(Failure::Failed("the figures do not add up".into()))
        }
    }
}

/// The folder of a demo. A temporary one is left to the user when the demo is complete.
enum DemoFolder {
    Named(PathBuf),
    Temporary(Scratch),
}

impl DemoFolder {
    /// Creates a folder, or takes the one that is named if it is empty.
    fn new(wanted: Option<&Path>) -> Result<Self, Failure> {
        let Some(wanted) = wanted else {
            return Scratch::new("demo").map(Self::Temporary);
        };
        let failed =
            |error: io::Error| Failure::Usage(format!("cannot create a folder at {}: {error}", wanted.display()));
        fs::create_dir_all(wanted).map_err(failed)?;
        if fs::read_dir(wanted).map_err(failed)?.next().is_some() {
            return Err(Failure::Usage(format!(
                "{} is not empty: name a new folder with --dir",
                wanted.display()
            )));
        }
        Ok(Self::Named(wanted.to_path_buf()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(path) => path,
            Self::Temporary(scratch) => scratch.path(),
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Self::Named(path) => path,
            Self::Temporary(scratch) => scratch.keep(),
        }
    }
}

/// Runs the deployment until nothing is left to do.
fn settle(root: &Path, state: &Path, stop: &Arc<AtomicBool>, stats: &Arc<Stats>, bars: &MultiProgress) -> Outcome {
    let config = Config {
        partitions: Some(4),
        cache_mb: 64,
        ..Config::default()
    };
    let Some(opened) = bus::open(&BusAddress::Dir(root.to_path_buf()), &config, stop)? else {
        return Err(Failure::Failed("stopped".into()));
    };
    let deployment = deployment(&config, opened.bus(), state, false)?;
    let end = progress::watched(stats, bars, LogFormat::Human, || run(&deployment, true, stop, stats))?;
    drop(deployment);
    opened.close()?;
    match end {
        RunEnd::Idle => Ok(()),
        RunEnd::Stopped => Err(Failure::Failed("stopped".into())),
        RunEnd::Alarmed(alarms) => Err(alarmed(&alarms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_new_or_empty() {
        let temporary = tempfile::tempdir().unwrap();
        let inner = temporary.path().join("a/b");
        assert_eq!(DemoFolder::new(Some(&inner)).unwrap().keep(), inner);
        assert_eq!(DemoFolder::new(Some(&inner)).unwrap().path(), inner);
        assert!(matches!(
            DemoFolder::new(Some(temporary.path())),
            Err(Failure::Usage(_))
        ));
        fs::write(temporary.path().join("file"), "").unwrap();
        assert!(matches!(
            DemoFolder::new(Some(&temporary.path().join("file"))),
            Err(Failure::Usage(_))
        ));
    }
}
