//! The frame around a step's `run`: flags, threads, first and last log line, exit code.

use crate::Result;
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use std::{path::PathBuf, process::ExitCode, time::Instant};

/// Version and git hash of the build.
pub const VERSION: &str = env!("SPECMILL_VERSION");

#[derive(Parser)]
struct Cli<A: Args> {
    #[command(flatten)]
    step: A,
    /// Threads to use (0: one per core)
    #[arg(long, global = true, default_value_t = 0, value_name = "N", help_heading = "Common options")]
    threads: usize,
}

/// Parses the command line, runs `run`, and reports: the first log line says version, host and command line,
/// the last says status, times, memory and the files written.
pub fn main<A: Args>(name: &'static str, run: impl FnOnce(A) -> Result) -> ExitCode {
    crate::log::init();
    let command = Cli::<A>::command().name(name).version(VERSION);
    let cli = match command.try_get_matches().and_then(|m| Cli::<A>::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let start = Instant::now();
    log::info!("{name} {VERSION} on {}: {}", hostname(), command_line());
    if let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(cli.threads).build_global() {
        log::warn!("cannot set the number of threads to {}: {error}", cli.threads);
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(cli.step)));
    let (code, status) = match outcome {
        Ok(Ok(written)) => (0, format!("SUCCESS, wrote {}", listed(&written))),
        Ok(Err(error)) => {
            log::error!("{error}");
            (error.exit_code(), "FAILED".to_string())
        }
        Err(_) => {
            log::error!("{name} has a bug: it panicked (see above); please report it with this log");
            (5, "FAILED".to_string())
        }
    };
    let (cpu, peak) = usage();
    let wall = start.elapsed().as_secs_f64();
    log::info!("{name} exit {code}: wall {wall:.2} s, CPU {cpu:.2} s, peak memory {peak:.0} MB, {status}");
    ExitCode::from(code)
}

fn listed(written: &[PathBuf]) -> String {
    let names: Vec<String> = written.iter().map(|p| p.display().to_string()).collect();
    if names.is_empty() { "nothing".to_string() } else { names.join(", ") }
}

/// The command line as it can be pasted into a shell.
fn command_line() -> String {
    let plain = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || "-_./,:=+@%".contains(c));
    let quote = |s: String| if plain(&s) { s } else { format!("'{}'", s.replace('\'', r"'\''")) };
    std::env::args_os().map(|a| quote(a.to_string_lossy().into_owned())).collect::<Vec<_>>().join(" ")
}

fn hostname() -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer outlives the call and its length is passed.
    let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) };
    let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
    if status == 0 { String::from_utf8_lossy(&buffer[..end]).into_owned() } else { "?".to_string() }
}

/// CPU seconds and peak memory (MB) of this process.
fn usage() -> (f64, f64) {
    // SAFETY: getrusage fills the struct that it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    (seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss as f64 / 1024.0)
}
