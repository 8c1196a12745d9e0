//! Version string of the build: the crate's version and the git hash where there is one.

use std::process::Command;

const HEAD_LOG: &str = "../../.git/logs/HEAD";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // grows with every commit and checkout; absent where the sources came without git
    if std::path::Path::new(HEAD_LOG).exists() {
        println!("cargo:rerun-if-changed={HEAD_LOG}");
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let hash = git(&["rev-parse", "--short=10", "HEAD"]).map_or(String::new(), |h| format!(" ({h})"));
    println!("cargo:rustc-env=SPECMILL_VERSION={}{hash}", env!("CARGO_PKG_VERSION"));
}
