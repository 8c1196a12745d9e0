//! What the tests of the whole chain share: finding the programs, running them, a simulated night.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The step programs, in the order of the chain.
pub const STEPS: [&str; 12] = [
    "preproc",
    "bootcalib",
    "specex",
    "psfcombine",
    "extract",
    "fiberflat",
    "sky",
    "stdstars",
    "fluxcal",
    "procexp",
    "bricks",
    "zfind",
];

/// Path of a program of this workspace, beside the running test.
///
/// # Panics
/// If it has not been built.
#[allow(clippy::panic)]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test.ancestors().nth(2).unwrap_or(Path::new("."));
    let path = folder.join(name);
    if !path.is_file() {
        panic!("{} is not built: run cargo build --release --workspace --bins first", path.display());
    }
    path
}

/// Runs a program to its end.
///
/// # Panics
/// If it cannot be started.
#[allow(clippy::panic)]
pub fn run<I: AsRef<std::ffi::OsStr>>(name: &str, arguments: impl IntoIterator<Item = I>) -> Output {
    let mut command = Command::new(program(name));
    command.args(arguments);
    command.output().unwrap_or_else(|e| panic!("cannot start {name}: {e}"))
}

/// What a program said on stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a program said on stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A simulated night and the production that is made of it.
pub struct Production {
    /// Raw data, with the truth in `truth/NIGHT`.
    pub raw: PathBuf,
    /// REDUX/NAME.
    pub path: PathBuf,
    night: String,
}

impl Production {
    /// Simulates a night of the mini instrument under `folder`, with more options for desi_simulate, and plans its
    /// production.
    pub fn simulate(folder: &Path, night: &str, options: &[&str]) -> Self {
        let production =
            Self { raw: folder.join("raw"), path: folder.join("redux").join("test"), night: night.to_string() };
        production.add_night(night, options);
        production
    }

    /// Simulates one more night and updates the plan.
    pub fn add_night(&self, night: &str, options: &[&str]) {
        let raw = self.raw.to_string_lossy();
        let mut arguments = vec!["--outdir", &raw, "--night", night, "--instrument", "mini"];
        arguments.extend(options);
        succeed("desi_simulate", &arguments);
        self.plan();
    }

    /// Runs desi_pipe.
    pub fn plan(&self) {
        let redux = self.path.parent().unwrap_or(Path::new("."));
        let (raw, redux) = (self.raw.to_string_lossy(), redux.to_string_lossy());
        succeed("desi_pipe", &["--raw", &raw, "--redux", &redux, "--prod", "test", "--spectrographs", "0"]);
    }

    /// Runs the generated run_shell_all.sh; its exit code and what it said.
    #[allow(clippy::panic)]
    pub fn run_all(&self) -> (Option<i32>, String) {
        let script = self.path.join("run/scripts/run_shell_all.sh");
        let output = Command::new("bash").arg(&script).output();
        let output = output.unwrap_or_else(|e| panic!("cannot start {}: {e}", script.display()));
        (output.status.code(), format!("{}{}", stdout(&output), stderr(&output)))
    }

    /// desi_pipe_status with these arguments.
    #[allow(clippy::panic)]
    pub fn status(&self, arguments: &str) -> Output {
        let line = format!("source '{}/setup.sh' && desi_pipe_status {arguments}", self.path.display());
        Command::new("bash").args(["-c", &line]).output().unwrap_or_else(|e| panic!("cannot start bash: {e}"))
    }

    /// Number of tasks by step and state.
    #[allow(clippy::panic)]
    pub fn states(&self) -> serde_json::Value {
        let output = self.status("all --json");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", stdout(&output), stderr(&output)))
    }

    /// Number of task attempts so far.
    pub fn attempts(&self) -> usize {
        files(&self.path.join("run/records")).len()
    }

    /// Products whose path holds `pattern`, sorted.
    pub fn products(&self, pattern: &str) -> Vec<PathBuf> {
        let folders = ["calib2d", "exposures", "bricks"].map(|f| self.path.join(f));
        let mut found: Vec<PathBuf> = folders.iter().flat_map(|f| files(f)).collect();
        found.retain(|p| p.to_string_lossy().contains(pattern));
        found.sort();
        found
    }

    /// A file of the night's truth.
    pub fn truth(&self, name: &str) -> PathBuf {
        self.raw.join("truth").join(&self.night).join(name)
    }
}

/// Runs a program that has to succeed.
///
/// # Panics
/// With what it said if it does not.
pub fn succeed(name: &str, arguments: &[&str]) {
    let output = run(name, arguments);
    assert!(output.status.success(), "{name} {}: {}", arguments.join(" "), stderr(&output));
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.into_iter().flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

/// Mean and standard deviation.
pub fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
}
