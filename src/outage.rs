//! A fault of the outside that passes by itself, so that the log tells when it begins and when it is over, and nothing in between.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether something fails now, and since when.
#[derive(Debug, Default)]
pub struct Outage(Mutex<Option<Instant>>);

impl Outage {
    /// It fails. Returns whether that is news, which the log should tell.
    pub fn begins(&self) -> bool {
        let mut since = self.since();
        let is_news = since.is_none();
        since.get_or_insert_with(Instant::now);
        is_news
    }

    /// Whether it fails now.
    pub fn is_now(&self) -> bool {
        self.since().is_some()
    }

    /// It works. Returns how long it did not, if that is news.
    pub fn ends(&self) -> Option<Duration> {
        self.ends_after(Duration::ZERO)
    }

    /// The same, where some requests fail while others do not: one that works is news only this long after the first that failed.
    pub fn ends_after(&self, least: Duration) -> Option<Duration> {
        let mut since = self.since();
        let lasted = since.map(|since| since.elapsed()).filter(|lasted| *lasted >= least);
        lasted.inspect(|_| *since = None)
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_begin_and_its_end_are_news_once() {
        let outage = Outage::default();
        assert_eq!(outage.ends(), None);
        assert!(outage.begins() && outage.is_now());
        assert!(!outage.begins());
        assert!(outage.ends().is_some());
        assert_eq!(outage.ends(), None);
        assert!(outage.begins(), "another one");
        assert_eq!(outage.ends_after(Duration::from_secs(60)), None);
        assert!(!outage.begins(), "it is the same one");
    }
}
