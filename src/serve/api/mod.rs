//! The API under `/v1`: what the view holds, as JSON. Amounts are strings, times RFC 3339 in UTC.

mod accounts;
mod accrued;
mod answers;
mod assets;
mod cursor;
mod explain;
mod figures;
mod openapi;
mod openapi_common;
mod processor;
mod reconciliations;
mod reply;
mod reports;
mod request;
mod session;
mod shared;
mod summary;

use axum::Router;
use axum::routing::get;

pub use openapi::description;
pub use reply::BEHIND;
pub use shared::Api;

/// All paths under `/v1`. Each needs a [`Caller`](crate::serve::auth::Caller) as an extension of the request.
pub fn routes(api: Api) -> Router {
    Router::new()
        .route("/v1/session", get(session::session))
        .route("/v1/sync", get(session::sync))
        .route("/v1/accounts/{account}/distributions", get(accounts::distributions))
        .route("/v1/accounts/{account}/summary", get(summary::summary))
        .route("/v1/accounts/{account}/accrued", get(accrued::accrued))
        .route(
            "/v1/accounts/{account}/distributions/{asset}/{epoch}",
            get(accounts::distribution),
        )
        .route(
            "/v1/accounts/{account}/distributions/{asset}/{epoch}/explanation",
            get(explain::explanation),
        )
        .route(
            "/v1/accounts/{account}/distributions/{asset}/{epoch}/proof",
            get(accounts::proof),
        )
        .route(
            "/v1/accounts/{account}/late-postings",
            get(reports::account_late_postings),
        )
        .route("/v1/assets", get(assets::assets))
        .route("/v1/assets/{asset}", get(assets::asset))
        .route("/v1/assets/{asset}/epochs", get(assets::epochs))
        .route("/v1/assets/{asset}/epochs/{epoch}", get(assets::epoch))
        .route(
            "/v1/assets/{asset}/epochs/{epoch}/distributions",
            get(assets::epoch_distributions),
        )
        .route("/v1/held", get(assets::held))
        .route("/v1/positions", get(assets::positions))
        .route("/v1/treasury/{asset}", get(figures::treasury))
        .route("/v1/finance", get(figures::finance))
        .route("/v1/finance/accrued", get(figures::finance_accrued))
        .route("/v1/reconciliations", get(reconciliations::reconciliations))
        .route("/v1/dead-letters", get(reports::dead_letters))
        .route("/v1/dead-letters/counts", get(reports::dead_letter_counts))
        .route("/v1/late-postings", get(reports::late_postings))
        .route("/v1/late-postings/counts", get(reports::late_posting_counts))
        .route("/v1/processor", get(processor::processor))
        .route("/v1/openapi.json", get(openapi::show))
        .with_state(api)
}
