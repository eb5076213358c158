//! The one table of who sees what.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::core::values::account::AccountName;

/// What a token lets its holder do. A token names it in `scope`, as `softstake.support`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees the own account alone.
    Customer,
    Support,
    Operator,
    Finance,
    Treasury,
    Auditor,
}

impl Role {
    pub const ALL: [Self; 6] = [
        Self::Customer,
        Self::Support,
        Self::Operator,
        Self::Finance,
        Self::Treasury,
        Self::Auditor,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Support => "support",
            Self::Operator => "operator",
            Self::Finance => "finance",
            Self::Treasury => "treasury",
            Self::Auditor => "auditor",
        }
    }

    /// The role of a word of `scope`, if it is one of ours.
    #[must_use]
    pub fn of_scope(word: &str) -> Option<Self> {
        let name = word.strip_prefix("softstake.")?;
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What a request asks to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right<'a> {
    /// The session, how far the view is, assets, and epochs without what holds them.
    Shared,
    /// What one account was paid, why, its proofs and its late postings.
    Account(&'a AccountName<'a>),
    /// All distributions of an epoch.
    EpochDistributions,
    /// The figures of held epochs.
    HeldFigures,
    DeadLetterCounts,
    DeadLetters,
    /// Those of all accounts, and their counts.
    LatePostings,
    /// Figures of treasury, and positions.
    Treasury,
    Finance,
    /// What the instances of the processor do.
    Processor,
    /// Results of reconciliations.
    Reconciliations,
}

impl Right<'_> {
    /// Whether a role has this right. `own` is the account of a customer's token.
    #[must_use]
    pub fn is_of(&self, role: Role, own: Option<&AccountName<'_>>) -> bool {
        use Role::{Auditor, Customer, Finance, Operator, Support, Treasury};
        match self {
            Self::Shared => true,
            Self::Account(account) => match role {
                Customer => own.is_some_and(|own| own.as_str() == account.as_str()),
                Support | Finance | Auditor => true,
                Operator | Treasury => false,
            },
            Self::EpochDistributions | Self::Finance | Self::Reconciliations => matches!(role, Finance | Auditor),
            Self::HeldFigures => matches!(role, Operator | Finance | Treasury | Auditor),
            Self::DeadLetterCounts => matches!(role, Support | Operator | Auditor),
            Self::DeadLetters | Self::Processor => matches!(role, Operator | Auditor),
            Self::LatePostings => matches!(role, Operator | Finance | Auditor),
            Self::Treasury => matches!(role, Finance | Treasury | Auditor),
        }
    }

    /// Whether the answer names accounts, so that the read is written to the audit log.
    #[must_use]
    pub const fn is_audited(&self) -> bool {
        matches!(
            self,
            Self::Account(_)
                | Self::EpochDistributions
                | Self::DeadLetters
                | Self::LatePostings
                | Self::Reconciliations
        )
    }

    /// The name in the audit log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Account(_) => "account",
            Self::EpochDistributions => "epoch_distributions",
            Self::HeldFigures => "held_figures",
            Self::DeadLetterCounts => "dead_letter_counts",
            Self::DeadLetters => "dead_letters",
            Self::LatePostings => "late_postings",
            Self::Treasury => "treasury",
            Self::Finance => "finance",
            Self::Processor => "processor",
            Self::Reconciliations => "reconciliations",
        }
    }
}

/// What is asked for, in words for a refusal. It does not name the account.
impl fmt::Display for Right<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shared => "assets and epochs",
            Self::Account(_) => "this account",
            Self::EpochDistributions => "all distributions of an epoch",
            Self::HeldFigures => "the figures of held epochs",
            Self::DeadLetterCounts => "the counts of dead letters",
            Self::DeadLetters => "dead letters",
            Self::LatePostings => "the late postings of all accounts",
            Self::Treasury => "the figures of treasury",
            Self::Finance => "the figures of finance",
            Self::Processor => "what the processor does",
            Self::Reconciliations => "the results of reconciliations",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_the_table() {
        let (own, other) = (AccountName::new("alice").unwrap(), AccountName::new("bob").unwrap());
        // Customer, support, operator, finance, treasury, auditor.
        for (right, expected) in [
            (Right::Shared, "yyyyyy"),
            (Right::Account(&own), "yy-y-y"),
            (Right::Account(&other), "-y-y-y"),
            (Right::EpochDistributions, "---y-y"),
            (Right::HeldFigures, "--yyyy"),
            (Right::DeadLetterCounts, "-yy--y"),
            (Right::DeadLetters, "--y--y"),
            (Right::LatePostings, "--yy-y"),
            (Right::Treasury, "---yyy"),
            (Right::Finance, "---y-y"),
            (Right::Processor, "--y--y"),
            (Right::Reconciliations, "---y-y"),
        ] {
            let cells: String = Role::ALL
                .into_iter()
                .map(|role| if right.is_of(role, Some(&own)) { 'y' } else { '-' })
                .collect();
            assert_eq!(cells, expected, "{right:?}");
        }
        assert!(
            !Right::Account(&own).is_of(Role::Customer, None),
            "no account in the token"
        );
    }

    #[test]
    fn a_name_that_only_begins_like_the_own_is_another() {
        let own = AccountName::new("alice").unwrap();
        for other in ["alice/earn", "alic", "Alice", "alice "] {
            let other = AccountName::new(other).unwrap();
            assert!(!Right::Account(&other).is_of(Role::Customer, Some(&own)), "{other:?}");
        }
    }

    #[test]
    fn a_scope_names_a_role() {
        for role in Role::ALL {
            assert_eq!(Role::of_scope(&format!("softstake.{}", role.name())), Some(role));
        }
        for word in [
            "softstake.",
            "softstake.Support",
            "support",
            "openid",
            "softstake.admin",
            "",
        ] {
            assert_eq!(Role::of_scope(word), None, "{word}");
        }
    }
}
