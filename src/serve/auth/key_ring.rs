//! The keys of tokens: from a file, or from the address at which an issuer publishes them.

use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use reqwest::{Client, Url, redirect};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::serve::auth::verifying_key::{VerifyingKey, read_keys};

/// The largest file or answer with keys, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// How long the issuer may take.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// A token of an unknown key asks the issuer again at most this often.
const FETCH_EVERY: Duration = Duration::from_secs(60);
/// Keys are fetched again after this time, so that one which the issuer has withdrawn is not trusted for ever.
const FRESH_FOR: Duration = Duration::from_secs(600);

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

    /// Asks an issuer. The error names its address.
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
        };
        let keys = issuer.fetch().await.map_err(named)?;
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            issuer: Some(issuer),
        })
    }

    pub(super) fn keys(&self) -> Arc<Vec<VerifyingKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the issuer again, unless it was asked within the last minute. Returns whether the keys may be others now.
    pub(super) async fn renew(&self) -> bool {
        let Some(issuer) = &self.issuer else { return false };
        let before = self.keys();
        let mut asked = issuer.asked.lock().await;
        if asked.elapsed() >= FETCH_EVERY {
            *asked = Instant::now();
            match issuer.fetch().await {
                Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
                Err(what) => {
                    tracing::warn!(
                        "the keys of tokens cannot be fetched from {}: {what}; those known are kept",
                        issuer.address
                    );
                }
            }
        }
        !Arc::ptr_eq(&before, &self.keys())
    }

    /// Whether the keys are old. One caller at a time is told so.
    pub(super) fn is_stale(&self) -> bool {
        let asked = self.issuer.as_ref().and_then(|issuer| issuer.asked.try_lock().ok());
        asked.is_some_and(|asked| asked.elapsed() >= FRESH_FOR)
    }
}

impl Issuer {
    async fn fetch(&self) -> Result<Vec<VerifyingKey>, String> {
        let in_words = |error: reqwest::Error| match error.is_timeout() {
            true => format!("no answer within {} s", FETCH_WITHIN.as_secs()),
            false => error.without_url().to_string(),
        };
        let mut response = self.client.get(self.address.clone()).send().await.map_err(in_words)?;
        if response.status() != 200 {
            return Err(format!("it answered with status {}", response.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(in_words)? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST_BYTES {
                return Err(format!("its answer has more than {MOST_BYTES} bytes"));
            }
        }
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err("its answer is no JSON".into());
        }
        read_keys(&text)
    }
}
