//! Why a task is not done: the chain of tasks and files that it waits for, down to the causes.

use crate::board::Board;
use crate::graph::{FileId, TaskId};
use crate::shell;
use crate::state::State;
use crate::status::last_log;
use std::collections::HashSet;
use std::fmt::Write;

/// In words, a line for each task on the way.
pub fn text(board: &Board, task: TaskId) -> String {
    let verdict = board.verdict(task);
    let mut chain = Chain { board, seen: HashSet::from([task]), text: String::new() };
    let _ = writeln!(chain.text, "{} is {}: {}", board.graph.name(task), verdict.state.name(), board.explain(verdict));
    chain.advise(task, 1);
    chain.descend(task, 1);
    chain.text
}

struct Chain<'b, 'a> {
    board: &'b Board<'a>,
    seen: HashSet<TaskId>,
    text: String,
}

impl Chain<'_, '_> {
    fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = 2 * depth);
    }

    /// What a task waits for; a task that can run, or whose output is as it should be, waits for nothing.
    fn descend(&mut self, task: TaskId, depth: usize) {
        let graph = self.board.graph;
        if !matches!(self.board.verdict(task).state, State::Waiting | State::Blocked | State::Stale) {
            return;
        }
        for need in graph.needs(task) {
            // the first that is not there stands for those that might serve in its place
            if let Some(file) = graph.alternatives(need).first() {
                self.file(*file, depth);
            }
        }
    }

    fn file(&mut self, file: FileId, depth: usize) {
        let graph = self.board.graph;
        let Some(maker) = graph.file(file).maker else {
            if self.board.stamp(file).is_none() {
                let path = self.board.path(file).display().to_string();
                self.line(depth, &format!("needs {path}, which is not there, and no task makes it"));
            }
            return;
        };
        let verdict = self.board.verdict(maker);
        if verdict.state == State::Done {
            return;
        }
        let again = if self.seen.insert(maker) { "" } else { " (see above)" };
        let why = self.board.explain(verdict);
        self.line(depth, &format!("needs {}, {}: {why}{again}", graph.name(maker), verdict.state.name()));
        if again.is_empty() {
            self.advise(maker, depth + 1);
            self.descend(maker, depth + 1);
        }
    }

    /// Where to look, and what to do, about a failure.
    fn advise(&mut self, task: TaskId, depth: usize) {
        if self.board.verdict(task).state == State::Failed {
            let log = last_log(self.board, task).map_or(String::new(), |path| path.display().to_string());
            self.line(depth, &format!("log: {}", shell::quote(&log)));
            self.line(depth, &format!("try again: desi_pipe_status task {} --retry", self.board.graph.name(task)));
        }
    }
}
