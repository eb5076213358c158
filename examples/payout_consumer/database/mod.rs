//! The database: what has been read, what is owed, and what has been credited.
//!
//! Everything goes through one connection, which holds the lock that makes this instance the only one. A transaction
//! that commits was therefore the only one's; when the connection breaks, the lock goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::time::{Duration, Instant};

use sqlx::any::{AnyArguments, AnyQueryResult, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection, Row, Transaction};
use tracing::{error, info};

use crate::amount::Amount;
use crate::failure::Failure;
use crate::merkle::{EpochTree, bucket};
use crate::reader::Offsets;
use crate::record::{Distribution, Place, Record, Seal};

#[cfg(test)]
mod tests;

/// All tables. What stands in braces differs between the two databases: see [`Dialect`].
const SCHEMA: &str = r#"
-- Up to where each partition has been read. It moves in the transaction that keeps what was read.
CREATE TABLE IF NOT EXISTS offsets (
    topic TEXT NOT NULL, partition_number BIGINT NOT NULL, next_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition_number)
);
-- What was read. `bucket` and `account` give the order of the Merkle leaves.
CREATE TABLE IF NOT EXISTS distributions (
    id TEXT {bytewise} PRIMARY KEY, asset TEXT NOT NULL, epoch BIGINT NOT NULL, bucket BIGINT NOT NULL,
    account TEXT {bytewise} NOT NULL, amount {decimal} NOT NULL
);
CREATE INDEX IF NOT EXISTS distributions_as_leaves ON distributions (asset, epoch, bucket, account);
-- waiting: not judged yet. paying: all is there and right, credits are under way. paid: all are credited.
-- held: something is wrong, the reason says what, nothing is credited.
CREATE TABLE IF NOT EXISTS seals (
    asset TEXT NOT NULL, epoch BIGINT NOT NULL, distributions BIGINT NOT NULL, distributed {decimal} NOT NULL,
    root TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('waiting', 'paying', 'paid', 'held')),
    reason TEXT NOT NULL DEFAULT '', PRIMARY KEY (asset, epoch)
);
-- Records that contradict others. An epoch that has one when it is judged is held.
CREATE TABLE IF NOT EXISTS conflicts (
    topic TEXT NOT NULL, partition_number BIGINT NOT NULL, record_offset BIGINT NOT NULL,
    asset TEXT NOT NULL, epoch BIGINT NOT NULL, what TEXT NOT NULL,
    PRIMARY KEY (topic, partition_number, record_offset)
);
-- One row for each distribution paid: the key is what makes crediting idempotent.
CREATE TABLE IF NOT EXISTS credits (
    distribution TEXT {bytewise} PRIMARY KEY REFERENCES distributions (id), asset TEXT NOT NULL,
    account TEXT {bytewise} NOT NULL, amount {decimal} NOT NULL,
    credited_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);
-- The sum of an account's credits. It changes in the transaction that adds the credit.
CREATE TABLE IF NOT EXISTS balances (
    asset TEXT NOT NULL, account TEXT {bytewise} NOT NULL, balance {decimal} NOT NULL,
    PRIMARY KEY (asset, account)
);
"#;

/// The key of PostgreSQL's advisory lock. It is free when no other program uses the same number in this database.
const LOCK: i64 = 0x736f_6674_7061_796f;

/// How long an instance that was killed may keep its lock: PostgreSQL has to notice first that it is gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// What differs between the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Has exact decimals.
    Postgres,
    /// Has none: amounts are text, and are added here.
    Sqlite,
}

