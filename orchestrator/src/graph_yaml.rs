//! The graph as text for people: in plans and state files. Nothing reads it back.

use crate::graph::{Graph, TaskId};
use crate::plan::json;
use crate::state::Board;
use std::fmt::Write;

/// One line a task: its step, what it needs, what it makes.
pub fn tasks(graph: &Graph, ids: impl Iterator<Item = TaskId>) -> String {
    let mut text = String::new();
    for id in ids {
        let _ = writeln!(text, "  {}: {{{}}}", json(&graph.name(id)), edges(graph, id));
    }
    text
}

/// The same with states and reasons.
pub fn states(board: &Board) -> String {
    let graph = board.graph;
    let mut text = String::from("# The plan with its states when a step ended; for people, nothing reads it back.\n");
    for id in graph.ids() {
        let verdict = board.verdict(id);
        let (state, reason) = (json(&verdict.state.name()), json(&board.explain(verdict)));
        let _ = writeln!(text, "{}: {{{}, state: {state}, reason: {reason}}}", json(&graph.name(id)), edges(graph, id));
    }
    text
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
