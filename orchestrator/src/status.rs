//! What desi_pipe_status prints.

use crate::board::Board;
use crate::colour::Colour;
use crate::graph::{FileId, TaskId};
use crate::slice::Slice;
use crate::state::State;
use crate::{Error, Result, command, history, names, shell};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Which tasks are shown.
#[derive(Debug, Clone)]
pub struct View {
    /// Of these states; None: of all.
    pub states: Option<Vec<State>>,
    /// Of some nights.
    pub slice: Slice,
}

impl View {
    /// Whether a task is shown.
    pub fn shows(&self, board: &Board, task: TaskId) -> bool {
        let state = board.verdict(task).state;
        self.states.as_ref().is_none_or(|states| states.contains(&state)) && self.slice.holds(task)
    }
}

/// Tasks by state for each step, in the pipeline's order.
pub fn counts(board: &Board, view: &View) -> Vec<(String, BTreeMap<State, usize>)> {
    let steps = &board.graph.table.steps;
    let mut counts: Vec<_> = steps.iter().map(|step| (step.name.clone(), BTreeMap::new())).collect();
    for task in board.graph.ids().filter(|task| view.shows(board, *task)) {
        let step = usize::from(board.graph.task(task).step);
        *counts[step].1.entry(board.verdict(task).state).or_insert(0) += 1;
    }
    counts
}

/// `{step: {state: count}}`; states without tasks are left out.
pub fn counts_json(board: &Board, view: &View) -> Value {
    let states = |states: BTreeMap<State, usize>| -> Value {
        states.into_iter().map(|(state, n)| (state.name().to_string(), Value::from(n))).collect()
    };
    counts(board, view).into_iter().map(|(step, by_state)| (step, states(by_state))).collect()
}

/// All about a task, for programs.
pub fn task_json(board: &Board, task: TaskId) -> Value {
    let graph = board.graph;
    let verdict = board.verdict(task);
    let path = |path: std::path::PathBuf| path.display().to_string();
    let inputs = graph.needs(task).iter().filter_map(|need| graph.alternatives(need).first());
    json!({
        "task": graph.name(task),
        "step": graph.step(task).name,
        "state": verdict.state.name(),
        "reason": board.explain(verdict),
        "path": path(board.path(graph.task(task).output)),
        "attempts": board.history(task).last,
        "log": last_log(board, task).map(path),
        "command": command_line(board, task),
        "inputs": inputs.map(|file| path(board.path(*file))).collect::<Vec<_>>(),
        "needed_by": graph.dependents(task).iter().map(|task| graph.name(*task)).collect::<Vec<_>>(),
    })
}

/// The tasks of a step, for programs.
pub fn step_json(board: &Board, step: usize, view: &View) -> Value {
    let tasks = board.graph.ids().filter(|task| usize::from(board.graph.task(*task).step) == step);
    let brief = |task| {
        let verdict = board.verdict(task);
        json!({"task": board.graph.name(task), "state": verdict.state.name(), "reason": board.explain(verdict)})
    };
    tasks.filter(|task| view.shows(board, *task)).map(brief).collect()
}

/// Where the raw data and the production are.
pub fn places(board: &Board, colour: bool) -> String {
    let line = |what: &str, path: &std::path::Path| Colour::Blue.paint(&format!("{what} = {}", path.display()), colour);
    let production = board.production;
    format!("{}\n{}\n", line("Raw data directory", &production.raw), line("Production directory", &production.dir))
}

/// One line a step.
pub fn all(board: &Board, view: &View, colour: bool) -> String {
    let mut text = places(board, colour);
    for (step, states) in counts(board, view) {
        let total: usize = states.values().sum();
        let list: Vec<String> = states.iter().map(|(state, n)| format!("{n} {}", state.name())).collect();
        let line = format!("    {step:<12} {total:>6} tasks   {}", list.join(", "));
        let _ = writeln!(text, "{}", colour_of(&states, total).paint(line.trim_end(), colour));
    }
    text
}

/// Red if a task failed, green if all are done, yellow if some are, plain if none is.
fn colour_of(states: &BTreeMap<State, usize>, total: usize) -> Colour {
    let has = |state| states.contains_key(&state);
    match states.get(&State::Done) {
        _ if has(State::Failed) || has(State::Blocked) => Colour::Red,
        Some(done) if *done == total => Colour::Green,
        Some(_) => Colour::Yellow,
        None if has(State::Running) || has(State::Stale) => Colour::Yellow,
        None => Colour::Plain,
    }
}

