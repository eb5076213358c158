//! What all commands have in common: their log, their outputs and exit statuses.

mod asked;
mod asked_control;
mod asked_export;
mod asked_serve;
mod configuration;
mod control;
mod demo;
mod forecast;
mod hostile_names;
mod log;
mod manual;
mod mistakes;
mod outputs;
mod preview;
mod programmes;
mod redrive;
mod terminal;
