//! The path `/holdings`: what the ledger has of an account, for the estimates of `softstake serve`. Only who shows the token is told.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::core::values::account::AccountName;
use crate::deployment::holdings::LedgerHoldings;
use crate::monitor::monitored::Monitored;
use crate::task::TaskError;

/// The most assets that one request looks through.
const MAX_ASSETS: u16 = 4096;

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
pub(super) async fn holdings(
    State(process): State<Arc<Monitored>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
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
