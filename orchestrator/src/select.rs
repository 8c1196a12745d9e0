//! Selectors: which tasks a person means.

use crate::ancillary::matches;
use crate::graph::{Graph, TaskId};
use crate::{Error, Result};

/// The tasks that every word fits: a task (`*` stands for anything), a step, a night, an exposure, a camera, a brick,
/// or KEY=VALUE; a word may be several by commas, one of which must fit.
///
/// # Errors
/// [`Error::Usage`] if no task fits.
pub fn tasks(graph: &Graph, words: &[String]) -> Result<Vec<TaskId>> {
    let fits = |task: &TaskId| words.iter().all(|word| word.split(',').any(|word| fits(graph, *task, word.trim())));
    let tasks: Vec<TaskId> = graph.ids().filter(fits).collect();
    if words.is_empty() || tasks.is_empty() {
        return Err(Error::Usage(format!(
            "no task is '{}'; the words are tasks, steps, or values of keys",
            words.join(" ")
        )));
    }
    Ok(tasks)
}

fn fits(graph: &Graph, task: TaskId, word: &str) -> bool {
    let key = graph.key(task);
    let has = |name: &str, value: &str| {
        // exposure numbers may be written without their zeros
        let of_task = graph.space.dim(name).map_or("", |dim| graph.space.text(key, dim));
        !of_task.is_empty() && (of_task == value || (name == "expid" && of_task.trim_start_matches('0') == value))
    };
    let is_step = |word: &str| graph.table.step(word).is_ok_and(|step| step == usize::from(graph.task(task).step));
    if let Some((name, value)) = word.split_once('=') {
        return if name == "step" { is_step(value) } else { has(name, value) };
    }
    ["night", "expid", "camera", "brick"]
        .iter()
        .any(|name| graph.space.dim(name).is_ok_and(|dim| graph.space.text(key, dim) == word))
        || is_step(word)
        || matches(word, &graph.short_name(task))
        || matches(word, &graph.name(task))
}
