//! Reasons in words.

use crate::board::Board;
use crate::graph::TaskId;
use crate::record::Record;
use crate::state::{Reason, Verdict};
use crate::{command, history};
use std::fmt;

impl Board<'_> {
    /// How the command of a task differs from that of an attempt, in words.
    fn difference(&self, task: TaskId, attempt: u32) -> String {
        let record = Record::read(&history::record_path(self.production, self.graph, task, attempt));
        let inputs = self.inputs(task).unwrap_or_default();
        let now = command::arguments(self.graph, self.options, task, &inputs.files);
        record.and_then(|record| command::difference(&record.arguments, &now)).unwrap_or_default()
    }

    /// The reason of a verdict in words.
    pub fn explain(&self, verdict: &Verdict) -> String {
        Words { board: self, reason: &verdict.reason }.to_string()
    }
}

struct Words<'b, 'a> {
    board: &'b Board<'a>,
    reason: &'b Reason,
}

impl fmt::Display for Words<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let graph = self.board.graph;
        match self.reason {
            Reason::Text(text) => f.write_str(text),
            Reason::Command(task, attempt) => {
                write!(f, "its command changed: {}", self.board.difference(*task, *attempt))
            }
            Reason::Newer(file) => write!(f, "{} is newer than its output", self.board.path(*file).display()),
            Reason::Changed(file) => write!(f, "{} changed since", self.board.path(*file).display()),
            Reason::Gone(file) => write!(f, "its output stands; {} is gone", self.board.path(*file).display()),
            Reason::After(task) => {
                write!(f, "after {} ({})", graph.name(*task), self.board.verdict(*task).state.name())
            }
            Reason::Missing(file) => {
                write!(f, "{} is missing and no task makes it", self.board.path(*file).display())
            }
            Reason::Behind(task) => {
                let why = self.board.explain(self.board.verdict(*task));
                write!(f, "{} failed: {why}", graph.name(*task))
            }
            Reason::Outside(task) => write!(f, "{} is not part of this run", graph.name(*task)),
            Reason::Without(files) => {
                let names: Vec<String> = files.iter().take(3).map(|file| graph.file_name(*file)).collect();
                let more = if files.len() > 3 { format!(" and {} more", files.len() - 3) } else { String::new() };
                write!(f, "made without {}{more}, which cannot be had", names.join(", "))
            }
        }
    }
}
