//! Claims: who runs a task now. One small file a running attempt, run/claims/TASK.N, created exclusively.
//!
//! A claim is alive if its process is: on the same machine by its id and start time, from another one if the claim was
//! touched within the lease. Numbers only grow: an attempt's log, created exclusively too, is never removed, so that
//! who comes late with an old listing finds its number taken. No lock is held and no daemon runs.

use crate::production::Production;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Seconds between touches of a claim.
pub const HEARTBEAT: u64 = 20;
/// Seconds after the last touch at which a claim from another machine is dead.
pub const LEASE: i64 = 60;

/// A process, told apart from every other that ever had its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Host name.
    pub host: String,
    /// Boot and process-id space of the machine: ids compare only where these are the same.
    pub machine: String,
    /// Process id.
    pub pid: u32,
    /// Start of the process, clock ticks after boot.
    pub start: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> &'static Self {
        static THIS: OnceLock<Owner> = OnceLock::new();
        THIS.get_or_init(|| {
            let pid = std::process::id();
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
            let machine = format!("{} {}", boot.trim(), space.display());
            Self { host: hostname(), machine, pid, start: start_of(pid).unwrap_or(0) }
        })
    }

    fn is_here(&self) -> bool {
        let this = Self::this();
        self.host == this.host && self.machine == this.machine
    }
}

/// Name of this host.
pub fn hostname() -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer outlives the call and its length is passed.
    let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) };
    let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
    if status == 0 { String::from_utf8_lossy(&buffer[..end]).into_owned() } else { "?".to_string() }
}

/// Start time of a process in clock ticks after boot (proc(5), field 22 of stat); None if it is gone or a zombie.
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the name in brackets may hold blanks
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

/// Whether a process of this id runs here.
pub fn is_running(pid: u32) -> bool {
    start_of(pid).is_some()
}

/// A claim found on disk.
#[derive(Debug, Clone)]
pub struct Found {
    /// Attempt.
    pub number: u32,
    /// Whose; None while it is being written.
    pub owner: Option<Owner>,
    /// Whether the owner still runs.
    pub alive: bool,
}

impl Found {
    /// In words.
    pub fn describe(&self) -> String {
        match &self.owner {
            Some(owner) => format!("attempt {} by process {} on {}", self.number, owner.pid, owner.host),
            None => format!("attempt {}", self.number),
        }
    }
}

/// Path of a claim.
pub fn path(production: &Production, task: &str, number: u32) -> PathBuf {
    production.claims().join(format!("{task}.{number}"))
}

/// Looks at one claim; None if it is not there.
pub fn look(path: &Path, number: u32) -> Option<Found> {
    let metadata = std::fs::metadata(path).ok()?;
    let owner: Option<Owner> = serde_json::from_slice(&std::fs::read(path).ok()?).ok();
    let alive = match &owner {
        Some(owner) if owner.is_here() => start_of(owner.pid) == Some(owner.start),
        _ => now_at(path.parent()?) - metadata.mtime() < LEASE,
    };
    Some(Found { number, owner, alive })
}

/// All claims of a production by task name; of several the last.
pub fn list(production: &Production) -> std::collections::HashMap<String, Found> {
    let mut claims = std::collections::HashMap::<String, Found>::new();
    for entry in std::fs::read_dir(production.claims()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((task, number)) = name.rsplit_once('.').and_then(|(t, n)| Some((t, n.parse().ok()?))) else {
            continue;
        };
        if task.is_empty() || claims.get(task).is_some_and(|known| known.number > number) {
            continue;
        }
        if let Some(found) = look(&entry.path(), number) {
            claims.insert(task.to_string(), found);
        }
    }
    claims
}

/// Seconds since 1970 by the clock that stamps the files of this folder, which need not be ours.
fn now_at(folder: &Path) -> i64 {
    let probe = folder.join(format!(".now.{}", std::process::id()));
    let stamped = File::create(&probe).and_then(|file| file.metadata()).map(|m| m.mtime());
    let _ = std::fs::remove_file(&probe);
    stamped.unwrap_or_else(|_| jiff::Timestamp::now().as_second())
}

/// A claim that this process holds, with the log of its attempt.
#[derive(Debug)]
pub struct Held {
    /// Attempt.
    pub number: u32,
    /// The claim.
    pub path: PathBuf,
    /// The log, open for writing.
    pub log: File,
    /// Its path.
    pub log_path: PathBuf,
}

/// Claims attempt `number` of a task; None if somebody else has it.
///
/// # Errors
/// [`Error::Io`].
pub fn acquire(production: &Production, task: &str, number: u32, log_path: PathBuf) -> Result<Option<Held>> {
    let path = path(production, task, number);
    if log_path.exists() {
        return Ok(None);
    }
    let Some(mut claim) = create_new(&path)? else { return Ok(None) };
    let text = serde_json::to_string(Owner::this()).unwrap_or_default();
    claim.write_all(text.as_bytes()).map_err(Error::io("write", &path))?;
    let log = create_new(&log_path);
    if !matches!(log, Ok(Some(_))) {
        let _ = std::fs::remove_file(&path);
    }
    Ok(log?.map(|log| Held { number, path, log, log_path }))
}

fn create_new(path: &Path) -> Result<Option<File>> {
    match File::options().write(true).create_new(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(Error::io("create", path)(error)),
    }
}

/// Marks a claim as alive.
pub fn touch(path: &Path) {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return };
    // SAFETY: the path is a C string; null times mean now, by the file server's clock.
    unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), std::ptr::null(), 0) };
}

/// Gives a claim back, and removes those of earlier attempts that died.
pub fn release(production: &Production, task: &str, number: u32) {
    for n in (1..=number).rev() {
        let removed = std::fs::remove_file(path(production, task, n));
        if removed.is_err() && n < number {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::production::Place;

    fn production(folder: &Path) -> Production {
        let place = Place { raw: Some(folder.into()), redux: Some(folder.into()), prod: Some("p".into()) };
        let production = Production::locate(&place).unwrap();
        std::fs::create_dir_all(production.claims()).unwrap();
        production
    }

    #[test]
    fn an_attempt_is_claimed_once() {
        let folder = tempfile::tempdir().unwrap();
        let production = production(folder.path());
        let log = folder.path().join("t.1.log");
        let held = acquire(&production, "t", 1, log.clone()).unwrap().unwrap();
        assert!(acquire(&production, "t", 1, log.clone()).unwrap().is_none());
        assert!(look(&held.path, 1).unwrap().alive);
        release(&production, "t", 1);
        // the log remembers that the attempt was made
        assert!(acquire(&production, "t", 1, log).unwrap().is_none());
        assert!(list(&production).is_empty());
    }

    #[test]
    fn a_dead_owner_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let production = production(folder.path());
        let write = |n: u32, owner: &Owner| {
            std::fs::write(path(&production, "t", n), serde_json::to_string(owner).unwrap()).unwrap();
            look(&path(&production, "t", n), n).unwrap().alive
        };
        let this = Owner::this().clone();
        assert!(write(1, &this));
        // the same id with another start is another process
        assert!(!write(2, &Owner { start: this.start + 1, ..this.clone() }));
        // another machine: alive while it is touched
        let elsewhere = Owner { host: "elsewhere".into(), ..this };
        assert!(write(3, &elsewhere));
        let old = File::options().write(true).open(path(&production, "t", 3)).unwrap();
        old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(61)).unwrap();
        assert!(!look(&path(&production, "t", 3), 3).unwrap().alive);
    }
}
