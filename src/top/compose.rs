//! The screen of what is known: the statuses of all instances in, texts and their severity out.

use crate::instances::{InstanceSample, problems};
use crate::top::screen::StatusScreen;
use crate::top::{overview, sections};

/// The screen at the time of `clock`.
#[must_use]
pub fn compose(samples: &[InstanceSample], clock: &str) -> StatusScreen {
    StatusScreen {
        title: overview::title(samples),
        clock: clock.to_owned(),
        figures: overview::figures(samples),
        problems: problems(samples),
        sections: sections::sections(samples),
    }
}
