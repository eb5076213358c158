//! The bus in a directory: what its files must be, and what is noticed when they are not.

mod names;
mod written;
