//! The tables, and the differences between the two databases.

use super::Failure;

/// All tables. [`Dialect::sql`] replaces the parts in braces.
pub const SCHEMA: &str = "
-- The next offset of each partition. It moves in the transaction that stores the records.
CREATE TABLE IF NOT EXISTS offsets (
    topic TEXT NOT NULL, partition_number BIGINT NOT NULL, next_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition_number)
);
-- The records read. Bucket and account give the order of the Merkle leaves.
CREATE TABLE IF NOT EXISTS distributions (
    id TEXT {bytewise} PRIMARY KEY, asset TEXT NOT NULL, epoch BIGINT NOT NULL, bucket BIGINT NOT NULL,
    account TEXT {bytewise} NOT NULL, amount {decimal} NOT NULL
);
CREATE INDEX IF NOT EXISTS distributions_as_leaves ON distributions (asset, epoch, bucket, account);
-- waiting: not judged yet. held: judged wrong, see the reason; nothing is credited.
-- paying: judged right, being credited. paid: all are credited.
CREATE TABLE IF NOT EXISTS seals (
    asset TEXT NOT NULL, epoch BIGINT NOT NULL, distributions BIGINT NOT NULL, distributed {decimal} NOT NULL,
    root TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('waiting', 'held', 'paying', 'paid')),
    reason TEXT NOT NULL, PRIMARY KEY (asset, epoch)
);
-- Records that contradict others. An epoch with a conflict is held when it is judged.
CREATE TABLE IF NOT EXISTS conflicts (
    topic TEXT NOT NULL, partition_number BIGINT NOT NULL, record_offset BIGINT NOT NULL,
    asset TEXT NOT NULL, epoch BIGINT NOT NULL, what TEXT NOT NULL,
    PRIMARY KEY (topic, partition_number, record_offset)
);
-- One row for each distribution paid. Its key is what makes crediting idempotent.
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
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// It has exact decimals.
    Postgres,
    /// It has no exact decimals: amounts are stored as text, and added by this program.
    Sqlite,
}

impl Dialect {
    /// The dialect of the database at `url`.
    ///
    /// # Errors
    /// If the URL is of neither.
    pub fn of(url: &str) -> Result<Dialect, Failure> {
        match url.split_once(':') {
            Some(("sqlite", _)) => Ok(Dialect::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(Dialect::Postgres),
            _ => Err(Failure::Stop(
                "the database must be sqlite:PATH or postgres://...".to_owned(),
            )),
        }
    }

    /// The first statements of a connection.
    pub const fn preparation(self) -> &'static str {
        match self {
            // A commit must survive a power failure, whatever the server's default is.
            Dialect::Postgres => "SET synchronous_commit = on",
            // The same; and other connections may read meanwhile.
            Dialect::Sqlite => "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
        }
    }

    /// Translates `sql` for this database.
    pub fn sql(self, sql: &str) -> String {
        let (bytewise, decimal, sum) = match self {
            Dialect::Postgres => ("COLLATE \"C\"", "NUMERIC", "balances.balance + excluded.balance"),
            Dialect::Sqlite => ("COLLATE BINARY", "TEXT", "excluded.balance"),
        };
        sql.replace("{bytewise}", bytewise)
            .replace("{decimal}", decimal)
            .replace("{sum}", sum)
    }
}
