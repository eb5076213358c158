//! What is known of one instance at one instant.

use std::sync::Arc;

use crate::instances::document::{SafeText, StatusDocument};

/// The last answer of an instance.
#[derive(Debug, Clone)]
pub enum InstanceAnswer {
    /// It was asked and may still answer.
    Asked,
    /// It did not answer, and why.
    Away(SafeText),
    Status(Arc<StatusDocument>),
}

#[derive(Debug, Clone)]
pub struct InstanceSample {
    pub address: SafeText,
    pub answer: InstanceAnswer,
    /// The seconds since it answered the last time, and what.
    pub last: Option<(f64, Arc<StatusDocument>)>,
}

impl InstanceSample {
    /// Its status, if its last answer was one.
    #[must_use]
    pub fn status(&self) -> Option<&StatusDocument> {
        match &self.answer {
            InstanceAnswer::Status(status) => Some(status),
            InstanceAnswer::Asked | InstanceAnswer::Away(_) => None,
        }
    }

    /// Its own name, or its address if it has none.
    #[must_use]
    pub fn name(&self) -> String {
        let status = self.last.as_ref().map(|(_, status)| status.as_ref()).or(self.status());
        let name = status.and_then(|status| status.instance.as_ref());
        name.unwrap_or(&self.address).to_string()
    }
}
