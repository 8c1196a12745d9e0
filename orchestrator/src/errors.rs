//! Failures grouped by their cause: which sentence, with numbers and paths left out, ended how many tasks.

use crate::board::Board;
use crate::graph::TaskId;
use crate::production::Production;
use crate::record::{Ending, Past};
use crate::state::State;
use crate::status::View;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Tasks that failed for the same cause.
#[derive(Debug, Serialize)]
pub struct Group {
    /// What the exit code or signal says.
    pub class: &'static str,
    /// Step of the tasks.
    pub step: String,
    /// The last error, with numbers and paths left out.
    pub cause: String,
    /// How many.
    pub count: usize,
    /// The tasks.
    pub tasks: Vec<String>,
    /// The reason of the first, in full.
    pub reason: String,
    /// The log of the first.
    pub log: String,
}

/// What the exit code of an attempt says (the same for every program); none: a signal (of a crash, or from outside), or
/// the attempt was lost.
pub fn class(past: &Past) -> &'static str {
    match past.exit_code {
        Some(0) => "no output",
        Some(1) => "data cannot be used",
        Some(2) => "wrong use",
        Some(3) => "an input is missing",
        Some(4) => "the system failed",
        Some(5 | 101) => "a bug",
        Some(_) => "other",
        None if past.ending == Ending::Failed => "a bug",
        None => "killed",
    }
}

/// The failures that are shown, by cause, the most frequent first.
pub fn groups(board: &Board, view: &View) -> Vec<Group> {
    let mut causes: BTreeMap<(&'static str, &str, String), Vec<TaskId>> = BTreeMap::new();
    for task in board.graph.ids().filter(|task| view.shows(board, *task)) {
        if board.verdict(task).state == State::Failed
            && let Some(past) = &board.history(task).latest
        {
            let cause =
                (class(past), board.graph.step(task).name.as_str(), without_details(&past.reason, board.production));
            causes.entry(cause).or_default().push(task);
        }
    }
    let group = |((class, step, cause), tasks): ((&'static str, &str, String), Vec<TaskId>)| Group {
        class,
        step: step.into(),
        cause,
        count: tasks.len(),
        reason: board.explain(board.verdict(tasks[0])),
        log: crate::status::last_log(board, tasks[0]).map_or(String::new(), |path| path.display().to_string()),
        tasks: tasks.into_iter().map(|task| board.graph.name(task)).collect(),
    };
    let mut groups: Vec<Group> = causes.into_iter().map(group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// Paths become `PATH`, numbers `#`.
fn without_details(reason: &str, production: &Production) -> String {
    // their paths may hold blanks
    let roots = [&production.dir, &production.raw, &production.redux];
    let reason = roots.iter().fold(reason.to_string(), |reason, root| match root.to_str() {
        Some(root) if root.len() > 1 => reason.replace(root, "/"),
        _ => reason,
    });
    let word = |word: &str| {
        if word.contains('/') {
            let end = word.trim_end_matches([':', ',', ';', '.', ')', '\'', '"']).len();
            return format!("PATH{}", &word[end..]);
        }
        let mut text = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' if text.ends_with('#') => {}
                '0'..='9' => text.push('#'),
                c => text.push(c),
            }
        }
        text
    };
    reason.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The groups for people.
pub fn text(groups: &[Group]) -> String {
    let mut text = String::new();
    for group in groups {
        let _ = writeln!(text, "{:>6} x {} ({}): {}", group.count, group.step, group.class, group.cause);
        let more = if group.count > 1 { format!(" and {} more", group.count - 1) } else { String::new() };
        let _ = writeln!(text, "         {}{more}: {}", group.tasks[0], group.reason);
        let _ = writeln!(text, "         log: {}", group.log);
    }
    if groups.is_empty() { "no task has failed\n".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::production::Place;

    #[test]
    fn the_same_cause_reads_the_same() {
        let of = |folder: &str, reason: &str| {
            let place = Place { raw: Some("/raw".into()), redux: Some(folder.into()), prod: Some("p".into()) };
            without_details(reason, &Production::locate(&place).unwrap())
        };
        let a = of("/a \u{e0} b", "exit code 1: /a \u{e0} b/p/x/frame-b0-00000003.fits: HDU 3: 12.5 rows");
        assert_eq!(a, "exit code #: PATH: HDU #: #.# rows");
        assert_eq!(a, of("/c", "exit code 1: /c/p/frame-b0-00000017.fits: HDU 4: 1.25 rows"));
    }
}
