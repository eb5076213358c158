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

use client::Access;
use database::Database;
use failure::Failure;
use flags::Flags;
use publisher::Publisher;
use reader::{Offsets, Reader};
use record::Seal;

mod amount;
mod client;
mod database;
mod failure;
mod flags;
mod merkle;
mod publisher;
mod reader;
mod record;

/// How long to wait for a record before the next round of the loop.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often to log that a seal cannot be judged yet.
const REMINDER: Duration = Duration::from_secs(60);

/// The longest wait between two attempts to reach the database.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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
    let (url, properties) = (flags.database()?, flags.properties()?);
    loop {
        let ended = runtime.block_on(async {
            let database = Database::open(&url, flags.batch.into()).await?;
            (connected_before, pause) = (true, Duration::from_secs(1));
            work(flags, &properties, database).await
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

/// Pays, publishes, judges and reads in turn.
async fn work(flags: &Flags, properties: &[(String, String)], mut database: Database) -> Result<(), Failure> {
    let access = Access {
        brokers: &flags.brokers,
        properties,
        name: &flags.name,
    };
    let mut reader = Reader::start(&access, database.offsets().clone())?;
    let mut publisher = Publisher::new(access, &flags.executions, flags.batch.into());
    let mut target: Option<ReadTarget> = None;
    database.remind().await?;
    loop {
        for seal in database.paying().await? {
            database.pay(&seal).await?;
        }
        let all_published = publisher.publish(&mut database).await?;
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
        let idle = records.is_empty() && all_judged && all_published;
        database.take(records, reader.positions()).await?;
        if flags.until_idle && idle && reader.ends()?.is_some_and(|ends| reader.behind(&ends).is_none()) {
            info!("every record is read, every payable distribution is paid, and every execution is published");
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
