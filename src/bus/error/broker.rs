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
    /// Brokers that accepted this client before do not accept it any more.
    #[error(
        "cannot {action} now: the brokers at {brokers} do not accept this client any more: {why}; correct its sasl.* and ssl.* properties in [kafka.properties] \
         or the brokers, and restart softstake if the properties changed; trying again"
    )]
    Unauthenticated {
        action: String,
        /// As configured.
        brokers: String,
        why: String,
    },
    /// No broker has accepted this client, and waiting does not help.
    #[error("no broker accepts this client: {why}")]
    Refused {
        /// Each broker, its reason, and the remedy.
        why: String,
    },
    /// The client cannot be made from its settings.
    #[error("cannot make a Kafka client: {why}; correct [kafka.properties] or [kafka.files]")]
    Misconfigured { why: String },
    /// Nothing has come for as long as the command waits.
    #[error("gave up after {seconds} s without progress: cannot {action}: {why}")]
    GaveUp { action: String, why: String, seconds: u64 },
    /// Kafka rejected the request, and waiting does not help.
    #[error("cannot {action}: {why}")]
    Rejected { action: String, why: String },
}

impl BrokerError {
    /// Whether the configuration is wrong: of this client, or of the brokers.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Misconfigured { .. })
    }

    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::Unavailable { .. } | Self::Unauthorised { .. } | Self::Unauthenticated { .. } => Reaction::TryAgain,
            Self::Refused { .. } => Reaction::EndProcess,
            Self::Rejected { .. } | Self::Misconfigured { .. } | Self::GaveUp { .. } => Reaction::StopTask,
        }
    }
}
