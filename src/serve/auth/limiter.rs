//! Limits of requests per minute, for each of many names.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// The number of names that are kept. Beyond it, new names share one limit, so that nobody fills the memory by inventing names.
const MOST_NAMES: usize = 65_536;
const REST: &str = "";

/// A number of requests per minute. A whole minute's may come at once; then they are allowed at an even rate.
#[derive(Debug)]
pub(super) struct Limiter {
    between: Duration,
    /// For each name, when it will have all of its minute again.
    full_at: Mutex<HashMap<String, Instant>>,
}

impl Limiter {
    pub(super) fn new(per_minute: u64) -> Self {
        let between = MINUTE.as_nanos() / u128::from(per_minute.max(1));
        Self {
            between: Duration::from_nanos(u64::try_from(between).unwrap_or(u64::MAX)),
            full_at: Mutex::new(HashMap::new()),
        }
    }

    /// Counts a request. If it is one too many, how long to wait.
    pub(super) fn take(&self, name: &str) -> Result<(), Duration> {
        self.take_at(name, Instant::now())
    }

    /// As [`Self::take`], without counting.
    pub(super) fn look(&self, name: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if full_at.contains_key(name) { name } else { REST };
        let full = full_at.get(name).copied().unwrap_or(now);
        self.wait(full.max(now), now).map_or(Ok(()), Err)
    }

    fn take_at(&self, name: &str, now: Instant) -> Result<(), Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let name = match full_at.contains_key(name) {
            true => name,
            false => {
                if full_at.len() >= MOST_NAMES {
                    full_at.retain(|_, full| *full > now);
                }
                if full_at.len() < MOST_NAMES { name } else { REST }
            }
        };
        let full = full_at.get(name).copied().unwrap_or(now).max(now);
        if let Some(wait) = self.wait(full, now) {
            return Err(wait);
        }
        full_at.insert(name.to_owned(), full + self.between);
        Ok(())
    }

    fn wait(&self, full: Instant, now: Instant) -> Option<Duration> {
        (full + self.between)
            .duration_since(now)
            .checked_sub(MINUTE)
            .filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_requests_may_come_at_once_and_then_evenly() {
        let (limiter, began) = (Limiter::new(60), Instant::now());
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        for _ in 0..60 {
            assert_eq!(limiter.take_at("a", began), Ok(()));
        }
        assert_eq!(limiter.take_at("a", began), Err(Duration::from_secs(1)));
        assert_eq!(limiter.take_at("b", began), Ok(()), "another name");
        assert_eq!(limiter.take_at("a", at(1)), Ok(()));
        assert_eq!(limiter.take_at("a", at(1)), Err(Duration::from_secs(1)));
        for _ in 0..60 {
            assert_eq!(limiter.take_at("a", at(100)), Ok(()));
        }
        assert!(limiter.take_at("a", at(100)).is_err());
    }

    #[test]
    fn invented_names_do_not_fill_the_memory() {
        let (limiter, began) = (Limiter::new(2), Instant::now());
        for number in 0..MOST_NAMES + 10 {
            let _ = limiter.take_at(&number.to_string(), began);
        }
        assert!(limiter.full_at.lock().unwrap().len() <= MOST_NAMES + 1);
        assert!(limiter.take_at("new", began).is_err(), "the rest share one limit");
        let later = began + MINUTE * 3;
        assert_eq!(limiter.take_at("new", later), Ok(()));
        assert!(limiter.full_at.lock().unwrap().len() < 10);
    }
}
