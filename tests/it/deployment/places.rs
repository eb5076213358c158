//! The place of the snapshots: wrong ones, object stores that cannot be reached, and credentials.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::snapshots::begun;
use crate::common::{fail, softstake};

#[test]
fn an_invalid_snapshot_place_is_refused() {
    let place = begun();
    for (given, status, wanted) in [
        (
            "ftp://somewhere/else",
            2,
            "`snapshots.place` must be a folder, or a URL: s3://bucket/folder",
        ),
        (
            "localhost:9000/bucket",
            2,
            "there is no place of the kind \"localhost:\"",
        ),
        ("s3:bucket/folder", 2, "must name a bucket"),
        ("s3://", 2, "`snapshots.place`"),
        ("", 2, "must be a folder"),
        ("/proc/nothing/here", 1, "correct `snapshots.place`"),
    ] {
        let mut command = place.command(Some(2));
        let said = fail(command.args(["--snapshots-place", given]), status);
        assert!(said.contains(wanted) && !said.contains("panicked"), "{given}: {said}");
    }
}

/// A server that answers every request with 403, and counts connections.
struct Forbidding {
    url: String,
    connections: Arc<AtomicUsize>,
}

impl Forbidding {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                let Ok(mut stream) = stream else { continue };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { url, connections }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

#[test]
fn only_prefixed_variables_reach_an_object_store_and_no_secret_is_printed() {
    let place = begun();
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let (theirs, ours) = (Forbidding::start(), Forbidding::start());
    let mut command = place.command(Some(2));
    command.args(["--snapshots-place", "s3://bucket/folder", "--log-level", "trace"]);
    for name in [
        "ENDPOINT",
        "ENDPOINT_URL",
        "PROXY_URL",
        "METADATA_ENDPOINT",
        "endpoint",
        "aws_endpoint",
    ] {
        command.env(name, &theirs.url);
    }
    command.env("TOKEN", "hush-bare").env("SKIP_SIGNATURE", "true");
    command.env("AWS_ENDPOINT_URL", &ours.url).env("AWS_ALLOW_HTTP", "true");
    command
        .env("AWS_ACCESS_KEY_ID", "hush-id")
        .env("AWS_SECRET_ACCESS_KEY", "hush-secret");
    command.env("AWS_SESSION_TOKEN", "hush-token");
    let said = fail(&mut command, 1);
    assert!(ours.count() > 0 && said.contains("403"), "{said}");
    assert_eq!(theirs.count(), 0, "{said}");
    for secret in ["hush-bare", "hush-id", "hush-secret", "hush-token", "panicked"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

#[test]
fn a_wrong_or_unreachable_object_store_is_an_error_in_a_sentence() {
    let place = begun();
    let with = |variables: &[(&str, &str)]| {
        let mut command = place.command(Some(2));
        command.args(["--snapshots-place", "s3://bucket/folder"]);
        command
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "hush-secret");
        command.envs(variables.iter().copied());
        let said = fail(&mut command, 1);
        assert!(!said.contains("panicked") && !said.contains("hush"), "{said}");
        said
    };
    for (name, value, wanted) in [
        (
            "AWS_ENDPOINT_URL",
            "localhost:9000",
            "must be a URL that begins with https:// or http://",
        ),
        ("AWS_ENDPOINT_URL", "http://hush@localhost:9000", "AWS_ALLOW_HTTP=true"),
        ("AWS_SESSION_TOKEN", "hush\nhush", "has a line feed"),
    ] {
        let said = with(&[(name, value)]);
        assert!(said.contains(name) && said.contains(wanted), "{said}");
    }
    fs::remove_dir_all(place.state()).expect("a state to lose");
    let said = with(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ALLOW_HTTP", "true")]);
    assert!(
        said.contains("WARN") && said.contains("tasks that have a store start all the same"),
        "{said}"
    );
    assert!(
        said.contains("error: cannot read") && said.contains("of the snapshots at s3://bucket/folder"),
        "{said}"
    );
}

#[test]
fn credentials_in_a_place_are_refused_and_never_printed() {
    let place = begun();
    for given in [
        "s3://id:hush@bucket/folder",
        "s3://id:hu/hush@bucket/folder",
        "az://container/folder?sv=2024&sig=hush",
        "https://id:hush@host/folder",
    ] {
        let mut run = place.command(Some(2));
        run.args(["--snapshots-place", given]);
        let mut show = softstake();
        show.args(["check", "--config"])
            .env("SOFTSTAKE_SNAPSHOTS__PLACE", given);
        let mut misspelt = place.command(Some(2));
        misspelt.arg(given);
        for command in [&mut run, &mut show, &mut misspelt] {
            let said = fail(command, 2);
            assert!(!said.contains("hush"), "{said}");
        }
    }
}
