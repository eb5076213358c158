//! The consumer's database, and queries on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use num_bigint::BigInt;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use crate::common::kafka::wait_for;
use crate::common::postgres::{Postgres, block_on};
use crate::common::records::scaled;

/// A database for the consumer.
pub struct Database {
    pub url: String,
    folder: TempDir,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("payout.db").display());
        Self { url, folder }
    }

    pub fn postgres(server: &Postgres, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            url: server.create(name),
            folder,
        }
    }

    /// The file for the consumer's log.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The rows of a query, with blanks between columns. There are none if the table does not exist yet.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        sqlx::any::install_default_drivers();
        block_on(async {
            let Ok(mut connection) = AnyConnection::connect(&self.url).await else {
                return Vec::new();
            };
            let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
                .fetch_all(&mut connection)
                .await;
            let text = |row: &sqlx::any::AnyRow| {
                let column = |at| match row.try_get::<String, _>(at) {
                    Ok(text) => text,
                    Err(_) => row.get::<i64, _>(at).to_string(),
                };
                (0..row.len()).map(column).collect::<Vec<_>>().join(" ")
            };
            rows.unwrap_or_default().iter().map(text).collect()
        })
    }

    pub fn statuses(&self) -> Vec<String> {
        self.rows("SELECT asset, epoch, status FROM seals ORDER BY asset, epoch")
    }

    pub fn wait_for(&self, asset: &str, epoch: u32, status: &str) {
        let row = format!("{asset} {epoch} {status}");
        wait_for(&row, || self.statuses().contains(&row).then_some(()));
    }

    /// Every balance by asset and account.
    ///
    /// It checks that balances are the sums of their credits, that only sealed epochs are credited, and that paid
    /// epochs are credited completely.
    pub fn balances(&self) -> BTreeMap<String, BigInt> {
        let balances = self.rows("SELECT asset, account, CAST(balance AS TEXT) FROM balances");
        let balances: BTreeMap<String, BigInt> = balances.iter().map(|row| keyed(row)).collect();
        let mut credited = BTreeMap::new();
        for row in self.rows("SELECT asset, account, CAST(amount AS TEXT) FROM credits") {
            let (account, amount) = keyed(&row);
            *credited.entry(account).or_default() += amount;
        }
        assert!(balances == credited, "the balances are not the sums of the credits");
        let early = "SELECT id FROM distributions d JOIN credits c ON c.distribution = d.id
                     LEFT JOIN seals s ON s.asset = d.asset AND s.epoch = d.epoch AND s.status IN ('paying', 'paid')
                     WHERE s.asset IS NULL";
        assert_eq!(
            self.rows(early),
            Vec::<String>::new(),
            "credited without a checked seal"
        );
        let forgotten = "SELECT id FROM seals s JOIN distributions d ON s.asset = d.asset AND s.epoch = d.epoch
                         LEFT JOIN credits c ON c.distribution = d.id AND c.amount = d.amount
                         WHERE s.status = 'paid' AND c.distribution IS NULL";
        assert_eq!(self.rows(forgotten), Vec::<String>::new(), "paid, but not credited");
        balances
    }
}

/// A row of asset, account and amount.
fn keyed(row: &str) -> (String, BigInt) {
    let (key, amount) = row.rsplit_once(' ').expect("an amount");
    (key.to_owned(), scaled(amount))
}
