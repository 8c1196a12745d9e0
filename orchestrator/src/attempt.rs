//! One attempt at a task: claim it, run its program, judge the outcome, leave a record and a log.

use crate::child::{Children, Ended, find_program, signal_name};
use crate::claim::Held;
use crate::disk::stamp;
use crate::production::{Production, remove_temporaries};
use crate::record::{Ending, FileRecord, Record, environment_that_matters};
use crate::{Result, claim, log, shell};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// All that an attempt needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Name of the task.
    pub task: String,
    /// Name of the step.
    pub step: String,
    /// Program of the step.
    pub program: String,
    /// Number that this attempt takes.
    pub number: u32,
    /// Arguments with roots as symbols.
    pub arguments: Vec<String>,
    /// Arguments that do not matter for the output (threads).
    pub extra: Vec<String>,
    /// Cores to bind it to; empty: those of this process.
    pub cpus: BTreeSet<usize>,
    /// Files that it reads, roots as symbols.
    pub inputs: Vec<String>,
    /// File that it makes, root as a symbol.
    pub output: String,
    /// Where its log goes.
    pub log: PathBuf,
    /// Where its record goes.
    pub record: PathBuf,
}

/// What became of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// Another process has the task.
    Lost,
    /// It ran; seconds.
    Ran(Ending, String, f64),
}

/// Makes an attempt; calls `idle` when its program has ended and only the record remains to be written.
///
/// # Errors
/// [`Error::Io`] if the claim, log or record cannot be written.
pub fn run(job: &Job, production: &Production, children: &Children, idle: impl FnOnce()) -> Result<Outcome> {
    for path in [&job.log, &job.record] {
        crate::production::make_folder(path.parent().unwrap_or(path))?;
    }
    let Some(mut held) = claim::acquire(production, &job.task, job.number, job.log.clone())? else {
        return Ok(Outcome::Lost);
    };
    let outcome = run_claimed(job, production, children, &mut held, idle);
    claim::release(production, &job.task, job.number);
    outcome
}

/// Records an attempt whose process is gone, and gives its claim back.
///
/// # Errors
/// [`Error::Io`] if the record cannot be written.
pub fn lost(job: &Job, production: &Production, why: &str) -> Result<Outcome> {
    let now = jiff::Timestamp::now().to_string();
    let record = Record {
        task: job.task.clone(),
        step: job.step.clone(),
        attempt: job.number,
        ending: Ending::System,
        reason: why.into(),
        exit_code: None,
        signal: None,
        argv: Vec::new(),
        arguments: job.arguments.clone(),
        cwd: production.dir.display().to_string(),
        environment: environment_that_matters(),
        host: claim::hostname(),
        pid: 0,
        job: batch_job(),
        start: now.clone(),
        end: now,
        wall_seconds: 0.0,
        cpu_seconds: 0.0,
        peak_memory_mb: 0.0,
        inputs: job.inputs.iter().filter_map(|path| file_record(production, path)).collect(),
        outputs: file_record(production, &job.output).into_iter().collect(),
    };
    crate::production::make_folder(job.record.parent().unwrap_or(&job.record))?;
    record.write(&job.record)?;
    claim::release(production, &job.task, job.number);
    remove_leftovers(Path::new(&production.expand(&job.output)));
    Ok(Outcome::Ran(Ending::System, why.into(), 0.0))
}

fn batch_job() -> Option<String> {
    ["SLURM_JOB_ID", "PBS_JOBID"].iter().find_map(|name| std::env::var(name).ok())
}

