//! Ctrl-C and SIGTERM. The first signal asks for a clean stop, the second one ends the process at once. A clean stop has a deadline, because brokers
//! that do not answer could hold it up, and an orchestrator kills a process that is late.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cli::outcome::Failure;

/// How long a clean stop may take. Orchestrators wait 10 seconds or more.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// Starts to listen. Returns the flag that the first signal sets. `late_status` is the exit status if a clean stop takes too long.
///
/// No way loses anything: a process may be killed at any instant. A clean stop only makes the next start faster.
pub(super) fn stop_on_signals(late_status: i32) -> Result<Arc<AtomicBool>, Failure> {
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
            thread::spawn(move || {
                thread::sleep(STOP_WITHIN);
                tracing::warn!(
                    "the current work did not end within {} s, so the process ends now; nothing is lost, and the next start goes on",
                    STOP_WITHIN.as_secs()
                );
                process::exit(late_status);
            });
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(listen)
        .map_err(cannot)?;
    Ok(stop)
}
