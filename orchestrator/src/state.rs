//! The states that a task can be in, and the reasons.

use crate::graph::{FileId, TaskId};
use std::borrow::Cow;

/// What can be said of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Its output is there and nothing that it depends on is newer.
    Done,
    /// A live process works on it.
    Running,
    /// Its inputs are there.
    Ready,
    /// Its output is there, but an input or an option changed since.
    Stale,
    /// An input is not there yet.
    Waiting,
    /// An input cannot be made because a task failed.
    Blocked,
    /// Its last attempt failed and nothing changed since.
    Failed,
}

impl State {
    /// All, in the order in which they are shown.
    pub const ALL: [State; 7] =
        [State::Done, State::Running, State::Ready, State::Stale, State::Waiting, State::Blocked, State::Failed];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            State::Done => "done",
            State::Running => "running",
            State::Ready => "ready",
            State::Stale => "stale",
            State::Waiting => "waiting",
            State::Blocked => "blocked",
            State::Failed => "failed",
        }
    }
}

/// Why a task is in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// In words.
    Text(Cow<'static, str>),
    /// Its command is not the one of this attempt, which made the output.
    Command(TaskId, u32),
    /// This input is newer than the output.
    Newer(FileId),
    /// This input is not the one that the output was made from.
    Changed(FileId),
    /// This input is gone, but the output is there.
    Gone(FileId),
    /// This task must come first.
    After(TaskId),
    /// This file is missing and no task makes it.
    Missing(FileId),
    /// This task failed.
    Behind(TaskId),
    /// This task does not belong to the run.
    Outside(TaskId),
    /// Made without these inputs, which cannot be had.
    Without(Vec<FileId>),
}

/// State, reason, and whether a run may start it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// State.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Whether a run may start it now.
    pub runnable: bool,
}

impl Verdict {
    pub(crate) fn new(state: State, reason: Reason) -> Self {
        let runnable = matches!(state, State::Ready | State::Stale) && !matches!(reason, Reason::After(_));
        Self { state, reason, runnable }
    }

    pub(crate) fn text(state: State, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(state, Reason::Text(reason.into()))
    }
}
