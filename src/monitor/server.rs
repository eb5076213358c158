//! Serves the endpoint over HTTP/1, on a thread of its own. What a client may hold is bounded: time, bytes and descriptors.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::AbortHandle;

use crate::monitor::monitored::Monitored;
use crate::monitor::routes::routes;

/// How long a client may take for the header of its request.
const HEADER_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may last, with the answer.
const CONNECTION_FOR: Duration = Duration::from_secs(20);
/// The largest header of a request, in bytes.
const HEADER_BYTES: usize = 16 << 10;
/// The number of connections at a time. The oldest makes room for a new one, so slow clients keep nobody out.
const CONNECTIONS: usize = 64;
/// The pause after a connection that could not be accepted: there may be no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the endpoint cannot start. It is a predicate: it makes a sentence after the name of the setting.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "is {address}, but another process listens on that port: name a free port, or stop the other process (`ss -ltnp` shows it)"
    )]
    InUse { address: SocketAddr },
    #[error(
        "is {address}, which is no address of this machine: name one that it has (`ip address` lists them), 127.0.0.1 for this machine alone, or \
         0.0.0.0 for all its addresses"
    )]
    NotHere { address: SocketAddr },
    #[error("is {address}, but this user may not listen there: name a port from 1024 on")]
    NotAllowed { address: SocketAddr },
    #[error("is {address}, where this process cannot listen: {source}")]
    Other { address: SocketAddr, source: io::Error },
}

impl ListenError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::AddrNotAvailable => Self::NotHere { address },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { address },
            _ => Self::Other { address, source },
        }
    }
}

/// Listens on an address, and answers until the process ends. Returns the address; it has the port, if any free port was asked for.
///
/// # Errors
/// If this process cannot listen there.
pub fn start(address: SocketAddr, process: Monitored) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError::new(address, source);
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(failed)?;
    let serve = move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => serve(&listener, &routes(Arc::new(process))).await,
                Err(error) => tracing::error!("the endpoint for monitoring has ended: {error}"),
            }
        });
    };
    std::thread::Builder::new()
        .name("monitor".into())
        .spawn(serve)
        .map_err(failed)?;
    Ok(bound)
}

async fn serve(listener: &tokio::net::TcpListener, routes: &Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .max_buf_size(HEADER_BYTES)
        .keep_alive(false);
    let mut open = VecDeque::<AbortHandle>::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("cannot accept a connection for monitoring: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            // Its descriptor is closed before the next connection is accepted.
            tokio::task::yield_now().await;
        }
        let service = TowerToHyperService::new(routes.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = tokio::spawn(async move {
            // A client that is late or speaks no HTTP is no error of this process.
            let _ = tokio::time::timeout(CONNECTION_FOR, connection).await;
        });
        open.push_back(connection.abort_handle());
    }
}
