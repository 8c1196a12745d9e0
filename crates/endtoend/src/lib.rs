//! What the tests of the whole chain share: finding the programs, running them, a simulated night.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The step programs, in the order of the chain.
pub const STEPS: [&str; 12] = [
    "preproc", "bootcalib", "specex", "psfcombine", "extract", "fiberflat", "sky", "stdstars", "fluxcal", "procexp", "bricks",
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
