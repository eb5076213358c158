//! The bus in a directory: files that need no broker, a lock, and a journal that makes a commit atomic.
//! `docs/bus-directory.md` describes the layout and the protocol.

mod append;
mod bus;
mod commits;
mod committed;
mod disk;
mod file_end;
mod files;
mod frames;
mod journal;
mod layout;
mod line_count;
mod line_reader;
mod lock;
mod names;
mod prefix;
mod read_only;
mod stored_records;
mod verify;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

pub use append::{append_line, lock_appends};
pub use bus::{DirBus, Options};
pub use names::UnreadNames;
pub use read_only::ReadOnlyDir;
pub use verify::WrittenFiles;
