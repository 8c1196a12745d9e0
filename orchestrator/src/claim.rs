//! Claims: who runs a task now. One small file a running attempt, run/claims/TASK.N, created exclusively.
//!
//! A process writes one file that says who it is, run/claims/.HOST.PID.START, and touches it while it lives. Its claims
//! are hard links to it, so that a claim appears at once, whole, and exclusively, on shared file systems too (link(2)).
//! A claim is alive if its process is: on the same machine by its id and start time; from another one if it was touched
//! within the lease. Clocks of hosts are not compared: a run watches, by its own monotonic clock, whether a claim is
//! still being touched ([`Lease`]). Numbers only grow: an attempt's log, created exclusively too, is never removed, so
//! that who comes late with an old listing finds its number taken. No lock is held and no daemon runs.

use crate::plan::json;
use crate::production::{self, Production, write_atomically};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Seconds between touches of a claim.
const HEARTBEAT: u64 = 10;
/// Time without a touch after which a claim from another machine is dead.
pub const LEASE: Duration = Duration::from_secs(60);

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

    /// Whether the process runs; None if it is on another machine.
    pub fn runs(&self) -> Option<bool> {
        self.is_here().then(|| start_of(self.pid) == Some(self.start))
    }

    /// Ends the process at once, if it runs on this machine.
    pub fn kill(&self) {
        if self.runs() == Some(true) {
            // SAFETY: kill takes plain numbers.
            unsafe { libc::kill(self.pid as i32, libc::SIGKILL) };
        }
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
    /// Whose; None if it cannot be read.
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

/// How to tell whether a process on another machine lives: by the touches of its claims.
#[derive(Debug)]
pub struct Lease {
    // last touch seen of each claim, and when by our monotonic clock; None: one look must do
    watched: Option<Mutex<HashMap<PathBuf, (i128, Instant)>>>,
    length: Duration,
    now: OnceLock<i64>,
}

impl Lease {
    /// For a run: a claim lives until no touch was seen for this long, whatever the clocks of other hosts say.
    pub fn watching(length: Duration) -> Self {
        Self { watched: Some(Mutex::default()), length, now: OnceLock::new() }
    }

    /// For a look at the states: a claim lives if it was touched lately, by the clock of the file server.
    pub fn at_once() -> Self {
        Self { watched: None, length: LEASE, now: OnceLock::new() }
    }

    fn holds(&self, path: &Path, claim: &Metadata) -> bool {
        let Some(watched) = &self.watched else {
            let now = self.now.get_or_init(|| now_at(path.parent().unwrap_or(path)));
            return (now - claim.mtime()).unsigned_abs() < self.length.as_secs();
        };
        let touch = i128::from(claim.mtime()) * 1_000_000_000 + i128::from(claim.mtime_nsec());
        let mut watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
        match watched.get(path) {
            Some((known, since)) if *known == touch => since.elapsed() < self.length,
            _ => {
                watched.insert(path.to_path_buf(), (touch, Instant::now()));
                true
            }
        }
    }
}

/// Path of a claim.
pub fn path(production: &Production, task: &str, number: u32) -> PathBuf {
    production.claims().join(format!("{task}.{number}"))
}

/// Looks at one claim; None if it is not there.
pub fn look(path: &Path, number: u32, lease: &Lease) -> Option<Found> {
    // opened, so that a network file system does not answer from its cache
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let owner: Option<Owner> = serde_json::from_reader(file).ok();
    let alive = match &owner {
        Some(owner) if owner.is_here() => start_of(owner.pid) == Some(owner.start),
        _ => lease.holds(path, &metadata),
    };
    Some(Found { number, owner, alive })
}

/// All claims of a production by task name; of several the last.
pub fn list(production: &Production, lease: &Lease) -> HashMap<String, Found> {
    let mut claims = HashMap::<String, Found>::new();
    for entry in std::fs::read_dir(production.claims()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((task, number)) = name.rsplit_once('.').and_then(|(t, n)| Some((t, n.parse().ok()?))) else {
            continue;
        };
        if task.is_empty() || task.starts_with('.') || claims.get(task).is_some_and(|known| known.number > number) {
            continue;
        }
        if let Some(found) = look(&entry.path(), number, lease) {
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

/// Removes what dead processes of this machine left in the folder of claims, and this process' own file.
pub fn sweep(production: &Production) {
    production::sweep(&production.claims());
    for entry in std::fs::read_dir(production.claims()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_bytes().starts_with(b".now.") {
            let _ = std::fs::remove_file(entry.path());
        }
        if !name.as_bytes().starts_with(b".") {
            continue;
        }
        let owner = owner(&entry.path());
        let is_gone = |owner: &Owner| owner.is_here() && start_of(owner.pid) != Some(owner.start);
        if owner.is_some_and(|owner| owner == *Owner::this() || is_gone(&owner)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn identity_path(production: &Production, owner: &Owner) -> PathBuf {
    production.claims().join(format!(".{}.{}.{}", owner.host, owner.pid, owner.start))
}

/// The file that says who this process is, touched by a thread of its own from now on.
fn identity(production: &Production) -> Result<PathBuf> {
    let this = Owner::this();
    let path = identity_path(production, this);
    static BEATING: OnceLock<()> = OnceLock::new();
    BEATING.get_or_init(|| {
        let path = path.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(HEARTBEAT));
                touch(&path);
            }
        });
    });
    // one thread makes it
    static MAKING: Mutex<()> = Mutex::new(());
    let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if !path.exists() {
        // half a file would tell nobody who we are
        write_atomically(&path, &json(this))?;
    }
    drop(making);
    Ok(path)
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
    let identity = identity(production)?;
    match std::fs::hard_link(&identity, &path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(Error::io("claim", &path)(error)),
    }
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
fn touch(path: &Path) {
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return };
    // SAFETY: the path is a C string; null times mean now, by the file server's clock.
    unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), std::ptr::null(), 0) };
}

