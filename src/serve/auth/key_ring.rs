//! The keys of tokens: from a file, or from the address at which an issuer publishes them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::outage::Outage;
use crate::serve::auth::verifying_key::{VerifyingKey, read_keys};

/// The largest file or answer with keys, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// How long the issuer may take.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// A token of an unknown key, or an issuer that did not answer, is a reason to ask again after this time.
const FETCH_EVERY: Duration = Duration::from_secs(60);
/// Keys are fetched again after this time, so that one which the issuer has withdrawn is not trusted for ever.
const FRESH_FOR: Duration = Duration::from_secs(600);
/// Until there are any keys, they are asked for again after this time.
const FIRST_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether the keys are to be fetched again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys in force.
#[derive(Debug)]
pub(super) struct KeyRing {
    keys: RwLock<Arc<Vec<VerifyingKey>>>,
    issuer: Option<Issuer>,
}

/// Where an issuer publishes its keys.
#[derive(Debug)]
struct Issuer {
    client: Client,
    address: Url,
    /// When it was last asked. The request that asks holds it, so that the rest wait for the same answer.
    asked: Mutex<Instant>,
    /// While it gives no keys.
    outage: Outage,
    counts: IssuerCounts,
}

#[derive(Debug)]
struct IssuerCounts {
    /// When it last gave keys, or was to give the first.
    fetched_at: RwLock<Instant>,
    fetched: AtomicU64,
    failed: AtomicU64,
}

/// What is known of the issuer of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerFigures {
    /// How long ago it gave the keys in force; if it has given none, since the start.
    pub keys_age: Duration,
    /// How often it was asked and gave keys.
    pub fetched: u64,
    /// How often it was asked and gave none.
    pub failed: u64,
}

/// Why an issuer gives no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    /// It does not answer now.
    #[error("{0}")]
    Away(String),
    /// It answers, but not with keys: the address is wrong, or what is published there.
    #[error("{0}")]
    Wrong(String),
}

impl KeyRing {
    /// Reads a file. The error names it.
    pub(super) fn of_file(path: &Path) -> Result<Self, String> {
        let named = |what: String| format!("the file of keys {} cannot be used: {what}", path.display());
        let text = fs::read(path).map_err(|error| named(error.to_string()))?;
        if text.len() > MOST_BYTES {
            return Err(named(format!("it has more than {MOST_BYTES} bytes")));
        }
        Ok(Self {
            keys: RwLock::new(Arc::new(read_keys(&text).map_err(named)?)),
            issuer: None,
        })
    }

