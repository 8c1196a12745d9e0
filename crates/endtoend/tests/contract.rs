//! The contract that every step program keeps: help, version, exit codes, sentences that name the file, and no
//! output where it failed.

// the helpers of a test may fail it
#![allow(clippy::unwrap_used, clippy::panic)]

use endtoend::{STEPS, run, stderr, stdout};
use std::path::Path;

/// A command line of each step whose every input is `input` and whose output is `output`.
fn command_line(step: &str, input: &str, output: &str) -> Vec<String> {
    let words: &[&str] = match step {
        "preproc" => &["--infile", "IN", "--camera", "r0", "--outfile", "OUT"],
        "bootcalib" => &["--fiberflat", "IN", "--arcfile", "IN", "--outfile", "OUT"],
        "specex" => &["--input", "IN", "--bootfile", "IN", "--output", "OUT"],
        "psfcombine" => &["--input", "IN", "--output", "OUT"],
        "extract" => &["-i", "IN", "-p", "IN", "-o", "OUT"],
        "fiberflat" => &["--infile", "IN", "--outfile", "OUT"],
        "sky" => &["--infile", "IN", "--fiberflat", "IN", "--outfile", "OUT"],
        "stdstars" => &["--frames", "IN", "--skymodels", "IN", "--fiberflats", "IN", "--outfile", "OUT"],
        "fluxcal" => &["--infile", "IN", "--fiberflat", "IN", "--sky", "IN", "--models", "IN", "--outfile", "OUT"],
        "procexp" => &["--infile", "IN", "--fiberflat", "IN", "--sky", "IN", "--calib", "IN", "--outfile", "OUT"],
        "bricks" => &["--brick", "0001p000", "--infiles", "IN", "--outfile", "OUT"],
        "zfind" => &["--infiles", "IN", "-o", "OUT"],
        other => unreachable!("{other}"),
    };
    words.iter().map(|w| w.replace("IN", input).replace("OUT", output)).collect()
}

fn assert_refused(step: &str, input: &Path, code: i32) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.fits");
    let result = run(&format!("desi_{step}"), command_line(step, input.to_str().unwrap(), output.to_str().unwrap()));
    let said = stderr(&result);
    assert_eq!(result.status.code(), Some(code), "desi_{step} on {}: {said}", input.display());
    assert!(said.contains(input.file_name().unwrap().to_str().unwrap()), "desi_{step} does not name the file: {said}");
    assert!(said.contains("ERROR"), "desi_{step}: {said}");
    assert!(!said.contains("panicked"), "desi_{step}: {said}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "desi_{step} left {left:?}");
}

#[test]
fn help_and_version_go_to_stdout_and_succeed() {
    for step in STEPS {
        let name = format!("desi_{step}");
        for flag in ["--help", "--version"] {
            let output = run(&name, [flag]);
            assert_eq!(output.status.code(), Some(0), "{name} {flag}");
            assert!(
                stdout(&output).contains(if flag == "--help" { "--threads" } else { env!("CARGO_PKG_VERSION") }),
                "{name}"
            );
        }
    }
}

#[test]
fn a_wrong_command_line_is_exit_2() {
    for step in STEPS {
        assert_eq!(run(&format!("desi_{step}"), ["--no-such-option"]).status.code(), Some(2), "desi_{step}");
    }
}

#[test]
fn a_missing_input_is_exit_3_and_named() {
    for step in STEPS {
        assert_refused(step, Path::new("/nowhere/absent-r0-00000001.fits"), 3);
    }
}

#[test]
fn an_input_that_is_no_fits_file_is_exit_1_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("nonsense-r0-00000001.fits");
    std::fs::write(&input, "this is no FITS file\n".repeat(500)).unwrap();
    for step in STEPS {
        assert_refused(step, &input, 1);
    }
}

#[test]
fn an_empty_input_is_exit_1_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("empty-r0-00000001.fits");
    std::fs::write(&input, "").unwrap();
    for step in STEPS {
        assert_refused(step, &input, 1);
    }
}
