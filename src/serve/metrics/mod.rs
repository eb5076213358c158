//! The metrics of the read side: gathers the samples of one scrape from what the view, the server and the checks of access have noted.

mod families;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::core::contract::rules::NEWEST_RULES;
use crate::metrics::{BUILD, ProcessFigures, Samples};
use crate::serve::answer::Readers;
use crate::serve::auth::AccessCheck;
use crate::serve::http::{RequestCounts, RouteFigures};
use crate::serve::view::{View, ViewProgress};

pub use families::SERVE_FAMILIES;

/// A view that is further behind is not ready.
const READY_WITHIN: u64 = 10_000;
/// A view that has not seen the ends for longer is not ready: what it says of them is old.
const LOOKED_WITHIN: Duration = Duration::from_secs(60);

/// A process that serves, for those who watch it.
#[derive(Clone)]
pub struct ObservedServe {
    pub view: Arc<View>,
    pub access: Arc<AccessCheck>,
    pub readers: Readers,
    pub requests: Arc<RequestCounts>,
    pub started: (SystemTime, Instant),
}

impl ObservedServe {
    /// Why it is not ready; `None` if it is.
    #[must_use]
    pub fn not_ready(&self, progress: &ViewProgress) -> Option<&'static str> {
        match progress.looked_ago {
            _ if !self.access.has_keys() => Some("the issuer of tokens has not told its keys yet"),
            None => Some("it has not reached the bus yet"),
            Some(ago) if ago > LOOKED_WITHIN => Some("the bus has not been reached for a minute"),
            Some(_) if progress.behind() > READY_WITHIN => Some("it catches up with the bus"),
            Some(_) => None,
        }
    }

    /// The text of all metrics, in OpenMetrics.
    ///
    /// # Errors
    /// If a family and its samples disagree.
    pub fn metrics(&self) -> Result<String, fmt::Error> {
        let (mut samples, progress) = (Samples::of(&SERVE_FAMILIES), self.view.progress());
        let rules = NEWEST_RULES.to_string();
        samples.info(&BUILD, [env!("CARGO_PKG_VERSION"), &rules]);
        self.add_process(&mut samples);
        samples.count(&families::READY, [], u64::from(self.not_ready(&progress).is_none()));
        self.add_view(&mut samples, &progress);
        self.add_requests(&mut samples);
        self.add_access(&mut samples);
        samples.text()
    }

    fn add_process(&self, samples: &mut Samples) {
        let started = self.started.0.duration_since(SystemTime::UNIX_EPOCH);
        samples.number(&families::STARTED, [], started.unwrap_or_default().as_secs_f64());
        let process = ProcessFigures::now();
        for (family, figure) in [
            (&families::RESIDENT, process.resident_bytes),
            (&families::OPEN_FILES, process.open_files),
            (&families::MOST_OPEN_FILES, process.most_open_files),
        ] {
            if let Some(figure) = figure {
                samples.count(family, [], figure);
            }
        }
    }

    fn add_view(&self, samples: &mut Samples, progress: &ViewProgress) {
        for one in &progress.partitions {
            let (topic, partition) = (one.partition.topic.name(), one.partition.partition.to_string());
            let lag = one.end.get().saturating_sub(one.offset.get());
            samples.count(&families::LAG, [topic, &partition], lag);
        }
        let looked_ago = progress.looked_ago.unwrap_or_else(|| self.started.1.elapsed());
        samples.number(&families::LOOK_AGE, [], looked_ago.as_secs_f64());
        for (topic, records) in &progress.records {
            samples.count(&families::RECORDS, [topic.name()], *records);
        }
        samples.count(&families::UNREADABLE, [], self.view.unreadable());
        if let Some(credits_ago) = progress.credits_ago {
            samples.number(&families::EXECUTIONS_AGE, [], credits_ago.as_secs_f64());
        }
        if let Some(disk) = progress.disk {
            samples.count(&families::VIEW_SIZE, [], disk.used_bytes);
            samples.count(&families::VIEW_FREE, [], disk.free_bytes);
        }
    }

    fn add_requests(&self, samples: &mut Samples) {
        for (route, figures) in self.requests.by_route() {
            for (class, count) in RouteFigures::CLASSES.into_iter().zip(figures.by_class) {
                samples.count(&families::REQUESTS, [&route, class], count);
            }
            samples.histogram(&families::REQUEST_SECONDS, [&route], &figures.seconds);
        }
    }

    fn add_access(&self, samples: &mut Samples) {
        if self.access.asks_for_tokens() {
            for (reason, count) in self.access.refused_tokens() {
                samples.count(&families::REFUSED_TOKENS, [reason], count);
            }
        }
        let (subjects, addresses) = self.access.limited();
        for (limit, count) in [
            ("subject", subjects),
            ("address", addresses),
            ("reads", self.readers.refused()),
        ] {
            samples.count(&families::LIMITED, [limit], count);
        }
        if let Some(audit) = self.access.audit() {
            let (written, failed) = audit.counts();
            for (outcome, count) in [("written", written), ("failed", failed)] {
                samples.count(&families::AUDIT_LINES, [outcome], count);
            }
        }
        if let Some(issuer) = self.access.issuer() {
            samples.number(&families::KEYS_AGE, [], issuer.keys_age.as_secs_f64());
            for (outcome, count) in [("fetched", issuer.fetched), ("failed", issuer.failed)] {
                samples.count(&families::KEY_FETCHES, [outcome], count);
            }
        }
    }
}
