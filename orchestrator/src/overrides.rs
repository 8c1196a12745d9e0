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
use crate::production::Production;
use crate::table::{OptionMap, Table};
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Options of the tasks of a step that have certain keys.
#[derive(Debug, Clone)]
pub struct Override {
    pub(crate) step: usize,
    // a task's text of each of these keys must be one of these
    keys: Vec<(usize, Vec<String>)>,
    /// Over the step's own.
    pub options: OptionMap,
    // in the file, from 1
    line: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Toml {
    #[serde(default, rename = "override")]
    overrides: Vec<Spanned<OverrideToml>>,
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

/// Where it is.
pub fn path(production: &Production) -> PathBuf {
    production.run().join("overrides.toml")
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
    let read = |toml: Spanned<OverrideToml>| {
        let line = text[..toml.span().start].lines().count() + 1;
        let made = Override::new(toml.into_inner(), line, table, space);
        made.map_err(|e| Error::content(path, format!("the override of line {line}: {e}")))
    };
    toml.overrides.into_iter().map(read).collect()
}

impl Override {
    fn new(toml: OverrideToml, line: usize, table: &Table, space: &Space) -> Result<Self> {
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
        Ok(Self { step, keys, options: toml.options, line })
    }

    /// Whether it is about this task.
    pub fn touches(&self, graph: &Graph, task: TaskId) -> bool {
        let key: &Key = graph.key(task);
        let has =
            |(dim, values): &(usize, Vec<String>)| values.iter().any(|value| value == graph.space.text(key, *dim));
        usize::from(graph.task(task).step) == self.step && self.keys.iter().all(has)
    }
}

/// A sentence for each override that no task has use for: most often a slip of the pen.
pub fn idle(overrides: &[Override], path: &Path, graph: &Graph) -> Vec<String> {
    let fits_none = |over: &&Override| !graph.ids().any(|task| over.touches(graph, task));
    let describe = |over: &Override| {
        let key =
            |(dim, values): &(usize, Vec<String>)| format!(", {} {}", graph.space.name(*dim), values.join(" or "));
        let keys: String = over.keys.iter().map(key).collect();
        let step = &graph.table.steps[over.step].name;
        format!("{}: line {}: the override ({step}{keys}) fits no task", path.display(), over.line)
    };
    overrides.iter().filter(fits_none).map(describe).collect()
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
