//! Which failures of a connection are refusals: what is wrong, and what to do. All others pass by themselves.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::bus::kafka::listener::{Authentication, CertificateFault, Listener};
use crate::bus::kafka::reasons::Reason;
use crate::bus::kafka::settings::KafkaSettings;

/// A broker's decision about this client, or this client's about the broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BrokerRefusal {
    pub(super) why: String,
    pub(super) remedy: String,
}

impl fmt::Display for BrokerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.why, self.remedy)
    }
}

/// Words of librdkafka for a connection that was closed, or that carried something else than Kafka's protocol.
const CLOSED: [&str; 8] = [
    "Disconnected",
    "closed by peer",
    "reset by peer",
    "unexpected eof",
    "Invalid frame size",
    "ApiVersionRequest failed",
    "wrong version number",
    "packet length too long",
];

impl Reason {
    /// Whether it may be a refusal: a broker was there.
    pub(super) fn may_be_refusal(&self) -> bool {
        matches!(
            self.code,
            Some(
                Code::Authentication
                    | Code::SaslAuthenticationFailed
                    | Code::UnsupportedSASLMechanism
                    | Code::IllegalSASLState
                    | Code::SSL
            )
        ) || self.has_any(&CLOSED)
            || is_certificate_alert(&self.text)
    }

    fn has_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }
}

/// The refusal behind the reason of a broker; `None` if the reason passes by itself. `look` is asked where the reason may be one or the other.
pub(super) fn judge(
    reason: &Reason,
    settings: &KafkaSettings,
    look: impl FnOnce() -> Listener,
) -> Option<BrokerRefusal> {
    if !reason.may_be_refusal() {
        return None;
    }
    let text = &reason.text;
    if is_certificate_alert(text) {
        return Some(client_certificate(text, settings));
    }
    match reason.code {
        _ if reason.has_any(&CLOSED) => of_listener(text, settings, look()),
        Some(Code::SSL) => Some(of_listener(text, settings, look()).unwrap_or_else(|| BrokerRefusal {
            why: format!("TLS fails ({text})"),
            remedy: "make the ssl.* properties match the listener of the broker".into(),
        })),
        Some(_) => authentication(text, settings),
        None => None,
    }
}

/// What the broker says about the authentication.
fn authentication(text: &str, settings: &KafkaSettings) -> Option<BrokerRefusal> {
    // The token's server is not a broker, and neither is a lost connection.
    if text.contains("OAUTHBEARER token") || text.contains("failed: Local:") {
        return None;
    }
    let property = |name: &str| value(settings, name);
    if text.contains("Unsupported SASL mechanism") {
        let offered = text
            .rsplit_once("supported mechanisms: ")
            .map_or("", |(_, offered)| offered);
        return Some(BrokerRefusal {
            why: format!("it does not offer the mechanism of sasl.mechanisms, but {offered} ({text})"),
            remedy: "set sasl.mechanisms to one of these".into(),
        });
    }
    if text.contains("not valid in current SASL state") {
        let protocol = property("security.protocol").unwrap_or_default();
        let without = if is_tls(&protocol) { "SSL" } else { "PLAINTEXT" };
        return Some(BrokerRefusal {
            why: format!("its listener has no SASL, but security.protocol is {protocol} ({text})"),
            remedy: format!("set security.protocol to {without}, or name the listener with SASL in kafka.brokers"),
        });
    }
    Some(match property("sasl.username") {
        Some(user) => BrokerRefusal {
            why: format!("it does not accept user {user} with this password ({text})"),
            remedy: "correct sasl.username and sasl.password, or the user on the brokers".into(),
        },
        None => BrokerRefusal {
            why: format!("it does not accept the credentials ({text})"),
            remedy: "correct the sasl.* properties, or the user on the brokers".into(),
        },
    })
}

/// Whether a broker has sent a TLS alert about the certificate of this client.
fn is_certificate_alert(text: &str) -> bool {
    const ABOUT: [&str; 4] = ["certificate", "unknown ca", "access denied", "decrypt error"];
    let alert = text.find("alert ").and_then(|at| text.get(at..));
    alert.is_some_and(|alert| ABOUT.iter().any(|about| alert.contains(about)))
}

fn client_certificate(text: &str, settings: &KafkaSettings) -> BrokerRefusal {
    let is_set = [
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.keystore.location",
    ]
    .iter()
    .any(|name| value(settings, name).is_some());
    if is_set {
        return BrokerRefusal {
            why: format!("it does not accept the certificate of this client ({text})"),
            remedy: "give ssl.certificate.location a certificate that is valid now and signed by a CA that the broker trusts".into(),
        };
    }
    BrokerRefusal {
        why: format!("it asks for a certificate of this client, and none is set ({text})"),
        remedy: "set ssl.certificate.location and ssl.key.location".into(),
    }
}

