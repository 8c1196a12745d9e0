//! Products read again: is their content what the record of their making says, and are their own checksums right?

use crate::attempt::checksum;
use crate::board::Board;
use crate::disk;
use crate::graph::TaskId;
use crate::record::Record;
use crate::state::State;
use crate::{Result, fits, history, parallel};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Products that are as their records say.
    pub by_record: usize,
    /// Products without a record, or changed since by something that writes FITS files, that are whole by their own
    /// checksums, or have none.
    pub by_themselves: usize,
    /// Damaged ones, and how.
    pub damaged: Vec<(TaskId, String)>,
}

enum Found {
    AsRecorded,
    Whole,
    Damaged(String),
}

/// Reads the products of these tasks that are there.
///
/// # Errors
/// [`crate::Error::Io`] if one cannot be read.
pub fn verify(board: &Board, tasks: &[TaskId]) -> Result<Report> {
    let made = |task: &TaskId| board.stamp(board.graph.task(*task).output).is_some_and(|stamp| !stamp.link);
    let rests = |task: &TaskId| board.verdict(*task).state != State::Running;
    let tasks: Vec<TaskId> = tasks.iter().copied().filter(|task| made(task) && rests(task)).collect();
    let mut report = Report::default();
    for (task, found) in tasks.iter().zip(parallel::map(&tasks, |task| check(board, *task))) {
        match found? {
            Found::AsRecorded => report.by_record += 1,
            Found::Whole => report.by_themselves += 1,
            Found::Damaged(how) => report.damaged.push((*task, how)),
        }
    }
    Ok(report)
}

fn check(board: &Board, task: TaskId) -> Result<Found> {
    let path = board.path(board.graph.task(task).output);
    let past = board.history(task).made();
    let record =
        past.and_then(|past| Record::read(&history::record_path(board.production, board.graph, task, past.attempt)));
    let recorded = record.and_then(|record| record.outputs.into_iter().next()?.blake3);
    if recorded.is_some() && recorded == checksum(&path) {
        return Ok(Found::AsRecorded);
    }
    let listed = board.stamp(board.graph.task(task).output);
    if disk::stamp(&path) != listed {
        // made anew while we looked
        return Ok(Found::Whole);
    }
    let touched = !past.is_some_and(|past| past.output.is_some_and(|file| file.is(listed)));
    Ok(match (fits::damage(&path)?, recorded) {
        (Some(how), _) => Found::Damaged(how),
        (None, None) => Found::Whole,
        // a product that somebody else wrote since, and whole
        (None, Some(_)) if touched && fits::has_checksums(&path) => Found::Whole,
        (None, Some(_)) => Found::Damaged("its content is not what was written".into()),
    })
}
