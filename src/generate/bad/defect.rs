//! A kind of bad source record: one valid event with one defect, and the code of the dead letter that it becomes.

/// The valid event that gets the defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Deposit,
    Withdrawal,
    Trade,
    Transfer,
    Adjustment,
    Goodwill,
    Status,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Defect {
    /// Changes the text as a whole. It must not add a line feed.
    Bytes(fn(Vec<u8>) -> Vec<u8>),
    /// Removes the member at the path.
    Drop(&'static str),
    /// Gives the member at the path this JSON text.
    Set(&'static str, &'static str),
    /// An amount at the path with one digit more than the asset's units have.
    TooPrecise(&'static str),
    /// An amount at the path of one unit more than 10^30.
    TooLarge(&'static str),
    /// A time too far ahead of the last epoch of the bus.
    Ahead,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BadKind {
    pub(super) name: &'static str,
    /// The code of the dead letter.
    pub(super) code: &'static str,
    pub(super) base: Base,
    pub(super) defect: Defect,
}

pub(super) const fn kind(code: &'static str, name: &'static str, base: Base, defect: Defect) -> BadKind {
    BadKind {
        name,
        code,
        base,
        defect,
    }
}
