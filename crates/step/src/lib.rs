//! What every step program shares: common flags, log, exit codes, provenance, progress bars.
//!
//! A program is one line, `step::main::<Args>("desi_sky", run)`, and a function `run` that reads, computes,
//! writes, and returns the paths it wrote.

mod error;
mod log;
mod program;
mod progress;
mod provenance;

pub use error::{Error, Result};
pub use program::{VERSION, main};
pub use progress::progress_bar;
pub use provenance::{record_input, stamp};
