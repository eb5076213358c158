//! A transaction, and its statements.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, FromRow, Transaction};

use super::schema::Dialect;
use super::{Amount, Distribution, Failure, Offsets, Place, Seal, bucket};

/// The status of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not judged yet.
    Waiting,
    /// Judged wrong.
    Held,
    /// Judged right; being credited.
    Paying,
    /// All distributions are credited.
    Paid,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Status::Waiting => "waiting",
            Status::Held => "held",
            Status::Paying => "paying",
            Status::Paid => "paid",
        }
    }
}

/// A distribution as a leaf of the Merkle tree.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub bucket: i64,
    pub account: String,
    /// The id of the distribution.
    pub id: String,
    pub reward_asset: String,
    pub amount: Amount,
}

/// A record that contradicts others.
#[derive(Debug)]
pub struct Conflict {
    pub place: Place,
    pub asset: String,
    pub epoch: i64,
    /// What is wrong, as a sentence.
    pub what: String,
}

impl Conflict {
    fn new(place: &Place, asset: &str, epoch: i64, what: String) -> Conflict {
        let (place, asset) = (place.clone(), asset.to_owned());
        Conflict {
            place,
            asset,
            epoch,
            what,
        }
    }
}

/// The values of a statement's placeholders, in their order.
macro_rules! values {
    ($($value:expr),*) => { [$(Value::from($value)),*] };
}
pub(super) use values;

/// A transaction. Dropping it rolls it back.
pub struct Step<'a> {
    transaction: Transaction<'a, Any>,
    dialect: Dialect,
}

impl<'a> Step<'a> {
    pub const fn new(transaction: Transaction<'a, Any>, dialect: Dialect) -> Step<'a> {
        Step { transaction, dialect }
    }

    pub async fn commit(self) -> Result<(), Failure> {
        Ok(self.transaction.commit().await?)
    }

    /// The next offset of each partition.
    pub async fn offsets(&mut self) -> Result<Offsets, Failure> {
        let sql = "SELECT topic, partition_number, next_offset FROM offsets";
        let rows: Vec<(String, i64, i64)> = self.fetch(sql, []).await?;
        let offset = |(topic, partition, next)| {
            let partition = i32::try_from(partition);
            let partition = partition.map_err(|_| wrong("there are offsets of an impossible partition"))?;
            Ok(((topic, partition), next))
        };
        rows.into_iter().map(offset).collect()
    }

    /// Moves a partition's offset from `known`, `None` if it has none yet. A different offset in the table shows that another
    /// instance is at work, whatever the lock says.
    pub async fn move_offset(
        &mut self,
        (topic, partition): &(String, i32),
        known: Option<i64>,
        next: i64,
    ) -> Result<(), Failure> {
        let moved = match known {
            None => {
                let sql = "INSERT INTO offsets VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
                self.execute(sql, values![topic, *partition, next]).await?
            }
            Some(known) => {
                let sql = "UPDATE offsets SET next_offset = $3
                           WHERE topic = $1 AND partition_number = $2 AND next_offset = $4";
                self.execute(sql, values![topic, *partition, next, known]).await?
            }
        };
        only_one(moved)
    }

    /// Adds distributions, except those of epochs that were judged right without them. Second copies are ignored. Returns the
    /// distributions that contradict an earlier one, or that are too late.
    pub async fn add_distributions(&mut self, read: &[(Place, Distribution)]) -> Result<Vec<Conflict>, Failure> {
        let closed = self.open_again(read).await?;
        let mut new = Vec::new();
        for (_, of) in read {
            if !closed.contains(&(&of.asset, of.epoch)) {
                let bucket = i64::from(bucket(&of.account));
                let (reward_asset, amount) = (&of.reward_asset, &of.amount);
                new.push(values![
                    &of.id,
                    &of.asset,
                    of.epoch,
                    bucket,
                    &of.account,
                    reward_asset,
                    amount
                ]);
            }
        }
        if !new.is_empty() {
            let sql = format!(
                "INSERT INTO distributions (id, asset, epoch, bucket, account, reward_asset, amount) VALUES {}
                 ON CONFLICT DO NOTHING",
                rows("($, $, $, $, $, $, CAST($ AS {decimal}))", new.len(), 1)
            );
            let added = self.execute(&sql, new.into_iter().flatten()).await?;
            if added == read.len() as u64 {
                return Ok(Vec::new());
            }
        }
        // Some were in the table before, or are too late: compare with the table.
        let ids = list(read.len(), 1);
        let sql = format!("SELECT id, reward_asset, CAST(amount AS TEXT) FROM distributions WHERE id IN {ids}");
        let known: Vec<(String, String, String)> = self.fetch(&sql, read.iter().map(|(_, of)| (&of.id).into())).await?;
        let mut paid = BTreeMap::new();
        for (id, reward_asset, amount) in known {
            paid.insert(id, (parse(&amount)?, reward_asset));
        }
        let mut conflicts = Vec::new();
        for (place, of) in read {
            let Distribution {
                id,
                amount,
                reward_asset,
                ..
            } = of;
            let what = match paid.get(id) {
                Some((known, of_asset)) if (known, of_asset) == (amount, reward_asset) => continue,
                Some((known, of_asset)) => {
                    format!(
                        "distribution {id:?} of {amount} {reward_asset} was first published with {known} {of_asset}"
                    )
                }
                None => format!("distribution {id:?} of {amount} {reward_asset} came after the epoch was judged right"),
            };
            conflicts.push(Conflict::new(place, &of.asset, of.epoch, what));
        }
        Ok(conflicts)
    }

    /// Sets held epochs with new distributions to waiting, so that they are judged again. Returns the epochs that were judged
    /// right.
    async fn open_again<'r>(
        &mut self,
        read: &'r [(Place, Distribution)],
    ) -> Result<BTreeSet<(&'r String, i64)>, Failure> {
        let epochs: BTreeSet<_> = read.iter().map(|(_, of)| (&of.asset, of.epoch)).collect();
        let mut closed = BTreeSet::new();
        for (asset, epoch) in epochs {
            let sql = "UPDATE seals SET status = 'waiting' WHERE asset = $1 AND epoch = $2 AND status = 'held'";
            self.execute(sql, values![asset, epoch]).await?;
            let sql = "SELECT status FROM seals WHERE asset = $1 AND epoch = $2 AND status <> 'waiting'";
            if !self.fetch::<(String,)>(sql, values![asset, epoch]).await?.is_empty() {
                closed.insert((asset, epoch));
            }
        }
        Ok(closed)
    }

