//! The address to listen on, and why it cannot be had.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Why this process cannot listen. It is a predicate: it makes a sentence after the name of the setting.
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

/// Listens on an address. The address that is returned has the port, if any free port was asked for.
///
/// # Errors
/// If this process cannot listen there.
pub fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |source| ListenError::new(address, source);
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
