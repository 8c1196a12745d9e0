//! The state of each task: what the files, the records and the claims say of it, with the reason.

use crate::ancillary::Ancillary;
use crate::claim::Lease;
use crate::disk::{self, Stamp};
use crate::graph::{FileId, Graph, TaskId};
use crate::history::{self, History};
use crate::load::Loaded;
use crate::options::Options;
use crate::production::Production;
use crate::record::{Digest, Ending, Past, Record, Seen, digest};
use crate::resolve::{Inputs, Resolved};
use crate::scope::{Retry, Scope};
use crate::state::{Reason, State, Verdict};
use crate::{attempt, command, fits, parallel};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

enum Tampered {
    Not,
    Edited,
    Damaged(String),
}

// of a task that comes later than one which needs it, in a table that has two steps make a kind of file
const UNJUDGED: &Verdict = &Verdict { state: State::Waiting, reason: Reason::Text(Cow::Borrowed("")), runnable: false };

/// Everything known of a production now.
pub struct Board<'a> {
    /// The tasks.
    pub graph: &'a Graph,
    /// Where.
    pub production: &'a Production,
    /// Options of the steps.
    pub options: &'a Options,
    scope: Scope,
    // failures up to these attempts are from before this run
    earlier: Vec<u32>,
    stamps: Vec<Option<Stamp>>,
    histories: Vec<Option<Box<History>>>,
    verdicts: Vec<Verdict>,
    // what this process works on
    mine: HashSet<TaskId>,
    // failures of the system after which the pause is over
    rested: HashMap<TaskId, u32>,
    ancillary: Ancillary,
    // of the path of each file, as records have it; made when the first is compared
    paths: OnceLock<Vec<u64>>,
    lease: Lease,
}

impl<'a> Board<'a> {
    /// Looks at everything once.
    pub fn survey(loaded: &'a Loaded, scope: Scope) -> Self {
        let Loaded { production, graph, options, raw, .. } = loaded;
        let only_shown = scope.retry == Retry::Nothing;
        let lease = if only_shown { Lease::at_once() } else { Lease::watching(scope.lease) };
        // attempts before files: a task that ends in between is seen as done
        let histories = history::all(production, graph, &lease);
        let stamps = disk::survey(production, graph, raw);
        let mut board = Self {
            graph,
            production,
            options,
            scope,
            earlier: histories.iter().map(|history| history.as_ref().map_or(0, |h| h.last)).collect(),
            stamps,
            histories,
            verdicts: Vec::with_capacity(graph.tasks.len()),
            mine: HashSet::new(),
            rested: HashMap::new(),
            ancillary: Ancillary::default(),
            paths: OnceLock::new(),
            lease,
        };
        board.judge_all();
        board
    }

    /// Judges step by step: the tasks of one need none of each other, only those of the steps before.
    fn judge_all(&mut self) {
        const MANY: usize = 4096;
        let tasks: Vec<TaskId> = self.graph.ids().collect();
        for of_step in tasks.chunk_by(|a, b| self.graph.task(*a).step == self.graph.task(*b).step) {
            let parts: Vec<&[TaskId]> = of_step.chunks(MANY).collect();
            let judged = parallel::map(&parts, |part| part.iter().map(|task| self.judge(*task)).collect::<Vec<_>>());
            judged.into_iter().for_each(|verdicts| self.verdicts.extend(verdicts));
        }
    }

    /// The verdict on a task.
    pub fn verdict(&self, task: TaskId) -> &Verdict {
        self.verdicts.get(task.0 as usize).unwrap_or(UNJUDGED)
    }

    /// The attempts at a task.
    pub fn history(&self, task: TaskId) -> &History {
        self.histories[task.0 as usize].as_deref().unwrap_or(history::NONE)
    }

    /// Files that the task reads beside its inputs.
    pub fn ancillary(&self, task: TaskId) -> Vec<(String, Stamp)> {
        self.ancillary.of(self.production, self.graph, self.options, task)
    }

    /// Size and time of a file, if it is there.
    pub fn stamp(&self, file: FileId) -> Option<Stamp> {
        self.stamps[file.0 as usize]
    }

    /// Whether a task belongs to the run.
    pub fn is_inside(&self, task: TaskId) -> bool {
        self.scope.slice.holds(task)
    }

    /// Whether the run is asked to do a task.
    pub fn is_wanted(&self, task: TaskId) -> bool {
        self.scope.wanted[task.0 as usize]
    }

    /// Notes that this process runs a task now.
    pub fn start(&mut self, task: TaskId) {
        self.mine.insert(task);
        self.verdicts[task.0 as usize] = self.judge(task);
    }

