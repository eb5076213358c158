//! Serves the endpoint over HTTP/1, on a thread of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::listener::{Bounds, ListenError, bind, serve};
use crate::monitor::monitored::Monitored;
use crate::monitor::routes::routes;

/// Each client asks once and goes, within seconds.
const BOUNDS: Bounds = Bounds {
    header_within: Duration::from_secs(5),
    header_bytes: 16 << 10,
    keep_alive: false,
    idle_for: Duration::from_secs(20),
    connection_for: Duration::from_secs(20),
    connections: 64,
    drain_for: Duration::ZERO,
};

/// Listens on an address, and answers until the process ends. Returns the address; it has the port, if any free port was asked for.
///
/// # Errors
/// If this process cannot listen there.
pub fn start(address: SocketAddr, process: Monitored) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError::Other { address, source };
    let (listener, bound) = bind(address)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(failed)?;
    let answer = move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                // It answers even while the process stops, so its flag is not asked.
                Ok(listener) => serve(listener, &BOUNDS, None, &routes(Arc::new(process)), &Arc::default()).await,
                Err(error) => tracing::error!("the endpoint for monitoring has ended: {error}"),
            }
        });
    };
    std::thread::Builder::new()
        .name("monitor".into())
        .spawn(answer)
        .map_err(failed)?;
    Ok(bound)
}
