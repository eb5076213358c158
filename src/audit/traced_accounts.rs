//! Whose records a trace has.

use std::collections::HashSet;

use crate::core::values::account::owner;

/// Some accounts by their names, or all accounts of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TracedAccounts {
    Named(HashSet<String>),
    OfOwner(String),
}

impl TracedAccounts {
    /// All accounts of the owner of `account`.
    #[must_use]
    pub fn of_owner_of(account: &str) -> Self {
        Self::OfOwner(owner(account).to_owned())
    }

    #[must_use]
    pub fn contains(&self, account: &str) -> bool {
        match self {
            Self::Named(names) => names.contains(account),
            Self::OfOwner(name) => owner(account) == name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_its_own_account_and_its_sub_accounts() {
        for account in ["u-4", "u-4/grid"] {
            let traced = TracedAccounts::of_owner_of(account);
            for (other, expected) in [
                ("u-4", true),
                ("u-4/", true),
                ("u-4/grid", true),
                ("u-4/grid/2", true),
                ("u-42", false),
                ("u-42/grid", false),
                ("/u-4", false),
                ("", false),
            ] {
                assert_eq!(traced.contains(other), expected, "{account}: {other}");
            }
        }
        // It is its own owner.
        let traced = TracedAccounts::of_owner_of("/u-4");
        assert!(traced.contains("/u-4") && !traced.contains("u-4") && !traced.contains("/u-4/grid"));
    }
}
