//! What must not happen. A task that meets a fault stops; it never goes on with a guess.

/// An impossible state, an undecodable inner record, or arithmetic that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A record of ours cannot be read.
    #[error("{what} cannot be decoded: {why}; it was written by another version, or the log is damaged")]
    Undecodable {
        /// Which record.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// A number outgrew its type.
    #[error("{0} overflows: the input is beyond what any exchange holds; look at the newest records of this asset")]
    Overflow(&'static str),
    /// A state that the protocol between the tasks rules out.
    #[error("impossible state: {0}; stop, keep the state directory and the bus, and report this")]
    Impossible(String),
}

/// For `ok_or`: a state that cannot be.
pub fn impossible(what: impl Into<String>) -> Fault {
    Fault::Impossible(what.into())
}
