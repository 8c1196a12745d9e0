//! Which files a task can read now: the first alternative that can be had, without what a step may go without.

use crate::board::Board;
use crate::graph::{FileId, TaskId};
use crate::state::{Reason, State};

/// Inputs of a task as they can be had now.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Slot and file.
    pub files: Vec<(u16, FileId)>,
    /// Files that it goes without.
    pub left_out: Vec<FileId>,
}

/// Whether a task can read its inputs.
pub(crate) enum Resolved {
    /// Now.
    Usable(Inputs),
    /// Once this task is done.
    Pending(TaskId),
    /// Not: why.
    Dead(Reason),
}

enum Fate {
    Usable,
    Pending(TaskId),
    Dead(Reason),
}

impl Board<'_> {
    /// The files that the task would read now; None if they cannot all be had.
    pub fn inputs(&self, task: TaskId) -> Option<Inputs> {
        match self.resolve(task) {
            Resolved::Usable(inputs) => Some(inputs),
            _ => None,
        }
    }

    /// The files that a task can read now.
    pub(crate) fn resolve(&self, task: TaskId) -> Resolved {
        let step = self.graph.step(task);
        let mut inputs = Inputs::default();
        let mut pending = None;
        let mut reason = None;
        for need in self.graph.needs(task) {
            let (file, fate) = self.choose(self.graph.alternatives(need));
            match fate {
                Fate::Usable => inputs.files.push((need.slot, file)),
                Fate::Pending(first) => pending = pending.or(Some(first)),
                Fate::Dead(why) if step.inputs[usize::from(need.slot)].partial => {
                    inputs.left_out.push(file);
                    reason = reason.or(Some(why));
                }
                Fate::Dead(why) => return Resolved::Dead(why),
            }
        }
        if let Some(first) = pending {
            return Resolved::Pending(first);
        }
        self.drop_companions(step.together, &mut inputs);
        let starved = (0..step.inputs.len()).any(|slot| !inputs.files.iter().any(|(s, _)| usize::from(*s) == slot));
        match reason {
            Some(why) if starved => Resolved::Dead(why),
            _ => Resolved::Usable(inputs),
        }
    }

    /// The first alternative that can be had now or later; if there is none, the first, with why not.
    fn choose(&self, alternatives: &[FileId]) -> (FileId, Fate) {
        let mut dead = None;
        for file in alternatives {
            match self.fate(*file) {
                Fate::Dead(why) => dead = dead.or(Some((*file, Fate::Dead(why)))),
                fate => return (*file, fate),
            }
        }
        dead.unwrap_or((FileId(0), Fate::Dead(Reason::Text("nothing serves it".into()))))
    }

    fn fate(&self, file: FileId) -> Fate {
        let Some(maker) = self.graph.file(file).maker else {
            return if self.stamp(file).is_some() { Fate::Usable } else { Fate::Dead(Reason::Missing(file)) };
        };
        let verdict = self.verdict(maker);
        match (verdict.state, &verdict.reason) {
            (State::Done, _) => Fate::Usable,
            (State::Failed, _) => Fate::Dead(Reason::Behind(maker)),
            (State::Blocked, reason) => Fate::Dead(reason.clone()),
            (_, reason @ (Reason::Missing(_) | Reason::Outside(_))) => Fate::Dead(reason.clone()),
            _ if !self.is_inside(maker) => Fate::Dead(Reason::Outside(maker)),
            _ => Fate::Pending(maker),
        }
    }

    /// Where an input is left out, the others of the same camera go with it.
    fn drop_companions(&self, together: Option<usize>, inputs: &mut Inputs) {
        let Some(dim) = together.filter(|_| !inputs.left_out.is_empty()) else { return };
        let value = |file: FileId| self.graph.file(file).key.get(dim);
        let lost: Vec<Option<u32>> = inputs.left_out.iter().map(|file| value(*file)).collect();
        inputs.files.retain(|(_, file)| !lost.contains(&value(*file)));
    }
}
