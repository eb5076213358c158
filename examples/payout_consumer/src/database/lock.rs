//! The lock that allows one instance per database.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use sqlx::AnyConnection;

use super::Failure;

/// The key of PostgreSQL's advisory lock. No other program may use the same key in this database.
const KEY: i64 = 0x736f_6674_7061_796f;

/// How long to wait for the lock of a killed instance: PostgreSQL has to detect first that its connection is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lock.
#[derive(Debug)]
pub enum Lock {
    /// Held by the connection while it is open.
    Connection,
    /// A locked file beside the database. The operating system releases it when the process ends.
    File(#[expect(dead_code, reason = "it is held, not used")] File),
}

impl Lock {
    /// Locks the SQLite database at `url`.
    ///
    /// # Errors
    /// If another instance has it.
    pub fn file(url: &str) -> Result<Lock, Failure> {
        let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
        let path = format!("{}.lock", path.split('?').next().unwrap_or(path));
        let wrong = |error| Failure::Stop(format!("the database: {path}: {error}"));
        let file = File::create(&path).map_err(wrong)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock::File(file)),
            Err(TryLockError::WouldBlock) => Err(Failure::Taken),
            Err(TryLockError::Error(error)) => Err(wrong(error)),
        }
    }

    /// Locks the PostgreSQL database behind a connection.
    ///
    /// # Errors
    /// If another instance has it, or the database's encoding is not UTF-8.
    pub async fn postgres(connection: &mut AnyConnection) -> Result<Lock, Failure> {
        let began = Instant::now();
        let lock = "SELECT pg_try_advisory_lock($1)";
        while !sqlx::query_scalar(lock).bind(KEY).fetch_one(&mut *connection).await? {
            if began.elapsed() > PATIENCE {
                return Err(Failure::Taken);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let encoding = "SELECT current_setting('server_encoding')";
        let encoding: String = sqlx::query_scalar(encoding).fetch_one(&mut *connection).await?;
        match encoding.as_str() {
            "UTF8" => Ok(Lock::Connection),
            _ => Err(Failure::Stop(format!(
                "the database's encoding has to be UTF8, not {encoding}"
            ))),
        }
    }
}
