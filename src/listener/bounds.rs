//! The bounds of a client.

use std::time::Duration;

/// What a client may hold.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// How long a client may take for the header of a request, from the end of the answer before it, and for the handshake of TLS.
    pub header_within: Duration,
    /// The largest header of a request, in bytes.
    pub header_bytes: usize,
    /// Whether a connection is kept for further requests.
    pub keep_alive: bool,
    /// How long a connection may go without a byte to the client or a request from it.
    pub idle_for: Duration,
    /// How long a connection may last. A kept one ends after its answer; any other at once.
    pub connection_for: Duration,
    /// The number of connections at a time. The one that is idle for longest makes room for a new one, so slow clients keep nobody out.
    pub connections: usize,
    /// How long the open requests may take when the process stops.
    pub drain_for: Duration,
}
