/// What to do about an error, where several processes share a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Leave the task to the process that has it now.
    LeaveOff,
    /// Start the task again from its store after a pause: the cause passes by itself.
    TryAgain,
    /// Stop the task: an operator has to act first. Other tasks continue.
    StopTask,
    /// End the process: it is no longer part of the deployment.
    EndProcess,
}
