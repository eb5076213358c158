//! `softstake serve` as a process, requests to it, and tokens for it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::process::{Process, until};
use crate::common::{Place, on_bus};

/// How long a request waits for its answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// What a test keeps beside the bus: keys, certificates, logs.
pub struct Desk {
    pub folder: TempDir,
    pub key: PKey<Private>,
}

impl Desk {
    pub fn new() -> Self {
        let desk = Self {
            folder: tempfile::tempdir().expect("a folder"),
            key: PKey::generate_ed25519().expect("a key"),
        };
        desk.put("keys.json", desk.key_set("first").to_string().as_bytes());
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn put(&self, name: &str, text: &[u8]) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// The public key as a set of JWKs.
    pub fn key_set(&self, id: &str) -> Value {
        let raw = self.key.raw_public_key().expect("the public key");
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": id, "alg": "EdDSA", "x": URL_SAFE_NO_PAD.encode(raw) }] })
    }

    /// Flags that ask for tokens of this key, with an audit log.
    pub fn flags(&self) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        let flags = [
            ("--token-keys", path("keys.json")),
            ("--audit-log", path("reads.jsonl")),
        ];
        flags
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    /// A token of the key `first`, valid for ten minutes, with these claims over the usual ones.
    pub fn token(&self, claims: &Value) -> String {
        self.token_of("first", claims)
    }

    pub fn token_of(&self, id: &str, claims: &Value) -> String {
        let mut all = json!({ "sub": "someone", "exp": now() + 600 });
        for (name, value) in claims.as_object().expect("claims") {
            all[name] = value.clone();
        }
        all.as_object_mut().expect("claims").retain(|_, value| !value.is_null());
        self.signed(&json!({ "alg": "EdDSA", "kid": id }), &all)
    }

    pub fn signed(&self, header: &Value, claims: &Value) -> String {
        let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = parts.join(".");
        let mut signer = Signer::new_without_digest(&self.key).expect("a signer");
        let signature = signer.sign_oneshot_to_vec(message.as_bytes()).expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A token with one role.
    pub fn role(&self, role: &str) -> String {
        self.token(&json!({ "sub": role, "scope": format!("openid softstake.{role}") }))
    }
}

pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a clock").as_secs()
}

/// The command on a bus, with a view beside it, on a free port of this machine.
pub fn serve(place: &Place) -> Command {
    let mut command = on_bus("serve", &place.bus());
    command.arg("--view").arg(place.bus().with_file_name("view"));
    command
}

/// A process that serves.
pub struct Served {
    pub process: Process,
    pub address: SocketAddr,
    log: PathBuf,
}

/// The status, the head and the body of an answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn of(text: &str) -> Self {
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(": ")?;
            own.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that it is a problem of this status. Returns what it says.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let json = self.json();
        assert_eq!(json["status"], status);
        assert!(
            json["type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("urn:softstake:problem:"))
        );
        json["detail"].as_str().expect("a detail").to_owned()
    }
}

impl Served {
    pub fn start(place: &Place, more: &[String]) -> Self {
        let log = place.bus().with_file_name("serve.log");
        let mut command = serve(place);
        if !more.iter().any(|flag| flag == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Self::of(command.args(more), log)
    }

    /// A command that serves, and writes its log to a new file.
    pub fn of(command: &mut Command, log: PathBuf) -> Self {
        let mut process = Process::logging(command, &log);
        let mut address = None;
        until("it serves", || {
            let ended = process.ended();
            let text = fs::read_to_string(&log).expect("the log");
            assert!(!ended, "it ended: {text}");
            let line = text.lines().find_map(|line| line.split_once("serving on "));
            let named = line.and_then(|(_, rest)| rest.split_once("://")?.1.split_once(';'));
            address = named.and_then(|(address, _)| address.parse().ok());
            address.is_some()
        });
        Self {
            process,
            address: address.expect("an address"),
            log,
        }
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// Sends bytes, and reads what comes until the other side closes.
    pub fn send(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // The other side may close before it has read all.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Reply::of(&String::from_utf8_lossy(&answer))
    }

    /// A request with these lines in its head.
    pub fn ask(&self, method: &str, path: &str, lines: &[&str]) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !lines.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
            head.push_str("Host: localhost\r\n");
        }
        for line in lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        self.send(format!("{head}\r\n").as_bytes())
    }

    /// GET with a token.
    pub fn get(&self, path: &str, token: &str) -> Reply {
        self.ask("GET", path, &[&format!("Authorization: Bearer {token}")])
    }
}
