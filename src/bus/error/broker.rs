use crate::bus::error::reaction::Reaction;

/// An error of a request to Kafka brokers.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The brokers cannot be reached now. The request succeeds once they can.
    #[error("cannot {action} now: {why}; trying again")]
    Unavailable { action: String, why: String },
    /// An access control entry is missing.
    #[error("not allowed to {action}: {why}; grant it with: {grant}")]
    Unauthorised {
        action: String,
        why: String,
        /// The missing entry, as a `kafka-acls.sh` command.
        grant: String,
    },
    /// The brokers do not accept this client's credentials.
    #[error(
        "the brokers at {brokers} rejected this client: {why}; correct the sasl.* and ssl.* properties of [kafka.properties]"
    )]
    Unauthenticated { brokers: String, why: String },
    /// Kafka rejected the request, and waiting does not help.
    #[error("cannot {action}: {why}")]
    Rejected { action: String, why: String },
}

impl BrokerError {
    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::Unavailable { .. } | Self::Unauthorised { .. } => Reaction::TryAgain,
            Self::Unauthenticated { .. } => Reaction::EndProcess,
            Self::Rejected { .. } => Reaction::StopTask,
        }
    }
}
