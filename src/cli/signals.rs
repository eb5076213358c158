//! Ctrl-C and SIGTERM. The first signal asks for a clean stop, the second one ends the process at once.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::outcome::Failure;

/// Starts to listen. Returns the flag that the first signal sets.
///
/// Neither way loses anything: a process may be killed at any instant. A clean stop only makes the next start faster.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let cannot = |error| Failure::Failed(format!("cannot listen for signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(cannot)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let listen = move || {
        for number in signals.forever() {
            if flag.swap(true, Ordering::Relaxed) {
                // The status that shells report of a process that died of the signal.
                process::exit(128 + number);
            }
            tracing::info!("stopping after the current work; a second signal stops at once");
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(listen)
        .map_err(cannot)?;
    Ok(stop)
}
