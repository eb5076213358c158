//! A reference consumer of Softstake's distributions: it pays each one exactly once, and none before its epoch's seal
//! has been checked. It stands alone, for payout services to copy from; `README.md` says what it guarantees and why.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tracing::{error, info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use database::Database;
use failure::Failure;
use reader::{Offsets, Reader};
use record::Seal;

mod amount;
mod database;
mod failure;
mod merkle;
mod reader;
mod record;

/// How long to wait for a record before looking at what else there is to do.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often to say that something cannot be judged yet.
const REMINDER: Duration = Duration::from_secs(60);

/// The longest wait between two tries to get at the database.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pays Softstake's distributions into a database, each exactly once.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Kafka's bootstrap servers
    #[arg(long, env = "PAYOUT_BROKERS", value_name = "HOST:PORT,...")]
    brokers: String,

    /// The database: sqlite:PATH or postgres://USER@HOST/NAME
    #[arg(long, env = "PAYOUT_DATABASE", hide_env_values = true, value_name = "URL")]
    database: String,

    /// A property of librdkafka, such as security.protocol=SASL_SSL; in the variable one a line
    #[arg(
        short = 'X',
        env = "PAYOUT_PROPERTIES",
        hide_env_values = true,
        value_name = "KEY=VALUE"
    )]
    #[arg(value_parser = property, value_delimiter = '\n')]
    properties: Vec<(String, String)>,

    /// How many records to keep, and how many distributions to credit, in one transaction
    #[arg(long, env = "PAYOUT_BATCH", default_value_t = 1000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=5000))]
    batch: u16,

    /// End once everything published is read and all that can be paid is paid
    #[arg(long, env = "PAYOUT_UNTIL_IDLE")]
    until_idle: bool,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    log();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Logs for people, on stderr.
fn log() {
    // PostgreSQL says of each table that it is there already.
    let filter = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("sqlx", LevelFilter::WARN)
        .with_target("sqlx::query", LevelFilter::OFF);
    let stderr = std::io::stderr;
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = lines.with_ansi(stderr().is_terminal()).with_target(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// Works until it may end. There is one way to begin, be it the first time, after a crash, or after the database was
/// away: from what the database holds. So there is nothing to be done at an end either, and any signal may bring it.
fn run(flags: &Flags) -> Result<(), Failure> {
    // One task on one thread: while it waits for a record nobody else is held up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Stop(format!("no runtime: {error}")))?;
    let mut pause = Duration::from_secs(1);
    let mut been_there = false;
    loop {
        let ended = runtime.block_on(async {
            let database = Database::open(&flags.database, flags.batch.into()).await?;
            (been_there, pause) = (true, Duration::from_secs(1));
            work(flags, database).await
        });
        let again = match &ended {
            Err(Failure::Outage(_)) => true,
            // The server may not have noticed yet that our own last connection is gone, and its lock with it.
            Err(Failure::Taken) => been_there,
            _ => false,
        };
        match ended {
            Err(failure) if again => {
                warn!("{failure}; trying again in {} s", pause.as_secs());
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            ended => return ended,
        }
    }
}

/// Reads and pays.
async fn work(flags: &Flags, mut database: Database) -> Result<(), Failure> {
    let mut reader = Reader::start(&flags.brokers, &flags.properties, database.offsets().clone())?;
    let mut horizon: Option<Horizon> = None;
    database.remind().await?;
    loop {
        for seal in database.paying().await? {
            database.pay(&seal).await?;
        }
        let mut all_judged = false;
        match horizon.take() {
            Some(reached) if reader.behind(&reached.ends).is_none() => {
                for seal in &reached.seals {
                    database.judge(seal).await?;
                }
                continue;
            }
            Some(mut ahead) => {
                ahead.remind(&reader);
                horizon = Some(ahead);
            }
            None => {
                let seals = database.waiting().await?;
                all_judged = seals.is_empty();
                if !all_judged {
                    horizon = reader.ends()?.map(|ends| Horizon::new(ends, seals));
                }
            }
        }
        let records = reader.poll(flags.batch.into(), PATIENCE)?;
        let idle = records.is_empty() && all_judged;
        database.take(records, reader.positions()).await?;
        if flags.until_idle && idle && reader.ends()?.is_some_and(|ends| reader.behind(&ends).is_none()) {
            info!("everything is read, and all that can be paid is paid");
            return database.remind().await;
        }
    }
}

/// Up to where to read before some seals are judged.
///
/// Softstake publishes a seal after the last of its distributions. So who has read a seal, then asks where the topics
/// end, and has read up to there, has read all its distributions: what is missing is missing, and what is too many is
/// too many. The ends include transactions that are still open: one that has been committed may not be so on every
/// partition yet, and the broker holds back whatever lies behind an open one.
struct Horizon {
    ends: Offsets,
    seals: Vec<Seal>,
    reminded: Instant,
}

impl Horizon {
    fn new(ends: Offsets, seals: Vec<Seal>) -> Horizon {
        Horizon {
            ends,
            seals,
            reminded: Instant::now(),
        }
    }

    /// Says now and then what takes so long: nobody can end a transaction but whoever left it open.
    fn remind(&mut self, reader: &Reader) {
        if self.reminded.elapsed() < REMINDER {
            return;
        }
        self.reminded = Instant::now();
        if let Some((topic, partition)) = reader.behind(&self.ends) {
            let seals = self.seals.len();
            warn!("{seals} seals wait for the end of {topic}, partition {partition}; is a transaction open there?");
        }
    }
}
