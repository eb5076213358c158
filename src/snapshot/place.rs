//! The place of the snapshots, as it is configured.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where snapshots are kept: a folder, or a folder of a bucket in an object store. It holds no credentials, so it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlace {
    text: String,
    pub(super) kind: PlaceKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlaceKind {
    Folder(PathBuf),
    Bucket(Provider, Url),
}

/// Who offers an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    Amazon,
    Google,
    Azure,
}

impl Provider {
    /// How the variables of the environment begin that configure it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Amazon => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }
}

impl fmt::Display for SnapshotPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The error is a predicate: it makes a sentence after the name of the setting. It does not quote the text, which may hold credentials.
impl FromStr for SnapshotPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = match Url::parse(text) {
            Ok(url) => kind(url)?,
            Err(error) if text.contains("://") => return Err(format!("is no URL ({error})")),
            Err(_) if text.is_empty() => return Err(format!("must be {EXPECTED}")),
            Err(_) => PlaceKind::Folder(text.into()),
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }
}

const EXPECTED: &str =
    "a folder, or a URL: s3://bucket/folder, gs://bucket/folder, az://container/folder, file:///folder";

fn kind(url: Url) -> Result<PlaceKind, String> {
    let provider = match url.scheme() {
        "s3" => Provider::Amazon,
        "gs" => Provider::Google,
        "az" => Provider::Azure,
        "file" => {
            let folder = url.to_file_path();
            return folder
                .map(PlaceKind::Folder)
                .map_err(|()| format!("must be {EXPECTED}"));
        }
        other => {
            return Err(format!(
                "must be {EXPECTED}; there is no place of the kind \"{other}:\" (a folder whose name has a colon is written ./{other}:…)"
            ));
        }
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(format!(
            "must not hold credentials or parameters: they come from the environment ({}…)",
            provider.prefix()
        ));
    }
    // Names of buckets have only these characters. A number of four parts is an address of a host.
    let is_bucket = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            && name.parse::<Ipv4Addr>().is_err()
    };
    match url.host() {
        Some(Host::Domain(name)) if url.port().is_none() && is_bucket(name) => Ok(PlaceKind::Bucket(provider, url)),
        Some(_) => Err(format!(
            "must name a bucket before the folder, not a host; the address of the object store comes from the environment ({}…)",
            provider.prefix()
        )),
        None => Err(format!("must name a bucket: {EXPECTED}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, provider) in [
            ("s3://bucket", Some(Provider::Amazon)),
            ("s3://bucket/folder/below", Some(Provider::Amazon)),
            ("gs://bucket/folder", Some(Provider::Google)),
            ("az://container/folder", Some(Provider::Azure)),
            ("file:///var/snapshots", None),
            ("/var/snapshots", None),
            ("snapshots", None),
            ("./snap:shots", None),
        ] {
            let place: SnapshotPlace = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
            let found = match place.kind {
                PlaceKind::Folder(_) => None,
                PlaceKind::Bucket(provider, _) => Some(provider),
            };
            assert_eq!(found, provider, "{text}");
        }
    }

    #[test]
    fn a_wrong_place_is_rejected_without_being_quoted() {
        for text in [
            "",
            "hush:9000/bucket",
            "ftp://hush/folder",
            "https://hush.s3.amazonaws.com/folder",
            "memory:///hush",
            "s3:hush",
            "s3:///hush",
            "s3://",
            "s3://id:hush@bucket/folder",
            "s3://hush@bucket/folder",
            "s3://id:hush/hush@bucket/folder",
            "az://hush@account/folder",
            "az://container/folder?sig=hush",
            "s3://bucket/folder#hush",
            "s3://bucket:9000/hush",
            "s3://127.0.0.1/hush",
            "s3://[::1]/hush",
            "gs://hu%2Fsh/folder",
            "file://hush/folder",
            "://hush",
        ] {
            let error = text.parse::<SnapshotPlace>().unwrap_err();
            assert!(
                error.starts_with("must ") || error.starts_with("is no URL"),
                "{text}: {error}"
            );
            assert!(!error.contains("hush") || text.starts_with("hush:"), "{text}: {error}");
        }
    }
}
