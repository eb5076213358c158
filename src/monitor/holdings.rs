//! The path `/holdings`: what the ledger has of an account, for the estimates of `softstake serve`. Only who shows the token is told.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::core::values::account::AccountName;
use crate::deployment::holdings::LedgerHoldings;
use crate::monitor::monitored::Monitored;
use crate::monitor::routes::Process;
use crate::task::TaskError;

/// The shortest token, in bytes. Shorter ones can be guessed.
const TOKEN_BYTES: usize = 16;
/// The largest file with a token, in bytes.
const FILE_BYTES: u64 = 4096;
/// The most assets that one request looks through.
const MAX_ASSETS: u16 = 4096;

/// The token of those who may ask for holdings.
pub struct HoldingsAccess {
    token: Vec<u8>,
    /// One look at a time, so that many askers do not take the disk from the tasks.
    turns: Semaphore,
}

impl std::fmt::Debug for HoldingsAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HoldingsAccess(…)")
    }
}

impl HoldingsAccess {
    /// Reads the token from a file. White space around it does not count.
    ///
    /// # Errors
    /// If there is no usable token in the file. It is a predicate: it makes a sentence after the name of the setting.
    pub fn from_file(file: &Path) -> Result<Self, String> {
        let named = |what: &str| format!("is {}, {what}", file.display());
        let size = fs::metadata(file).map_err(|error| named(&format!("which cannot be read: {error}")))?;
        if !size.is_file() || size.len() > FILE_BYTES {
            return Err(named(
                "which is no small file: name a file that has a token and nothing else",
            ));
        }
        let text = fs::read_to_string(file).map_err(|error| named(&format!("which cannot be read: {error}")))?;
        let token = text.trim();
        if token.len() < TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(named(&format!(
                "which has no token of at least {TOKEN_BYTES} printable characters: make one with `openssl rand -hex 32`"
            )));
        }
        Ok(Self {
            token: token.as_bytes().to_owned(),
            turns: Semaphore::new(1),
        })
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        shown
            .and_then(|value| value.strip_prefix(b"Bearer "))
            .is_some_and(|shown| shown.len() == self.token.len() && openssl::memcmp::eq(shown, &self.token))
    }
}

/// What is asked for.
struct Question {
    account: AccountName<'static>,
    assets: u16,
}

impl Question {
    fn parse(query: Option<&str>) -> Result<Self, String> {
        let (mut account, mut assets) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "account" if account.is_none() => account = Some(value.into_owned()),
                "assets" if assets.is_none() => assets = Some(value.into_owned()),
                _ => {
                    return Err(format!(
                        "`{name}` is unknown or twice: there are `account` and `assets`"
                    ));
                }
            }
        }
        let account = account.ok_or("`account` is missing")?;
        let account = AccountName::new(account).map_err(|error| format!("`account`: {error}"))?;
        let assets = assets.and_then(|assets| assets.parse().ok());
        let assets = assets.filter(|assets| (1..=MAX_ASSETS).contains(assets));
        Ok(Self {
            account,
            assets: assets.ok_or(format!("`assets` must be a whole number from 1 to {MAX_ASSETS}"))?,
        })
    }
}

/// Answers `GET /holdings?account=NAME&assets=N`: of the assets numbered below N.
pub(super) async fn holdings(State(process): Process, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let Some(access) = &process.holdings else {
        let error = "holdings are not shown: `monitor.token_file` is not set";
        return refuse(StatusCode::NOT_FOUND, error);
    };
    if !access.accepts(&headers) {
        let mut answer = refuse(
            StatusCode::UNAUTHORIZED,
            "show the token of `monitor.token_file` in the header Authorization, after `Bearer `",
        );
        let scheme = header::HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        return answer;
    }
    let question = match Question::parse(query.as_deref()) {
        Ok(question) => question,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    let Ok(_turn) = access.turns.acquire().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let looked = Arc::clone(&process);
    match tokio::task::spawn_blocking(move || look(&looked, &question)).await {
        Ok(Ok(Some(holdings))) => {
            let no_store = (header::CACHE_CONTROL, "no-store");
            let json = (header::CONTENT_TYPE, "application/json");
            match serde_json::to_string(&holdings) {
                Ok(text) => ([json, no_store], text + "\n").into_response(),
                Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
        Ok(Ok(None)) => refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "no task of this instance has the ledger partition of the account: ask the others",
        ),
        // The error names a store, never the account.
        Ok(Err(error)) => {
            tracing::warn!("cannot look up the holdings of an account: {error}");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the store cannot be read; the log says why",
            )
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn look(process: &Monitored, question: &Question) -> Result<Option<LedgerHoldings>, TaskError> {
    match process.observed.run().and_then(|run| run.ledger) {
        Some(ledger) => ledger.read(&question.account, question.assets),
        None => Ok(None),
    }
}

fn refuse(code: StatusCode, error: &str) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (code, json, json!({ "error": error }).to_string() + "\n").into_response()
}
