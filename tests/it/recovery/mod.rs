//! Restarts: after crashes, on slow or damaged input, and while input goes on.

mod deleted;
mod kill;
mod live;
mod safety;
mod slow_bus;
