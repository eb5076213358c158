//! The outbox: executions that are not known to be on their topic yet.

use std::collections::BTreeMap;

use serde::Serialize;

use super::step::{Step, Value, only_one, rows, values};
use super::{Amount, Database, Failure, ROWS, Seal};

/// The source of the events. With the id, it identifies an event.
const SOURCE: &str = "/payouts";

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub number: i64,
    /// The id of the distribution.
    pub distribution: String,
    /// The event, as JSON.
    pub event: String,
}

/// The state of the outbox. Executions are numbered from 1, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    /// A random name of the database.
    pub database: String,
    /// The last execution that was added.
    pub added: i64,
    /// The last execution that may be on the topic.
    pub attempted: i64,
    /// The last execution that is known to be on the topic.
    pub published: i64,
}

/// A `payout.executed.v1` event.
#[derive(Serialize)]
struct Event<'a> {
    specversion: &'static str,
    /// The distribution's. So a second event for one distribution would be seen as a copy.
    id: &'a str,
    source: &'static str,
    r#type: &'static str,
    time: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    distribution: &'a str,
    amount: String,
    credited_at: &'a str,
}

impl Database {
    /// The state of the outbox.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn outbox(&mut self) -> Result<Outbox, Failure> {
        self.begin().await?.outbox().await
    }

    /// Records that all executions up to `published` are on the topic. Returns the next ones, `limit` at most, and records that they may be on the
    /// topic from now on.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_executions(&mut self, published: i64, limit: usize) -> Result<Vec<Execution>, Failure> {
        let mut step = self.begin().await?;
        let before = step.outbox().await?;
        let next = step.executions(published, limit).await?;
        let attempted = next.last().map_or(published, |row| row.number);
        if (before.published, before.attempted) != (published, attempted) {
            let sql = "UPDATE publisher SET attempted = $1, published = $2 WHERE published = $3";
            only_one(
                step.execute(sql, values![attempted, published, before.published])
                    .await?,
            )?;
            step.execute("DELETE FROM outbox WHERE number <= $1", values![published])
                .await?;
            step.commit().await?;
        }
        Ok(next)
    }
}

impl Step<'_> {
    /// The time of this transaction, in UTC with milliseconds.
    pub async fn now(&mut self) -> Result<String, Failure> {
        let rows: Vec<(String,)> = self.fetch("SELECT {now}", []).await?;
        let [(now,)] = <[_; 1]>::try_from(rows).map_err(|_| super::step::wrong("it has no time"))?;
        Ok(now)
    }

    /// Adds executions for new credits of an epoch, by account.
    pub async fn add_executions(
        &mut self,
        seal: &Seal,
        credited: &BTreeMap<String, Amount>,
        now: &str,
    ) -> Result<(), Failure> {
        let count = i64::try_from(credited.len()).unwrap_or(i64::MAX);
        only_one(
            self.execute("UPDATE publisher SET added = added + $1", values![count])
                .await?,
        )?;
        let first = self.outbox().await?.added - count + 1;
        let mut new = Vec::with_capacity(credited.len());
        for (number, (account, amount)) in (first..).zip(credited) {
            let distribution = format!("{}:{}:{account}", seal.asset, seal.epoch);
            let event = Event {
                specversion: "1.0",
                id: &distribution,
                source: SOURCE,
                r#type: "payout.executed.v1",
                time: now,
                data: Data {
                    distribution: &distribution,
                    amount: amount.to_string(),
                    credited_at: now,
                },
            };
            let event = serde_json::to_string(&event).map_err(|error| Failure::Stop(format!("an event: {error}")))?;
            new.push(values![number, &distribution, &event]);
        }
        for chunk in new.chunks(ROWS) {
            let sql = format!(
                "INSERT INTO outbox (number, distribution, event) VALUES {}",
                rows("($, $, $)", chunk.len(), 1)
            );
            self.execute(&sql, chunk.iter().flatten().cloned()).await?;
        }
        Ok(())
    }

    async fn outbox(&mut self) -> Result<Outbox, Failure> {
        let sql = "SELECT database_id, added, attempted, published FROM publisher";
        let rows: Vec<(String, i64, i64, i64)> = self.fetch(sql, []).await?;
        let [(database, added, attempted, published)] =
            <[_; 1]>::try_from(rows).map_err(|_| super::step::wrong("the table `publisher` must have one row"))?;
        Ok(Outbox {
            database,
            added,
            attempted,
            published,
        })
    }

    /// The executions after `after`, `limit` at most.
    async fn executions(&mut self, after: i64, limit: usize) -> Result<Vec<Execution>, Failure> {
        let sql =
            format!("SELECT number, distribution, event FROM outbox WHERE number > $1 ORDER BY number LIMIT {limit}");
        let rows: Vec<(i64, String, String)> = self.fetch(&sql, values![after]).await?;
        let execution = |(number, distribution, event)| Execution {
            number,
            distribution,
            event,
        };
        Ok(rows.into_iter().map(execution).collect())
    }
}
