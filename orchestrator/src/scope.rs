//! What a run, or a look at the states, is about.

use crate::claim;
use crate::graph::Graph;
use crate::slice::Slice;
use std::time::Duration;

/// Which failures a run tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// None: for showing states.
    Nothing,
    /// Those of the system, from earlier runs.
    System,
    /// All from earlier runs.
    All,
}

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Its part of the production; inputs from outside that are not done are left out where a step allows that.
    pub slice: Slice,
    /// Which failures it tries again.
    pub retry: Retry,
    /// How often it tries a task again at once whose attempt the system failed.
    pub retries: u32,
    /// Time without a sign of life after which a claim from another host is dead.
    pub lease: Duration,
    /// For each task whether the run is asked to do it.
    pub wanted: Vec<bool>,
}

impl Scope {
    /// All tasks, for showing their states.
    pub fn whole(graph: &Graph) -> Self {
        let wanted = vec![false; graph.tasks.len()];
        Self { slice: Slice::whole(graph), retry: Retry::Nothing, retries: 0, lease: claim::LEASE, wanted }
    }
}
