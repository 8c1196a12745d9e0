//! The log of an attempt: what a program prints, up to a limit. A program that prints more never notices.

use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a log that are kept from its start.
const HEAD: usize = 8 << 20;
/// Bytes that are kept from its end, where errors are.
const TAIL: usize = 1 << 20;

/// Calls `run` with a file to print to, and copies what is printed into the log: all of it, or its start and its end.
/// Processes that outlive `run` and hold the file open are not waited for.
pub fn capped<T>(log: &File, run: impl FnOnce(&File) -> T) -> T {
    let pipe = std::io::pipe().and_then(|(reader, writer)| Ok((reader, writer.try_clone()?, writer)));
    let Ok((reader, mut waker, writer)) = pipe else { return run(log) };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| copy(reader, log, &over));
        let result = run(&file_of(writer));
        over.store(true, Ordering::SeqCst);
        let _ = waker.write_all(b"\n");
        result
    })
}

fn file_of(writer: PipeWriter) -> File {
    OwnedFd::from(writer).into()
}

/// Copies until all writers are gone, or `over` is set and the pipe empty; what ends it then is one more line end.
fn copy(mut reader: PipeReader, mut log: &File, over: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    let mut tail = Vec::new();
    let (mut written, mut dropped) = (0, 0);
    loop {
        if over.load(Ordering::SeqCst) {
            // SAFETY: the descriptor is open; the call takes plain numbers.
            unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
        let size = match reader.read(&mut buffer) {
            Ok(size) if size > 0 => size,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            _ => break,
        };
        let head = size.min(HEAD - written);
        // a full disk must not stop the task
        let _ = log.write_all(&buffer[..head]);
        written += head;
        tail.extend_from_slice(&buffer[head..size]);
        if tail.len() > 2 * TAIL {
            dropped += tail.len() - TAIL;
            tail.drain(..tail.len() - TAIL);
        }
    }
    if dropped > 0 {
        let _ = write!(log, "\n# {dropped} bytes are left out here\n");
    }
    let _ = log.write_all(&tail);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn log_of(script: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = File::create(&path).unwrap();
        let status = capped(&log, |file| {
            Command::new("sh").args(["-c", script]).stdout(file.try_clone().unwrap()).status().unwrap()
        });
        assert!(status.success());
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn a_short_log_is_whole() {
        assert_eq!(log_of("echo one; echo two").trim_ascii_end(), b"one\ntwo");
    }

    #[test]
    fn of_a_long_log_start_and_end_are_kept() {
        let log = log_of("echo start; head -c 30000000 /dev/zero; echo end");
        assert!(log.len() < HEAD + 2 * TAIL + 100, "{}", log.len());
        assert!(log.starts_with(b"start") && log.trim_ascii_end().ends_with(b"end"));
    }

    #[test]
    fn a_process_left_behind_is_not_waited_for() {
        let start = std::time::Instant::now();
        assert!(log_of("sleep 20 & echo gone").starts_with(b"gone"));
        assert!(start.elapsed().as_secs() < 10);
    }
}
