//! Who may see what, and every refusal: tokens, hosts, limits, the audit log.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::{Value, json};
use softstake::generate::Synthetic;

use super::reads::settled;
use super::served::{Desk, Reply, Served, now};
use crate::common::Place;

/// A bus on which nothing is yet.
pub fn empty() -> Place {
    Place::new()
}

pub fn flags(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| (*flag).to_owned()).collect()
}

#[test]
fn on_this_machine_alone_everybody_sees_everything() {
    let place = empty();
    let served = Served::start(&place, &[]);
    let session = served.ask("GET", "/v1/session", &[]);
    assert_eq!(session.status, 200);
    let expected = json!({
        "subject": "local", "account": null, "expires_at": null, "has_processor": false,
        "roles": ["customer", "support", "operator", "finance", "treasury", "auditor"],
    });
    assert_eq!(session.json(), expected);
    assert!(served.said().contains("everybody on this machine sees everything"));
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn a_token_tells_who_asks() {
    let (place, desk) = (empty(), Desk::new());
    let served = Served::start(&place, &desk.flags());
    let ends = now() + 300;
    let claims = json!({
        "sub": "c-17", "exp": ends, "account": "acct-1", "scope": "openid softstake.customer softstake.auditor softstake.root",
    });
    let session = served.get("/v1/session", &desk.token(&claims));
    assert_eq!(session.status, 200, "{session:?}");
    let session = session.json();
    assert_eq!(session["subject"], "c-17");
    assert_eq!(session["account"], "acct-1");
    assert_eq!(session["roles"], json!(["customer", "auditor"]));
    assert!(session["expires_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(served.process.stop(), Some(0));
}

/// Changes of the usual claims, none of which is a valid token.
fn bad_claims() -> Vec<(&'static str, Value)> {
    vec![
        ("expired", json!({ "exp": now() - 60 })),
        ("without an end", json!({ "exp": null })),
        ("an end that is a text", json!({ "exp": "2100-01-01" })),
        ("not yet valid", json!({ "nbf": now() + 600 })),
        ("of another issuer", json!({ "iss": "https://elsewhere.example" })),
        ("without an issuer", json!({ "iss": null })),
        ("for another audience", json!({ "aud": ["wallet"] })),
        ("without an audience", json!({ "aud": null })),
        ("without a subject", json!({ "sub": null })),
        ("with a wrong account", json!({ "account": "" })),
    ]
}

#[test]
fn every_bad_token_is_refused_in_the_same_way() {
    let (place, desk, other) = (empty(), Desk::new(), Desk::new());
    let mut flags = desk.flags();
    for (flag, value) in [
        ("--token-issuer", "https://issuer.example"),
        ("--token-audience", "softstake"),
        ("--refusals-per-minute", "100000"),
        ("--log-level", "debug"),
    ] {
        flags.extend([flag.to_owned(), value.to_owned()]);
    }
    let served = Served::start(&place, &flags);
    let whole = |changes: &Value| {
        let mut claims = json!({ "iss": "https://issuer.example", "aud": "softstake", "scope": "softstake.auditor" });
        for (name, value) in changes.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        claims
    };
    let good = desk.token(&whole(&json!({})));
    assert_eq!(served.get("/v1/session", &good).status, 200);
    let mut bad: Vec<(String, String)> = bad_claims()
        .into_iter()
        .map(|(what, changes)| (what.to_owned(), desk.token(&whole(&changes))))
        .collect();
    let claims = {
        let mut claims = whole(&json!({ "sub": "someone" }));
        claims["exp"] = json!(now() + 600);
        claims
    };
    let parts: Vec<&str> = good.split('.').collect();
    let hmac = {
        let secret = PKey::hmac(&desk.key.public_key_to_pem().expect("the public key")).expect("a secret");
        let head = other.signed(&json!({ "alg": "HS256", "kid": "first" }), &claims);
        let message = head.rsplit_once('.').expect("three parts").0.to_owned();
        let mut signer = Signer::new(MessageDigest::sha256(), &secret).expect("a signer");
        let signature = signer.sign_oneshot_to_vec(message.as_bytes()).expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let none = desk.signed(&json!({ "alg": "none" }), &claims);
    let forged = desk.token(&whole(&json!({ "sub": "root" })));
    for (what, token) in [
        ("of an unknown key", desk.token_of("second", &whole(&json!({})))),
        ("signed by another key", other.token(&whole(&json!({})))),
        ("with alg none", none.clone()),
        (
            "with alg none and no signature",
            format!("{}.", none.rsplit_once('.').expect("three parts").0),
        ),
        ("an HMAC with the public key", hmac),
        (
            "with other claims",
            format!(
                "{}.{}.{}",
                parts[0],
                forged.split('.').nth(1).expect("claims"),
                parts[2]
            ),
        ),
        ("cut short", good[..good.len() - 10].to_owned()),
        ("without a signature", format!("{}.{}", parts[0], parts[1])),
        ("huge", desk.token(&whole(&json!({ "more": "a".repeat(9_000) })))),
        ("no token at all", "abc".to_owned()),
    ] {
        bad.push((what.to_owned(), token));
    }
    for (what, token) in &bad {
        let reply = served.get("/v1/session", token);
        let detail = reply.problem(401);
        let challenge = reply.header("www-authenticate");
        assert_eq!(
            challenge,
            Some("Bearer realm=\"softstake\", error=\"invalid_token\""),
            "{what}"
        );
        let expected = match what.as_str() {
            "expired" => "The token has ended; get a new one.",
            "not yet valid" => "The token is not valid yet.",
            _ => "The token is not valid here. The log of this process says why, at level debug.",
        };
        assert_eq!(detail, expected, "{what}");
    }
    // The log says why, and has no token in it.
    let said = served.said();
    for why in [
        "it has ended",
        "it is of a key that is not known",
        "its signature is wrong",
        "an algorithm that is not allowed",
    ] {
        assert!(said.contains(why), "{why}");
    }
    assert!(
        !bad.iter()
            .any(|(_, token)| token.len() > 20 && said.contains(token.as_str()))
    );
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn a_request_without_a_token_is_told_to_send_one() {
    let (place, desk) = (empty(), Desk::new());
    let served = Served::start(&place, &desk.flags());
    let good = desk.role("auditor");
    for lines in [&[][..], &["Authorization: Basic YTpi"], &["Authorization: Bearer "]] {
        let reply = served.ask("GET", "/v1/session", lines);
        assert!(reply.problem(401).starts_with("Send a token"), "{lines:?}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"softstake\""));
    }
    let token = format!("Authorization: Bearer {good}");
    let twice = served.ask("GET", "/v1/session", &[&token, &token]);
    assert!(twice.problem(401).contains("more than one"));
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn only_names_of_this_machine_and_no_proxy_are_answered_without_keys() {
    let place = empty();
    let served = Served::start(&place, &[]);
    for host in ["Host: localhost:8420", "Host: 127.0.0.1", "Host: [::1]:1"] {
        assert_eq!(served.ask("GET", "/v1/session", &[host]).status, 200, "{host}");
    }
    for host in [
        "Host: rebound.example",
        "Host: 10.0.0.7",
        "Host: localhost.evil.example",
    ] {
        let detail = served.ask("GET", "/v1/session", &[host]).problem(400);
        assert!(detail.contains("names another host"), "{host}: {detail}");
        served.ask("GET", "/", &[host]).problem(400);
    }
    for line in ["X-Forwarded-For: 8.8.8.8", "Forwarded: for=8.8.8.8"] {
        let detail = served.ask("GET", "/v1/session", &[line]).problem(400);
        assert!(detail.contains("came through a proxy"), "{detail}");
    }
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn who_asks_too_often_is_told_when_to_ask_again() {
    let (place, desk) = (empty(), Desk::new());
    let limits = flags(&["--requests-per-minute", "5", "--refusals-per-minute", "3"]);
    let served = Served::start(&place, &[desk.flags(), limits].concat());
    let (one, other) = (desk.role("auditor"), desk.role("finance"));
    let retry = |reply: &Reply| {
        let seconds = reply
            .header("retry-after")
            .and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{reply:?}");
    };
    for _ in 0..5 {
        assert_eq!(served.get("/v1/session", &one).status, 200);
    }
    let reply = served.get("/v1/session", &one);
    assert!(reply.problem(429).contains("serve.requests_per_minute"));
    retry(&reply);
    assert_eq!(served.get("/v1/session", &other).status, 200, "another subject");
    for _ in 0..3 {
        served.get("/v1/session", "wrong").problem(401);
    }
    let reply = served.get("/v1/session", "wrong");
    assert!(reply.problem(429).contains("without a valid token"));
    retry(&reply);
    // A good token from there waits as well: who guesses must not learn which guess was right.
    served.get("/v1/session", &other).problem(429);
    // Pages and probes are no guesses.
    assert_eq!(served.ask("GET", "/history", &[]).status, 200);
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn behind_a_proxy_each_client_is_counted_apart() {
    let (place, desk) = (empty(), Desk::new());
    let limits = flags(&["--refusals-per-minute", "2", "--behind-proxy", "edge"]);
    let served = Served::start(&place, &[desk.flags(), limits].concat());
    let wrong = |client: &str| {
        let lines = ["Host: shop.example", "Authorization: Bearer wrong", client];
        served.ask("GET", "/v1/session", &lines).status
    };
    assert_eq!([0; 3].map(|_| wrong("X-Forwarded-For: 8.8.8.8")), [401, 401, 429]);
    assert_eq!(
        wrong("X-Forwarded-For: 8.8.8.8, 9.9.9.9"),
        401,
        "the last is the one that the proxy wrote"
    );
    assert_eq!(wrong("X-Forwarded-For: 1.1.1.1, 8.8.8.8"), 429);
    assert_eq!(served.process.stop(), Some(0));
}

/// A bus with payouts, and an account that has some.
fn paid() -> (Place, String, String) {
    let place = settled(&Synthetic {
        events: 500,
        accounts: 20,
        assets: 1,
        epochs: 1,
        ..Synthetic::default()
    });
    let paid = place.records("softstake.distributions")[0]["data"].clone();
    let text = |field: &str| paid[field].as_str().expect("a text").to_owned();
    let (account, asset) = (text("account"), text("asset"));
    (place, account, asset)
}

#[test]
fn every_cell_of_the_table() {
    let (place, desk) = (paid(), Desk::new());
    let (place, own, asset) = place;
    let limits = flags(&["--requests-per-minute", "100000"]);
    let served = Served::start(&place, &[desk.flags(), limits].concat());
    // Customer, support, operator, finance, treasury, auditor.
    let roles = ["customer", "support", "operator", "finance", "treasury", "auditor"];
    let table = [
        ("/v1/session".to_owned(), "yyyyyy"),
        ("/v1/sync".into(), "yyyyyy"),
        ("/v1/assets".into(), "yyyyyy"),
        (format!("/v1/assets/{asset}"), "yyyyyy"),
        (format!("/v1/assets/{asset}/epochs"), "yyyyyy"),
        (format!("/v1/accounts/{own}/distributions"), "yy-y-y"),
        (format!("/v1/accounts/{own}/summary"), "yy-y-y"),
        (format!("/v1/accounts/{own}/distributions/{asset}/0"), "yy-y-y"),
        (
            format!("/v1/accounts/{own}/distributions/{asset}/0/explanation"),
            "yy-y-y",
        ),
        (format!("/v1/accounts/{own}/distributions/{asset}/0/proof"), "yy-y-y"),
        (format!("/v1/accounts/{own}/late-postings"), "yy-y-y"),
        ("/v1/accounts/somebody-else/distributions".into(), "-y-y-y"),
        ("/v1/accounts/somebody-else/summary".into(), "-y-y-y"),
        (format!("/v1/accounts/somebody-else/distributions/{asset}/0"), "-y-y-y"),
        (
            format!("/v1/accounts/somebody-else/distributions/{asset}/0/explanation"),
            "-y-y-y",
        ),
        (
            format!("/v1/accounts/somebody-else/distributions/{asset}/0/proof"),
            "-y-y-y",
        ),
        ("/v1/accounts/somebody-else/late-postings".into(), "-y-y-y"),
        (format!("/v1/assets/{asset}/epochs/0/distributions"), "---y-y"),
        ("/v1/held".into(), "--yyyy"),
        ("/v1/dead-letters/counts".into(), "-yy--y"),
        ("/v1/dead-letters".into(), "--y--y"),
        ("/v1/late-postings".into(), "--yy-y"),
        ("/v1/late-postings/counts".into(), "--yy-y"),
        ("/v1/positions".into(), "---yyy"),
        ("/v1/processor".into(), "--y--y"),
        ("/v1/finance/accrued".into(), "---y-y"),
        ("/v1/reconciliations".into(), "---y-y"),
    ];
    let tokens =
        roles.map(|role| desk.token(&json!({ "sub": role, "scope": format!("softstake.{role}"), "account": own })));
    for (path, expected) in &table {
        let cells: String = tokens
            .iter()
            .map(|token| {
                let reply = served.get(path, token);
                if reply.status == 403 {
                    reply.problem(403);
                    return '-';
                }
                assert!([200, 404].contains(&reply.status), "{path}: {reply:?}");
                'y'
            })
            .collect();
        assert_eq!(&cells, expected, "{path}");
        assert_eq!(served.ask("GET", path, &[]).status, 401, "{path} without a token");
        let nobody = desk.token(&json!({ "scope": "openid" }));
        served.get(path, &nobody).problem(403);
    }
    // A refusal does not tell whether an account exists.
    let customer = desk.token(&json!({ "scope": "softstake.customer", "account": "nobody-of-this-name" }));
    let refused = |account: &str| {
        served
            .get(&format!("/v1/accounts/{account}/summary"), &customer)
            .problem(403)
    };
    assert_eq!(refused(&own), refused("not-there"));
    let without = desk.token(&json!({ "scope": "softstake.customer" }));
    let refusal = served
        .get(&format!("/v1/accounts/{own}/summary"), &without)
        .problem(403);
    assert!(refusal.contains("names no account"), "{refusal}");
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn each_read_of_an_account_is_in_the_audit_log_and_nowhere_else() {
    let (place, own, asset) = paid();
    let desk = Desk::new();
    let lines = || {
        let text = fs::read_to_string(desk.path("reads.jsonl")).expect("the log");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.collect::<Vec<_>>()
    };
    let trace = flags(&["--log-level", "trace"]);
    let served = Served::start(&place, &[desk.flags(), trace].concat());
    served.get("/v1/assets", &desk.role("support"));
    assert_eq!(lines().len(), 0, "no account was read");
    served.get(&format!("/v1/accounts/{own}/summary"), &desk.role("support"));
    served.get(&format!("/v1/accounts/{own}/summary"), &desk.role("treasury"));
    served.get(
        &format!("/v1/assets/{asset}/epochs/0/distributions"),
        &desk.role("finance"),
    );
    let read = lines();
    assert_eq!(read.len(), 3, "{read:?}");
    for (line, expected) in read.iter().zip([
        json!({ "subject": "support", "right": "account", "account": own, "allowed": true }),
        json!({ "subject": "treasury", "right": "account", "account": own, "allowed": false }),
        json!({ "subject": "finance", "right": "epoch_distributions", "account": null, "allowed": true }),
    ]) {
        for (name, value) in expected.as_object().expect("fields") {
            assert_eq!(&line[name], value, "{line}");
        }
        assert_eq!(line["address"], "127.0.0.1");
        assert!(
            line["route"]
                .as_str()
                .is_some_and(|route| route.contains("/v1/") && !route.contains(&own)),
            "{line}"
        );
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    }
    assert!(!served.said().contains(&own), "an account is in the log");
    assert!(!served.ask("GET", "/metrics", &[]).body.contains(&own));
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn the_audit_log_is_for_its_owner_alone_and_is_appended_to() {
    let (place, desk) = (empty(), Desk::new());
    for _ in 0..2 {
        let served = Served::start(&place, &desk.flags());
        assert_eq!(served.get("/v1/session", &desk.role("support")).status, 200);
        assert_eq!(served.process.stop(), Some(0));
    }
    let log = desk.path("reads.jsonl");
    assert_eq!(fs::metadata(&log).expect("the log").permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_to_string(log).expect("the log"),
        "",
        "a session is no read of an account"
    );
}
