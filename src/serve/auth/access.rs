//! Finds out who asks, and refuses who may not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue, header};

use crate::core::values::time::TimeMs;
use crate::serve::answer::{Problem, ProblemKind};
use crate::serve::auth::caller::{AskedFrom, Caller};
use crate::serve::auth::key_ring::{IssuerFigures, KeyRing};
use crate::serve::auth::limiter::Limiter;
use crate::serve::auth::read_audit::ReadAudit;
use crate::serve::auth::token::{TokenError, TokenHolder, TokenRules, verify};

/// Where the keys of tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// PEM, or a set of JWKs.
    File(PathBuf),
    /// The address of a set of JWKs.
    Issuer(String),
}

/// How access is decided.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Without it, everybody who reaches this process sees everything.
    pub keys: Option<KeySource>,
    pub rules: TokenRules,
    /// The file of the audit log.
    pub audit_log: Option<PathBuf>,
    /// Requests per minute of one subject.
    pub requests_per_minute: u64,
    /// Refused tokens per minute of one address.
    pub refusals_per_minute: u64,
}

/// Decides who asks.
#[derive(Debug)]
pub struct AccessCheck {
    ring: Option<KeyRing>,
    rules: TokenRules,
    audit: Option<Arc<ReadAudit>>,
    subjects: Limiter,
    refusals: Limiter,
    counts: RefusalCounts,
}

/// How many requests were refused.
#[derive(Debug, Default)]
struct RefusalCounts {
    /// In the order of [`TokenError::ALL`].
    tokens: [AtomicU64; TokenError::ALL.len()],
    limited_subjects: AtomicU64,
    limited_addresses: AtomicU64,
}

