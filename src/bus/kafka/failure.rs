//! The errors of librdkafka, in words that an operator can act on.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::bus::error::BrokerError;
use crate::bus::kafka::reasons::{Reason, Reasons, join};

/// A request to the brokers, for its error message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt<'a> {
    /// A verb phrase: `read exchange.trades:3`.
    pub action: String,
    /// The brokers, as configured.
    pub brokers: &'a str,
    /// The access that the request needs, as arguments of `kafka-acls.sh --add`.
    pub needs: String,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(action: impl Into<String>, brokers: &'a str, needs: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            brokers,
            needs: needs.into(),
        }
    }

    /// The error of this request, with the reasons of the brokers.
    pub(super) fn failed_after(&self, error: &KafkaError, reasons: &Reasons) -> BrokerError {
        let failed = self.failed(error);
        let lately = reasons.lately();
        // The request to the group's coordinator only times out; its client is told why.
        let mut codes = lately.iter().filter_map(|(_, reason)| reason.code);
        let is_refused = self.needs.contains("--group") && codes.any(|code| code == Code::GroupAuthorizationFailed);
        if is_refused && matches!(failed, BrokerError::Unavailable { .. }) {
            return self.failed(&KafkaError::Global(Code::GroupAuthorizationFailed));
        }
        match failed {
            BrokerError::Unavailable { action, why } | BrokerError::Unauthenticated { action, why, .. }
                if !lately.is_empty() =>
            {
                let why = format!("{why}: {}", join(&lately));
                let brokers = self.brokers.to_owned();
                match lately.iter().any(|(_, reason)| is_refusal(reason)) {
                    true => BrokerError::Unauthenticated { action, brokers, why },
                    false => BrokerError::Unavailable { action, why },
                }
            }
            failed => failed,
        }
    }

    /// The error of this request.
    pub(super) fn failed(&self, error: &KafkaError) -> BrokerError {
        let why = text(error);
        let Some(code) = code(error) else {
            return match error {
                KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => BrokerError::Misconfigured { why },
                _ => self.rejected(why),
            };
        };
        match code {
            code if is_authorisation(code) => BrokerError::Unauthorised {
                action: self.action.clone(),
                why,
                grant: format!("kafka-acls.sh --add --allow-principal User:… {}", self.needs),
            },
            code if is_authentication(code) => BrokerError::Unauthenticated {
                action: self.action.clone(),
                brokers: self.brokers.to_owned(),
                why,
            },
            code if is_transient(code) => self.unavailable(why),
            _ => self.rejected(why),
        }
    }

    pub(super) fn unavailable(&self, why: impl Into<String>) -> BrokerError {
        BrokerError::Unavailable {
            action: self.action.clone(),
            why: why.into(),
        }
    }

    pub(super) fn rejected(&self, why: impl Into<String>) -> BrokerError {
        BrokerError::Rejected {
            action: self.action.clone(),
            why: why.into(),
        }
    }
}

/// The text of an error. It never holds the value of a property, which may be a secret.
pub(super) fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, name, _) if crate::bus::kafka::settings::is_secret(name) => {
            // Some messages of librdkafka hold the value.
            let why = if why.contains("No such configuration property") {
                "there is no such property"
            } else {
                "its value is not valid"
            };
            format!("kafka property {name}: {why}")
        }
        KafkaError::ClientConfig(_, why, name, _) => format!("kafka property {name}: {why}"),
        KafkaError::ClientCreation(why) => why.clone(),
        error => match code(error) {
            Some(code) => format!("{code}"),
            None => error.to_string(),
        },
    }
}

/// The code of an error.
fn code(error: &KafkaError) -> Option<Code> {
    match error {
        // rdkafka leaves it out of `rdkafka_error_code`.
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

/// Whether a broker has refused this client, or this client has refused the broker's certificate.
fn is_refusal(reason: &Reason) -> bool {
    matches!(
        reason.code,
        Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL | Code::UnsupportedSASLMechanism)
    )
}

/// Whether an access control entry is missing.
pub(super) const fn is_authorisation(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// Whether a connection to a broker failed. The client connects again by itself.
pub(super) const fn is_connection(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::OperationTimedOut
    )
}

/// Whether the brokers do not accept this client.
pub(super) const fn is_authentication(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL | Code::UnsupportedSASLMechanism
    )
}

/// Whether the error passes by itself: a broker is away, a leader moves, a coordinator loads, a rebalance is in progress.
pub(super) const fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Retry
            | Code::Outdated
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::ThrottlingQuotaExceeded
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::AssignmentLost
            | Code::DestroyBroker
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::error::Reaction;
    use rdkafka::config::RDKafkaLogLevel;

    #[test]
    fn each_class_of_error_has_its_reaction() {
        let attempt = Attempt::new(
            "read exchange.trades:3",
            "b:9092",
            "--operation Read --topic exchange.trades",
        );
        for (code, reaction, part) in [
            (
                Code::TopicAuthorizationFailed,
                Reaction::TryAgain,
                "--operation Read --topic exchange.trades",
            ),
            (Code::Authentication, Reaction::TryAgain, "sasl.*"),
            (Code::AllBrokersDown, Reaction::TryAgain, "trying again"),
            (
                Code::InvalidMessage,
                Reaction::StopTask,
                "cannot read exchange.trades:3",
            ),
        ] {
            let error = attempt.failed(&KafkaError::Global(code));
            assert_eq!(error.reaction(), reaction, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn the_value_of_a_secret_is_in_no_message() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("sasl.pasword", "hush").set_log_level(RDKafkaLogLevel::Info);
        let error = config.create::<rdkafka::consumer::BaseConsumer>().err().unwrap();
        let text = text(&error);
        assert!(text.contains("sasl.pasword") && !text.contains("hush"), "{text}");
    }
}
