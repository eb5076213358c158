//! What all commands have in common: their log, their outputs and exit statuses.

mod asked;
mod configuration;
mod demo;
mod forecast;
mod hostile_names;
mod log;
mod manual;
mod mistakes;
mod outputs;
mod terminal;
