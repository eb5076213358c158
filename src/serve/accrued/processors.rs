//! Asks the instances of `softstake run` for the holdings of an account.

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use reqwest::{Client, Response, StatusCode, redirect};
use url::{Host, Url};

use crate::core::values::account::AccountName;
use crate::deployment::holdings::LedgerHoldings;

/// How long an instance may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const MOST_BYTES: usize = 4 << 20;
/// The most addresses that are asked: a name may have many.
const MOST_ADDRESSES: usize = 256;

/// The instances of a deployment.
#[derive(Debug)]
pub struct Processors {
    client: Client,
    addresses: Vec<Url>,
    token: String,
}

/// Why no instance told the holdings of an account.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorsError {
    /// The task of its ledger partition starts or moves.
    #[error("no instance of softstake run has the ledger partition of the account now")]
    Nowhere,
    /// At least one does not answer, and the others do not have the partition. The text is for the log.
    #[error("{0}")]
    Failed(String),
}

impl Processors {
    /// The instances at `addresses`, separated by commas, with the token in a file.
    ///
    /// # Errors
    /// What is wrong with the addresses or the file, in a sentence.
    pub fn new(addresses: &str, token_file: &Path) -> Result<Self, String> {
        let addresses = addresses.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
        let named = |what: String| {
            format!(
                "the token of the processors, {}, cannot be used: {what}",
                token_file.display()
            )
        };
        let token = fs::read_to_string(token_file).map_err(|error| named(error.to_string()))?;
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(named("it has no token of printable characters".into()));
        }
        // Instances are asked directly, and a redirect would carry the account elsewhere.
        let client = Client::builder()
            .timeout(ANSWER_WITHIN)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| named(error.to_string()))?;
        Ok(Self {
            client,
            addresses,
            token: token.to_owned(),
        })
    }

    /// What the ledger has of an account, of the assets numbered below `assets`.
    ///
    /// # Errors
    /// If no instance tells it.
    pub async fn holdings(&self, account: &AccountName<'_>, assets: u16) -> Result<LedgerHoldings, ProcessorsError> {
        let mut all = Vec::new();
        let mut failures = Vec::new();
        for address in &self.addresses {
            match look_up(address).await {
                Ok(found) => all.extend(found),
                Err(error) => failures.push(format!("{}: {error}", place(address))),
            }
        }
        all.truncate(MOST_ADDRESSES);
        let answers = join_all(all.into_iter().map(|url| self.ask(url, account, assets))).await;
        for answer in answers {
            match answer {
                Ok(Some(holdings)) => return Ok(holdings),
                Ok(None) => {}
                Err(error) => failures.push(error),
            }
        }
        match failures.is_empty() {
            true => Err(ProcessorsError::Nowhere),
            false => Err(ProcessorsError::Failed(failures.join("; "))),
        }
    }

    /// What one instance has; `None` if another one has the partition. The error never has the account.
    async fn ask(
        &self,
        mut url: Url,
        account: &AccountName<'_>,
        assets: u16,
    ) -> Result<Option<LedgerHoldings>, String> {
        let named = |what: &str| format!("{}: {what}", place(&url));
        let failed = |error: reqwest::Error| match error.is_timeout() {
            true => named("no answer in time"),
            false => named(&error.without_url().to_string()),
        };
        let mut question = url.clone();
        question
            .query_pairs_mut()
            .append_pair("account", account.as_str())
            .append_pair("assets", &assets.to_string());
        let asked = self.client.get(question).bearer_auth(&self.token).send().await;
        let answer = asked.map_err(failed)?;
        let result = match answer.status() {
            StatusCode::OK => {
                let body = bounded(answer).await.map_err(|error| named(&error))?;
                let holdings = serde_json::from_slice(&body);
                holdings
                    .map(Some)
                    .map_err(|error| named(&format!("no holdings: {error}")))
            }
            StatusCode::MISDIRECTED_REQUEST => Ok(None),
            StatusCode::UNAUTHORIZED => Err(named("it refuses the token: is it that of its `monitor.token_file`?")),
            StatusCode::NOT_FOUND => Err(named("it shows no holdings: set its `monitor.token_file`")),
            status => Err(named(&format!("it answers with status {}", status.as_u16()))),
        };
        url.set_query(None);
        result
    }
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| error.without_url().to_string())? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            return Err(format!("its answer has more than {MOST_BYTES} bytes"));
        }
    }
    Ok(body)
}

/// `host:port`, or a URL, of an instance: the URL of its `/holdings`.
fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let expected = || format!("\"{text}\" is no host:port, and no URL such as http://10.0.0.7:9464");
    let has_scheme = text.contains("://");
    let url = if has_scheme {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url = Url::parse(&url).map_err(|_| expected())?;
    let has_more =
        !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some();
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || has_more {
        return Err(expected());
    }
    if !has_scheme && url.port().is_none() && !text.trim_end_matches('/').ends_with(":80") {
        return Err(expected());
    }
    let path = format!("{}/holdings", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// The URLs of all addresses that a name has. With TLS, the name itself is asked, because its certificate has the name.
async fn look_up(url: &Url) -> Result<Vec<Url>, String> {
    let (Some(Host::Domain(name)), "http", Some(port)) = (url.host(), url.scheme(), url.port_or_known_default()) else {
        return Ok(vec![url.clone()]);
    };
    let found = tokio::time::timeout(ANSWER_WITHIN, tokio::net::lookup_host((name, port))).await;
    let found = found.map_err(|_| "its name is not looked up in time".to_owned())?;
    let found = found.map_err(|error| format!("its name cannot be looked up: {error}"))?;
    let urls = found.filter_map(|address| {
        let mut one = url.clone();
        one.set_ip_host(address.ip()).ok()?;
        Some(one)
    });
    let mut urls: Vec<Url> = urls.collect();
    urls.dedup();
    Ok(urls)
}

/// `host:port`, for the log.
fn place(url: &Url) -> String {
    format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, url) in [
            ("127.0.0.1:9464", "http://127.0.0.1:9464/holdings"),
            (" softstake:9464 ", "http://softstake:9464/holdings"),
            ("https://a.b/one/", "https://a.b/one/holdings"),
            ("softstake:80", "http://softstake/holdings"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), url);
        }
        for text in [
            "",
            "softstake",
            "ftp://a:1",
            "http://u:p@a:1",
            "http://a:1/?x=1",
            "a:b:c",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
