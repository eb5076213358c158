//! What all commands have in common: their outputs and exit statuses.

mod outputs;