impl Dialect {
    fn of(url: &str) -> Result<Dialect, Failure> {
        match url.split_once(':') {
            Some(("sqlite", _)) => Ok(Dialect::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(Dialect::Postgres),
            _ => Err(Failure::Stop(
                "the database must be sqlite:PATH or postgres://...".to_owned(),
            )),
        }
    }

    /// `sql` for this database.
    fn sql(self, sql: &str) -> String {
        let (bytewise, decimal, sum) = match self {
            Dialect::Postgres => ("COLLATE \"C\"", "NUMERIC", "balances.balance + excluded.balance"),
            Dialect::Sqlite => ("COLLATE BINARY", "TEXT", "excluded.balance"),
        };
        sql.replace("{bytewise}", bytewise)
            .replace("{decimal}", decimal)
            .replace("{sum}", sum)
    }
}

/// Which seal: an asset and an epoch.
type SealKey = (String, i64);

/// The database, locked by this instance.
pub struct Database {
    connection: AnyConnection,
    dialect: Dialect,
    /// What `offsets` holds.
    offsets: Offsets,
    /// How many rows a statement touches at most.
    batch: usize,
    /// SQLite's lock, for as long as this is open.
    _lock: Option<File>,
}

impl Database {
    /// Connects, locks the database, and makes the tables that are missing. Statements touch `batch` rows at most.
    ///
    /// # Errors
    /// If another instance runs on this database, or there is something wrong with it.
    pub async fn open(url: &str, batch: usize) -> Result<Database, Failure> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url)?;
        let (mut connection, lock) = match dialect {
            Dialect::Postgres => (AnyConnection::connect(url).await?, None),
            Dialect::Sqlite => {
                let lock = lock_file(url)?;
                let mode = if url.contains('?') { "&mode=rwc" } else { "?mode=rwc" };
                (AnyConnection::connect(&format!("{url}{mode}")).await?, Some(lock))
            }
        };
        match dialect {
            Dialect::Postgres => lock_postgres(&mut connection).await?,
            // Others can read meanwhile, and what is committed outlives a power cut.
            Dialect::Sqlite => {
                let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
                sqlx::raw_sql(pragmas).execute(&mut connection).await?;
            }
        }
        sqlx::raw_sql(AssertSqlSafe(dialect.sql(SCHEMA)))
            .execute(&mut connection)
            .await?;
        let rows = sqlx::query("SELECT topic, partition_number, next_offset FROM offsets");
        let mut offsets = Offsets::new();
        for row in rows.fetch_all(&mut connection).await? {
            let partition: i64 = row.try_get(1)?;
            let partition = i32::try_from(partition).map_err(|_| wrong("offsets has a partition beyond all"))?;
            offsets.insert((row.try_get(0)?, partition), row.try_get(2)?);
        }
        Ok(Database {
            connection,
            dialect,
            offsets,
            batch,
            _lock: lock,
        })
    }

    /// Up to where each partition has been read, as committed.
    pub const fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Keeps what was read, and that everything before `positions` now is, in one transaction.
    ///
    /// # Errors
    /// If the database fails. Nothing is kept then.
    pub async fn take(&mut self, records: Vec<(Place, Record)>, positions: &Offsets) -> Result<(), Failure> {
        if *positions == self.offsets {
            return Ok(());
        }
        let (mut distributions, mut seals) = (Vec::new(), Vec::new());
        for (place, record) in records {
            match record {
                Record::Distribution(distribution) => distributions.push((place, distribution)),
                Record::Seal(seal) => seals.push((place, seal)),
            }
        }
        let dialect = self.dialect;
        let mut transaction = self.connection.begin().await?;
        move_offsets(&mut transaction, &self.offsets, positions).await?;
        let mut conflicts = Vec::new();
        for chunk in distributions.chunks(self.batch) {
            conflicts.extend(add_distributions(&mut transaction, dialect, chunk).await?);
        }
        for (place, seal) in &seals {
            conflicts.extend(add_seal(&mut transaction, dialect, place, seal).await?);
        }
        for (place, (asset, epoch), what) in &conflicts {
            let sql = "INSERT INTO conflicts VALUES ($1, $2, $3, $4, $5, $6)";
            let insert = sqlx::query(sql)
                .bind(&place.topic)
                .bind(i64::from(place.partition))
                .bind(place.offset);
            insert
                .bind(asset)
                .bind(epoch)
                .bind(what)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        self.offsets.clone_from(positions);
        for (place, (asset, epoch), what) in conflicts {
            let Place {
                topic,
                partition,
                offset,
            } = place;
            error!("{asset} epoch {epoch}: {what} ({topic}, partition {partition}, offset {offset})");
        }
        Ok(())
    }

    /// The seals that have not been judged.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn waiting(&mut self) -> Result<Vec<Seal>, Failure> {
        self.seals("waiting").await
    }

    /// The seals whose distributions are right and not yet all credited.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn paying(&mut self) -> Result<Vec<Seal>, Failure> {
        self.seals("paying").await
    }

    async fn seals(&mut self, status: &str) -> Result<Vec<Seal>, Failure> {
        let sql = "SELECT asset, epoch, distributions, CAST(distributed AS TEXT), root FROM seals
                   WHERE status = $1 ORDER BY epoch, asset";
        let rows = sqlx::query(sql).bind(status).fetch_all(&mut self.connection).await?;
        rows.iter().map(seal).collect()
    }

    /// Judges a waiting epoch all of whose distributions have been read: the epoch is to be paid if their count, their
    /// sum and their Merkle root are the seal's, and is held if not.
    ///
    /// # Errors
    /// If the database fails. The epoch is not judged then.
    pub async fn judge(&mut self, seal: &Seal) -> Result<(), Failure> {
        let Seal { asset, epoch, .. } = seal;
        let mut transaction = self.connection.begin().await?;
        let mut differences = differences(&mut transaction, seal, self.batch).await?;
        let sql = "SELECT what FROM conflicts WHERE asset = $1 AND epoch = $2
                   ORDER BY topic, partition_number, record_offset LIMIT 10";
        for row in sqlx::query(sql)
            .bind(asset)
            .bind(epoch)
            .fetch_all(&mut *transaction)
            .await?
        {
            differences.push(row.try_get(0)?);
        }
        let reason = differences.join("; ");
        let status = if reason.is_empty() { "paying" } else { "held" };
        set_status(&mut transaction, seal, ("waiting", status), &reason).await?;
        transaction.commit().await?;
        if status == "held" {
            error!("{asset} epoch {epoch} is held and nothing of it is paid: {reason}");
        }
        Ok(())
    }

    /// Credits the distributions of an epoch that was judged right, some thousand a transaction. Begun again after a
    /// crash, it credits those that are not yet credited.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pay(&mut self, seal: &Seal) -> Result<(), Failure> {
        let Seal {
            asset,
            epoch,
            distributions,
            distributed,
            root,
        } = seal;
        let (dialect, batch) = (self.dialect, self.batch);
        let mut after = Leaf::default();
        loop {
            let mut transaction = self.connection.begin().await?;
            let page = page(&mut transaction, seal, &after, batch).await?;
            let credited = credit(&mut transaction, dialect, asset, &page).await?;
            raise_balances(&mut transaction, dialect, asset, &credited).await?;
            let Some(last) = page.into_iter().last() else {
                set_status(&mut transaction, seal, ("paying", "paid"), "").await?;
                transaction.commit().await?;
                info!("{asset} epoch {epoch} is paid: {distributions} distributions of {distributed}, root {root}");
                return Ok(());
            };
            transaction.commit().await?;
            after = last;
        }
    }
}

