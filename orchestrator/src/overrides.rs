//! run/overrides.toml: options of single nights, exposures, cameras or other tasks, with who wants them and why.
//!
//! ```toml
//! [[override]]
//! step = "extract"
//! night = "20260101"            # any keys of the step's tasks: night, expid, camera, band, spectrograph, brick;
//! camera = ["b0", "r0"]         # one value or a list
//! author = "A. Nonymous"
//! reason = "the lamp flickered"
//! options = { nwavestep = 60 }  # over those of run/options.yaml; false takes one away
//! ```

use crate::graph::{Graph, TaskId};
use crate::keys::{Key, Space};
use crate::table::{OptionMap, Table};
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Options of the tasks of a step that have certain keys.
#[derive(Debug, Clone)]
pub struct Override {
    pub(crate) step: usize,
    // a task's text of each of these keys must be one of these
    keys: Vec<(usize, Vec<String>)>,
    /// Over the step's own.
    pub options: OptionMap,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Toml {
    #[serde(default, rename = "override")]
    overrides: Vec<OverrideToml>,
}

#[derive(Deserialize)]
struct OverrideToml {
    step: String,
    author: String,
    reason: String,
    options: OptionMap,
    #[serde(flatten)]
    keys: BTreeMap<String, toml::Value>,
}

/// Reads the file; none are in one that does not exist.
///
/// # Errors
/// [`Error::Content`] for an override without author, reason or options, of a step or key that does not exist.
pub fn read(path: &Path, table: &Table, space: &Space) -> Result<Vec<Override>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let toml: Toml = toml::from_str(&text).map_err(|e| Error::content(path, e))?;
    let numbered = toml.overrides.into_iter().zip(1..);
    numbered
        .map(|(toml, n)| {
            Override::new(toml, table, space).map_err(|e| Error::content(path, format!("override {n}: {e}")))
        })
        .collect()
}

impl Override {
    fn new(toml: OverrideToml, table: &Table, space: &Space) -> Result<Self> {
        let step = table.step(&toml.step)?;
        for (field, text) in [("author", &toml.author), ("reason", &toml.reason)] {
            if text.trim().is_empty() {
                return Err(Error::Usage(format!("its {field} is empty")));
            }
        }
        let of_step = table.files[table.steps[step].output].dims;
        let mut keys = Vec::new();
        for (name, value) in toml.keys {
            let Some(dim) = space.dim(&name).ok().filter(|dim| of_step.has(*dim)) else {
                let keys: Vec<&str> = of_step.iter().map(|dim| space.name(dim)).collect();
                return Err(Error::Usage(format!("tasks of {} have no {name}, but {}", toml.step, keys.join(", "))));
            };
            let values = texts(value);
            if let Some(stranger) = values.iter().find(|value| !space.fits(dim, value)) {
                return Err(Error::Usage(format!("'{stranger}' is no {name} ({})", space.form(dim))));
            }
            keys.push((dim, values));
        }
        Ok(Self { step, keys, options: toml.options })
    }

    /// Whether it is about this task.
    pub fn touches(&self, graph: &Graph, task: TaskId) -> bool {
        let key: &Key = graph.key(task);
        let has =
            |(dim, values): &(usize, Vec<String>)| values.iter().any(|value| value == graph.space.text(key, *dim));
        usize::from(graph.task(task).step) == self.step && self.keys.iter().all(has)
    }
}

/// A value, or each of a list.
fn texts(value: toml::Value) -> Vec<String> {
    match value {
        toml::Value::Array(values) => values.into_iter().flat_map(texts).collect(),
        toml::Value::String(text) => vec![text],
        other => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::DESI;

    fn read_text(text: &str) -> Result<Vec<Override>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overrides.toml");
        std::fs::write(&path, text).unwrap();
        let (table, space) = Table::parse(DESI).unwrap();
        read(&path, &table, &space)
    }

    #[test]
    fn what_is_wrong_is_named() {
        let whole =
            "[[override]]\nstep = 'extract'\ncamera = ['b0', 'r1']\nauthor = 'me'\nreason = 'why'\noptions = {n = 1}\n";
        assert_eq!(read_text(whole).unwrap()[0].keys[0].1, ["b0", "r1"]);
        for (from, to, complaint) in [
            ("author = 'me'\n", "", "author"),
            ("reason = 'why'", "reason = ' '", "reason is empty"),
            ("'extract'", "'extrakt'", "extract"),
            ("camera", "brick", "have no brick"),
            ("'r1'", "'r11'", "'r11' is no camera"),
            ("options = {n = 1}", "", "options"),
        ] {
            let message = read_text(&whole.replace(from, to)).err().unwrap().to_string();
            assert!(message.contains(complaint) && message.contains("overrides.toml"), "{message}");
        }
    }
}
