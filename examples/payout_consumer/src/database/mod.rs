//! The database: the records read, the seals and their status, and the credits.
//!
//! One connection does all the work, and holds the lock that allows one instance only. If the connection breaks, the lock and
//! the open transaction are lost together. So only the holder of the lock can commit.

use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tracing::{error, info, warn};

use super::amount::Amount;
use super::failure::Failure;
use super::merkle::{EpochTree, bucket};
use super::reader::Offsets;
use super::record::{Distribution, Place, Record, Seal};

use lock::Lock;
use schema::{Dialect, SCHEMA};
use step::{Conflict, Leaf, Status, Step};

pub use outbox::{Execution, Outbox};

mod lock;
mod outbox;
mod schema;
mod step;
#[cfg(test)]
mod tests;

/// The most rows that a statement writes. SQLite looks up each numbered value in a list, so short statements are faster.
const ROWS: usize = 100;

/// The database, locked by this instance.
pub struct Database {
    connection: AnyConnection,
    dialect: Dialect,
    /// The table of offsets.
    offsets: Offsets,
    /// How many distributions to read or credit at once.
    batch: usize,
    _lock: Lock,
}

impl Database {
    /// Connects, locks the database, and creates missing tables. At most `batch` distributions are read at once, or credited
    /// in one transaction.
    ///
    /// # Errors
    /// If another instance runs on this database, or it cannot be used.
    pub async fn open(url: &str, batch: usize) -> Result<Database, Failure> {
        sqlx::any::install_default_drivers();
        let dialect = Dialect::of(url)?;
        let (mut connection, lock) = match dialect {
            Dialect::Sqlite => {
                let lock = Lock::file(url)?;
                let mode = if url.contains('?') { '&' } else { '?' };
                (AnyConnection::connect(&format!("{url}{mode}mode=rwc")).await?, lock)
            }
            Dialect::Postgres => {
                let mut connection = AnyConnection::connect(url).await?;
                let lock = Lock::postgres(&mut connection).await?;
                (connection, lock)
            }
        };
        sqlx::raw_sql(dialect.preparation()).execute(&mut connection).await?;
        sqlx::raw_sql(AssertSqlSafe(dialect.sql(SCHEMA)))
            .execute(&mut connection)
            .await?;
        let offsets = Offsets::new();
        let mut database = Database {
            connection,
            dialect,
            offsets,
            batch,
            _lock: lock,
        };
        let mut step = database.begin().await?;
        let offsets = step.offsets().await?;
        drop(step);
        database.offsets = offsets;
        Ok(database)
    }