    /// Lets a task that the system failed be tried again.
    pub fn rest(&mut self, task: TaskId) {
        self.rested.insert(task, self.history(task).last);
    }

    /// The attempts of this run, or beside it, at a task whose last one the system failed, if it is to be tried again
    /// after a pause.
    pub fn pauses(&self, task: TaskId) -> Option<u32> {
        let past = self.history(task).latest.as_ref().filter(|past| past.ending == Ending::System)?;
        let failures = past.attempt.saturating_sub(self.earlier[task.0 as usize]);
        let again = self.scope.retry != Retry::Nothing && self.is_wanted(task) && !self.mine.contains(&task);
        let tired = self.rested.get(&task).is_none_or(|rested| *rested < past.attempt);
        (again && tired && (1..=self.scope.retries).contains(&failures)).then_some(failures)
    }

    /// Looks again at a task that has ended, and judges it and all that follows from it anew; returns what changed.
    pub fn refresh(&mut self, task: TaskId) -> BTreeSet<TaskId> {
        let index = task.0 as usize;
        self.mine.remove(&task);
        let last = self.history(task).last;
        let history = history::of(self.production, self.graph, task, last, &self.lease);
        self.histories[index] = Some(Box::new(history));
        let output = self.graph.task(task).output;
        self.stamps[output.0 as usize] = disk::stamp(&self.path(output));
        self.verdicts[index] = self.judge(task);
        let mut changed = BTreeSet::from([task]);
        let mut open: BTreeSet<TaskId> = self.graph.dependents(task).iter().copied().collect();
        while let Some(next) = open.pop_first() {
            let verdict = self.judge(next);
            if verdict != *self.verdict(next) {
                self.verdicts[next.0 as usize] = verdict;
                changed.insert(next);
                open.extend(self.graph.dependents(next));
            }
        }
        changed
    }

    fn judge(&self, task: TaskId) -> Verdict {
        if self.mine.contains(&task) {
            return Verdict::text(State::Running, "this run works on it");
        }
        let history = self.history(task);
        if let Some(claim) = history.claim.as_ref().filter(|claim| claim.alive) {
            return Verdict::text(State::Running, claim.describe());
        }
        let output = self.stamp(self.graph.task(task).output);
        // files given by a link (desi_pipe --fakepsf) are as they are
        if output.is_some_and(|stamp| stamp.link) {
            return Verdict::text(State::Done, "its output is a link");
        }
        match self.resolve(task) {
            Resolved::Usable(inputs) => self.judge_by_files(task, inputs, output),
            Resolved::Pending(first) if output.is_some() => Verdict::new(State::Stale, Reason::After(first)),
            Resolved::Pending(first) => Verdict::new(State::Waiting, Reason::After(first)),
            // nothing newer can come of a file that is gone: the output stands
            Resolved::Dead(Reason::Missing(file)) if output.is_some() => Verdict::new(State::Done, Reason::Gone(file)),
            Resolved::Dead(reason @ Reason::Behind(_)) => Verdict::new(State::Blocked, reason),
            Resolved::Dead(reason) => Verdict::new(State::Waiting, reason),
        }
    }

    fn judge_by_files(&self, task: TaskId, inputs: Inputs, output: Option<Stamp>) -> Verdict {
        let history = self.history(task);
        let latest = history.latest.as_ref();
        if let Some(past) = latest.filter(|past| self.still_failed(task, past, &inputs, output)) {
            return self.failed(task, past);
        }
        let Some(output) = output else {
            let reason = match latest {
                _ if latest.map_or(0, |past| past.attempt) < history.last => "its last attempt was cut off",
                Some(past) if past.ending == Ending::Done => "its output was removed",
                Some(past) if past.ending == Ending::Stopped => "its last attempt was stopped",
                Some(_) => "something changed since it failed",
                None => "its inputs are there",
            };
            return Verdict::text(State::Ready, reason);
        };
        if let Some(change) = self.change(task, &inputs, output) {
            return Verdict::new(State::Stale, change);
        }
        let reason = match inputs.left_out {
            files if files.is_empty() => Reason::Text("no input is newer than its output".into()),
            files => Reason::Without(files),
        };
        Verdict::new(State::Done, reason)
    }

    /// What changed since the output was made: by the record that describes it, else (made by hand) by its time.
    fn change(&self, task: TaskId, inputs: &Inputs, output: Stamp) -> Option<Reason> {
        let newer = || {
            let newer = inputs.files.iter().find(|(_, f)| self.stamp(*f).is_some_and(|s| s.mtime > output.mtime));
            newer.map(|(_, file)| Reason::Newer(*file))
        };
        let Some(past) = self.history(task).made() else { return newer() };
        if !past.output.is_some_and(|file| file.is(Some(output))) {
            match self.tampered(task, past, output) {
                Tampered::Not => {}
                Tampered::Edited => return newer(),
                Tampered::Damaged(how) => return Some(Reason::Text(format!("its output is damaged: {how}").into())),
            }
        }
        if past.arguments != self.arguments(task, inputs) {
            return Some(Reason::Command(task, past.attempt));
        }
        self.changed_input(task, past, inputs)
    }