fn run_claimed(
    job: &Job,
    production: &Production,
    children: &Children,
    held: &mut Held,
    idle: impl FnOnce(),
) -> Result<Outcome> {
    let output = PathBuf::from(production.expand(&job.output));
    crate::production::make_folder(output.parent().unwrap_or(&output))?;
    remove_leftovers(&output);
    if job.number > 1 {
        remove_record_leftovers(&job.record);
    }
    let before = stamp(&output);
    let inputs = job.inputs.iter().filter_map(|path| file_record(production, path)).collect();
    let mut arguments: Vec<String> = job.arguments.iter().map(|a| production.expand(a)).collect();
    arguments.extend(job.extra.iter().cloned());
    let mut argv = vec![job.program.clone()];
    argv.extend(arguments.iter().cloned());
    let host = claim::hostname();
    // a log that cannot be written must not stop the task
    let _ = writeln!(held.log, "# attempt {} of {} on {host}: {}", job.number, job.task, shell::command_line(&argv));

    let (start, clock) = (jiff::Timestamp::now(), Instant::now());
    let ended = match find_program(&job.program) {
        Some(program) => log::capped(&held.log, |log| {
            children.run(&program, &arguments, &production.dir, &job.cpus, log).map_err(|e| e.to_string())
        }),
        None => Err("it is neither beside desi_pipe_run nor on PATH".into()),
    };
    let wall_seconds = clock.elapsed().as_secs_f64();
    idle();

    let after = stamp(&output);
    let (mut ending, mut reason) = judge(job, &output, after.is_some(), &ended, children.is_stopping());
    if !claim::is_mine(&held.path) {
        (ending, reason) = (Ending::Stopped, "another run took it for dead and took its claim over".into());
    }
    if ending != Ending::Done || job.number > 1 {
        remove_leftovers(&output);
    }
    let made = ending == Ending::Done || after != before;
    let outputs = file_record(production, &job.output).map(|mut file| {
        file.blake3 = made.then(|| checksum(&output)).flatten();
        file
    });
    let ended = ended.ok();
    let record = Record {
        task: job.task.clone(),
        step: job.step.clone(),
        attempt: job.number,
        ending,
        reason: reason.clone(),
        exit_code: ended.and_then(|e| e.exit_code),
        signal: ended.and_then(|e| e.signal),
        argv,
        arguments: job.arguments.clone(),
        cwd: production.dir.display().to_string(),
        environment: environment_that_matters(),
        host,
        pid: ended.map_or(0, |e| e.pid),
        job: batch_job(),
        start: start.to_string(),
        end: jiff::Timestamp::now().to_string(),
        wall_seconds,
        cpu_seconds: ended.map_or(0.0, |e| e.cpu_seconds),
        peak_memory_mb: ended.map_or(0.0, |e| e.peak_memory_mb),
        inputs,
        outputs: outputs.into_iter().collect(),
    };
    record.write(&job.record)?;
    Ok(Outcome::Ran(ending, reason, wall_seconds))
}

/// What an ending means. Codes above 125 are those by which shells tell that a program could not start or was killed.
fn judge(
    job: &Job,
    output: &Path,
    is_there: bool,
    ended: &std::result::Result<Ended, String>,
    stopping: bool,
) -> (Ending, String) {
    let ended = match ended {
        Ok(ended) => ended,
        Err(_) if stopping => return (Ending::Stopped, "the run was stopped".into()),
        Err(error) => return (Ending::System, format!("cannot start {}: {error}", job.program)),
    };
    match (ended.exit_code, ended.signal) {
        (Some(0), _) if is_there => (Ending::Done, String::new()),
        (Some(0), _) => {
            (Ending::Failed, format!("{} exited with 0 but did not make {}", job.program, output.display()))
        }
        _ if stopping => (Ending::Stopped, "the run was stopped".into()),
        (Some(code), _) => {
            let sentence = last_error(&job.log);
            let by_system = code == 4 || code > 125 || lacks_memory(&sentence);
            let kind = if by_system { Ending::System } else { Ending::Failed };
            (kind, format!("exit code {code}: {sentence}"))
        }
        (None, signal) => {
            let bugs = [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];
            let signal = signal.unwrap_or(0);
            let is_bug = bugs.contains(&signal) && !lacks_memory(&last_error(&job.log));
            let kind = if is_bug { Ending::Failed } else { Ending::System };
            (kind, format!("ended by {}: {}", signal_name(signal), last_error(&job.log)))
        }
    }
}