    /// Adds a seal. A second copy is ignored. Returns a conflict if the seal contradicts an earlier one.
    pub async fn add_seal(&mut self, place: &Place, seal: &Seal) -> Result<Option<Conflict>, Failure> {
        let (asset, epoch) = (&seal.asset, seal.epoch);
        let (reward_asset, count, sum, root) = (&seal.reward_asset, seal.distributions, &seal.distributed, &seal.root);
        let sql = "INSERT INTO seals (asset, epoch, reward_asset, distributions, distributed, root, status, reason)
                   VALUES ($1, $2, $3, $4, CAST($5 AS {decimal}), $6, 'waiting', '') ON CONFLICT DO NOTHING";
        let values = values![asset, epoch, reward_asset, count, sum, root];
        if self.execute(sql, values).await? == 1 {
            return Ok(None);
        }
        let sql = format!("{SELECT_SEALS} WHERE asset = $1 AND epoch = $2");
        let known: Vec<SealRow> = self.fetch(&sql, values![asset, epoch]).await?;
        let known: Vec<Seal> = known.into_iter().map(Seal::try_from).collect::<Result<_, _>>()?;
        let what = format!("a second seal says {count} distributions of {sum} {reward_asset}, root {root}");
        Ok((known != [seal.clone()]).then(|| Conflict::new(place, asset, epoch, what)))
    }

    /// Stores a conflict.
    pub async fn add_conflict(&mut self, conflict: &Conflict) -> Result<(), Failure> {
        let Conflict {
            place,
            asset,
            epoch,
            what,
        } = conflict;
        let values = values![&place.topic, place.partition, place.offset, asset, *epoch, what];
        only_one(
            self.execute("INSERT INTO conflicts VALUES ($1, $2, $3, $4, $5, $6)", values)
                .await?,
        )
    }

