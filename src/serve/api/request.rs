//! What a request asks for: the parameters of its path and its query, each checked.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::header;
use axum::http::request::Parts;
use url::form_urlencoded;
use utoipa::IntoParams;

use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::period::{TimePeriod, parse_bound};
use crate::core::values::time::TimeMs;
use crate::serve::answer::Problem;
use crate::serve::api::cursor;

/// Items of a page, if `limit` is not given.
const PAGE: usize = 50;
/// The most items of a page.
const LARGEST_PAGE: u32 = 500;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct ApiRequest {
    /// Path and filters, without the part of the list that is asked for.
    list: String,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    /// The answer that the client has.
    pub(super) if_none_match: Option<String>,
}

/// A page of a list, and the parameters that ask for it.
#[derive(Debug, Clone, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageRequest {
    /// Items of a page; default: 50
    #[param(value_type = Option<usize>, required = false, minimum = 1, maximum = 500)]
    pub(super) limit: usize,
    /// `next` of the page before
    #[param(rename = "cursor", value_type = Option<String>, required = false)]
    pub(super) after: Option<Vec<u8>>,
}

impl<S: Send + Sync> FromRequestParts<S> for ApiRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let raw = RawPathParams::from_request_parts(parts, state).await;
        let raw = raw.map_err(|_| Problem::parameter("path", "The path is not UTF-8 in percent-encoding."))?;
        let path = raw
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut query = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            if query.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::parameter(
                    name.to_string(),
                    format!("`{name}` is given twice; give it once"),
                ));
            }
        }
        let mut list = format!("{}?", parts.uri.path());
        for (name, value) in query
            .iter()
            .filter(|(name, _)| !matches!(&name[..], "limit" | "cursor"))
        {
            // Quoted, so that no value passes for another parameter.
            list.push_str(&format!("{name}={value:?}&"));
        }
        let if_none_match = parts.headers.get(header::IF_NONE_MATCH);
        Ok(Self {
            list,
            path,
            query,
            if_none_match: if_none_match.and_then(|value| value.to_str().ok()).map(str::to_owned),
        })
    }
}

impl ApiRequest {
    /// Refuses parameters of the query that the path has not.
    pub(super) fn allow(&self, names: &[&str]) -> Result<(), Problem> {
        match self.query.keys().find(|name| !names.contains(&name.as_str())) {
            None => Ok(()),
            Some(unknown) => {
                let known = match names {
                    [] => "it has none".to_owned(),
                    names => format!("it has `{}`", names.join("`, `")),
                };
                Err(Problem::parameter(
                    unknown.clone(),
                    format!("This path has no parameter `{unknown}`; {known}."),
                ))
            }
        }
    }

    pub(super) fn account(&self) -> Result<AccountName<'static>, Problem> {
        let name = self.path.get("account").cloned().unwrap_or_default();
        AccountName::new(name).map_err(|error| Problem::parameter("account", format!("`account` {error}.")))
    }

    /// The asset in the path.
    pub(super) fn asset(&self) -> Result<Asset, Problem> {
        parse_asset(self.path.get("asset").map_or("", String::as_str))
    }

    /// The epoch in the path.
    pub(super) fn epoch(&self) -> Result<Epoch, Problem> {
        let text = self.path.get("epoch").map_or("", String::as_str);
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number).map(Epoch::new);
        number.ok_or_else(|| {
            Problem::parameter(
                "epoch",
                format!("`epoch` must be the number of an epoch, such as 12, and not {text:?}. /v1/assets/{{asset}}/epochs lists them."),
            )
        })
    }

    /// The asset in the query.
    pub(super) fn asset_filter(&self) -> Result<Option<Asset>, Problem> {
        self.query.get("asset").map(|text| parse_asset(text)).transpose()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A value that must be one of some words.
    pub(super) fn choice<T: Copy>(&self, name: &'static str, choices: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            Problem::parameter(
                name,
                format!("`{name}` must be one of {}, and not {text:?}.", words.join(", ")),
            )
        })
    }

    /// A whole number in a range, both ends included.
    pub(super) fn whole(&self, name: &'static str, least: u32, most: u32) -> Result<Option<u32>, Problem> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text
            .parse()
            .ok()
            .filter(|number| is_number && (least..=most).contains(number));
        number.map(Some).ok_or_else(|| {
            Problem::parameter(
                name,
                format!("`{name}` must be a whole number from {least} to {most}, and not {text:?}."),
            )
        })
    }

    /// `from` and `to`: dates or times. A date is the start of its day in UTC.
    pub(super) fn period(&self) -> Result<TimePeriod, Problem> {
        let (from, to) = (self.time("from")?, self.time("to")?);
        match (from, to) {
            (Some(first), Some(end)) if first >= end => Err(Problem::parameter(
                "to",
                "`to` must be later than `from`: `from` is included, `to` is not.",
            )),
            _ => Ok(TimePeriod { from, to }),
        }
    }

    /// A date or a time that is not in the future.
    pub(super) fn past(&self, name: &'static str, now: TimeMs) -> Result<Option<TimeMs>, Problem> {
        match self.time(name)? {
            Some(time) if time > now => Err(Problem::parameter(
                name,
                format!("`{name}` is in the future; it is {now} now. Leave it out for now."),
            )),
            time => Ok(time),
        }
    }

    fn time(&self, name: &'static str) -> Result<Option<TimeMs>, Problem> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        // In a query, a plus sign is a blank.
        parse_bound(&text.replace(' ', "+")).map(Some).map_err(|error| {
            Problem::parameter(
                name,
                format!("`{name}` is {text:?}, which {error}. A date such as 2026-11-22 will do."),
            )
        })
    }

    /// The part of the list that is asked for.
    pub(super) fn page(&self) -> Result<PageRequest, Problem> {
        let limit = self.whole("limit", 1, LARGEST_PAGE)?;
        let limit = limit.map_or(PAGE, |limit| limit as usize);
        let after = self.parameter("cursor").map(|text| cursor::read(&self.list, text));
        let after = after
            .transpose()
            .map_err(|why| Problem::parameter("cursor", format!("`cursor` {why}.")))?;
        Ok(PageRequest { limit, after })
    }

    /// The cursor of the next part of the list.
    pub(super) fn next(&self, key: Option<&[u8]>) -> Option<String> {
        key.map(|key| cursor::write(&self.list, key))
    }
}

fn parse_asset(text: &str) -> Result<Asset, Problem> {
    text.parse()
        .map_err(|error| Problem::parameter("asset", format!("`asset` is {text:?}, which {error}.")))
}