/// A distribution as a leaf of the Merkle tree, in the tree's order.
#[derive(Debug, Clone)]
struct Leaf {
    bucket: i64,
    account: String,
    id: String,
    amount: String,
}

impl Default for Leaf {
    /// What comes before every leaf.
    fn default() -> Leaf {
        let (account, id, amount) = Default::default();
        Leaf {
            bucket: -1,
            account,
            id,
            amount,
        }
    }
}

/// The next leaves of an epoch after `after`, `batch` at most.
async fn page(
    transaction: &mut Transaction<'_, Any>,
    seal: &Seal,
    after: &Leaf,
    batch: usize,
) -> Result<Vec<Leaf>, Failure> {
    let sql = "SELECT bucket, account, id, CAST(amount AS TEXT) FROM distributions
               WHERE asset = $1 AND epoch = $2 AND (bucket, account) > ($3, $4)
               ORDER BY bucket, account LIMIT $5";
    let query = sqlx::query(sql)
        .bind(&seal.asset)
        .bind(seal.epoch)
        .bind(after.bucket)
        .bind(&after.account);
    let rows = query
        .bind(i64::try_from(batch).unwrap_or(i64::MAX))
        .fetch_all(&mut **transaction)
        .await?;
    let leaf = |row: &AnyRow| {
        let (bucket, account, id, amount) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        Ok(Leaf {
            bucket,
            account,
            id,
            amount,
        })
    };
    rows.iter().map(leaf).collect()
}

