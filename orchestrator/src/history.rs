//! What was tried before: the attempts at each task, from the logs, claims and records on disk.

use crate::claim::{self, Found, Lease};
use crate::disk::Folder;
use crate::graph::{Graph, TaskId};
use crate::hash::Map;
use crate::parallel;
use crate::production::Production;
use crate::record::{Ending, Past};
use crate::summary::Summary;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The attempts at a task.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Number of the last attempt; 0: none.
    pub last: u32,
    /// Record of the last attempt that left one.
    pub latest: Option<Past>,
    /// Record of the last attempt that made the output, if it is not the same.
    made: Option<Past>,
    /// Claim of whoever runs it now.
    pub claim: Option<Found>,
}

/// That of a task which nobody tried.
pub const NONE: &History = &History { last: 0, latest: None, made: None, claim: None };

impl History {
    /// Record of the last attempt that made the output.
    pub fn made(&self) -> Option<&Past> {
        let latest = self.latest.as_ref().filter(|past| past.ending == Ending::Done);
        latest.or(self.made.as_ref())
    }
}

/// Path of the log of an attempt.
pub fn log_path(production: &Production, graph: &Graph, task: TaskId, attempt: u32) -> PathBuf {
    production.logs().join(graph.folder(task)).join(format!("{}.{attempt}.log", graph.short_name(task)))
}

/// Path of the record of an attempt.
pub fn record_path(production: &Production, graph: &Graph, task: TaskId, attempt: u32) -> PathBuf {
    production.records().join(graph.folder(task)).join(format!("{}.{attempt}.json", graph.short_name(task)))
}

/// The histories of all tasks that have one. Logs are listed before claims and claims before records are read, so that
/// an attempt that starts or ends meanwhile is seen as running or done, never as dead.
pub fn all(production: &Production, graph: &Graph, lease: &Lease) -> Vec<Option<Box<History>>> {
    let folders = by_folder(graph);
    let logged = parallel::map_waiting(&folders, |(folder, _)| logged(&production.logs().join(folder)));
    let claims = claim::list(production, lease);
    let mut histories = vec![None; graph.tasks.len()];
    let work: Vec<_> = folders.iter().zip(&logged).filter(|(_, l)| !l.is_empty() || !claims.is_empty()).collect();
    let found = parallel::map_waiting(&work, |((folder, tasks), logged)| {
        let mut summary = Summary::open(production, folder);
        let mut history = |task: &TaskId| {
            let name = graph.short_name(*task);
            let last = logged.get(name.as_bytes()).copied();
            let claim = if claims.is_empty() { None } else { claims.get(&graph.name(*task)).cloned() };
            let tried = last.is_some() || claim.is_some();
            tried.then(|| with_records(last.unwrap_or(0), claim, |attempt| summary.read(&name, attempt)))
        };
        let found: Vec<_> = tasks.iter().filter_map(|task| Some((*task, Box::new(history(task)?)))).collect();
        summary.close();
        found
    });
    for (task, history) in found.into_iter().flatten() {
        histories[task.0 as usize] = Some(history);
    }
    histories
}

/// The tasks of each folder of logs and records.
fn by_folder(graph: &Graph) -> Vec<(&str, Vec<TaskId>)> {
    let mut tasks: HashMap<&str, Vec<TaskId>> = HashMap::new();
    let ids: Vec<TaskId> = graph.ids().collect();
    // tasks of a night stand together in each step
    for together in ids.chunk_by(|a, b| graph.folder(*a) == graph.folder(*b)) {
        tasks.entry(graph.folder(together[0])).or_default().extend(together);
    }
    tasks.into_iter().collect()
}

/// The history of one task, where at least `known` attempts were made.
pub fn of(production: &Production, graph: &Graph, task: TaskId, known: u32, lease: &Lease) -> History {
    let mut last = known;
    while log_path(production, graph, task, last + 1).exists() {
        last += 1;
    }
    let name = graph.name(task);
    let look = |number| claim::look(&claim::path(production, &name, number), number, lease);
    let claim = look(last + 1).or_else(|| look(last));
    with_records(last, claim, |attempt| Past::read(&record_path(production, graph, task, attempt)))
}

/// The last attempt of each task that has a log in this folder (TASK.N.log).
fn logged(folder: &Path) -> Map<Box<[u8]>, u32> {
    let mut last = Map::<Box<[u8]>, u32>::default();
    let Some(folder) = Folder::open(folder) else { return last };
    folder.each_name(|name| {
        let stem = name.strip_suffix(b".log").unwrap_or_default();
        let Some(dot) = stem.iter().rposition(|byte| *byte == b'.') else { return };
        let number = std::str::from_utf8(&stem[dot + 1..]).ok().and_then(|number| number.parse::<u32>().ok());
        if let Some(number) = number {
            let most = last.entry(stem[..dot].into()).or_insert(0);
            *most = number.max(*most);
        }
    });
    last
}

fn with_records(logged: u32, claim: Option<Found>, mut read: impl FnMut(u32) -> Option<Past>) -> History {
    let last = logged.max(claim.as_ref().map_or(0, |claim| claim.number));
    let mut history = History { last, claim, ..History::default() };
    for attempt in (1..=logged).rev() {
        let Some(past) = read(attempt) else { continue };
        let done = past.ending == Ending::Done;
        if history.latest.is_none() {
            history.latest = Some(past);
        } else if done {
            history.made = Some(past);
        }
        if done {
            break;
        }
    }
    history
}