/// States that a user may ask for, those of 2016 included.
///
/// # Errors
/// [`Error::Usage`] with the names that exist.
pub fn parse_state(name: &str) -> Result<Vec<State>> {
    match name {
        "fail" => Ok(vec![State::Failed]),
        "wait" => Ok(vec![State::Running, State::Waiting, State::Blocked]),
        "none" => Ok(vec![State::Ready, State::Stale]),
        name => {
            let found = State::ALL.into_iter().find(|state| state.name() == name);
            let known = State::ALL.map(State::name);
            let unknown =
                || Error::Usage(format!("no state is called '{name}'{}", names::hint(name, known.into_iter(), 7)));
            found.map(|state| vec![state]).ok_or_else(unknown)
        }
    }
}

/// The tasks of a step by state, with reasons.
pub fn step(board: &Board, step: usize, view: &View, colour: bool) -> String {
    let mut text = places(board, colour);
    let graph = board.graph;
    let mut by_state: BTreeMap<State, Vec<TaskId>> = BTreeMap::new();
    let of_step = graph.ids().filter(|task| usize::from(graph.task(*task).step) == step);
    for task in of_step.filter(|task| view.shows(board, *task)) {
        by_state.entry(board.verdict(task).state).or_default().push(task);
    }
    for (state, tasks) in &by_state {
        let _ = writeln!(text, "{} ({})", Colour::of(*state).paint(state.name(), colour), tasks.len());
        for task in tasks {
            let name = Colour::of(*state).paint(&graph.name(*task), colour);
            let _ = writeln!(text, "    {name}  {}", board.explain(board.verdict(*task)));
        }
    }
    text
}

/// All about a task.
pub fn task(board: &Board, task: TaskId, colour: bool) -> String {
    let graph = board.graph;
    let mut text = places(board, colour);
    let verdict = board.verdict(task);
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{what:<11} {value}");
    };
    line("task", &graph.name(task));
    line("step", &graph.step(task).name);
    line("state", &Colour::of(verdict.state).paint(verdict.state.name(), colour));
    line("reason", &board.explain(verdict));
    line("path", &board.path(graph.task(task).output).display().to_string());
    line("log", &last_log(board, task).map_or("none yet".into(), |path| path.display().to_string()));
    line("attempts", &board.history(task).last.to_string());
    line("command", &command_line(board, task));
    for need in graph.needs(task) {
        let files = graph.alternatives(need);
        let state = files.first().map_or(String::new(), |file| state_of_file(board, *file));
        let others = if files.len() > 1 { format!(" (else {} others)", files.len() - 1) } else { String::new() };
        let name = files.first().map_or(String::new(), |file| graph.file_name(*file));
        line("input", &format!("{name}  {state}{others}"));
    }
    for dependent in graph.dependents(task) {
        line("needed by", &format!("{}  {}", graph.name(*dependent), board.verdict(*dependent).state.name()));
    }
    text
}

fn state_of_file(board: &Board, file: FileId) -> String {
    let there = if board.stamp(file).is_some() { "there" } else { "missing" };
    let maker = board.graph.file(file).maker;
    maker.map_or(there.to_string(), |maker| board.verdict(maker).state.name().to_string())
}

/// Path of the log of the last attempt.
pub fn last_log(board: &Board, task: TaskId) -> Option<std::path::PathBuf> {
    let last = board.history(task).last;
    (last > 0).then(|| history::log_path(board.production, board.graph, task, last))
}

/// The command line that the next attempt would run; with all inputs of the plan if they cannot all be had now.
pub fn command_line(board: &Board, task: TaskId) -> String {
    let graph = board.graph;
    let planned = || {
        let first = graph.needs(task).iter().filter_map(|need| Some((need.slot, *graph.alternatives(need).first()?)));
        first.collect()
    };
    let files = board.inputs(task).map_or_else(planned, |inputs| inputs.files);
    let arguments = command::arguments(graph, board.options, task, &files);
    let mut words = vec![graph.step(task).program.clone()];
    words.extend(arguments.iter().map(|argument| board.production.expand(argument)));
    shell::command_line(&words)
}

/// Text of the log of the last attempt, between banners.
pub fn log_text(board: &Board, task: TaskId) -> String {
    let Some(path) = last_log(board, task) else { return "no attempt was made yet\n".into() };
    let content = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let content = content.unwrap_or_else(|error| format!("cannot read it: {error}"));
    format!("========== {} ==========\n{}\n========== end ==========\n", path.display(), content.trim_end())
}
