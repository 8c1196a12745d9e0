//! What was tried before: the attempts at each task, from the logs, claims and records on disk.

use crate::claim::{self, Found};
use crate::graph::{Graph, TaskId};
use crate::production::Production;
use crate::record::{Ending, FileRecord};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::PathBuf;

/// What later decisions need of a record.
#[derive(Debug, Clone, Deserialize)]
pub struct Past {
    /// 1, 2, ...
    pub attempt: u32,
    /// How it ended.
    pub ending: Ending,
    /// Why.
    pub reason: String,
    /// What the output depends on.
    pub arguments: Vec<String>,
    /// Files that it read, as they were when it started.
    pub inputs: Vec<FileRecord>,
    /// The output as it was when it ended, if it was there.
    pub outputs: Vec<FileRecord>,
}

/// The attempts at a task.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Number of the last attempt; 0: none.
    pub last: u32,
    /// Record of the last attempt that left one.
    pub latest: Option<Box<Past>>,
    /// Record of the last attempt that made the output, if it is not the same.
    made: Option<Box<Past>>,
    /// Claim of whoever runs it now.
    pub claim: Option<Found>,
}

impl History {
    /// Record of the last attempt that made the output.
    pub fn made(&self) -> Option<&Past> {
        let latest = self.latest.as_deref().filter(|past| past.ending == Ending::Done);
        latest.or(self.made.as_deref())
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

/// The histories of all tasks. Logs are listed before claims and claims before records are read, so that an attempt
/// that starts or ends meanwhile is seen as running or done, never as dead.
pub fn all(production: &Production, graph: &Graph) -> Vec<History> {
    let mut folders: HashMap<&str, HashMap<String, u32>> = HashMap::new();
    for task in graph.ids() {
        let folder = graph.folder(task);
        folders.entry(folder).or_insert_with(|| logged(&production.logs().join(folder)));
    }
    let mut claims = claim::list(production);
    let logged = |task| folders.get(graph.folder(task)).and_then(|f| f.get(&graph.short_name(task))).copied();
    graph
        .ids()
        .map(|task| {
            let claim = if claims.is_empty() { None } else { claims.remove(&graph.name(task)) };
            with_records(production, graph, task, logged(task).unwrap_or(0), claim)
        })
        .collect()
}

/// The history of one task, where at least `known` attempts were made.
pub fn of(production: &Production, graph: &Graph, task: TaskId, known: u32) -> History {
    let mut last = known;
    while log_path(production, graph, task, last + 1).exists() {
        last += 1;
    }
    let name = graph.name(task);
    let look = |number| claim::look(&claim::path(production, &name, number), number);
    let claim = look(last + 1).or_else(|| look(last));
    with_records(production, graph, task, last, claim)
}

/// The last attempt of each task that has a log in this folder (TASK.N.log).
fn logged(folder: &std::path::Path) -> HashMap<String, u32> {
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
        let text = std::fs::read(record_path(production, graph, task, attempt));
        let Some(past) = text.ok().and_then(|text| serde_json::from_slice::<Past>(&text).ok()) else { continue };
        let done = past.ending == Ending::Done;
        if history.latest.is_none() {
            history.latest = Some(Box::new(past));
        } else if done {
            history.made = Some(Box::new(past));
        }
        if done {
            break;
        }
    }
    history
}
