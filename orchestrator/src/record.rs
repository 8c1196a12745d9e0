//! The record of one attempt at a task: run/records/FOLDER/TASK.N.json. Written once, by the process that ran it.

use crate::disk::Stamp;
use crate::hash::Mix;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::Hasher;
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

/// A file as an attempt saw it, in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Of the path, root as a symbol.
    pub path: u64,
    /// Bytes.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i64,
}

impl Seen {
    /// A file whose path has this [`digest`], as it is now.
    pub fn new(path: u64, stamp: Stamp) -> Self {
        Self { path, size: stamp.size, mtime: stamp.mtime }
    }

    /// Whether the file is still as it was then.
    pub fn is(&self, stamp: Option<Stamp>) -> bool {
        stamp.is_some_and(|stamp| stamp.size == self.size && stamp.mtime == self.mtime)
    }
}

/// A number that stands for a list of texts, to tell whether it changed.
#[derive(Debug, Default)]
pub struct Digest(Mix);

impl Digest {
    /// One text more.
    pub fn add(&mut self, text: &str) {
        self.0.write(text.as_bytes());
    }

    /// The number.
    pub fn number(&self) -> u64 {
        self.0.finish()
    }
}

/// That of a list.
pub fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut digest = Digest::default();
    texts.into_iter().for_each(|text| digest.add(text));
    digest.number()
}

/// What states need of a record, in few bytes: there may be a million.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// 1, 2, ...
    pub attempt: u32,
    /// How it ended.
    pub ending: Ending,
    /// Why.
    pub reason: Box<str>,
    /// Exit code of the program, if it exited.
    pub exit_code: Option<i32>,
    /// [`digest`] of the arguments that the output depends on.
    pub arguments: u64,
    /// Files that it read, as they were when it started.
    pub inputs: Box<[Seen]>,
    /// The output as it was when it ended, if it was there.
    pub output: Option<Seen>,
}

impl Past {
    /// Reads what a record says; None if it is not there or not whole.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read(path).ok()?;
        let raw: RawPast = serde_json::from_slice(&text).ok()?;
        let seen = |file: &RawFile| Seen { path: digest([&*file.path]), size: file.size, mtime: file.mtime_ns };
        Some(Self {
            attempt: raw.attempt,
            ending: raw.ending,
            reason: raw.reason.into(),
            exit_code: raw.exit_code,
            arguments: digest(raw.arguments.iter().map(|argument| &**argument)),
            inputs: raw.inputs.iter().map(seen).collect(),
            output: raw.outputs.first().map(seen),
        })
    }
}

#[derive(Deserialize)]
struct RawPast<'a> {
    attempt: u32,
    ending: Ending,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    exit_code: Option<i32>,
    #[serde(borrow)]
    arguments: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    inputs: Vec<RawFile<'a>>,
    #[serde(borrow)]
    outputs: Vec<RawFile<'a>>,
}

#[derive(Deserialize)]
struct RawFile<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    size: u64,
    mtime_ns: i64,
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
        let written = std::fs::File::create(&temporary).and_then(|mut file| file.write_all(text.as_bytes()));
        let renamed = written.and_then(|()| std::fs::rename(&temporary, path));
        renamed.map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            Error::io("write", path)(error)
        })
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
