//! The versions of the contract's rules (contract, section 4, "Rules in force").

use crate::core::fault::Fault;

/// The version that the first deployments begin with.
pub const FIRST_RULES: u64 = 2;

/// A later version, of a program for tests: it has one more event type, `exchange.made_up_credit.v1` (a deposit), and no `max_balance`.
pub const MADE_UP_RULES: u64 = 3;

/// The versions that this program knows, ascending. A deployment begins with the last.
pub const KNOWN_RULES: &[u64] = if cfg!(feature = "made-up-rules") {
    &[FIRST_RULES, MADE_UP_RULES]
} else {
    &[FIRST_RULES]
};

/// The newest version that this program knows.
pub const NEWEST_RULES: u64 = KNOWN_RULES[KNOWN_RULES.len() - 1];

/// Checks that this program knows a version that is in force.
///
/// # Errors
/// [`Fault::UnknownRules`].
pub fn check_known(version: u64) -> Result<(), Fault> {
    if KNOWN_RULES.contains(&version) {
        return Ok(());
    }
    Err(Fault::UnknownRules {
        version,
        newest: NEWEST_RULES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_versions_ascend_and_others_are_refused() {
        assert!(KNOWN_RULES.is_sorted_by(|a, b| a < b));
        assert!(KNOWN_RULES.iter().all(|version| check_known(*version).is_ok()));
        for version in [0, FIRST_RULES - 1, NEWEST_RULES + 1, u64::MAX] {
            let refused = check_known(version).unwrap_err().to_string();
            assert!(refused.contains(&format!("version {version} ")), "{refused}");
        }
    }
}
