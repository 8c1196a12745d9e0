//! Files that a task reads beside its inputs: calibration images, templates, whatever its options name. They need not
//! be there; a task whose record knows them otherwise than they are now is stale.

use crate::command;
use crate::disk::{self, Stamp};
use crate::graph::{Graph, TaskId};
use crate::options::Options;
use crate::production::Production;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Files by their paths, roots as symbols, in the order of their names.
type Files = Arc<[(String, Stamp)]>;

/// What was found so far; each place is looked at once.
#[derive(Debug, Default)]
pub struct Ancillary {
    known: Mutex<HashMap<String, Files>>,
}

impl Ancillary {
    /// The files of a task that are there.
    pub fn of(&self, production: &Production, graph: &Graph, options: &Options, task: TaskId) -> Vec<(String, Stamp)> {
        let options = options.of_task(graph, task);
        let table = graph.step(task).ancillary.iter();
        let table = table.filter(|aid| aid.unless.as_ref().is_none_or(|option| !options.contains_key(option)));
        let mut places: Vec<String> = table.filter_map(|aid| command::place(graph, task, &aid.place)).collect();
        let values =
            options.values().flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice));
        places.extend(values.filter_map(|value| value.as_str()).filter(|text| text.contains('/')).map(String::from));
        places.iter().flat_map(|place| self.at(production, place).iter().cloned().collect::<Vec<_>>()).collect()
    }

    fn at(&self, production: &Production, place: &str) -> Files {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(place.to_string()).or_insert_with(|| look(production, place).into()).clone()
    }
}

/// A file; the files of a folder; or those of a folder whose names match (`*` stands for anything).
fn look(production: &Production, place: &str) -> Vec<(String, Stamp)> {
    // options' relative paths start from the production's folder
    let path = production.dir.join(production.expand(place));
    if let Some(stamp) = disk::stamp(&path) {
        return vec![(place.to_string(), stamp)];
    }
    let name = place.rsplit('/').next().unwrap_or_default();
    let (folder, folder_text, form): (PathBuf, &str, &str) = match path.parent() {
        Some(parent) if name.contains('*') => (parent.to_path_buf(), &place[..place.len() - name.len()], name),
        _ => (path, place, "*"),
    };
    let mut files = list(&folder, form);
    let prefix = folder_text.trim_end_matches('/');
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files.into_iter().map(|(name, stamp)| (format!("{prefix}/{name}"), stamp)).collect()
}

fn list(folder: &Path, form: &str) -> Vec<(String, Stamp)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let wanted = named.filter(|name| !name.starts_with('.') && matches(form, name));
    wanted
        .filter_map(|name| Some((disk::stamp(&folder.join(&name))?, name)))
        .map(|(stamp, name)| (name, stamp))
        .collect()
}

/// Whether a name has a form in which `*` stands for anything.
pub fn matches(form: &str, name: &str) -> bool {
    match form.split_once('*') {
        None => form == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).filter(|at| name.is_char_boundary(*at)).any(|at| matches(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_anything() {
        assert!(matches("*-b0.*", "bias-b0.fits") && matches("*", "") && matches("a*a", "aa"));
        assert!(!matches("*-b0.*", "bias-b1.fits") && !matches("a*a", "a") && !matches("a", "ab"));
    }
}
