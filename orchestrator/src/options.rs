//! run/options.yaml: options of the steps, as people edit them; and those of single tasks over them.

use crate::graph::{Graph, TaskId};
use crate::keys::Space;
use crate::overrides::{self, Override};
use crate::plan::json;
use crate::production::Production;
use crate::table::{OptionMap, Step, Table};
use crate::{Error, Result};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Options of each step, in the table's order.
#[derive(Debug, Clone)]
pub struct Options {
    steps: Vec<OptionMap>,
    overrides: Vec<Override>,
}

impl Options {
    /// Those of a production: run/options.yaml and run/overrides.toml.
    ///
    /// # Errors
    /// If one of them is wrong.
    pub fn of(production: &Production, table: &Table, space: &Space) -> Result<Self> {
        let overrides = overrides::read(&overrides::path(production), table, space)?;
        Ok(Self { overrides, ..Self::read(&production.options(), table)? })
    }

    /// The table's defaults.
    pub fn defaults(table: &Table) -> Self {
        Self { steps: table.steps.iter().map(|step| step.options.clone()).collect(), overrides: Vec::new() }
    }

    /// Reads options.yaml; a step that it does not name has the table's defaults. 2016 names are accepted, and
    /// 2016 keys `STEP_worker` and `STEP_worker_opts` passed over.
    ///
    /// # Errors
    /// [`Error::Content`] for what is no map of options and for a step that does not exist.
    pub fn read(path: &Path, table: &Table) -> Result<Self> {
        let mut options = Self::defaults(table);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(options),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        let given: BTreeMap<String, Option<Value>> =
            serde_saphyr::from_str(&text).map_err(|e| Error::content(path, format!("not a map of steps: {e}")))?;
        for (name, value) in given {
            if name.ends_with("_worker") || name.ends_with("_worker_opts") {
                continue;
            }
            let step = table.step(&name).map_err(|e| Error::content(path, e))?;
            options.steps[step] = match value {
                None | Some(Value::Null) => OptionMap::new(),
                Some(Value::Object(map)) => map.into_iter().collect(),
                Some(_) => return Err(Error::content(path, format!("{name}: expected a map of options"))),
            };
        }
        Ok(options)
    }

    /// The file for a new production.
    pub fn default_text(table: &Table, space: &Space) -> String {
        let mut text = String::from(
            "# Options of each step: `name: value` becomes `--name value` (true: a bare flag; false or null: nothing;\n\
             # a list: its items after the flag). desi_pipe never overwrites this file. A change makes the tasks\n\
             # that it touches stale. Relative paths start from the production's folder. Example:\n\
             # zfind: {templates: /path/to/redrock-templates}\n",
        );
        for step in &table.steps {
            if let Some(dim) = step.options_by {
                let key = space.name(dim);
                let _ = writeln!(text, "# NAME_X is option NAME of the tasks whose {key} is X");
            }
            let _ = writeln!(text, "{}:{}", step.name, if step.options.is_empty() { " {}" } else { "" });
            for (name, value) in &step.options {
                let _ = writeln!(text, "  {name}: {}", json(value));
            }
        }
        text
    }

    /// A sentence for each override of a production that fits no task.
    pub fn idle_overrides(&self, production: &Production, graph: &Graph) -> Vec<String> {
        overrides::idle(&self.overrides, &overrides::path(production), graph)
    }

    /// The options of a task.
    pub fn of_task(&self, graph: &Graph, task: TaskId) -> Cow<'_, OptionMap> {
        let step = &self.steps[usize::from(graph.task(task).step)];
        let touching = self.overrides.iter().filter(|over| over.touches(graph, task));
        touching.fold(Cow::Borrowed(step), |mut options, over| {
            options.to_mut().extend(over.options.clone());
            options
        })
    }

    /// Puts the options of a file in the place of a step's own: a map of options, or one of steps as in options.yaml.
    ///
    /// # Errors
    /// [`Error::Content`] if the file is none of these.
    pub fn replace(&mut self, path: &Path, table: &Table, step: usize) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let given: BTreeMap<String, Value> =
            serde_saphyr::from_str(&text).map_err(|e| Error::content(path, format!("not a map of options: {e}")))?;
        let is_step = |name: &String| table.step(name).is_ok_and(|known| known == step);
        let of_step = given.iter().find_map(|(name, value)| if is_step(name) { value.as_object() } else { None });
        self.steps[step] = of_step.map_or(given.clone(), |map| map.clone().into_iter().collect());
        self.overrides.retain(|over| over.step != step);
        Ok(())
    }
}

/// The arguments that options make; `by` is the value of the key that tells some of them apart.
pub fn arguments(options: &OptionMap, step: &Step, by: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    for (name, value) in options {
        let name = match (step.options_by, name.rsplit_once('_')) {
            (Some(_), Some((stem, suffix))) if suffix.len() == by.len() => {
                if suffix != by {
                    continue;
                }
                stem
            }
            _ => name,
        };
        let flag = if name.len() == 1 { format!("-{name}") } else { format!("--{name}") };
        match value {
            Value::Null | Value::Bool(false) => {}
            Value::Bool(true) => arguments.push(flag),
            Value::Array(items) => {
                arguments.push(flag);
                arguments.extend(items.iter().map(plain));
            }
            other => arguments.extend([flag, plain(other)]),
        }
    }
    arguments
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::DESI;

    fn read(text: &str) -> Result<Options> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("options.yaml");
        std::fs::write(&path, text).unwrap();
        Options::read(&path, &Table::parse(DESI).unwrap().0)
    }

    #[test]
    fn options_become_arguments() {
        let (table, _) = Table::parse(DESI).unwrap();
        let text = "redshift: {templates: '/a b', fast: true, slow: false, zrange: [0.1, 2], n: 3}\nsky:\n";
        let options = read(text).unwrap();
        let zfind = table.step("zfind").unwrap();
        let of = |step: usize| arguments(&options.steps[step], &table.steps[step], "");
        assert_eq!(of(zfind), ["--fast", "-n", "3", "--templates", "/a b", "--zrange", "0.1", "2"]);
        let sky = table.step("sky").unwrap();
        assert!(of(sky).is_empty());
    }

    #[test]
    fn a_band_takes_its_own_options() {
        let (table, _) = Table::parse(DESI).unwrap();
        let extract = table.step("extract").unwrap();
        let of = |options: &Options, band| arguments(&options.steps[extract], &table.steps[extract], band);
        assert_eq!(of(&Options::defaults(&table), "r"), ["--wavelength", "5760.0,7620.0,0.8"]);
        let options = read("extract: {wavelength_b: '1,2,3', nwave: 50}").unwrap();
        assert_eq!(of(&options, "b"), ["--nwave", "50", "--wavelength", "1,2,3"]);
        assert_eq!(of(&options, "z"), ["--nwave", "50"]);
    }

    #[test]
    fn the_default_file_reads_as_the_defaults() {
        let (table, space) = Table::parse(DESI).unwrap();
        assert_eq!(read(&Options::default_text(&table, &space)).unwrap().steps, Options::defaults(&table).steps);
    }

    #[test]
    fn an_unknown_step_is_named() {
        let message = read("extrakt: {}").err().unwrap().to_string();
        assert!(message.contains("options.yaml") && message.contains("extract"), "{message}");
    }
}
