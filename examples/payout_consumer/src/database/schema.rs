//! The tables, and the differences between the two databases.

use super::Failure;

/// All tables. [`Dialect::sql`] replaces the parts in braces.
pub const SCHEMA: &str = "
-- The next offset of each partition. It moves in the transaction that stores the records.
CREATE TABLE IF NOT EXISTS offsets (
    topic TEXT NOT NULL, partition_number BIGINT NOT NULL, next_offset BIGINT NOT NULL,
    PRIMARY KEY (topic, partition_number)
);
-- The records read. Bucket and account give the order of the Merkle leaves. Amounts are of the reward asset, here and below.
CREATE TABLE IF NOT EXISTS distributions (
    id TEXT {bytewise} PRIMARY KEY, asset TEXT NOT NULL, epoch BIGINT NOT NULL, bucket BIGINT NOT NULL,
    account TEXT {bytewise} NOT NULL, reward_asset TEXT NOT NULL, amount {decimal} NOT NULL
);
CREATE INDEX IF NOT EXISTS distributions_as_leaves ON distributions (asset, epoch, bucket, account);
-- waiting: not judged yet. held: judged wrong, see the reason; nothing is credited.
-- paying: judged right, being credited. paid: all are credited.
CREATE TABLE IF NOT EXISTS seals (
    asset TEXT NOT NULL, epoch BIGINT NOT NULL, reward_asset TEXT NOT NULL, distributions BIGINT NOT NULL,
    distributed {decimal} NOT NULL, root TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('waiting', 'held', 'paying', 'paid')),
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
    distribution TEXT {bytewise} PRIMARY KEY REFERENCES distributions (id), reward_asset TEXT NOT NULL,
    account TEXT {bytewise} NOT NULL, amount {decimal} NOT NULL,
    credited_at {timestamp} NOT NULL
);
-- The executions of credits that are not known to be on their topic yet. A row is added in the transaction of its credit.
CREATE TABLE IF NOT EXISTS outbox (number BIGINT PRIMARY KEY, distribution TEXT NOT NULL, event TEXT NOT NULL);
-- One row. The last execution that was added to the outbox, that may be on the topic, and that is known to be there.
CREATE TABLE IF NOT EXISTS publisher (
    one_row BIGINT PRIMARY KEY CHECK (one_row = 1), database_id TEXT NOT NULL,
    added BIGINT NOT NULL, attempted BIGINT NOT NULL, published BIGINT NOT NULL
);
INSERT INTO publisher VALUES (1, {random}, 0, 0, 0) ON CONFLICT DO NOTHING;
-- The sum of an account's credits in a reward asset. It changes in the transaction that adds the credit.
CREATE TABLE IF NOT EXISTS balances (
    reward_asset TEXT NOT NULL, account TEXT {bytewise} NOT NULL, balance {decimal} NOT NULL,
    PRIMARY KEY (reward_asset, account)
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
        let words = match self {
            Dialect::Postgres => [
                ("{bytewise}", "COLLATE \"C\""),
                ("{decimal}", "NUMERIC"),
                ("{timestamp}", "TIMESTAMP WITH TIME ZONE"),
                ("{sum}", "balances.balance + excluded.balance"),
                (
                    "{now}",
                    "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
                ),
                ("{random}", "replace(CAST(gen_random_uuid() AS TEXT), '-', '')"),
            ],
            Dialect::Sqlite => [
                ("{bytewise}", "COLLATE BINARY"),
                ("{decimal}", "TEXT"),
                ("{timestamp}", "TEXT"),
                ("{sum}", "excluded.balance"),
                ("{now}", "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"),
                ("{random}", "lower(hex(randomblob(16)))"),
            ],
        };
        words
            .iter()
            .fold(sql.to_owned(), |sql, (word, meant)| sql.replace(word, meant))
    }
}
