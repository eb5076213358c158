//! What every request must pass before it reaches a path.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::serve::answer::{Problem, ProblemKind};

const FORWARDED_FOR: &str = "x-forwarded-for";
/// Headers that a proxy adds.
const OF_PROXIES: [&str; 5] = [
    "forwarded",
    FORWARDED_FOR,
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// From where requests may come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    /// Whether only this machine is meant to ask, so that a host that is not of this machine is a web page that plays tricks with names.
    pub is_local: bool,
    /// Whether there are no keys, so that everybody who reaches this process sees everything.
    pub is_open: bool,
    pub is_behind_proxy: bool,
}

impl Guard {
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let allowed = HeaderValue::from_static("GET, HEAD");
            return Err(Problem::new(
                ProblemKind::Method,
                "Nothing can be changed here: ask with GET or HEAD.",
            )
            .with_header(header::ALLOW, allowed));
        }
        let length = headers.get(header::CONTENT_LENGTH);
        if headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0") {
            return Err(Problem::new(ProblemKind::Request, "The request has a body: send none."));
        }
        if self.is_local && !self.is_behind_proxy && !names_this_machine(request) {
            return Err(Problem::new(
                ProblemKind::Request,
                "The request names another host than this machine: use localhost or 127.0.0.1. For other names, start with `serve.behind_proxy`, \
                 or with a certificate on an address that is not of this machine alone.",
            ));
        }
        if self.is_open && OF_PROXIES.into_iter().any(|name| headers.contains_key(name)) {
            return Err(Problem::new(
                ProblemKind::Request,
                "The request came through a proxy, and this process asks for no token: start it with keys and `serve.behind_proxy`.",
            ));
        }
        Ok(())
    }

    /// The address that asks. Behind a proxy, it is the last of `X-Forwarded-For`, which that proxy wrote itself.
    pub(super) fn address(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        let name = HeaderName::from_static(FORWARDED_FOR);
        let written = headers
            .get_all(name)
            .iter()
            .next_back()
            .filter(|_| self.is_behind_proxy);
        let last = written
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.rsplit(',').next());
        let address = last.and_then(|last| {
            let last = last.trim();
            last.parse::<IpAddr>()
                .ok()
                .or_else(|| last.parse::<SocketAddr>().ok().map(|address| address.ip()))
        });
        address.unwrap_or_else(|| peer.ip()).to_canonical()
    }
}

fn names_this_machine(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let named = match (request.uri().authority(), hosts.next(), hosts.next()) {
        (Some(authority), _, None) => Some(authority.clone()),
        (None, Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        _ => None,
    };
    let Some(named) = named.filter(|named| !named.as_str().contains('@')) else {
        return false;
    };
    let host = named.host().trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => {
            let host = host.to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().uri("/v1/session");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn only_names_of_this_machine_are_answered_on_loopback() {
        for host in [
            "localhost",
            "localhost:8420",
            "LOCALHOST",
            "a.localhost:1",
            "127.0.0.1:8420",
            "127.9.9.9",
            "[::1]:8420",
            "localhost.",
        ] {
            assert!(names_this_machine(&request(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.7",
            "[::2]",
            "0.0.0.0",
            "evil@localhost",
            "",
            "a b",
        ] {
            assert!(!names_this_machine(&request(&[("host", host)])), "{host}");
        }
        assert!(!names_this_machine(&request(&[])), "no host");
        assert!(
            !names_this_machine(&request(&[("host", "localhost"), ("host", "localhost")])),
            "two hosts"
        );
    }

    #[test]
    fn the_address_is_the_one_that_the_proxy_wrote() {
        let peer = "10.0.0.1:4000".parse().unwrap();
        let address = |is_behind_proxy, headers: &[(&str, &str)]| {
            let guard = Guard {
                is_local: false,
                is_open: false,
                is_behind_proxy,
            };
            guard.address(request(headers).headers(), peer).to_string()
        };
        let made_up = [("x-forwarded-for", "1.1.1.1, 8.8.8.8")];
        assert_eq!(address(false, &made_up), "10.0.0.1");
        assert_eq!(address(true, &made_up), "8.8.8.8");
        assert_eq!(
            address(
                true,
                &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "[2001:db8::1]:80")]
            ),
            "2001:db8::1"
        );
        assert_eq!(address(true, &[("x-forwarded-for", "unknown")]), "10.0.0.1");
    }
}
