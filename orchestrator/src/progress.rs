//! What a run says while it goes: a bar where stderr is a terminal, else a line a task.

use crate::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::fs::File;
use std::io::{IsTerminal, Write as _};

/// Counts and shows the tasks of a run.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    log: Option<File>,
    total: u64,
    ended: u64,
    failed: u64,
}

impl Progress {
    /// Over `total` tasks; what is said goes to `log` too.
    pub fn new(total: u64, log: Option<File>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:25} {pos}/{len} tasks, {per_sec}, {eta} left, {msg}");
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                let _ = text.write_str(&rate(state.per_sec()));
            };
            let style = style.map(|style| style.with_key("per_sec", rate));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(std::time::Duration::from_millis(500));
            bar
        });
        Self { bar, log, total, ended: 0, failed: 0 }
    }

    /// Shows what runs now.
    pub fn running(&self, names: &[String]) {
        if let Some(bar) = &self.bar {
            let shown: Vec<&str> = names.iter().take(2).map(String::as_str).collect();
            let more = if names.len() > 2 { " ..." } else { "" };
            bar.set_message(format!("{} failed, {} running: {}{more}", self.failed, names.len(), shown.join(" ")));
        }
    }

    /// A task ended.
    pub fn ended(&mut self, task: &str, state: &str, seconds: f64, reason: &str) {
        self.ended += 1;
        // tasks that an earlier one made stale were not counted at the start
        self.total = self.total.max(self.ended);
        self.failed += u64::from(state == "failed");
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let line = format!("[{}/{}] {state:<7} {task} ({seconds:.1} s){reason}", self.ended, self.total);
        self.write_log(&line);
        match &self.bar {
            Some(bar) => {
                bar.set_length(self.total);
                bar.set_position(self.ended);
                if state != "done" {
                    bar.println(line);
                }
            }
            None => say::err(line),
        }
    }

    /// A line of its own.
    pub fn say(&mut self, line: &str) {
        self.write_log(line);
        match &self.bar {
            Some(bar) => bar.suspend(|| say::err(line)),
            None => say::err(line),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn write_log(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            // a full disk must not stop the tasks
            let _ = writeln!(log, "{line}");
        }
    }
}

/// Tasks by second, minute or hour, whichever reads well.
fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1.0 => format!("{rate:.0}/s"),
        rate if rate * 60.0 >= 1.0 => format!("{:.0}/min", rate * 60.0),
        rate => format!("{:.0}/h", rate * 3600.0),
    }
}
