//! What it needs to start where others reach it: keys, certificates, an issuer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use serde_json::json;

use super::access::{empty, flags};
use super::served::{Desk, Reply, Served, serve};
use crate::common::fail;

#[test]
fn where_others_reach_it_it_starts_only_with_keys_and_tls() {
    let (place, desk) = (empty(), Desk::new());
    let anywhere = ["--listen", "0.0.0.0:0"];
    let with = |more: &[&str]| {
        let mut command = serve(&place);
        command.args(more);
        command
    };
    let keys: Vec<String> = desk.flags();
    let keyed = |more: &[&str]| {
        let mut command = with(more);
        command.args(&keys);
        command
    };
    let file = |name: &str| desk.path(name).display().to_string();
    let refused: [(Command, &str); 11] = [
        (with(&anywhere), "give --token-keys FILE or --token-jwks-url URL"),
        (
            with(&["--listen", "127.0.0.1:0", "--behind-proxy", "edge"]),
            "the proxy edge lets others reach it",
        ),
        (
            keyed(&anywhere),
            "give --tls-certificate FILE and --tls-key FILE, or --behind-proxy NAME",
        ),
        (with(&["--token-keys", &file("keys.json")]), "give --audit-log FILE"),
        (
            with(&["--token-keys", &file("keys.json"), "--audit-log", "-"]),
            "must name a file, not `-`",
        ),
        (
            with(&["--token-keys", &file("none"), "--audit-log", &file("a")]),
            "the file of keys",
        ),
        (keyed(&["--token-jwks-url", "https://a.example"]), "are both set"),
        (
            keyed(&["--tls-key", &file("k")]),
            "TLS needs both, so give --tls-certificate",
        ),
        (
            keyed(&["--tls-certificate", &file("none"), "--tls-key", &file("k")]),
            "cannot read the certificate file",
        ),
        (
            with(&["--token-jwks-url", "http://keys.example/", "--audit-log", &file("a")]),
            "it must begin with https://",
        ),
        (with(&["--listen", "localhost:80"]), "must be IP:PORT"),
    ];
    for (mut command, expected) in refused {
        let error = fail(&mut command, 2);
        assert!(error.contains(expected), "{error}");
    }
    let folder = desk.folder.path().display().to_string();
    let error = fail(
        &mut with(&["--token-keys", &file("keys.json"), "--audit-log", &folder]),
        2,
    );
    assert!(error.contains("cannot be opened to append to it"), "{error}");
    let proxied = Served::start(
        &place,
        &[keys, flags(&["--listen", "0.0.0.0:0", "--behind-proxy", "edge"])].concat(),
    );
    assert!(proxied.said().contains("the proxy edge ends TLS"));
    assert_eq!(proxied.process.stop(), Some(0));
}

/// A certificate for 127.0.0.1, signed by itself.
fn certificate(desk: &Desk) -> (X509, PKey<Private>) {
    let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let mut name = X509NameBuilder::new().expect("a name");
    name.append_entry_by_nid(Nid::COMMONNAME, "softstake").expect("a name");
    let name = name.build();
    let mut builder = X509::builder().expect("a builder");
    builder.set_version(2).expect("a version");
    builder.set_subject_name(&name).expect("a subject");
    builder.set_issuer_name(&name).expect("an issuer");
    builder.set_pubkey(&key).expect("a key");
    builder
        .set_not_before(&Asn1Time::days_from_now(0).expect("a time"))
        .expect("a time");
    builder
        .set_not_after(&Asn1Time::days_from_now(2).expect("a time"))
        .expect("a time");
    let here = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&builder.x509v3_context(None, None));
    builder.append_extension(here.expect("a name")).expect("a name");
    builder.sign(&key, MessageDigest::sha256()).expect("a signature");
    let certificate = builder.build();
    desk.put("server.pem", &certificate.to_pem().expect("PEM"));
    desk.put("server.key", &key.private_key_to_pem_pkcs8().expect("PEM"));
    (certificate, key)
}