    /// The next offset of each partition, as committed.
    pub const fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Stores the records and the new positions in one transaction.
    ///
    /// # Errors
    /// If the database fails. Nothing is stored then.
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
        let known = self.offsets.clone();
        let mut step = self.begin().await?;
        for (partition, next) in positions {
            match known.get(partition) {
                Some(known) if known == next => {}
                known => step.move_offset(partition, known.copied(), *next).await?,
            }
        }
        let mut conflicts = Vec::new();
        for chunk in distributions.chunks(ROWS) {
            conflicts.extend(step.add_distributions(chunk).await?);
        }
        for (place, seal) in &seals {
            conflicts.extend(step.add_seal(place, seal).await?);
        }
        for conflict in &conflicts {
            step.add_conflict(conflict).await?;
        }
        step.commit().await?;
        self.offsets.clone_from(positions);
        for Conflict {
            place,
            asset,
            epoch,
            what,
        } in conflicts
        {
            error!("{asset} epoch {epoch}: {what} ({place})");
        }
        Ok(())
    }

    /// The seals that have not been judged.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn waiting(&mut self) -> Result<Vec<Seal>, Failure> {
        self.begin().await?.seals(Status::Waiting).await
    }

    /// The seals whose distributions are right, but not all credited yet.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn paying(&mut self) -> Result<Vec<Seal>, Failure> {
        self.begin().await?.seals(Status::Paying).await
    }

    /// Logs the epochs that are held.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remind(&mut self) -> Result<(), Failure> {
        for seal in self.begin().await?.seals(Status::Held).await? {
            warn!(
                "{} epoch {} is held; the table of seals has the reason",
                seal.asset, seal.epoch
            );
        }
        Ok(())
    }

    /// Judges a waiting epoch whose records have all been read. It is paid if the count, the sum, the Merkle root and the
    /// reward asset of the distributions equal those of the seal, and no record contradicts another. Otherwise it is held.
    ///
    /// # Errors
    /// If the database fails. The epoch is not judged then.
    pub async fn judge(&mut self, seal: &Seal) -> Result<(), Failure> {
        let batch = self.batch;
        let mut step = self.begin().await?;
        let (mut count, mut sum, mut tree) = (0, Amount::ZERO, EpochTree::default());
        let mut in_another_asset = None;
        let mut after = Leaf::BEFORE_ALL;
        loop {
            let page = step.page(seal, &after, batch).await?;
            for leaf in &page {
                count += 1;
                // The root covers ids and amounts only.
                if leaf.reward_asset != seal.reward_asset {
                    in_another_asset.get_or_insert_with(|| leaf.clone());
                }
                sum += &leaf.amount;
                let pushed = tree.push(&leaf.id, &leaf.account, &leaf.amount.to_string());
                pushed.map_err(|error| Failure::Stop(format!("the database: {error}")))?;
            }
            match page.into_iter().last() {
                Some(last) => after = last,
                None => break,
            }
        }
        let root = tree.finish();
        let mut reasons = Vec::new();
        if count != seal.distributions {
            reasons.push(format!(
                "there are {count} distributions, the seal says {}",
                seal.distributions
            ));
        }
        if sum != seal.distributed {
            reasons.push(format!("they add up to {sum}, the seal says {}", seal.distributed));
        }
        if root != seal.root {
            reasons.push(format!("their Merkle root is {root}, the seal says {}", seal.root));
        }
        if let Some(Leaf { id, reward_asset, .. }) = in_another_asset {
            reasons.push(format!(
                "distribution {id:?} is paid in {reward_asset}, the seal says {}",
                seal.reward_asset
            ));
        }
        reasons.extend(step.conflicts(seal).await?);
        let (reason, Seal { asset, epoch, .. }) = (reasons.join("; "), seal);
        let status = if reasons.is_empty() {
            Status::Paying
        } else {
            Status::Held
        };
        step.set_status(seal, (Status::Waiting, status), &reason).await?;
        step.commit().await?;
        if status == Status::Held {
            error!("{asset} epoch {epoch} is held and nothing of it is paid: {reason}");
        }
        Ok(())
    }

    /// Credits the distributions of an epoch that was judged right, one batch per transaction. After a crash, it credits those
    /// that are not credited yet.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pay(&mut self, seal: &Seal) -> Result<(), Failure> {
        let batch = self.batch;
        let (mut count, mut after) = (0, Leaf::BEFORE_ALL);
        loop {
            let mut step = self.begin().await?;
            let now = step.now().await?;
            let page = step.page(seal, &after, batch).await?;
            count += page.len() as i64;
            let Some(last) = page.last().cloned() else {
                if count != seal.distributions {
                    return Err(Failure::Stop(format!(
                        "the database: somebody changed the distributions of {} by hand",
                        seal.asset
                    )));
                }
                step.set_status(seal, (Status::Paying, Status::Paid), "").await?;
                step.commit().await?;
                let Seal {
                    asset,
                    epoch,
                    reward_asset,
                    distributions,
                    distributed,
                    root,
                } = seal;
                info!(
                    "{asset} epoch {epoch} is paid: {distributions} distributions of {distributed} {reward_asset}, root {root}"
                );
                return Ok(());
            };
            for leaves in page.chunks(ROWS) {
                let credited = step.credit(&seal.reward_asset, leaves, &now).await?;
                step.add_executions(seal, &credited, &now).await?;
                step.raise_balances(&seal.reward_asset, credited).await?;
            }
            step.commit().await?;
            after = last;
        }
    }

    async fn begin(&mut self) -> Result<Step<'_>, Failure> {
        Ok(Step::new(self.connection.begin().await?, self.dialect))
    }
}