/// Compares what the listener speaks with what this client speaks.
fn of_listener(text: &str, settings: &KafkaSettings, listener: Listener) -> Option<BrokerRefusal> {
    let protocol = value(settings, "security.protocol").unwrap_or_else(|| "PLAINTEXT".into());
    let (speaks_tls, authentication) = match listener {
        Listener::Unknown => return None,
        Listener::Plain(authentication) => (false, authentication),
        Listener::Tls(authentication) => (true, authentication),
        Listener::Unaccepted(_) if !is_tls(&protocol) => (true, Authentication::Unknown),
        Listener::Unaccepted(unaccepted) => {
            let remedy = match unaccepted.kind {
                CertificateFault::OtherName(names) => format!(
                    "its certificate is for {}: name the broker so in kafka.brokers and in its advertised listeners, or give it a certificate for \
                     the name that is used",
                    if names.is_empty() {
                        "no name".into()
                    } else {
                        names.join(", ")
                    }
                ),
                CertificateFault::OutOfDate => "renew the certificate of the broker, and compare the clocks".into(),
                CertificateFault::Untrusted => {
                    "set ssl.ca.location to the CA that signed the certificate of the broker".into()
                }
            };
            let why = format!("its certificate is not accepted: {} ({text})", unaccepted.why);
            return Some(BrokerRefusal { why, remedy });
        }
    };
    let fits = |sasl: bool| is_tls(&protocol) == speaks_tls && is_sasl(&protocol) == sasl;
    let (asks, right) = match &authentication {
        Authentication::Sasl(_) if fits(true) => return None,
        Authentication::None if fits(false) => return None,
        Authentication::Unknown if is_tls(&protocol) == speaks_tls => return None,
        Authentication::Sasl(offered) => (
            format!(" with SASL authentication ({})", offered.join(", ")),
            if speaks_tls { "SASL_SSL" } else { "SASL_PLAINTEXT" },
        ),
        Authentication::None => (
            " without SASL authentication".into(),
            if speaks_tls { "SSL" } else { "PLAINTEXT" },
        ),
        Authentication::Unknown => (
            String::new(),
            if speaks_tls {
                "SSL or SASL_SSL"
            } else {
                "PLAINTEXT or SASL_PLAINTEXT"
            },
        ),
    };
    let speaks = if speaks_tls { "speaks TLS" } else { "speaks no TLS" };
    Some(BrokerRefusal {
        why: format!("its listener {speaks}{asks}, but security.protocol is {protocol} ({text})"),
        remedy: format!("set security.protocol to {right}, or name another listener in kafka.brokers"),
    })
}

/// The value of a property that is no secret.
fn value(settings: &KafkaSettings, name: &str) -> Option<String> {
    let properties = settings.operator_properties().unwrap_or_default();
    properties.get(name).cloned()
}

fn is_tls(protocol: &str) -> bool {
    protocol.to_ascii_lowercase().ends_with("ssl")
}

fn is_sasl(protocol: &str) -> bool {
    protocol.to_ascii_lowercase().starts_with("sasl_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::kafka::listener::Unaccepted;

    fn settings(properties: &[(&str, &str)]) -> KafkaSettings {
        KafkaSettings {
            properties: properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..KafkaSettings::default()
        }
    }

    fn judged(code: Option<Code>, text: &str, listener: Listener) -> Option<String> {
        let reason = Reason {
            code,
            text: text.into(),
        };
        let settings = settings(&[("security.protocol", "sasl_ssl"), ("sasl.username", "ann")]);
        judge(&reason, &settings, || listener).map(|refusal| refusal.to_string())
    }

    #[test]
    fn what_passes_by_itself_is_no_refusal() {
        let offered = || Authentication::Sasl(vec!["PLAIN".into()]);
        for (code, text, listener) in [
            (
                Some(Code::BrokerTransportFailure),
                "Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                Listener::Unknown,
            ),
            (
                Some(Code::Resolve),
                "Failed to resolve 'nowhere:9092': Name or service not known",
                Listener::Unknown,
            ),
            (
                Some(Code::OperationTimedOut),
                "Connection setup timed out in state CONNECT",
                Listener::Unknown,
            ),
            // A balancer without a broker behind it closes the connection.
            (
                Some(Code::BrokerTransportFailure),
                "SSL handshake failed: Disconnected: connection closed by peer",
                Listener::Unknown,
            ),
            (
                Some(Code::SSL),
                "SSL handshake failed: error:0A000126:SSL routines::unexpected eof while reading",
                Listener::Unknown,
            ),
            // A broker that stops.
            (None, "Disconnected: connection reset by peer", Listener::Tls(offered())),
            (
                Some(Code::Authentication),
                "SASL PLAIN mechanism handshake failed: Local: Broker transport failure: broker's supported mechanisms: (n/a)",
                Listener::Unknown,
            ),
            (
                Some(Code::Authentication),
                "Failed to acquire SASL OAUTHBEARER token: 503",
                Listener::Unknown,
            ),
        ] {
            assert_eq!(judged(code, text, listener), None, "{text}");
        }
    }

    #[test]
    fn a_decision_is_a_refusal_with_its_remedy() {
        let unaccepted = |kind| Listener::Unaccepted(Unaccepted { why: "no".into(), kind });
        let verify = "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed";
        for (code, text, listener, told) in [
            (
                Some(Code::Authentication),
                "SASL authentication error: x",
                Listener::Unknown,
                "user ann with this password",
            ),
            (Some(Code::SSL), verify, Listener::Unknown, "TLS fails"),
            (
                Some(Code::SSL),
                verify,
                unaccepted(CertificateFault::OutOfDate),
                "renew",
            ),
            (
                Some(Code::SSL),
                verify,
                unaccepted(CertificateFault::Untrusted),
                "ssl.ca.location",
            ),
            (
                Some(Code::SSL),
                verify,
                unaccepted(CertificateFault::OtherName(vec!["b".into()])),
                "is for b: name",
            ),
            (
                None,
                "Disconnected",
                Listener::Plain(Authentication::None),
                "set security.protocol to PLAINTEXT",
            ),
            (
                None,
                "Disconnected",
                Listener::Tls(Authentication::None),
                "set security.protocol to SSL,",
            ),
            (
                None,
                "Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert number 116",
                Listener::Unknown,
                "none is set",
            ),
        ] {
            let found = judged(code, text, listener).unwrap();
            assert!(found.contains(told) && found.contains(text), "{found}");
        }
    }
}
