//! The addresses of instances, as people give them: on the command line, or in a setting.

use std::str::FromStr;

use url::{Host, Url};

/// Where instances are asked: a host or a name for several hosts, with a port, or a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceAddress {
    /// The URL before the path of a question, with a `/` at its end.
    pub(super) base: Url,
    /// The name and port that are looked up. `None` if the URL is used as it is: its host is an IP address, or TLS needs the name.
    pub(super) name: Option<(String, u16)>,
}

impl InstanceAddress {
    /// Several, separated by commas.
    ///
    /// # Errors
    /// What is wrong with which of them, in a sentence.
    pub fn read_list(text: &str) -> Result<Vec<Self>, String> {
        let each = text.split(',').map(str::trim);
        each.map(|one| one.parse().map_err(|error| format!("\"{one}\" {error}")))
            .collect()
    }

    /// The name of an instance that is asked by its URL, for people.
    pub(super) fn shown(&self) -> String {
        match (self.base.scheme(), self.base.path()) {
            ("http", "/") => host_and_port(&self.base),
            _ => self.base.as_str().trim_end_matches('/').to_owned(),
        }
    }
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
        let mut base = Url::parse(&url).map_err(|_| expected())?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(expected());
        }
        if !base.username().is_empty()
            || base.password().is_some()
            || base.query().is_some()
            || base.fragment().is_some()
        {
            return Err("must not have a user name, a password, or parameters".into());
        }
        if !has_scheme && base.port().is_none() && !text.trim_end_matches('/').ends_with(":80") {
            return Err(expected());
        }
        // Somebody may copy the address of what is shown.
        let path = base.path().trim_end_matches('/');
        let path = format!("{}/", path.strip_suffix("/status").unwrap_or(path));
        base.set_path(&path);
        let name = match (base.scheme(), base.host(), base.port_or_known_default()) {
            ("http", Some(Host::Domain(name)), Some(port)) => Some((name.to_owned(), port)),
            _ => None,
        };
        Ok(Self { base, name })
    }
}

/// `host:port` of a URL.
fn host_and_port(url: &Url) -> String {
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
            ("127.0.0.1:9464", "http://127.0.0.1:9464/", None, "127.0.0.1:9464"),
            ("[::1]:9464", "http://[::1]:9464/", None, "[::1]:9464"),
            (
                "softstake:9464",
                "http://softstake:9464/",
                Some(("softstake", 9464)),
                "softstake:9464",
            ),
            (
                "softstake:80",
                "http://softstake/",
                Some(("softstake", 80)),
                "softstake:80",
            ),
            ("http://a.b/", "http://a.b/", Some(("a.b", 80)), "a.b:80"),
            ("http://a:1/x/status", "http://a:1/x/", Some(("a", 1)), "http://a:1/x"),
            ("http://a:1/x/", "http://a:1/x/", Some(("a", 1)), "http://a:1/x"),
            ("https://a.b/one", "https://a.b/one/", None, "https://a.b/one"),
            ("https://a.b/status", "https://a.b/", None, "https://a.b"),
        ];
        for (text, url, name, shown) in cases {
            let address: InstanceAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.base.as_str(), url);
            let name = name.map(|(name, port): (&str, u16)| (name.to_owned(), port));
            assert_eq!(address.name, name, "{text}");
            assert_eq!(address.shown(), shown);
        }
        for text in [
            "",
            "host",
            "ftp://a:1",
            "http://",
            "a:99999",
            "a:b:c",
            "a b:1",
            "http://u:p@a:1",
            "http://a:1/?token=x",
        ] {
            assert!(text.parse::<InstanceAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_says_which_is_wrong() {
        let all = InstanceAddress::read_list("127.0.0.1:1, softstake:9464").unwrap();
        assert_eq!((all.len(), all[1].shown()), (2, "softstake:9464".into()));
        assert_eq!(
            InstanceAddress::read_list("127.0.0.1:1,nowhere").unwrap_err(),
            "\"nowhere\" must be host:port, or a URL such as http://10.0.0.7:9464"
        );
        assert!(InstanceAddress::read_list("").is_err());
    }
}
