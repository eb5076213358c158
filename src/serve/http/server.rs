//! Starts to listen, and answers until it is stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;

use crate::listener::{self, Bounds, ListenError};
use crate::serve::answer::Readers;
use crate::serve::auth::{AccessCheck, AccessSettings};
use crate::serve::http::frame::{Frame, framed};
use crate::serve::http::requests::RequestCounts;

/// Threads that serve. They never wait for a disk.
const SERVING_THREADS: usize = 2;

/// A certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// How to serve.
#[derive(Debug, Clone)]
pub struct Serving {
    pub listen: SocketAddr,
    pub tls: Option<TlsFiles>,
    /// The proxy that ends TLS.
    pub behind_proxy: Option<String>,
    pub access: AccessSettings,
    /// The number of connections at a time.
    pub connections: usize,
    /// The number of reads at a time.
    pub readers: usize,
}

/// Why this process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A predicate: it makes a sentence after the name of the setting.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It may not listen there without keys or without TLS.
    #[error("{0}")]
    Unsafe(String),
    /// The keys, the certificate or the audit log.
    #[error("{0}")]
    File(String),
    #[error("cannot start the threads that serve: {0}")]
    Threads(std::io::Error),
}

impl Serving {
    /// Whether it is safe to listen there. What is wrong is found before anything is opened.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn check(&self) -> Result<(), ServeError> {
        let is_local = self.listen.ip().is_loopback();
        let listen = self.listen;
        let refuse = |what: String| Err(ServeError::Unsafe(what));
        if self.access.keys.is_none() && (!is_local || self.behind_proxy.is_some()) {
            let reached = match &self.behind_proxy {
                Some(proxy) => format!("the proxy {proxy} lets others reach it"),
                None => format!("{listen} can be reached from other machines"),
            };
            return refuse(format!(
                "without keys, everybody who reaches this process sees everything, and {reached}: give --token-keys FILE or --token-jwks-url URL, \
                 or listen on 127.0.0.1 without a proxy"
            ));
        }
        if !is_local && self.tls.is_none() && self.behind_proxy.is_none() {
            return refuse(format!(
                "{listen} can be reached from other machines, and without TLS their tokens and answers can be read on the way: give \
                 --tls-certificate FILE and --tls-key FILE, or --behind-proxy NAME if a proxy ends TLS"
            ));
        }
        if self.access.keys.is_some() && self.access.audit_log.is_none() {
            return refuse("with keys, each read of an account is written down: give --audit-log FILE".into());
        }
        Ok(())
    }
}

/// What the paths are made with.
#[derive(Debug)]
pub struct ServeParts {
    /// The pool for reads that block.
    pub readers: Readers,
    pub access: Arc<AccessCheck>,
    pub requests: Arc<RequestCounts>,
}

/// Listens and answers until `stop` is set. `paths` makes the paths of the API, for callers who are known, and those for everybody. `began` learns
/// the address.
///
/// # Errors
/// If it cannot start.
pub fn run(
    serving: Serving,
    paths: impl FnOnce(&ServeParts) -> (Router, Router),
    stop: &Arc<AtomicBool>,
    began: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    serving.check()?;
    let tls = match &serving.tls {
        None => None,
        Some(files) => Some(listener::acceptor(&files.certificate, &files.key).map_err(ServeError::File)?),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SERVING_THREADS)
        .thread_name("serve")
        .enable_io()
        .enable_time()
        .build()
        .map_err(ServeError::Threads)?;
    let access = runtime
        .block_on(AccessCheck::open(serving.access))
        .map_err(ServeError::File)?;
    let parts = ServeParts {
        readers: Readers::new(serving.readers),
        access: Arc::new(access),
        requests: Arc::default(),
    };
    let access = Arc::clone(&parts.access);
    runtime.spawn(async move { access.keep_keys_fresh().await });
    let frame = Frame {
        access: Arc::clone(&parts.access),
        requests: Arc::clone(&parts.requests),
        is_local: serving.listen.ip().is_loopback(),
        is_behind_proxy: serving.behind_proxy.is_some(),
        is_encrypted: tls.is_some() || serving.behind_proxy.is_some(),
    };
    let (guarded, open) = paths(&parts);
    let routes = framed(&frame, guarded, open);
    let bounds = Bounds {
        header_within: Duration::from_secs(15),
        header_bytes: 16 << 10,
        keep_alive: true,
        idle_for: Duration::from_secs(30),
        connection_for: Duration::from_secs(600),
        connections: serving.connections,
        drain_for: Duration::from_secs(5),
    };
    let (bound, address) = listener::bind(serving.listen)?;
    runtime.block_on(async {
        let bound = tokio::net::TcpListener::from_std(bound).map_err(ServeError::Threads)?;
        began(address);
        listener::serve(bound, &bounds, tls.as_ref(), &routes, stop).await;
        Ok::<(), ServeError>(())
    })?;
    // A read that blocks for ever does not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}
