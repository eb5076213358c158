use crate::bus::error::broker::BrokerError;
use crate::bus::error::reaction::Reaction;

/// Why a process is no longer part of its deployment.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    #[error(
        "another process works as instance {instance} of deployment {deployment} and has replaced this one: give each instance its own \
         `kafka.instance`, and each deployment its own `kafka.deployment`"
    )]
    Replaced { instance: String, deployment: String },
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl MembershipError {
    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        match self {
            Self::Replaced { .. } => Reaction::EndProcess,
            Self::Broker(error) => error.reaction(),
        }
    }
}
