//! What a run would do, without doing it.

use crate::board::Board;
use crate::command;
use crate::graph::{FileId, Graph, TaskId};
use crate::load::Loaded;
use crate::runner::Settings;
use crate::shell;
use crate::state::State;
use std::fmt::Write;

/// A line for each task that would run, in the table's order: its state, its name, its command line as it could be
/// pasted; at the end how many they are.
pub fn text(loaded: &Loaded, settings: &Settings) -> String {
    let graph = &loaded.graph;
    let board = Board::survey(loaded, settings.scope(graph));
    let will_run = |task: &TaskId| {
        let open = matches!(board.verdict(*task).state, State::Ready | State::Stale | State::Waiting);
        board.is_wanted(*task) && open
    };
    let (mut text, mut count) = (String::new(), 0);
    for task in graph.ids().filter(will_run) {
        let verdict = board.verdict(task);
        let files = board.inputs(task).map_or_else(|| first_choice(graph, task), |inputs| inputs.files);
        let mut words = vec![graph.step(task).program.clone()];
        let arguments = command::arguments(graph, &loaded.options, task, &files);
        words.extend(arguments.iter().map(|argument| loaded.production.expand(argument)));
        let (state, name) = (verdict.state.name(), graph.name(task));
        let _ = writeln!(text, "{state:<7} {name}: {}", shell::command_line(&words));
        count += 1;
    }
    let _ = writeln!(text, "{count} tasks would run");
    text
}

/// The inputs of a task if everything before it goes well.
fn first_choice(graph: &Graph, task: TaskId) -> Vec<(u16, FileId)> {
    let first = |need: &crate::graph::Need| Some((need.slot, *graph.alternatives(need).first()?));
    graph.needs(task).iter().filter_map(first).collect()
}
