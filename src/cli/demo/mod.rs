//! `softstake demo`: two days of a public market, from raw trades to sealed payouts, and what to look at afterwards.

mod audit;
mod late;
mod show;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use flate2::read::MultiGzDecoder;
use indicatif::MultiProgress;

use crate::bus::Topic;
use crate::cli::failure::Failure;
use crate::cli::records::{DeadLetter, Distribution, LatePosting, Seal};
use crate::cli::{Outcome, bus, progress, records, signals};
use crate::config::{BusAddress, Config, LogConfig, LogFormat};
use crate::deployment::{RunEnd, run};
use crate::generate;
use crate::generate::Tape;
use crate::task::stats::Stats;

/// 12,477 trades of XRP against ETH; `demo/README.md` tells where they are from.
const TAPE: &[u8] = include_bytes!("../../../demo/xrpeth-aggtrades-2019-10-11_13.csv.gz");

/// Run two days of real trades through everything, and show what comes of it
#[derive(Debug, Args)]
#[command(after_help = "\
It replays the XRP/ETH market of two days in October 2019 between made-up accounts, with both assets listed, epochs of a day and a close at
each midnight; then a deposit comes late. Nothing outside its own folder is read or written.

Example:
  softstake demo --dir demo-run")]
pub(super) struct Demo {
    /// A new or empty folder for the demo [default: a new one among the temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Accounts that take part
    #[arg(long, value_name = "N", default_value_t = 500)]
    accounts: u64,
    /// Seed of all that is drawn
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

/// What the demo has left on the bus.
struct Results {
    seals: Vec<Seal>,
    distributions: Vec<Distribution>,
    dead_letters: Vec<DeadLetter>,
    late: Vec<LatePosting>,
}

impl Demo {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let folder = folder(self.dir.as_deref())?;
        let (root, state) = (folder.join("bus"), folder.join("state"));
        let bars = MultiProgress::new();
        let log = LogConfig {
            format: LogFormat::Human,
            level: "warn".into(),
        };
        crate::cli::logging::start(&log, &bars).map_err(Failure::Failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        signals::stop_on_signals(Arc::clone(&stop))
            .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;

        let tape = Tape {
            base: "XRP".into(),
            quote: "ETH".into(),
            base_decimals: 6,
            quote_decimals: 18,
            accounts: self.accounts,
            partitions: 4,
            seed: self.seed,
        };
        let summary = generate::write_tape(&root, MultiGzDecoder::new(TAPE), &tape, &mut |_| {})?;
        writeln!(out, "The market: {}.", crate::cli::generate::described(&summary))?;
        writeln!(out, "The bus: {}\n", root.display())?;
        out.flush()?;

        let stats = Arc::new(Stats::default());
        settle(&root, &state, &stop, &stats, &bars)?;
        late::arrive(&root, &summary)?;
        settle(&root, &state, &stop, &stats, &bars)?;

        let results = results(&root)?;
        show::seals(&results, out)?;
        show::payouts(&results, out)?;
        show::refused(&results, &stats.counts(), out)?;
        show::late(&results, out)?;
        let audited = audit::show(&results.seals, &results.distributions, out)?;
        show::next(&results, &folder, out)?;
        if audited {
            Ok(())
        } else {
            Err(Failure::Failed("the figures do not add up".into()))
        }
    }
}

/// The folder for the demo, which is new or empty.
fn folder(wanted: Option<&Path>) -> Result<PathBuf, Failure> {
    let failed =
        |path: &Path, error: std::io::Error| Failure::Usage(format!("cannot create {}: {error}", path.display()));
    if let Some(wanted) = wanted {
        fs::create_dir_all(wanted).map_err(|error| failed(wanted, error))?;
        let mut entries = fs::read_dir(wanted).map_err(|error| failed(wanted, error))?;
        if entries.next().is_some() {
            return Err(Failure::Usage(format!(
                "{} is not empty: name a new folder with --dir",
                wanted.display()
            )));
        }
        return Ok(wanted.to_path_buf());
    }
    let base = std::env::temp_dir();
    let process = std::process::id();
    for attempt in 0..1_000 {
        let path = base.join(format!("softstake-demo-{process}-{attempt}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    Err(Failure::Usage(format!(
        "there is no free name for a folder in {}: name one with --dir",
        base.display()
    )))
}

/// Runs until nothing is left to do.
fn settle(root: &Path, state: &Path, stop: &Arc<AtomicBool>, stats: &Arc<Stats>, bars: &MultiProgress) -> Outcome {
    let config = Config {
        partitions: Some(4),
        cache_mb: 64,
        ..Config::default()
    };
    let Some(opened) = bus::open(&BusAddress::Dir(root.to_path_buf()), &config, stop)? else {
        return Err(Failure::Failed("stopped".into()));
    };
    let deployment = crate::cli::run::deployment(&config, opened.bus(), state, false)?;
    let end = progress::watched(stats, bars, LogFormat::Human, || run(&deployment, true, stop, stats))?;
    drop(deployment);
    opened.close()?;
    match end {
        RunEnd::Idle => Ok(()),
        RunEnd::Stopped => Err(Failure::Failed("stopped".into())),
        RunEnd::Alarmed(alarms) => Err(crate::cli::run::alarmed(&alarms)),
    }
}

fn results(root: &Path) -> Result<Results, Failure> {
    let bus = bus::open_for_reading(&BusAddress::Dir(root.to_path_buf()))?;
    let mut seals: Vec<Seal> = records::all(&bus, Topic::Epochs, None, |_| true)?;
    seals.sort_by(|a, b| (&a.asset, a.epoch).cmp(&(&b.asset, b.epoch)));
    Ok(Results {
        seals,
        distributions: records::all(&bus, Topic::Distributions, None, |_| true)?,
        dead_letters: records::all(&bus, Topic::DeadLetters, None, |_| true)?,
        late: records::all(&bus, Topic::LatePostings, None, |_| true)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_new_or_empty() {
        let temporary = tempfile::tempdir().unwrap();
        let inner = temporary.path().join("a/b");
        assert_eq!(folder(Some(&inner)).unwrap(), inner);
        assert_eq!(folder(Some(&inner)).unwrap(), inner);
        assert!(matches!(folder(Some(temporary.path())), Err(Failure::Usage(_))));
        fs::write(temporary.path().join("file"), "").unwrap();
        assert!(matches!(
            folder(Some(&temporary.path().join("file"))),
            Err(Failure::Usage(_))
        ));
    }
}