    /// Asks an issuer. If it does not answer now, there are no keys yet, and [`Self::keep_fresh`] asks again. The error names its address.
    pub(super) async fn of_issuer(address: &str) -> Result<Self, String> {
        let named = |what: String| format!("the keys cannot be fetched from {address}: {what}");
        let address = Url::parse(address).map_err(|error| named(error.to_string()))?;
        let is_local = matches!(address.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if address.scheme() != "https" && !(address.scheme() == "http" && is_local) {
            return Err(named(
                "it must begin with https://, or http:// on this machine, because who can change the answer can make tokens".into(),
            ));
        }
        let client = Client::builder()
            .timeout(FETCH_WITHIN)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| named(error.to_string()))?;
        let issuer = Issuer {
            client,
            address: address.clone(),
            asked: Mutex::new(Instant::now()),
            outage: Outage::default(),
            counts: IssuerCounts {
                fetched_at: RwLock::new(Instant::now()),
                fetched: AtomicU64::new(0),
                failed: AtomicU64::new(0),
            },
        };
        let keys = match issuer.fetch().await {
            Ok(keys) => keys,
            Err(FetchError::Wrong(what)) => return Err(named(what)),
            Err(FetchError::Away(what)) => {
                issuer.outage.begins();
                tracing::warn!(
                    "the keys of tokens cannot be fetched from {}: {what}; until they can, each request with a token is answered with status 503",
                    issuer.address
                );
                Vec::new()
            }
        };
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            issuer: Some(issuer),
        })
    }

    pub(super) fn keys(&self) -> Arc<Vec<VerifyingKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there are keys; an issuer may not have given any yet.
    pub(super) fn has_keys(&self) -> bool {
        !self.keys().is_empty()
    }

    /// Of keys in a file, there is no issuer.
    pub(super) fn issuer_figures(&self) -> Option<IssuerFigures> {
        let counts = &self.issuer.as_ref()?.counts;
        let fetched_at = *counts.fetched_at.read().unwrap_or_else(PoisonError::into_inner);
        Some(IssuerFigures {
            keys_age: fetched_at.elapsed(),
            fetched: counts.fetched.load(Relaxed),
            failed: counts.failed.load(Relaxed),
        })
    }

    /// Fetches the keys of an issuer again and again. It never ends; of a file, there is nothing to do.
    pub(super) async fn keep_fresh(&self) {
        let Some(issuer) = &self.issuer else { return };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let wait = match (self.has_keys(), issuer.outage.is_now()) {
                (false, _) => FIRST_EVERY,
                (true, true) => FETCH_EVERY,
                (true, false) => FRESH_FOR,
            };
            let mut asked = issuer.asked.lock().await;
            if asked.elapsed() >= wait {
                self.fetch(issuer, &mut asked).await;
            }
        }
    }

    /// Asks the issuer again, unless it was asked within the last minute. Returns whether the keys may be others now.
    pub(super) async fn renew(&self) -> bool {
        let Some(issuer) = &self.issuer else { return false };
        let before = self.keys();
        let mut asked = issuer.asked.lock().await;
        if asked.elapsed() >= FETCH_EVERY {
            self.fetch(issuer, &mut asked).await;
        }
        !Arc::ptr_eq(&before, &self.keys())
    }

    async fn fetch(&self, issuer: &Issuer, asked: &mut Instant) {
        *asked = Instant::now();
        match issuer.fetch().await {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                if let Some(lasted) = issuer.outage.ends() {
                    tracing::info!(
                        "the keys of tokens are fetched from {} again after {} s",
                        issuer.address,
                        lasted.as_secs()
                    );
                }
            }
            Err(what) => {
                if issuer.outage.begins() {
                    tracing::warn!(
                        "the keys of tokens cannot be fetched from {}: {what}; those known stay in force, and it is tried again",
                        issuer.address
                    );
                }
            }
        }
    }
}

impl Issuer {
    /// Asks it for its keys.
    async fn fetch(&self) -> Result<Vec<VerifyingKey>, FetchError> {
        let fetched = self.ask().await;
        match &fetched {
            Ok(_) => {
                *self.counts.fetched_at.write().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                self.counts.fetched.fetch_add(1, Relaxed);
            }
            Err(_) => _ = self.counts.failed.fetch_add(1, Relaxed),
        }
        fetched
    }

    async fn ask(&self) -> Result<Vec<VerifyingKey>, FetchError> {
        let away = |error: reqwest::Error| {
            FetchError::Away(match error.is_timeout() {
                true => format!("no answer within {} s", FETCH_WITHIN.as_secs()),
                false => error.without_url().to_string(),
            })
        };
        let mut response = self.client.get(self.address.clone()).send().await.map_err(away)?;
        let status = response.status();
        if status != StatusCode::OK {
            let what = format!("it answered with status {}", status.as_u16());
            let is_busy = status.is_server_error()
                || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
            return Err(if is_busy {
                FetchError::Away(what)
            } else {
                FetchError::Wrong(what)
            });
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST_BYTES {
                let what = format!("its answer has more than {MOST_BYTES} bytes");
                return Err(FetchError::Wrong(what));
            }
        }
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(FetchError::Wrong("its answer is no JSON".into()));
        }
        read_keys(&text).map_err(FetchError::Wrong)
    }
}
