//! Faults: errors that the input cannot cause. A task stops at a fault.

/// An error of the program or of its own data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An inner record or a stored value cannot be decoded.
    #[error("{what} cannot be decoded: {why}; it was written by another version, or the log is damaged")]
    Undecodable { what: &'static str, why: String },
    /// A number does not fit its type. `0` names it.
    #[error("{0} overflows: the input is beyond what any exchange holds; look at the newest records of this asset")]
    Overflow(&'static str),
    /// A version of the contract's rules is in force that this program does not know.
    #[error(
        "version {version} of the contract's rules is in force, and this program knows versions up to {newest}: start a newer softstake; \
         nothing was published"
    )]
    UnknownRules { version: u64, newest: u64 },
    /// A state that the protocol between the tasks excludes.
    #[error("impossible state: {0}; stop, keep the state directory and the bus, and report this")]
    Impossible(String),
}

/// [`Fault::Impossible`], for `ok_or_else`.
pub fn impossible(what: impl Into<String>) -> Fault {
    Fault::Impossible(what.into())
}