    /// The texts of the first conflicts of an epoch.
    pub async fn conflicts(&mut self, seal: &Seal) -> Result<Vec<String>, Failure> {
        let sql = "SELECT what FROM conflicts WHERE asset = $1 AND epoch = $2
                   ORDER BY topic, partition_number, record_offset LIMIT 10";
        let rows: Vec<(String,)> = self.fetch(sql, values![&seal.asset, seal.epoch]).await?;
        Ok(rows.into_iter().map(|(what,)| what).collect())
    }

    /// The seals with a status, the oldest epochs first.
    pub async fn seals(&mut self, status: Status) -> Result<Vec<Seal>, Failure> {
        let sql = format!("{SELECT_SEALS} WHERE status = $1 ORDER BY epoch, asset");
        let rows: Vec<SealRow> = self.fetch(&sql, values![status.name()]).await?;
        rows.into_iter().map(Seal::try_from).collect()
    }

    /// Moves a seal from one status to another.
    pub async fn set_status(&mut self, seal: &Seal, (from, to): (Status, Status), reason: &str) -> Result<(), Failure> {
        let sql = "UPDATE seals SET status = $4, reason = $5 WHERE asset = $1 AND epoch = $2 AND status = $3";
        let values = values![&seal.asset, seal.epoch, from.name(), to.name(), reason];
        only_one(self.execute(sql, values).await?)
    }

    /// The next distributions of an epoch after `after`, `limit` at most, in the order of the Merkle leaves.
    pub async fn page(&mut self, seal: &Seal, after: &Leaf, limit: usize) -> Result<Vec<Leaf>, Failure> {
        let sql = format!(
            "SELECT bucket, account, id, reward_asset, CAST(amount AS TEXT) FROM distributions
             WHERE asset = $1 AND epoch = $2 AND (bucket, account) > ($3, $4)
             ORDER BY bucket, account LIMIT {limit}"
        );
        let values = values![&seal.asset, seal.epoch, after.bucket, &after.account];
        let rows: Vec<(i64, String, String, String, String)> = self.fetch(&sql, values).await?;
        let mut leaves = Vec::with_capacity(rows.len());
        for (bucket, account, id, reward_asset, amount) in rows {
            let amount = parse(&amount)?;
            leaves.push(Leaf {
                bucket,
                account,
                id,
                reward_asset,
                amount,
            });
        }
        Ok(leaves)
    }

    /// Credits the distributions that are not credited yet. Returns the new credits by account.
    pub async fn credit(
        &mut self,
        reward_asset: &str,
        leaves: &[Leaf],
        now: &str,
    ) -> Result<BTreeMap<String, Amount>, Failure> {
        let sql = format!(
            "INSERT INTO credits (distribution, reward_asset, account, amount, credited_at) VALUES {}
             ON CONFLICT DO NOTHING RETURNING account, CAST(amount AS TEXT)",
            rows(
                "($, $, $, CAST($ AS {decimal}), CAST($ AS {timestamp}))",
                leaves.len(),
                1
            )
        );
        let row = |leaf: &Leaf| values![&leaf.id, reward_asset, &leaf.account, &leaf.amount, now];
        self.amounts(&sql, leaves.iter().flat_map(row)).await
    }

    /// Adds new credits to the balances in their reward asset.
    pub async fn raise_balances(
        &mut self,
        reward_asset: &str,
        mut credited: BTreeMap<String, Amount>,
    ) -> Result<(), Failure> {
        if credited.is_empty() {
            return Ok(());
        }
        // PostgreSQL adds by itself, which is right even if another program changes a balance meanwhile.
        if self.dialect == Dialect::Sqlite {
            let accounts = list(credited.len(), 2);
            let sql =
                format!("SELECT account, balance FROM balances WHERE reward_asset = $1 AND account IN {accounts}");
            let values: Vec<Value> = credited.keys().map(Value::from).collect();
            let balances = self
                .amounts(&sql, values![reward_asset].into_iter().chain(values))
                .await?;
            for (account, balance) in balances {
                *credited.entry(account).or_default() += &balance;
            }
        }
        let sql = format!(
            "INSERT INTO balances (reward_asset, account, balance) VALUES {}
             ON CONFLICT (reward_asset, account) DO UPDATE SET balance = {{sum}}",
            rows("($, $, CAST($ AS {decimal}))", credited.len(), 1)
        );
        let row = |(account, amount): (&String, &Amount)| values![reward_asset, account, amount];
        self.execute(&sql, credited.iter().flat_map(row)).await?;
        Ok(())
    }

