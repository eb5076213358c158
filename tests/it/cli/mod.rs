//! What all commands have in common: their log, their outputs and exit statuses.

mod log;
mod outputs;