#[test]
fn with_a_certificate_it_speaks_tls_alone() {
    let (place, desk) = (empty(), Desk::new());
    let (trusted, _) = certificate(&desk);
    let file = |name: &str| desk.path(name).display().to_string();
    let tls = [
        "--tls-certificate",
        &file("server.pem"),
        "--tls-key",
        &file("server.key"),
        "--listen",
        "0.0.0.0:0",
    ];
    let served = Served::start(&place, &[desk.flags(), flags(&tls)].concat());
    let address = format!("127.0.0.1:{}", served.address.port());
    let connect = |set: &dyn Fn(&mut openssl::ssl::SslConnectorBuilder)| {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).expect("a connector");
        set(&mut builder);
        let stream = TcpStream::connect(&address).expect("a connection");
        builder
            .build()
            .connect("127.0.0.1", stream)
            .map_err(|error| error.to_string())
    };
    let trust = |builder: &mut openssl::ssl::SslConnectorBuilder| {
        builder
            .cert_store_mut()
            .add_cert(trusted.clone())
            .expect("a certificate");
    };
    let mut stream = connect(&trust).expect("a handshake");
    let request = format!(
        "GET /v1/session HTTP/1.1\r\nHost: anything.example\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
        desk.role("auditor")
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    let reply = Reply::of(&text);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(
        reply
            .header("strict-transport-security")
            .is_some_and(|value| value.starts_with("max-age=63072000"))
    );
    // A client that does not know the certificate refuses it, and old protocols are refused here.
    assert!(connect(&|builder| builder.set_verify(SslVerifyMode::PEER)).is_err());
    let old = connect(&|builder| {
        trust(builder);
        builder.set_min_proto_version(None).expect("a version");
        builder
            .set_max_proto_version(Some(SslVersion::TLS1_1))
            .expect("a version");
    });
    assert!(old.is_err());
    // Plain HTTP gets no answer that is HTTP.
    let mut plain = TcpStream::connect(&address).expect("a connection");
    let _ = plain.write_all(b"GET /v1/session HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(connect(&trust).is_ok(), "it still serves");
    assert_eq!(served.process.stop(), Some(0));
    // The files of two pairs.
    let other = Desk::new();
    certificate(&other);
    let mut command = serve(&place);
    command
        .args(desk.flags())
        .args(["--listen", "0.0.0.0:0", "--tls-certificate", &file("server.pem")]);
    let error = fail(command.arg("--tls-key").arg(other.path("server.key")), 2);
    assert!(error.contains("is not that of the first certificate in"), "{error}");
}

/// An issuer that publishes what `keys` returns, or answers with it if it is an answer of HTTP, and counts how often it is asked.
pub fn issuer(keys: impl Fn() -> String + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let body = keys();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let answer = if body.starts_with("HTTP/") { body } else { head + &body };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}

#[test]
fn keys_of_an_issuer_are_fetched_once_and_an_unknown_one_asks_at_most_once_a_minute() {
    let (place, desk) = (empty(), Desk::new());
    let set = desk.key_set("first").to_string();
    let (address, asked) = issuer(move || set.clone());
    let audit = desk.path("reads.jsonl").display().to_string();
    let served = Served::start(&place, &flags(&["--token-jwks-url", &address, "--audit-log", &audit]));
    assert_eq!(served.get("/v1/session", &desk.role("support")).status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    for _ in 0..20 {
        served
            .get("/v1/session", &desk.token_of("second", &json!({})))
            .problem(401);
    }
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "within the first minute it is not asked again"
    );
    assert_eq!(served.process.stop(), Some(0));
    // What is no set of keys, or too large, or not there, is said at the start. An issuer that does not answer is waited for.
    for (body, expected) in [
        ("{\"keys\": []}".to_owned(), "it has no key that can be used"),
        ("<html>".to_owned(), "its answer is no JSON"),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            "it answered with status 404",
        ),
        (
            format!("{{{}", " ".repeat(2 << 20)),
            "its answer has more than 1048576 bytes",
        ),
    ] {
        let (address, _) = issuer(move || body.clone());
        let mut command = serve(&place);
        let error = fail(command.args(["--token-jwks-url", &address, "--audit-log", &audit]), 2);
        assert!(error.contains(expected), "{error}");
    }
}
