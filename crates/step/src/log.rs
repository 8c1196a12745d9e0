//! The log: one line an event on stderr, `LEVEL:file.rs:line: text`. DESI_LOGLEVEL sets the level.

use log::{LevelFilter, Log, Metadata, Record};
use std::io::Write;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let file = record.file().unwrap_or("?").rsplit('/').next().unwrap_or("?");
            let line = record.line().unwrap_or(0);
            // a closed stderr must not stop the work
            let _ = writeln!(std::io::stderr(), "{}:{file}:{line}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Installs the log once; later calls do nothing.
pub fn init() {
    let level = match std::env::var("DESI_LOGLEVEL").unwrap_or_default().to_uppercase().as_str() {
        "DEBUG" => LevelFilter::Debug,
        "WARNING" | "WARN" => LevelFilter::Warn,
        "ERROR" | "CRITICAL" => LevelFilter::Error,
        _ => LevelFilter::Info,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}
