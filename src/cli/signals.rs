//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second gets an immediate one.

use std::future::poll_fn;
use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// From here on, sets `stop` at the first signal and ends the process at the second. Nothing is lost either way: a process may be killed at any
/// instant, a clean stop only makes the next start quicker.
pub(super) fn stop_on_signals(stop: Arc<AtomicBool>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let guard = runtime.enter();
    let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
    let mut signals = [signal(kinds[0])?, signal(kinds[1])?];
    drop(guard);
    let wait = move || {
        loop {
            let number = runtime.block_on(poll_fn(|context| {
                let ready = |(signal, kind): (&mut tokio::signal::unix::Signal, SignalKind)| {
                    signal.poll_recv(context).is_ready().then_some(kind.as_raw_value())
                };
                signals
                    .iter_mut()
                    .zip(kinds)
                    .find_map(ready)
                    .map_or(Poll::Pending, Poll::Ready)
            }));
            if stop.swap(true, Ordering::Relaxed) {
                // What shells report of a process that died of the signal.
                process::exit(128 + number);
            }
            tracing::info!("stopping once the work in hand is safe; a second signal stops at once");
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}
