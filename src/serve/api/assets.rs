//! Assets, their programmes and their epochs.

use axum::extract::State;
use axum::response::Response;
use ethnum::I256;

use crate::core::contract::records::Seal;
use crate::core::values::amount::{format_units_wide, parse_signed_units};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::timestamp;
use crate::serve::answer::{Problem, ProblemBody};
use crate::serve::api::accounts::seal_value;
use crate::serve::api::answers::{
    AssetAnswer, AssetWithProgrammesAnswer, DistributionAnswer, EpochAnswer, HeldAnswer, HeldFiguresAnswer,
    ItemsAnswer, ListAnswer, PositionAnswer, ProgrammeAnswer,
};
use crate::serve::api::reply;
use crate::serve::api::request::{ApiRequest, PageRequest};
use crate::serve::api::shared::Api;
use crate::serve::auth::{Caller, Right};
use crate::serve::view::{HeldBack, ListingOnRecord, PublishedState, View, ViewCatalogue, ViewError, ViewPage};

/// All assets that are listed or were
#[utoipa::path(get, path = "/v1/assets", tag = "assets",
    params(
        PageRequest
    ),
    responses(
        (status = 200, description = "A page, by name", body = ListAnswer<AssetAnswer>),
        (status = 400, description = "A parameter is wrong", body = ProblemBody)
    ))]
pub(super) async fn assets(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Shared).await?;
    request.allow(&["limit", "cursor"])?;
    let read = |view: &View, page: &PageRequest| {
        let catalogue = view.catalogue();
        let names = catalogue.assets().into_iter();
        let ViewPage { items, next } = reply::part(names, |asset| asset.as_str().as_bytes().to_vec(), page);
        let newest = items
            .iter()
            .filter_map(|asset| catalogue.listings_of(*asset).next_back());
        let items = newest.map(|(_, listed)| asset_answer(listed)).collect();
        Ok(ViewPage { items, next })
    };
    reply::list::<AssetAnswer, _>(&api, &request, read).await
}

fn asset_answer(listed: &ListingOnRecord) -> AssetAnswer {
    let terms = &listed.terms;
    let programme = listed.programme(listed.oldest_open);
    AssetAnswer {
        asset: terms.asset.to_string(),
        reward_asset: terms.reward_asset().to_string(),
        decimals: terms.decimals,
        reward_decimals: terms.reward_decimals(),
        state: if listed.withdrawn.is_some() {
            "withdrawn"
        } else {
            "listed"
        },
        epoch_seconds: terms.calendar.length_ms() / 1000,
        programme: programme
            .map(|programme| programme.to_value(terms.programme_decimals()))
            .unwrap_or_default(),
        next_epoch: listed.open_epoch().map(Epoch::get),
    }
}

fn unknown_asset(asset: Asset) -> Problem {
    Problem::not_found(format!(
        "{asset} is not listed, and never was. /v1/assets has the names."
    ))
}

/// An asset, with its programmes
#[utoipa::path(get, path = "/v1/assets/{asset}", tag = "assets",
    params(("asset" = String, Path, description = "The asset")),
    responses(
        (status = 200, description = "The asset, as its newest listing has it", body = AssetWithProgrammesAnswer),
        (status = 404, description = "It was never listed", body = ProblemBody)
    ))]
pub(super) async fn asset(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Shared).await?;
    request.allow(&[])?;
    let asset = request.asset()?;
    let catalogue = api.view.catalogue();
    let listed = catalogue.listings_of(asset).next_back();
    let (_, listed) = listed.ok_or_else(|| unknown_asset(asset))?;
    let in_force = listed
        .programme(listed.oldest_open)
        .map(|programme| programme.from_epoch);
    let programmes = listed.programmes.iter().map(|programme| ProgrammeAnswer {
        from_epoch: programme.from_epoch.get(),
        starts: timestamp(listed.terms.calendar.start_ms(programme.from_epoch)),
        state: match in_force {
            Some(from) if programme.from_epoch < from => "past",
            Some(from) if programme.from_epoch == from => "in_force",
            _ => "scheduled",
        },
        programme: programme.to_value(listed.terms.programme_decimals()),
    });
    let answer = AssetWithProgrammesAnswer {
        programmes: programmes.collect(),
        asset: asset_answer(listed),
    };
    reply::json(&api, &request, &answer)
}

/// The epochs of an asset, the newest first, with the number of their listing.
fn all_epochs(catalogue: &ViewCatalogue, asset: Asset) -> impl Iterator<Item = (u16, Epoch)> {
    catalogue.listings_of(asset).rev().flat_map(|(number, listed)| {
        let first = listed.terms.calendar.first().get();
        let end = listed.withdrawn.map_or(u64::MAX, Epoch::get);
        let end = end.min(listed.oldest_open.get().saturating_add(1));
        (first..end).rev().map(move |epoch| (number, Epoch::new(epoch)))
    })
}

