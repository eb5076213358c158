//! What librdkafka says, in words an operator can act on.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::bus::error::BusError;

/// What was being done, for messages and for the access it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt<'a> {
    /// In words: `read exchange.trades:3`.
    pub action: String,
    /// The brokers, as configured.
    pub brokers: &'a str,
    /// The access it needs, as `kafka-acls.sh --add` takes it.
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

    /// The error of the attempt that failed like this.
    pub(super) fn failed(&self, error: &KafkaError) -> BusError {
        let why = text(error);
        let Some(code) = error.rdkafka_error_code() else {
            return self.refused(why);
        };
        match code {
            code if is_authorisation(code) => BusError::Unauthorised {
                action: self.action.clone(),
                why,
                grant: format!("kafka-acls.sh --add --allow-principal User:… {}", self.needs),
            },
            Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL | Code::UnsupportedSASLMechanism => {
                BusError::Unauthenticated {
                    brokers: self.brokers.to_owned(),
                    why,
                }
            }
            code if is_passing(code) => self.unavailable(why),
            _ => self.refused(why),
        }
    }

    pub(super) fn unavailable(&self, why: impl Into<String>) -> BusError {
        BusError::Unavailable {
            action: self.action.clone(),
            why: why.into(),
        }
    }

    pub(super) fn refused(&self, why: impl Into<String>) -> BusError {
        BusError::Kafka {
            action: self.action.clone(),
            why: why.into(),
        }
    }
}

/// What an error says. Of a property, never its value, which may be a secret.
pub(super) fn text(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, name, _) if crate::bus::kafka::settings::is_secret(name) => {
            // librdkafka repeats the value in some of its messages.
            let why = if why.contains("No such configuration property") {
                "there is no such property"
            } else {
                "its value cannot be"
            };
            format!("kafka property {name}: {why}")
        }
        KafkaError::ClientConfig(_, why, name, _) => format!("kafka property {name}: {why}"),
        error => match error.rdkafka_error_code() {
            Some(code) => format!("{code}"),
            None => error.to_string(),
        },
    }
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

/// Whether waiting helps: a broker is away, a leader moves, a coordinator loads, a rebalance is under way.
pub(super) const fn is_passing(code: Code) -> bool {
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
    fn each_kind_of_failure_has_its_reaction() {
        let attempt = Attempt::new(
            "read exchange.trades:3",
            "b:9092",
            "--operation Read --topic exchange.trades",
        );
        for (code, reaction, says) in [
            (
                Code::TopicAuthorizationFailed,
                Reaction::TryAgain,
                "--operation Read --topic exchange.trades",
            ),
            (Code::Authentication, Reaction::EndProcess, "sasl.*"),
            (Code::AllBrokersDown, Reaction::TryAgain, "trying again"),
            (
                Code::InvalidMessage,
                Reaction::StopTask,
                "cannot read exchange.trades:3",
            ),
        ] {
            let error = attempt.failed(&KafkaError::Global(code));
            assert_eq!(error.reaction(), reaction, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn the_value_of_a_secret_is_in_no_message() {
        let mut config = rdkafka::ClientConfig::new();
        config.set("sasl.pasword", "hush").set_log_level(RDKafkaLogLevel::Info);
        let error = config.create::<rdkafka::consumer::BaseConsumer>().err().unwrap();
        let said = text(&error);
        assert!(said.contains("sasl.pasword") && !said.contains("hush"), "{said}");
    }
}
