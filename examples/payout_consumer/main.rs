//! A reference consumer of Softstake's distributions. It pays each distribution exactly once, and only after it checked the
//! seal of the epoch. Payout services may copy it: it uses no code of Softstake. `README.md` has its guarantees and the
//! reasons.

use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tracing::field::Field;
use tracing::{error, info, warn};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
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

/// How long to wait for a record before the next round of the loop.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often to log that a seal cannot be judged yet.
const REMINDER: Duration = Duration::from_secs(60);

/// The longest wait between two attempts to reach the database.
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

    /// A property of librdkafka, such as security.protocol=SASL_SSL; in the variable one per line
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

    /// Exit once every record is read and every payable distribution is paid
    #[arg(long, env = "PAYOUT_UNTIL_IDLE")]
    until_idle: bool,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    // They load native code or run a shell command, and nothing here needs them.
    let dangerous = ["plugin.", "ssl.engine.", "ssl.providers", "sasl.kerberos."];
    if dangerous.iter().any(|start| key.starts_with(start)) {
        return Err(format!("{key} cannot be set: the client would load or run other code"));
    }
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
    // PostgreSQL logs for each existing table that it exists.
    let filter = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("sqlx", LevelFilter::WARN)
        .with_target("sqlx::query", LevelFilter::OFF);
    let stderr = std::io::stderr;
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = lines.with_ansi(stderr().is_terminal()).with_target(false);
    let lines = lines.fmt_fields(debug_fn(write_field).delimited(" "));
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// Writes a field of a line. Names and reasons come from records, so what a terminal might execute or hide is escaped.
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(out, "{field}=")?;
    }
    for character in format!("{value:?}").chars() {
        match character {
            '"' | '\'' | '\\' => out.write_char(character)?,
            _ => write!(out, "{}", character.escape_debug())?,
        }
    }
    Ok(())
}

/// Works until the end. The first start, a start after a crash and a start after an outage of the database are the same: each
/// begins with the state in the database. So an end needs no work either, and any signal may cause it.
fn run(flags: &Flags) -> Result<(), Failure> {
    // One task on one thread: while it waits for a record, no other task is blocked.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Stop(format!("no runtime: {error}")))?;
    let mut pause = Duration::from_secs(1);
    let mut connected_before = false;
    loop {
        let ended = runtime.block_on(async {
            let database = Database::open(&flags.database, flags.batch.into()).await?;
            (connected_before, pause) = (true, Duration::from_secs(1));
            work(flags, database).await
        });
        let again = match &ended {
            Err(Failure::Outage(_)) => true,
            // The server may still hold the lock of this process's lost connection.
            Err(Failure::Taken) => connected_before,
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

/// Pays, judges and reads in turn.
async fn work(flags: &Flags, mut database: Database) -> Result<(), Failure> {
    let mut reader = Reader::start(&flags.brokers, &flags.properties, database.offsets().clone())?;
    let mut target: Option<ReadTarget> = None;
    database.remind().await?;
    loop {
        for seal in database.paying().await? {
            database.pay(&seal).await?;
        }
        let mut all_judged = false;
        match target.take() {
            Some(reached) if reader.behind(&reached.ends).is_none() => {
                for seal in &reached.seals {
                    database.judge(seal).await?;
                }
                continue;
            }
            Some(mut ahead) => {
                ahead.remind(&reader);
                target = Some(ahead);
            }
            None => {
                let seals = database.waiting().await?;
                all_judged = seals.is_empty();
                if !all_judged {
                    target = reader.ends()?.map(|ends| ReadTarget::new(ends, seals));
                }
            }
        }
        let records = reader.poll(flags.batch.into(), PATIENCE)?;
        let idle = records.is_empty() && all_judged;
        database.take(records, reader.positions()).await?;
        if flags.until_idle && idle && reader.ends()?.is_some_and(|ends| reader.behind(&ends).is_none()) {
            info!("every record is read, and every payable distribution is paid");
            return database.remind().await;
        }
    }
}

/// The offsets to read up to before some seals are judged.
///
/// Softstake publishes a seal after its last distribution. After a seal is read, the ends of both topics are looked up.
/// Everything before these ends includes all distributions of the seal, so none can be missing by chance. The ends include
/// open transactions: a committed transaction may not be complete on every partition yet, and the broker withholds the
/// records after an open one.
struct ReadTarget {
    ends: Offsets,
    seals: Vec<Seal>,
    reminded: Instant,
}

impl ReadTarget {
    fn new(ends: Offsets, seals: Vec<Seal>) -> ReadTarget {
        ReadTarget {
            ends,
            seals,
            reminded: Instant::now(),
        }
    }

    /// Logs now and then which partition the seals wait for: only its producer or a timeout can end an open transaction.
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