/// Whether a sentence says that there was no memory: Rust, Python and C++ each end otherwise then.
fn lacks_memory(sentence: &str) -> bool {
    let signs = ["memory allocation of", "MemoryError", "std::bad_alloc", "Cannot allocate memory", "ut of memory"];
    signs.iter().any(|sign| sentence.contains(sign))
}

/// The last line of a log that reports an error, else the last line.
pub fn last_error(log: &Path) -> String {
    const TAIL: u64 = 16384;
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(TAIL)));
        let _ = file.take(TAIL).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# attempt"));
    let is_error =
        |line: &&str| ["ERROR", "CRITICAL", "error:", "memory allocation of"].iter().any(|word| line.starts_with(word));
    let Some(line) = lines().find(is_error).or_else(|| lines().next()) else {
        return "it wrote no log".into();
    };
    // our steps log `ERROR:file.rs:12: sentence`
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("ERROR" | "CRITICAL"), Some(_), Some(number), Some(sentence)) if number.trim().parse::<u32>().is_ok() => {
            sentence.trim().into()
        }
        _ => line.into(),
    }
}

/// Removes what killed processes left of the records of a task, whatever their attempt, beside one of them (TASK.N.json).
pub fn remove_record_leftovers(record: &Path) {
    let task_of = |name: &str| Some(name.strip_suffix(".json")?.rsplit_once('.')?.0.to_string());
    let task = record.file_name().and_then(|name| task_of(name.to_str()?));
    if let (Some(folder), Some(task)) = (record.parent(), task) {
        remove_temporaries(folder, |stem| task_of(stem).as_ref() == Some(&task));
    }
}

/// Removes what killed processes left of an output: `.NAME.PID-N.tmp`, where no process PID runs.
pub fn remove_leftovers(output: &Path) {
    if let (Some(folder), Some(name)) = (output.parent(), output.file_name().and_then(|n| n.to_str())) {
        remove_temporaries(folder, |stem| stem == name);
    }
}

fn file_record(production: &Production, path: &str) -> Option<FileRecord> {
    let found = stamp(Path::new(&production.expand(path)))?;
    Some(FileRecord { path: path.into(), size: found.size, mtime_ns: found.mtime, blake3: None })
}

/// BLAKE3 checksum of a file, in hexadecimal; None if it cannot be read.
pub fn checksum(path: &Path) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).ok()?).ok()?;
    Some(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_an_error_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let check = |text: &str, expected: &str| {
            std::fs::write(&log, text).unwrap();
            assert_eq!(last_error(&log), expected);
        };
        check("INFO:a.rs:1: x\nERROR:a.rs:12: f.fits: HDU IVAR: NaN\nINFO:a.rs:3: exit 1\n", "f.fits: HDU IVAR: NaN");
        check("Traceback\nValueError: bad\n\n", "ValueError: bad");
        check("", "it wrote no log");
    }

    #[test]
    fn only_leftovers_of_the_dead_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("frame-b0.fits");
        let touch = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        let alive = format!(".frame-b0.fits.{}-0.tmp", std::process::id());
        // beyond any process id that Linux gives (2^22)
        touch(".frame-b0.fits.99999999-0.tmp");
        touch(&alive);
        touch(".frame-b1.fits.99999999-0.tmp");
        remove_leftovers(&output);
        // a record of any attempt at the task
        [".t.1.json.99999999-0.tmp", ".t.2.json.99999999-0.tmp", ".u.1.json.99999999-0.tmp"]
            .iter()
            .for_each(|name| touch(name));
        remove_record_leftovers(&folder.path().join("t.3.json"));
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        let others = [".frame-b1.fits.99999999-0.tmp", ".u.1.json.99999999-0.tmp"].map(Into::into);
        let mut expected = [vec![alive.into()], others.into()].concat();
        expected.sort();
        assert_eq!(left, expected as Vec<std::ffi::OsString>);
    }
}
