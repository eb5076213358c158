//! Opens the object store of a bucket, with the settings in the environment.
//!
//! Only variables with the provider's prefix count: `AWS_`, `GOOGLE_`, `AZURE_`. The library would also take the names without it, such as `ENDPOINT`,
//! `TOKEN` or `PROXY_URL`, which other programs set for themselves.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use crate::core::values::credentials::without_credentials;
use crate::snapshot::place::Provider;

/// How long a request is tried again.
const RETRY_FOR: Duration = Duration::from_secs(20);

/// The object store of a bucket.
pub(super) struct Bucket {
    pub store: Arc<dyn ObjectStore>,
    /// Values that no message may hold.
    pub secrets: Secrets,
}

/// The values of variables that may be secrets.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// A text without the secrets, and without the credentials of URLs.
    pub fn hide_in(&self, text: &str) -> String {
        let mut text = without_credentials(text).into_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), "…");
        }
        text
    }
}

/// Opens the object store of the bucket that `url` names. `variables` are those of the environment.
///
/// # Errors
/// Which variable is wrong, or what the library says; without secrets.
pub(super) fn open(
    provider: Provider,
    url: &Url,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Bucket, String> {
    // Other programs have variables with the same prefix. One without a value counts as not set.
    let ours: Vec<(String, String)> = variables
        .into_iter()
        .filter(|(name, value)| is_known(provider, name) && !value.is_empty())
        .collect();
    let mut secrets = Secrets::default();
    let allow_http = format!("{}ALLOW_HTTP", provider.prefix());
    let allows_http = ours.iter().any(|(name, value)| *name == allow_http && is_true(value));
    for (name, value) in &ours {
        check(provider, name, value, allows_http)?;
        // A short value may be a part of any word.
        if is_secret(name) && value.len() >= 6 {
            secrets.0.push(value.clone());
        }
    }
    let store = match provider {
        Provider::Amazon => {
            let builder = AmazonS3Builder::new().with_url(url.as_str());
            let store = configured(&ours, builder, AmazonS3Builder::with_config).with_retry(retry());
            store.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        }
        Provider::Google => {
            let builder = GoogleCloudStorageBuilder::new().with_url(url.as_str());
            let store = configured(&ours, builder, GoogleCloudStorageBuilder::with_config).with_retry(retry());
            store.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        }
        Provider::Azure => {
            let builder = MicrosoftAzureBuilder::new().with_url(url.as_str());
            let store = configured(&ours, builder, MicrosoftAzureBuilder::with_config).with_retry(retry());
            store.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        }
    };
    match store {
        Ok(store) => Ok(Bucket { store, secrets }),
        Err(error) => {
            // The library quotes a value that it cannot parse, and does not say whose it is.
            let error = ours.iter().fold(error.to_string(), |error, (name, value)| {
                error.replace(&format!("\"{value}\""), name)
            });
            Err(secrets.hide_in(&error))
        }
    }
}

fn retry() -> RetryConfig {
    RetryConfig {
        retry_timeout: RETRY_FOR,
        ..RetryConfig::default()
    }
}

/// Whether a variable has the provider's prefix, and the provider's client knows it.
fn is_known(provider: Provider, name: &str) -> bool {
    let key = name.to_ascii_lowercase();
    name.starts_with(provider.prefix())
        && match provider {
            Provider::Amazon => key.parse::<AmazonS3ConfigKey>().is_ok(),
            Provider::Google => key.parse::<GoogleConfigKey>().is_ok(),
            Provider::Azure => key.parse::<AzureConfigKey>().is_ok(),
        }
}

/// Gives a builder all variables that it knows.
fn configured<B, K: FromStr>(variables: &[(String, String)], builder: B, with: impl Fn(B, K, String) -> B) -> B {
    variables.iter().fold(builder, |builder, (name, value)| {
        match name.to_ascii_lowercase().parse() {
            Ok(key) => with(builder, key, value.clone()),
            Err(_) => builder,
        }
    })
}

/// What the library takes for true.
fn is_true(value: &str) -> bool {
    ["1", "true", "on", "yes", "y"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// Checks a variable that the library would only find wrong when it makes a request. The value is not quoted: it may be a secret.
fn check(provider: Provider, name: &str, value: &str, allows_http: bool) -> Result<(), String> {
    if is_address(name) {
        let schemes: &[&str] = match name.ends_with("PROXY_URL") {
            true => &["http", "https", "socks5", "socks5h"],
            false => &["http", "https"],
        };
        let url = Url::parse(value).ok();
        let url = url.filter(|url| schemes.contains(&url.scheme()) && url.has_host());
        let Some(url) = url else {
            return Err(format!(
                "the variable {name} must be a URL that begins with https:// or http://"
            ));
        };
        let is_server = ["ENDPOINT", "ENDPOINT_URL", "ENDPOINT_URL_S3", "BASE_URL"]
            .iter()
            .any(|end| name.ends_with(end));
        let is_metadata = ["METADATA", "IDENTITY", "MSI"].iter().any(|mark| name.contains(mark));
        if is_server && !is_metadata && url.scheme() == "http" && !allows_http {
            return Err(format!(
                "the variable {name} begins with http://, which encrypts nothing; set {}ALLOW_HTTP=true if that is meant",
                provider.prefix()
            ));
        }
    }
    if name.ends_with("RELATIVE_URI") && !value.starts_with('/') {
        return Err(format!("the variable {name} must begin with a slash"));
    }
    // They go into headers of requests. A key in JSON may have several lines.
    let is_header = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !is_header && !name.contains("SERVICE_ACCOUNT_KEY") && is_secret(name) {
        return Err(format!(
            "the variable {name} has a line feed, or another character that no credential has"
        ));
    }
    Ok(())
}

/// Whether a variable is the address of a server.
fn is_address(name: &str) -> bool {
    let ends = [
        "ENDPOINT",
        "ENDPOINT_URL",
        "ENDPOINT_URL_S3",
        "ENDPOINT_URL_STS",
        "BASE_URL",
        "PROXY_URL",
        "SERVICE_URL",
        "FULL_URI",
        "AUTHORITY_HOST",
    ];
    ends.iter().any(|end| name.ends_with(end)) && !name.ends_with("USE_FABRIC_ENDPOINT")
}

/// Whether the value of a variable may be a secret. Every name that could be one counts.
fn is_secret(name: &str) -> bool {
    let marks = ["KEY", "SECRET", "TOKEN", "SAS", "CREDENTIAL", "PASSWORD", "PROXY_URL"];
    let others = [
        // Files that hold a secret.
        "_FILE",
        "APPLICATION_CREDENTIALS",
        // Settings.
        "ENABLED",
        "CREDENTIAL_TYPE",
        "SERVICE_URL",
        "_URI",
    ];
    marks.iter().any(|mark| name.contains(mark)) && !others.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_with(provider: Provider, url: &str, variables: &[(&str, &str)]) -> Result<Bucket, String> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        open(provider, &Url::parse(url).unwrap(), variables)
    }

    /// What the store says of itself.
    fn shown(bucket: &Bucket) -> String {
        format!("{:?}", bucket.store)
    }

    #[test]
    fn only_names_with_the_prefix_count() {
        let theirs = "https://theirs.example";
        let bare = [
            "ENDPOINT",
            "ENDPOINT_URL",
            "TOKEN",
            "PROXY_URL",
            "BUCKET",
            "REGION",
            "SKIP_SIGNATURE",
            "aws_endpoint",
            "endpoint",
        ];
        let variables: Vec<_> = bare.iter().map(|name| (*name, theirs)).collect();
        let keys = [
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "hush-hush"),
        ];
        let s3 = open_with(
            Provider::Amazon,
            "s3://bucket/folder",
            &[&variables[..], &keys].concat(),
        )
        .unwrap();
        assert!(!shown(&s3).contains("theirs.example"), "{}", shown(&s3));
        // The names with the prefix count, of this provider alone.
        let ours = [
            ("AWS_ENDPOINT_URL", "https://ours.example"),
            ("AZURE_ENDPOINT", theirs),
            ("AWS_PROFILE", "x"),
        ];
        let s3 = open_with(Provider::Amazon, "s3://bucket/folder", &[&ours[..], &keys].concat()).unwrap();
        assert!(
            shown(&s3).contains("ours.example") && !shown(&s3).contains("theirs.example"),
            "{}",
            shown(&s3)
        );
        let azure = [
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "aHVzaA=="),
        ];
        let azure = open_with(
            Provider::Azure,
            "az://container/folder",
            &[&variables[..], &azure].concat(),
        )
        .unwrap();
        assert!(!shown(&azure).contains("theirs.example"), "{}", shown(&azure));
        let google = open_with(
            Provider::Google,
            "gs://bucket",
            &[&variables[..], &[("GOOGLE_SKIP_SIGNATURE", "true")]].concat(),
        )
        .unwrap();
        assert!(!shown(&google).contains("theirs.example"), "{}", shown(&google));
    }

    #[test]
    fn a_wrong_variable_is_named_and_its_value_is_not() {
        let address = "must be a URL that begins with https:// or http://";
        for (name, value, why) in [
            ("AWS_ENDPOINT_URL", "hush:9000", address),
            ("AWS_ENDPOINT", "hush", address),
            ("AWS_ENDPOINT_URL_S3", "ftp://hush", address),
            ("AWS_PROXY_URL", "hush:hush@proxy", address),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/hush", address),
            ("AWS_ENDPOINT_URL", "http://hush", "AWS_ALLOW_HTTP=true"),
            ("AWS_SESSION_TOKEN", "hush\nhush", "a line feed"),
            ("AWS_SECRET_ACCESS_KEY", "hush\u{e9}", "a line feed"),
            (
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "hush",
                "must begin with a slash",
            ),
            ("AWS_SKIP_SIGNATURE", "hush?", "failed to parse AWS_SKIP_SIGNATURE"),
            ("AWS_ALLOW_HTTP", "hush?", "failed to parse AWS_ALLOW_HTTP"),
        ] {
            let error = open_with(Provider::Amazon, "s3://bucket", &[(name, value)])
                .err()
                .unwrap_or_default();
            assert!(
                error.contains(why) && error.contains(name) && !error.contains("hush"),
                "{name}: {error}"
            );
        }
        for (name, value) in [("AZURE_STORAGE_ENDPOINT", "hush"), ("AZURE_AUTHORITY_HOST", "hush")] {
            assert!(
                open_with(Provider::Azure, "az://container", &[(name, value)])
                    .err()
                    .unwrap()
                    .contains(address)
            );
        }
    }

    #[test]
    fn variables_of_other_programs_and_empty_ones_are_no_errors() {
        let variables = [
            ("AWS_STS_REGIONAL_ENDPOINTS", "regional"),
            ("AWS_USE_FIPS_ENDPOINT", "true"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv4"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
            ("AWS_POOL_MAX_IDLE_PER_HOST", "4"),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/path"),
            ("AWS_ENDPOINT_URL", ""),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_ENDPOINT_URL_S3", "http://ours.example"),
            ("AWS_ALLOW_HTTP", "1"),
        ];
        let s3 = open_with(Provider::Amazon, "s3://bucket", &variables).unwrap();
        assert!(shown(&s3).contains("http://ours.example"), "{}", shown(&s3));
    }

    #[test]
    fn secrets_are_in_no_message() {
        let secrets = Secrets(vec!["hush-hush".into()]);
        let text = "cannot read https://id:pass@host/x?sig=abc: hush-hush is wrong";
        assert_eq!(secrets.hide_in(text), "cannot read https://…@host/x?sig=…: … is wrong");
    }
}
