//! The graph as text for people: in plans and state files. Nothing reads it back.

use crate::board::Board;
use crate::graph::{Graph, TaskId};
use crate::plan::json;
use std::fmt::Write;
use std::path::Path;

/// One line a task: its step, what it needs, what it makes.
pub fn tasks(graph: &Graph, ids: impl Iterator<Item = TaskId>) -> String {
    let mut text = String::new();
    for id in ids {
        let _ = writeln!(text, "  {}: {{{}}}", json(&graph.name(id)), edges(graph, id));
    }
    text
}

/// One line a task that the run was asked for: its step, its state, and why.
pub fn states(board: &Board) -> String {
    let graph = board.graph;
    let mut text = String::from("# The states of the tasks when a step ended; for people, nothing reads it back.\n");
    for id in graph.ids().filter(|id| board.is_wanted(*id)) {
        let verdict = board.verdict(id);
        let (state, reason) = (json(&verdict.state.name()), json(&board.explain(verdict)));
        let step = json(&graph.step(id).name);
        let _ = writeln!(text, "{}: {{step: {step}, state: {state}, reason: {reason}}}", json(&graph.name(id)));
    }
    text
}

/// Removes all state files but the newest few.
pub fn prune_states(folder: &Path) {
    const KEPT: usize = 10;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_state = |name: &str| name.starts_with("state_") && name.ends_with(".yaml");
    let states = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_state));
    let mut states: Vec<_> =
        states.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    states.sort();
    let old = states.len().saturating_sub(KEPT);
    for (_, path) in states.into_iter().take(old) {
        let _ = std::fs::remove_file(path);
    }
}

fn edges(graph: &Graph, id: TaskId) -> String {
    let first = graph.needs(id).iter().filter_map(|need| graph.alternatives(need).first());
    let inputs: Vec<String> = first.map(|file| graph.file_name(*file)).collect();
    let outputs: Vec<String> = graph.dependents(id).iter().map(|task| graph.name(*task)).collect();
    let kind = &graph.table.files[graph.step(id).output].name;
    format!(
        "type: {}, step: {}, in: {}, out: {}",
        json(kind),
        json(&graph.step(id).name),
        json(&inputs),
        json(&outputs)
    )
}