    /// Runs a statement. Returns how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64, Failure> {
        let query = query(self.dialect.sql(sql), values);
        Ok(query.execute(&mut *self.transaction).await?.rows_affected())
    }

    /// The rows of a query.
    pub(super) async fn fetch<T: for<'r> FromRow<'r, AnyRow>>(
        &mut self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>, Failure> {
        let rows = query(self.dialect.sql(sql), values)
            .fetch_all(&mut *self.transaction)
            .await?;
        Ok(rows.iter().map(T::from_row).collect::<Result<_, _>>()?)
    }

    /// The rows of a query that selects a text and an amount.
    async fn amounts(
        &mut self,
        sql: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<BTreeMap<String, Amount>, Failure> {
        let rows: Vec<(String, String)> = self.fetch(sql, values).await?;
        rows.into_iter()
            .map(|(key, amount)| Ok((key, parse(&amount)?)))
            .collect()
    }
}

impl Leaf {
    /// A leaf before all others.
    pub const BEFORE_ALL: Leaf = Leaf {
        bucket: -1,
        account: String::new(),
        id: String::new(),
        reward_asset: String::new(),
        amount: Amount::ZERO,
    };
}

/// The columns of a [`SealRow`].
const SELECT_SEALS: &str =
    "SELECT asset, epoch, reward_asset, distributions, CAST(distributed AS TEXT), root FROM seals";

/// A seal as its columns.
type SealRow = (String, i64, String, i64, String, String);

impl TryFrom<SealRow> for Seal {
    type Error = Failure;

    fn try_from(row: SealRow) -> Result<Seal, Failure> {
        let (asset, epoch, reward_asset, distributions, distributed, root) = row;
        Ok(Seal {
            asset,
            epoch,
            reward_asset,
            distributions,
            distributed: parse(&distributed)?,
            root,
        })
    }
}

/// The value of a placeholder.
#[derive(Clone)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(integer: i64) -> Value {
        Value::Integer(integer)
    }
}

impl From<i32> for Value {
    fn from(integer: i32) -> Value {
        Value::Integer(integer.into())
    }
}

impl<T: ToString + ?Sized> From<&T> for Value {
    fn from(text: &T) -> Value {
        Value::Text(text.to_string())
    }
}

/// A statement with its values. Its text is constant; everything from outside is a value.
fn query(sql: String, values: impl IntoIterator<Item = Value>) -> Query<'static, Any, AnyArguments> {
    values
        .into_iter()
        .fold(sqlx::query(AssertSqlSafe(sql)), |query, value| match value {
            Value::Integer(integer) => query.bind(integer),
            Value::Text(text) => query.bind(text),
        })
}

/// `count` rows of `VALUES`, each like `row`. The placeholders are numbered from `first` on.
pub(super) fn rows(row: &str, count: usize, first: usize) -> String {
    let mut sql = String::new();
    let mut number = first;
    for at in 0..count {
        sql.push_str(if at == 0 { "" } else { ", " });
        for character in row.chars() {
            sql.push(character);
            if character == '$' {
                sql.push_str(&number.to_string());
                number += 1;
            }
        }
    }
    sql
}

/// A list for `IN`: `count` placeholders, numbered from `first` on.
pub(super) fn list(count: usize, first: usize) -> String {
    format!("({})", rows("$", count, first))
}

fn parse(amount: &str) -> Result<Amount, Failure> {
    amount
        .parse()
        .map_err(|error| wrong(&format!("the amount {amount:?} {error}")))
}

pub(super) fn only_one(rows: u64) -> Result<(), Failure> {
    if rows == 1 {
        Ok(())
    } else {
        Err(wrong("another instance works on it, or somebody changed it by hand"))
    }
}

pub(super) fn wrong(what: &str) -> Failure {
    Failure::Stop(format!("the database: {what}"))
}
