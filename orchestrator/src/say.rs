//! Lines for people. What nobody can hear (a reader that went away, a full disk under a log) is no reason to stop, as it
//! would be with `println!`.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A line on standard output.
pub fn out(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// A line on standard error.
pub fn err(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// What a program goes on in spite of.
pub fn warn(program: &str, warnings: &[String]) {
    warnings.iter().for_each(|warning| err(format_args!("{program}: warning: {warning}")));
}
