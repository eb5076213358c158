//! A bearer token: a JWT that is signed (RFC 7519, 7515). It is read only as far as its signature and its times allow.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::core::values::account::AccountName;
use crate::serve::auth::rights::Role;
use crate::serve::auth::verifying_key::{TokenAlgorithm, VerifyingKey};

/// The longest token, in bytes.
const MOST_BYTES: usize = 8 << 10;
/// The longest subject, in bytes. It is in each line of the audit log.
const MOST_SUBJECT_BYTES: usize = 256;
/// How far the clocks of the issuer and of this machine may be apart.
const LEEWAY_SECONDS: f64 = 30.0;
/// The end of year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// What tokens must say of themselves.
#[derive(Debug, Clone, Default)]
pub struct TokenRules {
    /// The issuer, `iss`. Without it, any.
    pub issuer: Option<String>,
    /// One of the audiences, `aud`. Without it, any.
    pub audience: Option<String>,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("there is none")]
    Missing,
    #[error("the request has more than one header Authorization")]
    Several,
    #[error("it is no signed JWT")]
    Malformed,
    #[error("it is longer than any token here")]
    TooLong,
    #[error("it is signed by an algorithm that is not allowed")]
    Algorithm,
    #[error("it has a header that must be understood and is not")]
    Critical,
    #[error("it is of a key that is not known")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its claims cannot be read")]
    Claims,
    #[error("it has no end (`exp`)")]
    NoEnd,
    #[error("it has ended")]
    Ended,
    #[error("it is not valid yet")]
    NotYet,
    #[error("its issuer is not the one that is trusted")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it has no subject (`sub`), or a very long one")]
    Subject,
    #[error("its `account` is no name of an account")]
    Account,
}

impl TokenError {
    pub(super) const ALL: [Self; 16] = [
        Self::Missing,
        Self::Several,
        Self::Malformed,
        Self::TooLong,
        Self::Algorithm,
        Self::Critical,
        Self::UnknownKey,
        Self::Signature,
        Self::Claims,
        Self::NoEnd,
        Self::Ended,
        Self::NotYet,
        Self::Issuer,
        Self::Audience,
        Self::Subject,
        Self::Account,
    ];

    /// Its name in metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Several => "several",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::NoEnd => "no_end",
            Self::Ended => "ended",
            Self::NotYet => "not_yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Subject => "subject",
            Self::Account => "account",
        }
    }
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TokenHolder {
    pub subject: String,
    pub account: Option<AccountName<'static>>,
    pub roles: Vec<Role>,
    pub ends_second: i64,
}

#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<OneOrMany>,
    scope: Option<String>,
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Verifies a token at a time, in seconds since 1970.
pub(super) fn verify(
    token: &str,
    keys: &[VerifyingKey],
    rules: &TokenRules,
    now: f64,
) -> Result<TokenHolder, TokenError> {
    if token.len() > MOST_BYTES {
        return Err(TokenError::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    if payload.contains('.') {
        return Err(TokenError::Malformed);
    }
    let header: TokenHeader = decode(header).ok_or(TokenError::Malformed)?;
    let algorithm = TokenAlgorithm::of(&header.alg).ok_or(TokenError::Algorithm)?;
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let mut suitable = keys
        .iter()
        .filter(|key| key.suits(algorithm, header.kid.as_deref()))
        .peekable();
    if suitable.peek().is_none() {
        return Err(TokenError::UnknownKey);
    }
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
    if !suitable.any(|key| key.verifies(algorithm, message.as_bytes(), &signature)) {
        return Err(TokenError::Signature);
    }
    // Only now is anything of it believed.
    let claims: Claims = decode(payload).ok_or(TokenError::Claims)?;
    judge(claims, rules, now)
}

fn decode<T: for<'a> Deserialize<'a>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn judge(claims: Claims, rules: &TokenRules, now: f64) -> Result<TokenHolder, TokenError> {
    let ends = claims.exp.ok_or(TokenError::NoEnd)?;
    if !(0.0..=LAST_SECOND).contains(&ends) {
        return Err(TokenError::Claims);
    }
    if now >= ends + LEEWAY_SECONDS {
        return Err(TokenError::Ended);
    }
    if claims.nbf.is_some_and(|begins| now + LEEWAY_SECONDS < begins) {
        return Err(TokenError::NotYet);
    }
    if rules.issuer.is_some() && claims.iss != rules.issuer {
        return Err(TokenError::Issuer);
    }
    if let Some(audience) = &rules.audience {
        let is_meant = match &claims.aud {
            None => false,
            Some(OneOrMany::One(one)) => one == audience,
            Some(OneOrMany::Many(many)) => many.contains(audience),
        };
        if !is_meant {
            return Err(TokenError::Audience);
        }
    }
    let subject = claims
        .sub
        .filter(|subject| (1..=MOST_SUBJECT_BYTES).contains(&subject.len()))
        .ok_or(TokenError::Subject)?;
    let account = match claims.account {
        None => None,
        Some(name) => Some(AccountName::new(name).map_err(|_| TokenError::Account)?),
    };
    let scope = claims.scope.unwrap_or_default();
    Ok(TokenHolder {
        subject,
        account,
        roles: scope.split(' ').filter_map(Role::of_scope).collect(),
        // From 0 to the year 9999.
        #[allow(clippy::cast_possible_truncation)]
        ends_second: ends as i64,
    })
}

#[cfg(test)]
mod tests;
