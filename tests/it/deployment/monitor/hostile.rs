//! Clients that are slow, many or wrong, or send what is no HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::endpoint::Watched;
use super::{begun, pool};

/// The connections that the endpoint keeps at a time, and some that are being accepted or closed.
const MOST_CONNECTIONS: usize = 64 + 8;

#[test]
fn other_paths_and_methods_are_refused() {
    let place = begun(&pool());
    let watched = Watched::start(&place, &[]);
    for path in [
        "/",
        "/metrics/",
        "/metrics/x",
        "/status/../livez",
        "/admin",
        "/%00",
        "/livez%0a",
    ] {
        assert_eq!(watched.request("GET", path).status, 404, "{path}");
    }
    for path in ["/metrics", "/livez", "/readyz", "/status"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let answer = watched.request(method, path);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
        }
        assert_eq!(watched.request("HEAD", path).body, "", "{path}");
    }
    let with_query = watched.request("GET", "/livez?a=b");
    assert_eq!(
        (with_query.status, with_query.body.as_str()),
        (200, "{\"live\":true}\n")
    );
    assert_eq!(watched.process.stop(), Some(0));
}

#[test]
fn what_is_no_request_is_refused_and_changes_nothing() {
    let place = begun(&pool());
    let watched = Watched::start(&place, &[]);
    let huge = format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20));
    for (what, bytes) in [
        ("a huge header", huge.as_bytes()),
        ("many headers", many.as_bytes()),
        ("a long path", long.as_bytes()),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice()),
        ("no HTTP", b"\0\0\0\0\r\n\r\n"),
        ("another version", b"GET /livez HTTP/3.0\r\n\r\n"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let answer = watched.send(bytes);
        let status = answer.split(' ').nth(1).unwrap_or("400");
        assert!(status.starts_with('4'), "{what}: {answer:?}");
        assert_eq!(watched.json("/livez").0, 200, "{what}");
    }
    assert_eq!(watched.process.stop(), Some(0));
}

/// Reads until the other side closes. Returns how long that took.
fn until_closed(mut stream: TcpStream, began: Instant) -> Duration {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    began.elapsed()
}

#[test]
fn a_client_that_sends_its_request_slowly_is_cut_off() {
    let place = begun(&pool());
    let watched = Watched::start(&place, &[]);
    let began = Instant::now();
    let mut slow = watched.connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: ")
        .expect("a part of a request");
    let mut trickle = slow.try_clone().expect("the same connection");
    let sender = std::thread::spawn(move || {
        // It ends when the other side closes.
        while trickle.write_all(b"a").is_ok() && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let cut_off = until_closed(slow, began);
    assert!(cut_off < Duration::from_secs(25), "{cut_off:?}");
    sender.join().expect("the sender ends");
    // So is one that sends nothing at all.
    let began = Instant::now();
    let cut_off = until_closed(watched.connect(), began);
    assert!(cut_off < Duration::from_secs(25), "{cut_off:?}");
    assert_eq!(watched.process.stop(), Some(0));
}

#[test]
fn many_idle_clients_neither_keep_others_out_nor_use_up_descriptors() {
    let place = begun(&pool());
    let watched = Watched::start(&place, &[]);
    watched.until_ready();
    let before = watched.process.descriptors();
    let mut idle = Vec::new();
    for number in 0..600 {
        let mut client = watched.connect();
        // Some have sent a part of a request.
        if number % 2 == 0 {
            let _ = client.write_all(b"GET /metrics HT");
        }
        idle.push(client);
        if number % 50 == 49 {
            let began = Instant::now();
            assert_eq!(watched.json("/livez").0, 200);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            let now = watched.process.descriptors();
            assert!(now <= before + MOST_CONNECTIONS, "{now} after {before}");
        }
    }
    drop(idle);
    crate::common::process::until("the descriptors are closed", || {
        let _ = watched.json("/livez");
        watched.process.descriptors() <= before + 8
    });
    assert_eq!(watched.process.stop(), Some(0));
}
