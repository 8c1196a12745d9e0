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
        let by_lines = Self::read_lines(&head).map_or_else(|| serde_saphyr::from_str(&head), Ok);
        by_lines.map_err(|e| Error::content(path, format!("{e}\nrun desi_pipe again to write it anew")))
    }

    /// Reads a plan that stands line by line as [`Self::write`] writes it: twenty times as fast as YAML, for surveys of
    /// hundreds of nights. None if a line has another form (somebody edited it).
    fn read_lines(head: &str) -> Option<Self> {
        let mut plan = Self {
            night: String::new(),
            spectrographs: BTreeSet::new(),
            skip: BTreeSet::new(),
            exposures: BTreeMap::new(),
        };
        for line in head.lines().filter(|line| !line.starts_with('#')) {
            if let Some(exposure) = line.strip_prefix("  ") {
                let (expid, exposure) = exposure.split_once(": ")?;
                plan.exposures.insert(serde_json::from_str(expid).ok()?, serde_json::from_str(exposure).ok()?);
                continue;
            }
            match line.split_once(':')? {
                ("night", value) => plan.night = serde_json::from_str(value).ok()?,
                ("spectrographs", value) => plan.spectrographs = serde_json::from_str(value).ok()?,
                ("skip", value) => plan.skip = serde_json::from_str(value).ok()?,
                ("exposures", "" | " {}") => {}
                _ => return None,
            }
        }
        (!plan.night.is_empty()).then_some(plan)
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
        write_atomically(&Self::path(production, &self.night), &self.text(tasks))
    }

    fn text(&self, tasks: &str) -> String {
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
        text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_the_same_line_by_line_and_as_yaml() {
        let bricks = BTreeMap::from([("3".to_string(), BTreeMap::from([("0007p010: a \"b\"".to_string(), 12)]))]);
        let files = BTreeMap::from([("pix".to_string(), BTreeSet::from(["b0".to_string(), "r0".to_string()]))]);
        let exposure = Exposure { flavor: "science".into(), files, bricks };
        let mut plan = NightPlan {
            night: "20260101".into(),
            spectrographs: BTreeSet::from(["0".to_string()]),
            skip: BTreeSet::from(["specex".to_string()]),
            exposures: BTreeMap::from([("00000003".to_string(), exposure)]),
        };
        for _ in 0..2 {
            let text = plan.text("");
            let head = &text[..text.find(TASKS).unwrap()];
            assert_eq!(NightPlan::read_lines(head).as_ref(), Some(&plan));
            assert_eq!(serde_saphyr::from_str::<NightPlan>(head).unwrap(), plan);
            plan.exposures.clear();
        }
        // what somebody wrote otherwise is left to the reader of YAML
        assert_eq!(NightPlan::read_lines("night: '20260101'\n"), None);
        assert_eq!(NightPlan::read_lines("exposures:\n  \"00000003\":\n    flavor: arc\n"), None);
    }
}
