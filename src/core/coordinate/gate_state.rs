//! Where a closed epoch is on its way through the gate.

use serde::{Deserialize, Serialize};

/// Where a closed epoch is on its way through the gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GateState {
    /// It has not reached the gate, or its programme has none.
    #[default]
    Before,
    /// Beyond a limit: it is released or void.
    Held,
    /// Nothing of it is published. It can be closed again.
    Void,
    /// It is published.
    Passed,
}