    /// What became of an output whose time or size are not those of its record.
    fn tampered(&self, task: TaskId, past: &Past, output: Stamp) -> Tampered {
        let path = self.path(self.graph.task(task).output);
        let record = Record::read(&history::record_path(self.production, self.graph, task, past.attempt));
        let was = record.and_then(|record| record.outputs.into_iter().next()?.blake3);
        if was.is_some() && was == attempt::checksum(&path) {
            return Tampered::Not;
        }
        // who edits a file seldom keeps its size; a flipped bit does, in the first word or a keyword too
        let same_size = past.output.is_some_and(|file| file.size == output.size);
        match fits::damage(&path) {
            Ok(None) if was.is_some() && same_size && fits::is_defaced(&path) => {
                Tampered::Damaged("its content is not what was written".into())
            }
            Ok(None) => Tampered::Edited,
            Ok(Some(how)) => Tampered::Damaged(how),
            Err(error) => Tampered::Damaged(error.to_string()),
        }
    }

    fn arguments(&self, task: TaskId, inputs: &Inputs) -> u64 {
        let mut digest = Digest::default();
        command::each_argument(self.graph, self.options, task, &inputs.files, |argument| digest.add(argument));
        digest.number()
    }

    /// The first file that is not as the attempt saw it.
    fn changed_input(&self, task: TaskId, past: &Past, inputs: &Inputs) -> Option<Reason> {
        let mut then = past.inputs.iter().copied();
        let paths = self.paths.get_or_init(|| path_digests(self.graph));
        for (_, file) in &inputs.files {
            let now = self.stamp(*file).map(|stamp| Seen::new(paths[file.0 as usize], stamp));
            if now.is_none() || then.next() != now {
                return Some(Reason::Changed(*file));
            }
        }
        for (path, stamp) in self.ancillary(task) {
            if then.next() != Some(Seen::new(digest([&*path]), stamp)) {
                let path = self.production.expand(&path);
                return Some(Reason::Text(format!("{path} changed since, or a file beside it").into()));
            }
        }
        then.next().map(|_| Reason::Text("a file that it read beside its inputs is gone".into()))
    }

    /// Whether the failure of the last attempt still holds: nothing that it depends on changed since.
    fn still_failed(&self, task: TaskId, past: &Past, inputs: &Inputs, output: Option<Stamp>) -> bool {
        matches!(past.ending, Ending::Failed | Ending::System)
            && past.output.map_or(output.is_none(), |file| file.is(output))
            && past.arguments == self.arguments(task, inputs)
            && self.changed_input(task, past, inputs).is_none()
    }

    fn failed(&self, task: TaskId, past: &Past) -> Verdict {
        let earlier = past.attempt <= self.earlier[task.0 as usize] && self.is_wanted(task);
        let again = match self.scope.retry {
            Retry::Nothing => false,
            Retry::System => past.ending == Ending::System,
            Retry::All => true,
        };
        if (again && earlier) || self.rested.get(&task) == Some(&past.attempt) {
            return Verdict::text(State::Ready, format!("tried again after attempt {}: {}", past.attempt, past.reason));
        }
        if self.pauses(task).is_some() {
            let reason = format!("after a pause tried again after attempt {}: {}", past.attempt, past.reason);
            return Verdict { runnable: false, ..Verdict::text(State::Ready, reason) };
        }
        Verdict::text(State::Failed, String::from(&*past.reason))
    }

    /// Path of a file.
    pub fn path(&self, file: FileId) -> std::path::PathBuf {
        let (root, path) = self.graph.path(file);
        self.production.root(root).join(path)
    }
}

/// Of every file's path: most are inputs of several tasks.
fn path_digests(graph: &Graph) -> Vec<u64> {
    const MANY: usize = 4096;
    let files: Vec<FileId> = (0..graph.files.len() as u32).map(FileId).collect();
    let parts: Vec<&[FileId]> = files.chunks(MANY).collect();
    let of_part = |part: &&[FileId]| {
        let mut path = String::with_capacity(128);
        let mut of_file = |file: &FileId| {
            path.clear();
            graph.portable_onto(*file, &mut path);
            digest([&*path])
        };
        part.iter().map(&mut of_file).collect::<Vec<u64>>()
    };
    parallel::map(&parts, of_part).concat()
}
