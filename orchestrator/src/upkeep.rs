//! `desi_pipe invalidate` and `desi_pipe verify`: products out of the way, so that the next run makes them anew.

use crate::board::Board;
use crate::graph::TaskId;
use crate::load::Loaded;
use crate::scope::Scope;
use crate::slice::{self, Slice};
use crate::state::State;
use crate::{Error, Result, attic, say, select, verify};
use std::collections::BTreeSet;

/// What can be done to the products of a production.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Upkeep {
    /// Moves the products of tasks to attic/: they and all that follows from them are made anew by the next run
    Invalidate {
        /// Which tasks; all words must fit: a task (`*` stands for anything), a step, a night, an exposure, a camera, a
        /// brick, KEY=VALUE, or several of these by commas
        #[arg(required = true)]
        selector: Vec<String>,
        /// Do it; without, only say what would be done
        #[arg(long)]
        yes: bool,
    },
    /// Reads every product again, lists the damaged ones and moves them to attic/: the next run makes them anew
    Verify {
        /// Only of these nights
        #[arg(long, value_delimiter = ',', value_name = "NIGHT,..")]
        nights: Vec<String>,
        /// Move nothing
        #[arg(long)]
        dry_run: bool,
    },
}

const SHOWN: usize = 30;

/// Does it; exit status.
///
/// # Errors
/// If nothing is selected, a selected task is running, or a file cannot be read or moved.
pub fn run(loaded: &Loaded, what: &Upkeep) -> Result<u8> {
    let graph = &loaded.graph;
    let board = Board::survey(loaded, Scope::whole(graph));
    match what {
        Upkeep::Invalidate { selector, yes } => {
            let tasks = select::tasks(graph, selector)?;
            invalidate(&board, &tasks, *yes, &format!("desi_pipe invalidate {}", selector.join(" ")))
        }
        Upkeep::Verify { nights, dry_run } => {
            let nights = slice::nights(nights, &loaded.nights)?;
            let limits = [("night", &nights)];
            let slice = Slice::new(graph, if nights.is_empty() { &[] } else { &limits })?;
            let tasks: Vec<TaskId> = graph.ids().filter(|task| slice.holds(*task)).collect();
            verify_all(&board, &tasks, *dry_run)
        }
    }
}

fn invalidate(board: &Board, tasks: &[TaskId], yes: bool, why: &str) -> Result<u8> {
    let graph = board.graph;
    if let Some(task) = tasks.iter().find(|task| board.verdict(**task).state == State::Running) {
        return Err(Error::Usage(format!("{} is running; stop it first", graph.name(*task))));
    }
    // links are given, not made
    let is_made = |task: &&TaskId| board.stamp(graph.task(**task).output).is_some_and(|stamp| !stamp.link);
    let made: Vec<TaskId> = tasks.iter().filter(is_made).copied().collect();
    let mut lines: Vec<String> = made.iter().take(SHOWN).map(|task| format!("    {}", graph.name(*task))).collect();
    if made.len() > SHOWN {
        lines.push(format!("    and {} more", made.len() - SHOWN));
    }
    let following = following(board, &made);
    let verb = if yes { "moved" } else { "would be moved" };
    say::out(format_args!("{} products {verb} to the attic:\n{}", made.len(), lines.join("\n")));
    say::out(format_args!(
        "{} tasks that follow from them {}",
        following,
        if yes { "are stale" } else { "would be stale" }
    ));
    if yes && !made.is_empty() {
        say::out(format_args!("they lie in {}", move_away(board, &made, why)?));
    } else if !yes {
        say::out(format_args!("nothing was done; add --yes to do it"));
    }
    Ok(0)
}

/// How many tasks with an output follow from these.
fn following(board: &Board, tasks: &[TaskId]) -> usize {
    let mut open: BTreeSet<TaskId> = tasks.iter().flat_map(|task| board.graph.dependents(*task)).copied().collect();
    let chosen: BTreeSet<&TaskId> = tasks.iter().collect();
    let mut count = 0;
    while let Some(task) = open.pop_first() {
        // dependents come later in the order, so that each is met once
        open.extend(board.graph.dependents(task));
        let has_output = board.stamp(board.graph.task(task).output).is_some();
        count += usize::from(has_output && !chosen.contains(&task));
    }
    count
}

fn verify_all(board: &Board, tasks: &[TaskId], dry_run: bool) -> Result<u8> {
    let report = verify::verify(board, tasks)?;
    for (task, how) in &report.damaged {
        say::out(format_args!("{}: damaged: {how}", board.path(board.graph.task(*task).output).display()));
    }
    let (by_record, by_themselves) = (report.by_record, report.by_themselves);
    say::out(format_args!(
        "{} damaged, {by_record} as recorded, {by_themselves} without a record but whole",
        report.damaged.len()
    ));
    let damaged: Vec<TaskId> = report.damaged.into_iter().map(|(task, _)| task).collect();
    if !damaged.is_empty() && !dry_run {
        say::out(format_args!(
            "the damaged ones lie in {}; the next run makes them anew",
            move_away(board, &damaged, "desi_pipe verify: damaged")?
        ));
    }
    Ok(u8::from(!damaged.is_empty()))
}

fn move_away(board: &Board, tasks: &[TaskId], why: &str) -> Result<String> {
    let files: Vec<_> = tasks.iter().map(|task| board.path(board.graph.task(*task).output)).collect();
    Ok(attic::store(board.production, &files, why)?.display().to_string())
}
