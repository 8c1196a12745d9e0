//! The command line of a task: the step's template with its files, keys and options filled in.

use crate::graph::{FileId, Graph, TaskId};
use crate::options::{self, Options};
use crate::table::{Piece, Root};

/// The arguments of a task whose inputs are the files given (slot, file), with roots written as symbols, so that
/// they can be compared with those of a record wherever the production lies.
pub fn arguments(graph: &Graph, options: &Options, task: TaskId, inputs: &[(u16, FileId)]) -> Vec<String> {
    let mut arguments = Vec::new();
    each_argument(graph, options, task, inputs, |argument| arguments.push(argument.to_string()));
    arguments
}

/// Visits the arguments: a million tasks have many, and most are only looked at.
pub fn each_argument(
    graph: &Graph,
    options: &Options,
    task: TaskId,
    inputs: &[(u16, FileId)],
    mut visit: impl FnMut(&str),
) {
    let step = graph.step(task);
    let mut argument = String::with_capacity(128);
    for pieces in &step.arguments {
        if let [Piece::Name(name)] = &pieces[..]
            && let Some(slot) = step.inputs.iter().position(|slot| slot.name == *name)
        {
            for (_, file) in inputs.iter().filter(|(s, _)| usize::from(*s) == slot) {
                argument.clear();
                graph.portable_onto(*file, &mut argument);
                visit(&argument);
            }
            continue;
        }
        argument.clear();
        pieces.iter().for_each(|piece| text_onto(graph, task, piece, &mut argument));
        visit(&argument);
    }
    let by = step.options_by.map_or("", |dim| graph.space.text(graph.key(task), dim));
    options::arguments(&options.of_task(graph, task), step, by).iter().for_each(|argument| visit(argument));
}

fn text_onto(graph: &Graph, task: TaskId, piece: &Piece, to: &mut String) {
    match piece {
        Piece::Text(text) => to.push_str(text),
        Piece::Name(name) if name == "output" => graph.portable_onto(graph.task(task).output, to),
        Piece::Name(name) => match (Root::named(name), graph.space.dim(name)) {
            (Some(root), _) => to.push_str(root.symbol()),
            (None, Ok(dim)) => to.push_str(graph.space.text(graph.key(task), dim)),
            (None, Err(_)) => {}
        },
        Piece::Key(dim) => to.push_str(graph.space.text(graph.key(task), *dim)),
    }
}

/// A place where ancillary files may be, with its keys filled in; None if it starts from a variable that is not set.
pub fn place(graph: &Graph, task: TaskId, pieces: &[Piece]) -> Option<String> {
    let mut place = String::new();
    pieces.iter().for_each(|piece| text_onto(graph, task, piece, &mut place));
    let Some(rest) = place.strip_prefix('$') else { return Some(place) };
    let (variable, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let folder = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
    Some(if rest.is_empty() { folder } else { format!("{folder}/{rest}") })
}

/// What changed from one list of arguments to another, in words; None if nothing did.
pub fn difference(was: &[String], now: &[String]) -> Option<String> {
    if was == now {
        return None;
    }
    let only = |a: &[String], b: &[String]| {
        let list: Vec<&str> = a.iter().filter(|x| !b.contains(x)).map(String::as_str).collect();
        match list.len() {
            0 => None,
            1..=3 => Some(list.join(" ")),
            n => Some(format!("{} and {} more", list[..2].join(" "), n - 2)),
        }
    };
    let parts = [("no longer", only(was, now)), ("now", only(now, was))];
    let words: Vec<String> = parts.into_iter().filter_map(|(word, list)| Some(format!("{word} {}", list?))).collect();
    Some(if words.is_empty() { "the order changed".into() } else { words.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn differences_in_words() {
        let list = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(difference(&list("a b"), &list("a b")), None);
        assert_eq!(difference(&list("--w 1"), &list("--w 2")).unwrap(), "no longer 1, now 2");
        assert_eq!(difference(&list("a"), &list("a b c d e")).unwrap(), "now b c and 2 more");
    }
}
