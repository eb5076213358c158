//! What a client may hold, and what each answer has.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::access::empty;
use super::served::{Reply, Served};
use crate::common::process::until;

#[test]
fn only_get_and_head_without_a_body() {
    let place = empty();
    let served = Served::start(&place, &[]);
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"] {
        let path = if method == "CONNECT" {
            "localhost:80"
        } else {
            "/v1/session"
        };
        let reply = served.ask(method, path, &[]);
        if method == "CONNECT" {
            assert!(reply.status >= 400, "{reply:?}");
            continue;
        }
        reply.problem(405);
        assert_eq!(reply.header("allow"), Some("GET, HEAD"), "{method}");
    }
    assert!(
        served
            .ask("GET", "/v1/session", &["Content-Length: 3"])
            .problem(400)
            .contains("has a body")
    );
    assert!(
        served
            .ask("GET", "/v1/session", &["Transfer-Encoding: chunked"])
            .problem(400)
            .contains("has a body")
    );
    let (get, head) = (
        served.ask("GET", "/v1/session", &[]),
        served.ask("HEAD", "/v1/session", &[]),
    );
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    served.ask("GET", "/v1/nothing", &[]).problem(404);
    served.ask("GET", "/assets/nothing.js", &[]).problem(404);
    served.ask("GET", "/assets/../mod.rs", &[]).problem(404);
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn each_answer_has_the_headers_that_protect_its_reader() {
    let place = empty();
    let served = Served::start(&place, &[]);
    let answers = [
        served.ask("GET", "/v1/session", &[]),
        served.ask("GET", "/v1/nothing", &[]),
        served.ask("POST", "/v1/session", &[]),
        served.ask("GET", "/history", &[]),
        served.ask("GET", "/v1/session", &["Host: elsewhere.example"]),
    ];
    for reply in &answers {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-embedder-policy", "require-corp"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{reply:?}");
        }
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        for absent in [
            "access-control-allow-origin",
            "server",
            "strict-transport-security",
            "set-cookie",
        ] {
            assert_eq!(reply.header(absent), None, "{reply:?}");
        }
        assert!(reply.header("cache-control").is_some());
    }
    assert!(
        answers[3]
            .header("content-security-policy")
            .is_some_and(|policy| policy.contains("script-src 'self'"))
    );
    assert!(
        !answers[0]
            .header("content-security-policy")
            .is_some_and(|policy| policy.contains("script-src"))
    );
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn pages_are_compressed_and_sent_once() {
    let place = empty();
    let served = Served::start(&place, &[]);
    for path in ["/", "/history", "/operations", "/treasury", "/finance", "/audit"] {
        let page = served.ask("GET", path, &[]);
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(
            page.body.starts_with("<!doctype html>") || page.body.starts_with("<!DOCTYPE html>"),
            "{path}"
        );
    }
    let plain = served.ask("GET", "/assets/history.js", &[]);
    assert_eq!(plain.header("content-type"), Some("text/javascript; charset=utf-8"));
    let small = served.ask("GET", "/assets/history.js", &["Accept-Encoding: br, gzip"]);
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert!(
        small
            .header("vary")
            .is_some_and(|vary| vary.eq_ignore_ascii_case("accept-encoding"))
    );
    let tags = [&plain, &small].map(|reply| reply.header("etag").expect("a tag").to_owned());
    assert_ne!(tags[0], tags[1], "other bytes");
    for tag in &tags {
        let known = served.ask(
            "GET",
            "/assets/history.js",
            &[&format!("If-None-Match: {tag}"), "Accept-Encoding: gzip"],
        );
        assert_eq!((known.status, known.body.as_str()), (304, ""), "{tag}");
        assert!(known.header("etag").is_some());
    }
    assert_eq!(
        served
            .ask("GET", "/assets/history.js", &["If-None-Match: \"x\""])
            .status,
        200
    );
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let place = empty();
    let served = Served::start(&place, &[]);
    let mut stream = served.connect();
    for _ in 0..3 {
        stream
            .write_all(b"GET /v1/session HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("a request");
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            let mut part = [0; 4096];
            let count = stream.read(&mut part).expect("an answer");
            assert!(count > 0, "it was closed");
            answer.extend_from_slice(&part[..count]);
        }
        assert_eq!(Reply::of(&String::from_utf8_lossy(&answer)).status, 200);
    }
    // A process that stops waits for no idle client.
    let began = Instant::now();
    assert_eq!(served.process.stop(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn a_slow_or_silent_client_is_cut_off() {
    let place = empty();
    let served = Served::start(&place, &[]);
    let began = Instant::now();
    let mut silent = served.connect();
    let mut slow = served.connect();
    slow.write_all(b"GET /v1/session HTTP/1.1\r\nHost: ").expect("a part");
    let mut trickle = slow.try_clone().expect("the same connection");
    let sender = std::thread::spawn(move || {
        // It ends when the other side closes.
        while trickle.write_all(b"a").is_ok() && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    for stream in [&mut silent, &mut slow] {
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    }
    sender.join().expect("the sender ends");
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn a_header_has_bounds() {
    let place = empty();
    let served = Served::start(&place, &[]);
    let long = format!("X-Long: {}", "a".repeat(32 << 10));
    assert_eq!(served.ask("GET", "/v1/session", &[&long]).status, 431);
    let many = vec!["X-Many: 1"; 200];
    assert_eq!(served.ask("GET", "/v1/session", &many).status, 431);
    let path = format!("/v1/{}", "a".repeat(32 << 10));
    assert!(matches!(served.ask("GET", &path, &[]).status, 414 | 431));
    for wrong in [
        "GET /v1/session HTTP/9.9\r\n\r\n",
        "\u{1}\u{2}\r\n\r\n",
        "GET /v1/session HTTP/1.1\r\nHost localhost\r\n\r\n",
    ] {
        assert_eq!(served.send(wrong.as_bytes()).status, 400, "{wrong:?}");
    }
    assert_eq!(served.ask("GET", "/v1/session", &[]).status, 200, "it still serves");
    assert_eq!(served.process.stop(), Some(0));
}

#[test]
fn idle_clients_neither_keep_others_out_nor_use_up_descriptors() {
    let place = empty();
    let served = Served::start(&place, &["--connections".to_owned(), "20".to_owned()]);
    let before = served.process.descriptors();
    let mut idle = Vec::new();
    for number in 0..200 {
        let mut client = served.connect();
        if number % 2 == 0 {
            let _ = client.write_all(b"GET /v1/session HT");
        }
        idle.push(client);
        if number % 20 == 19 {
            let began = Instant::now();
            assert_eq!(served.ask("GET", "/v1/session", &[]).status, 200);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            let now = served.process.descriptors();
            assert!(now <= before + 24, "{now} after {before}");
        }
    }
    drop(idle);
    until("the descriptors are closed", || {
        let _ = served.ask("GET", "/v1/session", &[]);
        served.process.descriptors() <= before + 3
    });
    assert_eq!(served.process.stop(), Some(0));
}
