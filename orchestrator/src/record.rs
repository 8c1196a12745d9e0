//! The record of one attempt at a task: run/records/FOLDER/TASK.N.json. Written once, by the process that ran it.

use crate::disk::Stamp;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The output is there.
    Done,
    /// The program could not use its data, or has a bug: trying again will not help.
    Failed,
    /// The system failed (no space, killed by a signal, program not found): trying again may help.
    System,
    /// The run was stopped; no judgement on the task.
    Stopped,
}

/// A file as an attempt saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Path with the root as a symbol: `{rawdir}/...` or `{prod}/...`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Time of the last change, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// BLAKE3 checksum (of what an attempt made).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

impl FileRecord {
    /// Whether the file is still as it was then.
    pub fn is(&self, stamp: Option<Stamp>) -> bool {
        stamp.is_some_and(|stamp| stamp.size == self.size && stamp.mtime == self.mtime_ns)
    }
}

/// One attempt at a task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Name of the task.
    pub task: String,
    /// Name of the step.
    pub step: String,
    /// 1, 2, ...
    pub attempt: u32,
    /// How it ended.
    pub ending: Ending,
    /// Why, in a sentence; empty if it is done.
    pub reason: String,
    /// Exit code of the program, if it exited.
    pub exit_code: Option<i32>,
    /// Signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The command line.
    pub argv: Vec<String>,
    /// The arguments that the output depends on: no threads, roots as symbols.
    pub arguments: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Environment variables that matter.
    pub environment: BTreeMap<String, String>,
    /// Host name.
    pub host: String,
    /// Process id of the program; 0 if it did not start.
    pub pid: u32,
    /// Batch job, if there is one.
    pub job: Option<String>,
    /// Start, RFC 3339.
    pub start: String,
    /// End, RFC 3339.
    pub end: String,
    /// Seconds from start to end.
    pub wall_seconds: f64,
    /// CPU seconds of the program.
    pub cpu_seconds: f64,
    /// Peak memory of the program, 10^6 bytes.
    pub peak_memory_mb: f64,
    /// Files that it read, as they were when it started.
    pub inputs: Vec<FileRecord>,
    /// The output as it was when it ended, if it was there; its checksum if this attempt made it.
    pub outputs: Vec<FileRecord>,
}

impl Record {
    /// Reads a record; None if it is not there or not whole (then the attempt left none).
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes the record under a temporary name and renames it, so that nobody sees half of it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}-0.tmp", std::process::id()));
        // numbers, strings and maps with string keys: cannot fail
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        let mut file = std::fs::File::create(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all(text.as_bytes()).map_err(Error::io("write", &temporary))?;
        std::fs::rename(&temporary, path).map_err(Error::io("rename into", path))
    }
}

/// Variables that can change what a program does.
pub fn environment_that_matters() -> BTreeMap<String, String> {
    let exact = ["SPECPROD", "PRODNAME", "RR_TEMPLATE_DIR", "PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL"];
    let families = ["DESI", "OPENBLAS", "OMP_", "RAYON_", "SLURM_JOB"];
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| exact.contains(&name.as_str()) || families.iter().any(|f| name.starts_with(f)))
        .collect()
}