/// In what the distributions of an epoch differ from its seal, as sentences; none if they are right.
async fn differences(
    transaction: &mut Transaction<'_, Any>,
    seal: &Seal,
    batch: usize,
) -> Result<Vec<String>, Failure> {
    let (mut count, mut sum, mut tree) = (0, Amount::default(), EpochTree::default());
    let mut after = Leaf::default();
    loop {
        let page = page(transaction, seal, &after, batch).await?;
        for Leaf {
            account, id, amount, ..
        } in &page
        {
            count += 1;
            sum += &parse(amount)?;
            tree.push(id, account, amount).map_err(wrong)?;
        }
        let Some(last) = page.into_iter().last() else {
            break;
        };
        after = last;
    }
    let root = tree.finish();
    let mut differences = Vec::new();
    if count != seal.distributions {
        differences.push(format!(
            "there are {count} distributions, the seal says {}",
            seal.distributions
        ));
    }
    if sum != seal.distributed {
        differences.push(format!("they add up to {sum}, the seal says {}", seal.distributed));
    }
    if root != seal.root {
        differences.push(format!("their Merkle root is {root}, the seal says {}", seal.root));
    }
    Ok(differences)
}

/// A record that contradicts others, where it lies, and which epoch it concerns.
type Conflict = (Place, SealKey, String);