fn epoch_key((number, epoch): (u16, Epoch)) -> Vec<u8> {
    [&(!number).to_be_bytes()[..], &(!epoch.get()).to_be_bytes()].concat()
}

/// The epochs of an asset
///
/// The newest first: the open one, then those that are closing, held, void or sealed.
#[utoipa::path(get, path = "/v1/assets/{asset}/epochs", tag = "assets",
    params(
        ("asset" = String, Path, description = "The asset"),
        PageRequest
    ),
    responses(
        (status = 200, description = "A page", body = ListAnswer<EpochAnswer>),
        (status = 404, description = "The asset was never listed", body = ProblemBody)
    ))]
pub(super) async fn epochs(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Shared).await?;
    request.allow(&["limit", "cursor"])?;
    let asset = request.asset()?;
    let sees_held = caller.has(Right::HeldFigures);
    let read = move |view: &View, page: &PageRequest| {
        let catalogue = view.catalogue();
        if catalogue.listings_of(asset).next().is_none() {
            return Err(unknown_asset(asset));
        }
        let ViewPage { items, next } = reply::part(all_epochs(&catalogue, asset), |at| epoch_key(*at), page);
        let answer = |(_, epoch)| epoch_answer(view, &catalogue, asset, epoch, sees_held).transpose();
        let items: Result<Vec<EpochAnswer>, Problem> = items.into_iter().filter_map(answer).collect();
        Ok(ViewPage { items: items?, next })
    };
    reply::list::<EpochAnswer, _>(&api, &request, read).await
}

/// An epoch; `None` if there is none yet.
fn epoch_answer(
    view: &View,
    catalogue: &ViewCatalogue,
    asset: Asset,
    epoch: Epoch,
    sees_held: bool,
) -> Result<Option<EpochAnswer>, Problem> {
    let (Some(state), Some((_, listed))) = (catalogue.state(asset, epoch), catalogue.listing_of(asset, epoch)) else {
        return Ok(None);
    };
    let seal = view.seal(asset, epoch)?;
    let held = listed
        .held(epoch)
        .filter(|_| sees_held && state == PublishedState::Held);
    let waits_for = match state {
        PublishedState::Open | PublishedState::Closing => catalogue.waits_for(asset, epoch),
        _ => None,
    };
    let pool = match &seal {
        Some(seal) => Some(seal.reward_pool.clone().into_owned()),
        None => listed.pool(epoch),
    };
    Ok(Some(EpochAnswer {
        asset: asset.to_string(),
        epoch: epoch.get(),
        start: timestamp(listed.terms.calendar.start_ms(epoch)),
        end: timestamp(listed.terms.calendar.end_ms(epoch)),
        state: state.name(),
        waits_for: waits_for.map(|(earlier, state)| format!("Waits for epoch {earlier}, which is {}.", state.name())),
        pool,
        seal: seal.as_ref().map(seal_value).transpose()?,
        held: held.map(held_figures),
    }))
}

fn held_figures(held: &HeldBack) -> HeldFiguresAnswer {
    HeldFiguresAnswer {
        limit: held.limit.name(),
        largest: held.largest.clone(),
        total: held.total.clone(),
        change: held.change.clone(),
    }
}

fn no_epoch(asset: Asset, epoch: Epoch) -> Problem {
    Problem::not_found(format!(
        "{asset} has no epoch {epoch}, or not yet. /v1/assets/{asset}/epochs lists them."
    ))
}

/// One epoch of an asset
#[utoipa::path(get, path = "/v1/assets/{asset}/epochs/{epoch}", tag = "assets",
    params(
        ("asset" = String, Path, description = "The asset"),
        ("epoch" = u64, Path, description = "The number of the epoch")
    ),
    responses(
        (status = 200, description = "The epoch", body = EpochAnswer),
        (status = 404, description = "There is no such epoch yet", body = ProblemBody)
    ))]
pub(super) async fn epoch(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::Shared).await?;
    request.allow(&[])?;
    let (asset, epoch) = (request.asset()?, request.epoch()?);
    let sees_held = caller.has(Right::HeldFigures);
    let answer = api
        .read(move |view| {
            let found = epoch_answer(view, &view.catalogue(), asset, epoch, sees_held)?;
            found.ok_or_else(|| no_epoch(asset, epoch))
        })
        .await?;
    reply::json(&api, &request, &answer)
}

