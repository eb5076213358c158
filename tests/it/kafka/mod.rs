//! Deployments on real Kafka brokers.

mod access;
mod audit;
mod broker;
mod bus;
mod chaos;
mod control;
mod eviction;
mod faults;
mod fetching;
mod held_up;
mod ledger;
mod monitor;
mod recreated;
mod redrive;
mod serve;
mod silence;
mod until_idle;
mod upgrade;
mod waits;
