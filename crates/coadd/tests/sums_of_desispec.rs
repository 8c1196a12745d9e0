//! Sums agree with desispec's to rounding.
//!
//! Needs a Python with desispec, named by SPECMILL_PYTHON (scripts/setup makes one); skipped without.

#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn sums_are_those_of_desispec() {
    let Some(python) = std::env::var_os("SPECMILL_PYTHON") else {
        eprintln!("skipped: SPECMILL_PYTHON does not name a Python that has desispec");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sums_of_desispec.py");
    let run =
        Command::new(python).args([script, env!("CARGO_BIN_EXE_desi_coadd")]).arg(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
}