/// All distributions of an epoch
///
/// In the order of the Merkle tree: by bucket, then by account.
#[utoipa::path(get, path = "/v1/assets/{asset}/epochs/{epoch}/distributions", tag = "assets",
    params(
        ("asset" = String, Path, description = "The asset"),
        ("epoch" = u64, Path, description = "The number of the epoch"),
        PageRequest
    ),
    responses(
        (status = 200, description = "A page", body = ListAnswer<DistributionAnswer>),
        (status = 403, description = "No role of the token may see this", body = ProblemBody),
        (status = 404, description = "There is no such epoch yet", body = ProblemBody)
    ))]
pub(super) async fn epoch_distributions(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::EpochDistributions).await?;
    request.allow(&["limit", "cursor"])?;
    let (asset, epoch) = (request.asset()?, request.epoch()?);
    let read = move |view: &View, page: &PageRequest| {
        if view.catalogue().state(asset, epoch).is_none() {
            return Err(no_epoch(asset, epoch));
        }
        Ok(view.epoch_distributions(asset, epoch, page.after.as_deref(), page.limit)?)
    };
    reply::list::<DistributionAnswer, _>(&api, &request, read).await
}

/// All held epochs
#[utoipa::path(get, path = "/v1/held", tag = "assets",
    responses(
        (status = 200, description = "The epochs that the gate holds now, with their figures", body = ItemsAnswer<HeldAnswer>),
        (status = 403, description = "No role of the token may see this", body = ProblemBody)
    ))]
pub(super) async fn held(State(api): State<Api>, caller: Caller, request: ApiRequest) -> Result<Response, Problem> {
    caller.may(Right::HeldFigures).await?;
    request.allow(&[])?;
    let catalogue = api.view.catalogue();
    let items = catalogue.held().map(|(listed, epoch, held)| HeldAnswer {
        asset: listed.terms.asset.to_string(),
        reward_asset: listed.terms.reward_asset().to_string(),
        epoch: epoch.get(),
        start: timestamp(listed.terms.calendar.start_ms(epoch)),
        end: timestamp(listed.terms.calendar.end_ms(epoch)),
        figures: held_figures(held),
    });
    let answer = ItemsAnswer { items: items.collect() };
    reply::json(&api, &request, &answer)
}

/// The newest seal of each asset
///
/// What is eligible, what to stake, and what is withheld. An asset without a seal is left out.
#[utoipa::path(get, path = "/v1/positions", tag = "treasury",
    responses(
        (status = 200, description = "The newest sealed epoch of each asset", body = ItemsAnswer<PositionAnswer>),
        (status = 403, description = "No role of the token may see this", body = ProblemBody)
    ))]
pub(super) async fn positions(
    State(api): State<Api>,
    caller: Caller,
    request: ApiRequest,
) -> Result<Response, Problem> {
    caller.may(Right::Treasury).await?;
    request.allow(&[])?;
    let items = api
        .read(|view| {
            let catalogue = view.catalogue();
            let mut items = Vec::new();
            for asset in catalogue.assets() {
                let Some(epoch) = catalogue.newest_sealed(asset) else {
                    continue;
                };
                let listed = catalogue.listing_of(asset, epoch);
                if let (Some(seal), Some((_, listed))) = (view.seal(asset, epoch)?, listed) {
                    let open = catalogue.listings_of(asset).next_back();
                    let open = open.and_then(|(_, newest)| newest.open_epoch());
                    items.push(position(&seal, listed, open)?);
                }
            }
            Ok(items)
        })
        .await?;
    reply::json(&api, &request, &ItemsAnswer { items })
}

fn position(seal: &Seal<'_>, listed: &ListingOnRecord, open: Option<Epoch>) -> Result<PositionAnswer, ViewError> {
    let terms = &listed.terms;
    // Unit-milliseconds divided by the length are units, cut to the asset's decimals.
    let counted = parse_signed_units(&seal.eligible_balance_seconds, terms.decimals + 3);
    let average = counted.and_then(|counted| counted.checked_div(I256::from(terms.calendar.length_ms())));
    let average = average.ok_or_else(|| {
        ViewError::Figure(format!(
            "the seal of {} epoch {} has `eligible_balance_seconds` {}, which is no sum of balances",
            seal.asset, seal.epoch, seal.eligible_balance_seconds
        ))
    })?;
    let magnitude = ruint::aliases::U512::from_le_slice(&average.unsigned_abs().to_le_bytes());
    Ok(PositionAnswer {
        asset: seal.asset.to_string(),
        reward_asset: seal.reward_asset.to_string(),
        epoch: seal.epoch.get(),
        epoch_end: seal.epoch_end.clone().into_owned(),
        eligible_average: format_units_wide(average < I256::ZERO, magnitude, u32::from(terms.decimals)),
        closing_balance: seal.closing_balance.clone().into_owned(),
        open_epoch: open.map(Epoch::get),
        withheld: seal.withheld_after.clone().into_owned(),
    })
}
