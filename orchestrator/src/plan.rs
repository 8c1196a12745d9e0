//! plan/NIGHT.yaml: what a raw night holds, and for people the tasks that follow from it.

use crate::parallel;
use crate::production::{Production, write_atomically};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// What an exposure holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// arc, flat, science ...
    pub flavor: String,
    /// For each kind of raw file the cameras of which there is one (or, for a file of many cameras, that it holds);
    /// empty for a kind that has no cameras.
    pub files: BTreeMap<String, BTreeSet<String>>,
    /// Bricks that it touches and their targets, by spectrograph (`all`: not told apart).
    pub bricks: BTreeMap<String, BTreeMap<String, u32>>,
}

/// What a night holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NightPlan {
    /// YYYYMMDD.
    pub night: String,
    /// Spectrographs to process.
    pub spectrographs: BTreeSet<String>,
    /// Steps whose files are given (`--fakeboot`, `--fakepsf`).
    pub skip: BTreeSet<String>,
    /// By exposure number.
    pub exposures: BTreeMap<String, Exposure>,
}

// the tasks come last, under this line; a reader stops there
const TASKS: &str = "tasks:";

impl NightPlan {
    /// Path of a night's plan.
    pub fn path(production: &Production, night: &str) -> PathBuf {
        production.plans().join(format!("{night}.yaml"))
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// [`Error::Content`] if it is not one that desi_pipe wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let head = head(path).map_err(Error::io("read", path))?;
        serde_saphyr::from_str(&head)
            .map_err(|e| Error::content(path, format!("{e}\nrun desi_pipe again to write it anew")))
    }

    /// Reads the plans of a production, by night.
    ///
    /// # Errors
    /// If a plan cannot be read.
    pub fn read_all(production: &Production) -> Result<Vec<Self>> {
        let folder = production.plans();
        let entries = std::fs::read_dir(&folder).map_err(Error::io("list", &folder))?;
        let paths: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let plans = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "yaml") && !hidden(path));
        let paths: Vec<&PathBuf> = plans.collect();
        parallel::map(&paths, |path| Self::read(path)).into_iter().collect()
    }

    /// Writes the plan, with the tasks given as text below it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, production: &Production, tasks: &str) -> Result<()> {
        let mut text = String::from("# What the raw night holds and the tasks that follow; written by desi_pipe.\n");
        let _ = writeln!(text, "night: {}", json(&self.night));
        let _ = writeln!(text, "spectrographs: {}", json(&self.spectrographs));
        let _ = writeln!(text, "skip: {}", json(&self.skip));
        text.push_str(if self.exposures.is_empty() { "exposures: {}\n" } else { "exposures:\n" });
        for (expid, exposure) in &self.exposures {
            let _ = writeln!(text, "  {}: {}", json(expid), json(exposure));
        }
        text.push_str("# for people: desi_pipe_run derives them anew\ntasks:\n");
        text.push_str(tasks);
        write_atomically(&Self::path(production, &self.night), &text)
    }
}

/// The lines before the tasks, of which there may be many.
fn head(path: &Path) -> std::io::Result<String> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let mut head = String::new();
    loop {
        let start = head.len();
        if file.read_line(&mut head)? == 0 || head[start..].starts_with(TASKS) {
            head.truncate(start);
            return Ok(head);
        }
    }
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// A value as JSON, which is YAML too.
pub(crate) fn json(value: &impl Serialize) -> String {
    // of strings, sets and maps with string keys: cannot fail
    serde_json::to_string(value).unwrap_or_default()
}
