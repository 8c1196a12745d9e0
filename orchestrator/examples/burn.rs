//! A step for measuring what the orchestrator itself costs: uses $BURN_MS milliseconds of CPU time and writes its output
//! (--outfile, --output or -o) by way of a temporary file.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let flag = arguments.iter().rposition(|a| ["--outfile", "--output", "-o"].contains(&a.as_str())).unwrap();
    let output = PathBuf::from(&arguments[flag + 1]);
    let milliseconds = std::env::var("BURN_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    while cpu_time() < Duration::from_millis(milliseconds) {
        std::hint::spin_loop();
    }
    let name = output.file_name().unwrap().to_str().unwrap();
    let temporary = output.with_file_name(format!(".{name}.{}-0.tmp", std::process::id()));
    std::fs::write(&temporary, name).unwrap();
    std::fs::rename(&temporary, &output).unwrap();
}

/// CPU time of this process so far.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