/// Moves `offsets` from `known` to `positions`.
async fn move_offsets(
    transaction: &mut Transaction<'_, Any>,
    known: &Offsets,
    positions: &Offsets,
) -> Result<(), Failure> {
    for (key, next) in positions {
        let (topic, partition) = key;
        let moved = match known.get(key) {
            Some(known) if known == next => continue,
            // Whoever moved it since is another instance, which the lock should have kept out.
            Some(known) => sqlx::query(
                "UPDATE offsets SET next_offset = $3
                 WHERE topic = $1 AND partition_number = $2 AND next_offset = $4",
            )
            .bind(topic)
            .bind(i64::from(*partition))
            .bind(next)
            .bind(known),
            None => sqlx::query("INSERT INTO offsets VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                .bind(topic)
                .bind(i64::from(*partition))
                .bind(next),
        };
        only_one(moved.execute(&mut **transaction).await?)?;
    }
    Ok(())
}

/// Adds distributions of epochs that were not judged yet. Gives back what contradicts others; a second copy of one does
/// not.
async fn add_distributions(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    read: &[(Place, Distribution)],
) -> Result<Vec<Conflict>, Failure> {
    let epochs: BTreeSet<(&str, i64)> = read.iter().map(|(_, of)| (of.asset.as_str(), of.epoch)).collect();
    let mut judged = BTreeSet::new();
    for (asset, epoch) in epochs {
        let sql = "SELECT 1 FROM seals WHERE asset = $1 AND epoch = $2 AND status <> 'waiting'";
        if sqlx::query(sql)
            .bind(asset)
            .bind(epoch)
            .fetch_optional(&mut **transaction)
            .await?
            .is_some()
        {
            judged.insert((asset, epoch));
        }
    }
    let new = read
        .iter()
        .map(|(_, of)| of)
        .filter(|of| !judged.contains(&(of.asset.as_str(), of.epoch)));
    let new: Vec<&Distribution> = new.collect();
    if !new.is_empty() {
        let row = "($, $, $, $, $, CAST($ AS {decimal}))";
        let sql = dialect.sql(&format!(
            "INSERT INTO distributions (id, asset, epoch, bucket, account, amount) VALUES {} ON CONFLICT DO NOTHING",
            rows(row, new.len(), 1)
        ));
        let mut insert = sqlx::query(AssertSqlSafe(sql));
        for of in &new {
            insert = insert
                .bind(&of.id)
                .bind(&of.asset)
                .bind(of.epoch)
                .bind(i64::from(bucket(&of.account)));
            insert = insert.bind(&of.account).bind(of.amount.to_string());
        }
        if insert.execute(&mut **transaction).await?.rows_affected() == read.len() as u64 {
            return Ok(Vec::new());
        }
    }
    // Some were there before, or come too late: what is there now decides.
    let sql = format!(
        "SELECT id, CAST(amount AS TEXT) FROM distributions WHERE id IN {}",
        list(read.len(), 1)
    );
    let mut select = sqlx::query(AssertSqlSafe(sql));
    for (_, of) in read {
        select = select.bind(&of.id);
    }
    let amounts = amounts(transaction, select).await?;
    let mut conflicts = Vec::new();
    for (place, of) in read {
        let Distribution {
            id,
            asset,
            epoch,
            amount,
            ..
        } = of;
        let what = match amounts.get(id) {
            Some(known) if known == amount => continue,
            Some(known) => format!("distribution {id:?} of {amount} was first published with {known}"),
            None => format!("distribution {id:?} of {amount} came after the epoch was judged"),
        };
        conflicts.push((place.clone(), (asset.clone(), *epoch), what));
    }
    Ok(conflicts)
}

/// Adds a seal. Gives back a contradiction to an earlier one of its epoch.
async fn add_seal(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    place: &Place,
    new: &Seal,
) -> Result<Option<Conflict>, Failure> {
    let Seal {
        asset,
        epoch,
        distributions,
        distributed,
        root,
    } = new;
    let sql = "INSERT INTO seals (asset, epoch, distributions, distributed, root, status)
               VALUES ($1, $2, $3, CAST($4 AS {decimal}), $5, 'waiting') ON CONFLICT DO NOTHING";
    let insert = sqlx::query(AssertSqlSafe(dialect.sql(sql)))
        .bind(asset)
        .bind(epoch)
        .bind(distributions);
    let insert = insert.bind(distributed.to_string()).bind(root);
    if insert.execute(&mut **transaction).await?.rows_affected() == 1 {
        return Ok(None);
    }
    let sql = "SELECT asset, epoch, distributions, CAST(distributed AS TEXT), root FROM seals
               WHERE asset = $1 AND epoch = $2";
    let known = seal(
        &sqlx::query(sql)
            .bind(asset)
            .bind(epoch)
            .fetch_one(&mut **transaction)
            .await?,
    )?;
    let what = format!("a second seal says {distributions} distributions of {distributed}, root {root}");
    Ok((known != *new).then(|| (place.clone(), (asset.clone(), *epoch), what)))
}

/// Moves a seal from one status to another.
async fn set_status(
    transaction: &mut Transaction<'_, Any>,
    seal: &Seal,
    (from, to): (&str, &str),
    reason: &str,
) -> Result<(), Failure> {
    let sql = "UPDATE seals SET status = $4, reason = $5 WHERE asset = $1 AND epoch = $2 AND status = $3";
    let update = sqlx::query(sql)
        .bind(&seal.asset)
        .bind(seal.epoch)
        .bind(from)
        .bind(to)
        .bind(reason);
    only_one(update.execute(&mut **transaction).await?)
}

/// Credits the distributions that are not yet credited, and gives back these: account and amount.
async fn credit(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    asset: &str,
    leaves: &[Leaf],
) -> Result<Vec<(String, Amount)>, Failure> {
    if leaves.is_empty() {
        return Ok(Vec::new());
    }
    let sql = dialect.sql(&format!(
        "INSERT INTO credits (distribution, asset, account, amount) VALUES {}
         ON CONFLICT DO NOTHING RETURNING account, CAST(amount AS TEXT)",
        rows("($, $, $, CAST($ AS {decimal}))", leaves.len(), 1)
    ));
    let mut insert = sqlx::query(AssertSqlSafe(sql));
    for leaf in leaves {
        insert = insert.bind(&leaf.id).bind(asset).bind(&leaf.account).bind(&leaf.amount);
    }
    let credited = amounts(transaction, insert).await?;
    Ok(credited.into_iter().collect())
}

/// Adds what was just credited to the balances.
async fn raise_balances(
    transaction: &mut Transaction<'_, Any>,
    dialect: Dialect,
    asset: &str,
    credited: &[(String, Amount)],
) -> Result<(), Failure> {
    if credited.is_empty() {
        return Ok(());
    }
    let mut balances = BTreeMap::new();
    // PostgreSQL adds by itself, which holds even if others change the balances meanwhile.
    if dialect == Dialect::Sqlite {
        let accounts = list(credited.len(), 2);
        let sql = format!("SELECT account, balance FROM balances WHERE asset = $1 AND account IN {accounts}");
        let mut select = sqlx::query(AssertSqlSafe(sql)).bind(asset);
        for (account, _) in credited {
            select = select.bind(account);
        }
        balances = amounts(transaction, select).await?;
    }
    let sql = dialect.sql(&format!(
        "INSERT INTO balances (asset, account, balance) VALUES {}
         ON CONFLICT (asset, account) DO UPDATE SET balance = {{sum}}",
        rows("($, $, CAST($ AS {decimal}))", credited.len(), 1)
    ));
    let mut upsert = sqlx::query(AssertSqlSafe(sql));
    for (account, amount) in credited {
        let mut sum = balances.remove(account).unwrap_or_default();
        sum += amount;
        upsert = upsert.bind(asset).bind(account).bind(sum.to_string());
    }
    upsert.execute(&mut **transaction).await?;
    Ok(())
}

/// The rows of a query for a text and an amount.
async fn amounts(
    transaction: &mut Transaction<'_, Any>,
    query: Query<'_, Any, AnyArguments>,
) -> Result<BTreeMap<String, Amount>, Failure> {
    let rows = query.fetch_all(&mut **transaction).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, parse(row.try_get(1)?)?)))
        .collect()
}