/// Whose a file of this folder is; None if it does not say.
fn owner(path: &Path) -> Option<Owner> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Whether a claim that this process took is still its own: nobody who thought us dead has cleared it away.
pub fn is_mine(path: &Path) -> bool {
    owner(path).is_some_and(|owner| owner == *Owner::this())
}

/// Gives a claim back, and removes those of earlier attempts that died. A dead one's claim goes with the file that says
/// who it was: they are one file, which nobody touches any more.
pub fn release(production: &Production, task: &str, number: u32) {
    for n in (1..=number).rev() {
        let claim = path(production, task, n);
        let dead = owner(&claim).filter(|owner| owner != Owner::this());
        let removed = std::fs::remove_file(claim);
        if let Some(dead) = dead {
            let _ = std::fs::remove_file(identity_path(production, &dead));
        }
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
        assert!(look(&held.path, 1, &Lease::at_once()).unwrap().alive && is_mine(&held.path));
        release(&production, "t", 1);
        // the log remembers that the attempt was made
        assert!(acquire(&production, "t", 1, log).unwrap().is_none());
        assert!(list(&production, &Lease::at_once()).is_empty());
        // killed while it wrote who it is; beyond any process id that Linux gives (2^22)
        let half = production.claims().join(format!("..h.99999999.1.{}.99999999-0.tmp", hostname()));
        std::fs::write(half, "").unwrap();
        sweep(&production);
        assert_eq!(std::fs::read_dir(production.claims()).unwrap().count(), 0);
    }

    #[test]
    fn of_a_lost_host_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let production = production(folder.path());
        let lost = Owner { host: "lost".into(), ..Owner::this().clone() };
        let claim = write(&production, 1, &lost);
        std::fs::hard_link(claim, identity_path(&production, &lost)).unwrap();
        acquire(&production, "t", 2, folder.path().join("t.2.log")).unwrap().unwrap();
        release(&production, "t", 2);
        sweep(&production);
        assert_eq!(std::fs::read_dir(production.claims()).unwrap().count(), 0);
    }

    fn write(production: &Production, n: u32, owner: &Owner) -> PathBuf {
        let path = path(production, "t", n);
        std::fs::write(&path, serde_json::to_string(owner).unwrap()).unwrap();
        path
    }

    fn touched(path: &Path, seconds_ago: i64) {
        let now = std::time::SystemTime::now();
        let ago = Duration::from_secs(seconds_ago.unsigned_abs());
        let time = if seconds_ago < 0 { now + ago } else { now - ago };
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_dead_owner_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let production = production(folder.path());
        let alive = |n: u32, owner: &Owner| look(&write(&production, n, owner), n, &Lease::at_once()).unwrap().alive;
        let this = Owner::this().clone();
        assert!(alive(1, &this));
        // the same id with another start is another process
        assert!(!alive(2, &Owner { start: this.start + 1, ..this.clone() }));
        // another machine: alive while it is touched
        let elsewhere = Owner { host: "elsewhere".into(), ..this };
        assert!(alive(3, &elsewhere));
        let path = path(&production, "t", 3);
        touched(&path, 61);
        assert!(!look(&path, 3, &Lease::at_once()).unwrap().alive);
    }

    #[test]
    fn a_run_trusts_no_other_clock() {
        let folder = tempfile::tempdir().unwrap();
        let production = production(folder.path());
        let path = write(&production, 1, &Owner { host: "elsewhere".into(), ..Owner::this().clone() });
        let lease = Lease::watching(Duration::from_millis(50));
        let alive = || look(&path, 1, &lease).unwrap().alive;
        // two hours slow and two hours fast: as long as the time changes it lives
        for seconds in [7200, 7199, -7200, -7199, 7198] {
            touched(&path, seconds);
            assert!(alive());
            std::thread::sleep(Duration::from_millis(60));
        }
        assert!(!alive());
        touched(&path, 7197);
        assert!(alive());
    }
}