impl RefusalCounts {
    fn refuse(&self, error: TokenError) {
        if let Some(count) = self.tokens.get(error as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl AccessCheck {
    /// Reads or fetches the keys, and opens the audit log.
    ///
    /// # Errors
    /// A sentence that says what is wrong with which of them.
    pub async fn open(settings: AccessSettings) -> Result<Self, String> {
        let ring = match &settings.keys {
            None => None,
            Some(KeySource::File(path)) => Some(KeyRing::of_file(path)?),
            Some(KeySource::Issuer(address)) => Some(KeyRing::of_issuer(address).await?),
        };
        let audit = settings.audit_log.as_deref().map(ReadAudit::open).transpose()?;
        Ok(Self {
            ring,
            rules: settings.rules,
            audit: audit.map(Arc::new),
            subjects: Limiter::new(settings.requests_per_minute),
            refusals: Limiter::new(settings.refusals_per_minute),
            counts: RefusalCounts::default(),
        })
    }

    /// Whether tokens are asked for.
    #[must_use]
    pub fn asks_for_tokens(&self) -> bool {
        self.ring.is_some()
    }

    /// Whether tokens can be verified: an issuer may not have given its keys yet.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        self.ring.as_ref().is_none_or(|ring| ring.has_keys())
    }

    /// How many tokens were refused, by the name of the reason.
    pub fn refused_tokens(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = TokenError::ALL.iter().zip(&self.counts.tokens);
        counts.map(|(error, count)| (error.name(), count.load(Relaxed)))
    }

    /// How many requests were too many: of a subject, and of an address without valid tokens.
    #[must_use]
    pub fn limited(&self) -> (u64, u64) {
        let RefusalCounts {
            limited_subjects,
            limited_addresses,
            ..
        } = &self.counts;
        (limited_subjects.load(Relaxed), limited_addresses.load(Relaxed))
    }

    /// The audit log, if there is one.
    #[must_use]
    pub fn audit(&self) -> Option<&ReadAudit> {
        self.audit.as_deref()
    }

    /// What is known of the issuer of keys, if there is one.
    #[must_use]
    pub fn issuer(&self) -> Option<IssuerFigures> {
        self.ring.as_ref().and_then(KeyRing::issuer_figures)
    }

    /// Fetches the keys of an issuer again and again. It may never end.
    pub async fn keep_keys_fresh(&self) {
        if let Some(ring) = &self.ring {
            ring.keep_fresh().await;
        }
    }

    /// Finds out who asks, by the header of the request.
    ///
    /// # Errors
    /// 401 without a valid token, 429 if there were too many requests, 503 if there are no keys yet.
    pub async fn identify(&self, headers: &HeaderMap, asked: AskedFrom) -> Result<Caller, Problem> {
        let Some(ring) = &self.ring else {
            return Ok(Caller::local(Arc::new(asked), self.audit.clone()));
        };
        let name = address_group(&asked.address);
        self.refusals.look(&name).map_err(|wait| {
            self.counts.limited_addresses.fetch_add(1, Relaxed);
            too_many_refusals(wait)
        })?;
        if !ring.has_keys() {
            return Err(Problem::unavailable(
                "The issuer of tokens has not told its keys yet, so no token can be verified. Try again in a moment. The log of this process says why.",
                5,
            ));
        }
        let held = match bearer(headers) {
            Ok(token) => self.check(ring, token).await,
            Err(error) => Err(error),
        };
        let holder = held.map_err(|error| {
            tracing::debug!("a token is refused: {error}");
            self.counts.refuse(error);
            // The one that is too many is refused like this one, the next is told to wait.
            let _ = self.refusals.take(&name);
            refusal(error)
        })?;
        self.subjects.take(&holder.subject).map_err(|wait| {
            self.counts.limited_subjects.fetch_add(1, Relaxed);
            too_many_requests(wait)
        })?;
        Ok(Caller {
            subject: holder.subject,
            account: holder.account,
            roles: BTreeSet::from_iter(holder.roles),
            expires: Some(TimeMs::from(holder.ends_second.saturating_mul(1_000))),
            audit: self.audit.clone(),
            request: Arc::new(asked),
        })
    }

    async fn check(&self, ring: &KeyRing, token: &str) -> Result<TokenHolder, TokenError> {
        match verify(token, &ring.keys(), &self.rules, now()) {
            Err(TokenError::UnknownKey) if ring.renew().await => verify(token, &ring.keys(), &self.rules, now()),
            verified => verified,
        }
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let first = given.next();
    if given.next().is_some() {
        return Err(TokenError::Several);
    }
    let token = first.and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.filter(|token| !token.is_empty()).ok_or(TokenError::Missing)
}

/// Says that a token has ended, because its holder can get a new one. What else is wrong with it only helps who makes tokens up.
fn refusal(error: TokenError) -> Problem {
    match error {
        TokenError::Missing => unauthorized(
            "Send a token, as `Authorization: Bearer TOKEN`. docs/serve.md says what it must have.",
            None,
        ),
        TokenError::Several => unauthorized(
            "The request has more than one header Authorization.",
            Some("invalid_request"),
        ),
        TokenError::Ended => unauthorized("The token has ended; get a new one.", Some("invalid_token")),
        TokenError::NotYet => unauthorized("The token is not valid yet.", Some("invalid_token")),
        _ => unauthorized(
            "The token is not valid here. The log of this process says why, at level debug.",
            Some("invalid_token"),
        ),
    }
}

/// A refusal as RFC 6750 asks for it.
fn unauthorized(detail: &'static str, error: Option<&'static str>) -> Problem {
    let challenge = match error {
        None => HeaderValue::from_static("Bearer realm=\"softstake\""),
        Some("invalid_request") => HeaderValue::from_static("Bearer realm=\"softstake\", error=\"invalid_request\""),
        Some(_) => HeaderValue::from_static("Bearer realm=\"softstake\", error=\"invalid_token\""),
    };
    Problem::new(ProblemKind::Token, detail).with_header(header::WWW_AUTHENTICATE, challenge)
}

fn too_many_requests(wait: Duration) -> Problem {
    Problem::new(
        ProblemKind::TooMany,
        "The subject of this token asks more often than `serve.requests_per_minute` allows; wait as long as Retry-After says.",
    )
    .retry_after(whole_seconds(wait))
}

fn too_many_refusals(wait: Duration) -> Problem {
    Problem::new(
        ProblemKind::TooMany,
        "Too many requests without a valid token came from this address; wait as long as Retry-After says.",
    )
    .retry_after(whole_seconds(wait))
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(1)
}

/// The name under which an address is counted: its network of 64 bits for IPv6, as one client has all of that.
fn address_group(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_counts_as_its_network() {
        assert_eq!(address_group("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
        assert_eq!(address_group("10.0.0.7"), "10.0.0.7");
        assert_eq!(address_group("::ffff:10.0.0.7"), "::ffff:10.0.0.7");
    }

    #[test]
    fn only_one_bearer_token_is_taken() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers)
                .map(str::to_owned)
                .map_err(|error| refusal(error).detail().to_owned())
        };
        assert_eq!(with(&["Bearer a.b.c"]), Ok("a.b.c".into()));
        assert_eq!(with(&["bearer  a.b.c"]), Ok("a.b.c".into()));
        for refused in [&[][..], &["Basic YTpi"], &["Bearer"], &["Bearer "], &["a.b.c"]] {
            assert!(
                with(refused).is_err_and(|detail| detail.starts_with("Send a token")),
                "{refused:?}"
            );
        }
        assert!(with(&["Bearer a", "Bearer b"]).is_err_and(|detail| detail.contains("more than one")));
    }
}