fn seal(row: &AnyRow) -> Result<Seal, Failure> {
    let (asset, epoch, distributions, root) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(4)?);
    let distributed = parse(row.try_get(3)?)?;
    Ok(Seal {
        asset,
        epoch,
        distributions,
        distributed,
        root,
    })
}

fn parse(amount: &str) -> Result<Amount, Failure> {
    amount
        .parse()
        .map_err(|error| wrong(format!("the amount {amount:?} {error}")))
}

/// `count` rows of `VALUES`: `row` with the placeholders of all numbered from `first`.
fn rows(row: &str, count: usize, first: usize) -> String {
    let mut numbers = first..;
    let mut sql = String::new();
    for at in 0..count {
        sql.push_str(if at == 0 { "" } else { ", " });
        for (at, part) in row.split('$').enumerate() {
            if let Some(number) = (at > 0).then(|| numbers.next()).flatten() {
                sql.push_str(&format!("${number}"));
            }
            sql.push_str(part);
        }
    }
    sql
}

/// What `IN` takes: `count` placeholders numbered from `first`.
fn list(count: usize, first: usize) -> String {
    format!("({})", rows("$", count, first))
}

fn only_one(result: AnyQueryResult) -> Result<(), Failure> {
    match result.rows_affected() {
        1 => Ok(()),
        _ => Err(Failure::Stop(
            "another instance works on this database, or someone changed it by hand".to_owned(),
        )),
    }
}

fn wrong(what: impl ToString) -> Failure {
    Failure::Stop(format!("the database: {}", what.to_string()))
}

/// Locks an SQLite database by a file beside it. The system frees it however the process ends.
fn lock_file(url: &str) -> Result<File, Failure> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = format!("{}.lock", path.split('?').next().unwrap_or_default());
    let file = File::create(&path).map_err(|error| wrong(format!("{path}: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Failure::Taken),
        Err(std::fs::TryLockError::Error(error)) => Err(wrong(format!("{path}: {error}"))),
    }
}

/// Locks a PostgreSQL database for as long as the connection is open.
async fn lock_postgres(connection: &mut AnyConnection) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let row = sqlx::query("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if row.try_get(0)? {
            break;
        }
        if began.elapsed() > LOCK_PATIENCE {
            return Err(Failure::Taken);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let row = sqlx::query("SELECT current_setting('server_encoding')")
        .fetch_one(&mut *connection)
        .await?;
    match row.try_get::<&str, _>(0)? {
        "UTF8" => Ok(()),
        other => Err(wrong(format!(
            "its encoding has to be UTF8, not {other}: accounts are any Unicode text"
        ))),
    }
}
