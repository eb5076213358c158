//! The addresses of instances, as they are given on the command line.

use std::str::FromStr;

use url::{Host, Url};

/// Where instances are asked: a host or a name for several hosts, with a port, or a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceAddress {
    /// The URL of `/status`.
    pub(super) url: Url,
    /// The name and port that are looked up. `None` if the URL is used as it is: its host is an IP address, or TLS needs the name.
    pub(super) name: Option<(String, u16)>,
}

impl FromStr for InstanceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "must be host:port, or a URL such as http://10.0.0.7:9464".to_owned();
        let has_scheme = text.contains("://");
        let url = if has_scheme {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let mut url = Url::parse(&url).map_err(|_| expected())?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(expected());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a user name, a password, or parameters".into());
        }
        if !has_scheme && url.port().is_none() && !text.trim_end_matches('/').ends_with(":80") {
            return Err(expected());
        }
        let path = url.path().trim_end_matches('/');
        if !path.ends_with("/status") {
            let path = format!("{path}/status");
            url.set_path(&path);
        }
        let name = match (url.scheme(), url.host(), url.port_or_known_default()) {
            ("http", Some(Host::Domain(name)), Some(port)) => Some((name.to_owned(), port)),
            _ => None,
        };
        Ok(Self { url, name })
    }
}

/// `host:port` of a URL, for people.
pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_urls_are_read() {
        let cases = [
            ("127.0.0.1:9464", "http://127.0.0.1:9464/status", None),
            ("[::1]:9464", "http://[::1]:9464/status", None),
            (
                "softstake:9464",
                "http://softstake:9464/status",
                Some(("softstake", 9464)),
            ),
            ("softstake:80", "http://softstake/status", Some(("softstake", 80))),
            ("http://a.b/", "http://a.b/status", Some(("a.b", 80))),
            ("http://a:1/x/status", "http://a:1/x/status", Some(("a", 1))),
            ("http://a:1/x/", "http://a:1/x/status", Some(("a", 1))),
            ("https://a.b/one", "https://a.b/one/status", None),
        ];
        for (text, url, name) in cases {
            let address: InstanceAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.url.as_str(), url);
            let name = name.map(|(name, port): (&str, u16)| (name.to_owned(), port));
            assert_eq!(address.name, name, "{text}");
        }
        for text in [
            "",
            "host",
            "ftp://a:1",
            "http://",
            "a:99999",
            "a b:1",
            "http://u:p@a:1",
            "http://a:1/?token=x",
        ] {
            assert!(text.parse::<InstanceAddress>().is_err(), "{text}");
        }
    }
}
