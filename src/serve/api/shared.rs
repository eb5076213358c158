//! What the handlers share.

use std::sync::Arc;

use crate::outage::Outage;
use crate::serve::answer::{Problem, Readers};
use crate::serve::processors::Processors;
use crate::serve::reconciliations::ReconciliationFolder;
use crate::serve::view::{View, ViewError};

/// The view, and the threads that read it.
#[derive(Clone)]
pub struct Api {
    pub(super) view: Arc<View>,
    readers: Readers,
    /// Where estimates are asked for, if anywhere.
    pub(super) processors: Option<Arc<Processors>>,
    /// While they do not tell.
    pub(super) no_estimates: Arc<Outage>,
    /// Whether the view follows what the payout service credits.
    pub(super) follows_credits: bool,
    /// Where results of reconciliations are, if anywhere.
    pub(super) reconciliations: Option<Arc<ReconciliationFolder>>,
}

impl Api {
    #[must_use]
    pub fn new(view: Arc<View>, readers: Readers, processors: Option<Arc<Processors>>) -> Self {
        Self {
            view,
            readers,
            processors,
            no_estimates: Arc::default(),
            follows_credits: false,
            reconciliations: None,
        }
    }

    /// The same, over a view that follows what the payout service credits, or not.
    #[must_use]
    pub fn following_credits(mut self, follows: bool) -> Self {
        self.follows_credits = follows;
        self
    }

    /// The same, with results of reconciliations.
    #[must_use]
    pub fn showing_reconciliations(mut self, folder: Option<Arc<ReconciliationFolder>>) -> Self {
        self.reconciliations = folder;
        self
    }

    /// Reads the view on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let view = Arc::clone(&self.view);
        self.readers.run(move || read(&view)).await?
    }
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        Self::internal(&error.to_string())
    }
}
