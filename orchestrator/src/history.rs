//! What was tried before: the attempts at each task, from the logs, claims and records on disk.

use crate::claim::{self, Found, Lease};
use crate::graph::{Graph, TaskId};
use crate::parallel;
use crate::production::Production;
use crate::record::{Ending, Past};
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
    let mut folders: HashMap<&str, HashMap<String, u32>> = HashMap::new();
    for task in graph.ids() {
        let folder = graph.folder(task);
        if !folders.contains_key(folder) {
            folders.insert(folder, logged(&production.logs().join(folder)));
        }
    }
    folders.retain(|_, logged| !logged.is_empty());
    let mut claims = claim::list(production, lease);
    let mut histories = vec![None; graph.tasks.len()];
    if folders.is_empty() && claims.is_empty() {
        return histories;
    }
    let mut tried = Vec::new();
    for task in graph.ids() {
        let last = folders.get(graph.folder(task)).and_then(|logged| logged.get(&graph.short_name(task)));
        let claim = if claims.is_empty() { None } else { claims.remove(&graph.name(task)) };
        if last.is_some() || claim.is_some() {
            tried.push((task, last.copied().unwrap_or(0), claim));
        }
    }
    let read = parallel::map(&tried, |(task, logged, claim)| {
        Box::new(with_records(production, graph, *task, *logged, claim.clone()))
    });
    for ((task, _, _), history) in tried.iter().zip(read) {
        histories[task.0 as usize] = Some(history);
    }
    histories
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
    with_records(production, graph, task, last, claim)
}

/// The last attempt of each task that has a log in this folder (TASK.N.log).
fn logged(folder: &Path) -> HashMap<String, u32> {
    let mut last = HashMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let split = name.strip_suffix(".log").and_then(|stem| stem.rsplit_once('.'));
        if let Some((task, Ok(number))) = split.map(|(task, number)| (task, number.parse::<u32>())) {
            let most = last.entry(task.to_string()).or_insert(0);
            *most = number.max(*most);
        }
    }
    last
}

fn with_records(production: &Production, graph: &Graph, task: TaskId, logged: u32, claim: Option<Found>) -> History {
    let last = logged.max(claim.as_ref().map_or(0, |claim| claim.number));
    let mut history = History { last, claim, ..History::default() };
    for attempt in (1..=logged).rev() {
        let Some(past) = Past::read(&record_path(production, graph, task, attempt)) else { continue };
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
