//! Why a run ended.

/// Why a run ended.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database is unreachable, or could not run a transaction now. A new start from its state helps, once it is back.
    #[error("the database does not answer: {0}")]
    Outage(#[source] sqlx::Error),

    /// Another instance runs on this database.
    #[error("another instance runs on this database; only one is allowed")]
    Taken,

    /// A person has to act.
    #[error("{0}")]
    Stop(String),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        let passing = match &error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| match code.len() {
                // PostgreSQL: connections, conflicting transactions, read-only after a failover, resources, shutdown,
                // system errors.
                5 => ["08", "25", "40", "53", "55", "57", "58"]
                    .iter()
                    .any(|class| code.starts_with(class)),
                // SQLite: busy, locked, input and output, full. The higher bytes are details.
                _ => code
                    .parse()
                    .is_ok_and(|code: u32| matches!(code & 0xff, 5 | 6 | 10 | 13)),
            }),
            _ => false,
        };
        if passing {
            Failure::Outage(error)
        } else {
            Failure::Stop(format!("the database: {error}"))
        }
    }
}
