//! Version string of the build: the crate's version and the git hash where there is one.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let hash = git(&["rev-parse", "--short=10", "HEAD"]).map_or(String::new(), |h| format!(" ({h})"));
    println!("cargo:rustc-env=SPECMILL_VERSION={}{hash}", env!("CARGO_PKG_VERSION"));
}
