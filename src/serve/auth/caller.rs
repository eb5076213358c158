//! Who asks. A handler takes it as an argument, and asks it before it reads anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::core::values::account::AccountName;
use crate::core::values::time::TimeMs;
use crate::serve::answer::{Problem, ProblemKind};
use crate::serve::auth::read_audit::{AuditedRead, ReadAudit};
use crate::serve::auth::rights::{Right, Role};

/// Who asks: the holder of a token, or `local` where there are no keys.
#[derive(Debug, Clone)]
pub struct Caller {
    pub subject: String,
    /// The account of a customer's token.
    pub account: Option<AccountName<'static>>,
    pub roles: BTreeSet<Role>,
    /// When the token ends; `None` without a token.
    pub expires: Option<TimeMs>,
    pub(in crate::serve) audit: Option<Arc<ReadAudit>>,
    /// The path that is asked for, without the account, and the address that asks.
    pub(in crate::serve) request: Arc<AskedFrom>,
}

/// Where a request came from, and what it is.
#[derive(Debug, Default)]
pub struct AskedFrom {
    pub address: String,
    /// The route, with the names of its parameters in place of their values.
    pub route: String,
}

impl Caller {
    /// Everybody on this machine, where there are no keys.
    #[must_use]
    pub fn local(request: Arc<AskedFrom>, audit: Option<Arc<ReadAudit>>) -> Self {
        Self {
            subject: "local".into(),
            account: None,
            roles: BTreeSet::from(Role::ALL),
            expires: None,
            audit,
            request,
        }
    }

    /// Whether the caller has a right. To leave a part out of an answer; to refuse one, use [`Self::may`].
    #[must_use]
    pub fn has(&self, right: Right<'_>) -> bool {
        self.roles.iter().any(|role| right.is_of(*role, self.account.as_ref()))
    }

    /// Whether the caller sees distributions of epochs that are not sealed yet. Customers see sealed ones alone.
    #[must_use]
    pub fn sees_unsealed(&self) -> bool {
        self.roles.iter().any(|role| *role != Role::Customer)
    }

    /// Checks a right, and writes the read of an account to the audit log. Call it before anything is looked up, so that a refusal does not tell
    /// which accounts there are.
    ///
    /// # Errors
    /// 403 without the right; 503 if the audit log cannot be written.
    pub async fn may(&self, right: Right<'_>) -> Result<(), Problem> {
        let allowed = self.has(right);
        if let Some(audit) = self.audit.as_ref().filter(|_| right.is_audited()) {
            let account = match right {
                Right::Account(account) => Some(account.as_str()),
                _ => None,
            };
            let read = AuditedRead {
                subject: &self.subject,
                address: &self.request.address,
                route: &self.request.route,
                right: right.name(),
                account,
                allowed,
            };
            audit.write(&read).await?;
        }
        if allowed { Ok(()) } else { Err(self.forbidden(right)) }
    }

    fn forbidden(&self, right: Right<'_>) -> Problem {
        let is_customer = !self.sees_unsealed();
        let detail = match (right, is_customer, &self.account) {
            (Right::Account(_), true, None) => {
                "The token names no account, so it shows none. A customer's token has the claim `account`.".into()
            }
            (Right::Account(_), true, Some(_)) => "A customer's token shows its own account alone.".into(),
            _ => format!("No role of the token may see {right}. docs/serve.md has the table of who sees what."),
        };
        Problem::new(ProblemKind::Forbidden, detail)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::internal("this path is served without a check of who asks"))
    }
}
