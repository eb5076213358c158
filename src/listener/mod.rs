//! Serves paths over HTTP/1. What a client may hold is bounded: time, bytes and descriptors. With a certificate, it speaks TLS.

mod address;
mod bounds;
mod connection;
mod tls;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use openssl::ssl::SslAcceptor;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use address::{ListenError, bind};
pub use bounds::Bounds;
pub use connection::ClientAddress;
pub use tls::acceptor;

use crate::listener::connection::{Activity, Connection};
use crate::outage::Outage;

/// The pause after a connection that could not be accepted: there may be no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether to stop, and whether a busy connection has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Answers until `stop` is set, then lets open requests end. Without `tls` it speaks plain HTTP.
pub async fn serve(
    listener: tokio::net::TcpListener,
    bounds: &Bounds,
    tls: Option<&SslAcceptor>,
    routes: &Router,
    stop: &Arc<AtomicBool>,
) {
    let (mut open, outage) = (Vec::<Open>::new(), Outage::default());
    while !stop.load(Ordering::Relaxed) {
        let accepted = match tokio::time::timeout(LOOK_EVERY, listener.accept()).await {
            Err(_) => continue,
            Ok(accepted) => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => {
                if let Some(lasted) = outage.ends() {
                    tracing::info!("connections are accepted again after {} s", lasted.as_secs());
                }
                accepted
            }
            // The client went away before.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if outage.begins() {
                    tracing::warn!("cannot accept connections now: {error}");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        make_room(&mut open, bounds.connections).await;
        let activity = Arc::new(Activity::new());
        let connection = Connection {
            address,
            bounds: bounds.clone(),
            activity: Arc::clone(&activity),
            stop: Arc::clone(stop),
        };
        let (tls, routes) = (tls.cloned(), routes.clone());
        let task = tokio::spawn(async move { connection.serve(stream, tls, routes).await });
        open.push(Open { task, activity });
    }
    drop(listener);
    drain(open, bounds.drain_for).await;
}

/// An open connection.
struct Open {
    task: JoinHandle<()>,
    activity: Arc<Activity>,
}

/// Ends idle connections until there is room for one more. While each of them has a request under way, it waits.
async fn make_room(open: &mut Vec<Open>, most: usize) {
    loop {
        open.retain(|open| !open.task.is_finished());
        if open.len() < most {
            return;
        }
        let idle = open
            .iter()
            .enumerate()
            .filter(|(_, open)| !open.activity.is_busy())
            .min_by_key(|(_, open)| open.activity.last());
        if let Some((at, _)) = idle {
            let idle = open.swap_remove(at);
            idle.task.abort();
            // Its descriptor is closed before the next connection is accepted.
            let _ = idle.task.await;
        } else {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

async fn drain(mut open: Vec<Open>, within: Duration) {
    let deadline = Instant::now() + within;
    while !open.is_empty() && Instant::now() < deadline {
        open.retain(|open| !open.task.is_finished());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for open in open {
        open.task.abort();
    }
}
