//! What the commands that replay a log have in common.

use crate::audit::error::AuditError;
use crate::audit::replay::ReplayResources;
use crate::cli::outcome::Failure;
use crate::config::Config;

/// Ledger partitions of a replay. They influence no result.
const PARTITIONS: u32 = 8;

pub(super) fn resources(config: &Config) -> ReplayResources {
    ReplayResources {
        partitions: PARTITIONS,
        threads: config.threads,
        cache_bytes: config.cache_bytes(),
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Open(error) => error.into(),
            AuditError::Deployment(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}
