//! A program as a child process: started in a group of its own, waited for with its CPU time and peak memory.

use crate::spawn::Start;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a child ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Its process id.
    pub pid: u32,
    /// Exit code, if it exited.
    pub exit_code: Option<i32>,
    /// Signal, if one ended it.
    pub signal: Option<i32>,
    /// CPU seconds, user and system, children that it waited for included.
    pub cpu_seconds: f64,
    /// Peak memory, 10^6 bytes.
    pub peak_memory_mb: f64,
}

/// The children that run now, so that they can be stopped.
#[derive(Debug, Default)]
pub struct Children {
    groups: Mutex<BTreeSet<i32>>,
    stopping: AtomicBool,
}

impl Children {
    /// Whether the run is being stopped.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Sends a signal to all children and their children; from now on none starts.
    pub fn stop(&self, signal: i32) {
        self.stopping.store(true, Ordering::SeqCst);
        for group in self.lock().iter() {
            // SAFETY: kill takes plain numbers; a group is listed only while its leader is not yet reaped.
            unsafe { libc::kill(-group, signal) };
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<i32>> {
        self.groups.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs a program to its end, its output going to the log. It dies with the thread that calls this. A text that
    /// does not say what runs it (`#!`) is run by the shell, as by execvp(3).
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run(
        &self,
        program: &Path,
        arguments: &[String],
        folder: &Path,
        cpus: &BTreeSet<usize>,
        log: &File,
    ) -> io::Result<Ended> {
        let start = Start::new(program, arguments, folder, cpus, log)?;
        let pid = match self.spawn(&start) {
            Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) && is_text(program) => {
                let script = [program.display().to_string()];
                let arguments = [&script, arguments].concat();
                self.spawn(&Start::new(Path::new("/bin/sh"), &arguments, folder, cpus, log)?)?
            }
            pid => pid?,
        };
        self.wait(pid)
    }

    fn spawn(&self, start: &Start) -> io::Result<u32> {
        let mut groups = self.lock();
        if self.is_stopping() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let pid = start.spawn()?;
        groups.insert(pid as i32);
        Ok(pid)
    }

    fn wait(&self, pid: u32) -> io::Result<Ended> {
        // wait without reaping first, so that no signal can go to a reused id
        retry(|| unsafe {
            // SAFETY: waitid fills the struct that it is given.
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOWAIT)
        })?;
        self.lock().remove(&(pid as i32));
        let mut status = 0;
        // SAFETY: an all-zero rusage is valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: wait4 fills the variables that it is given.
        retry(|| unsafe { libc::wait4(pid as i32, &mut status, 0, &mut usage) })?;
        let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
        Ok(Ended {
            pid,
            exit_code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            // Linux gives kibibytes
            peak_memory_mb: usage.ru_maxrss as f64 * 1024.0 / 1e6,
        })
    }
}

/// Whether a file may be a script: no byte of its beginning is zero, as some are in programs for another machine.
fn is_text(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut start));
    read.is_ok() && !start.contains(&0)
}

/// The cores that this process may use.
pub fn own_cpus() -> BTreeSet<usize> {
    // SAFETY: sched_getaffinity fills the set that it is given.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return BTreeSet::new();
        }
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
    }
}

fn retry(mut call: impl FnMut() -> i32) -> io::Result<()> {
    loop {
        if call() >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The file of a program: beside this one if it is there, else the first on PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| path.is_file();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(is_program);
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside.into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join(name))).find(is_program)
}

/// Name of a signal, for messages.
pub fn signal_name(signal: i32) -> String {
    let known = [
        (libc::SIGKILL, "SIGKILL: killed by hand or for want of memory"),
        (libc::SIGTERM, "SIGTERM: told to end"),
        (libc::SIGSEGV, "SIGSEGV: a bug"),
        (libc::SIGABRT, "SIGABRT: a bug"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGXCPU, "SIGXCPU: out of CPU time"),
    ];
    let name = known.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name);
    name.map_or_else(|| format!("signal {signal}"), |name| format!("signal {signal} ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn run(script: &str) -> Ended {
        let log = File::create("/dev/null").unwrap();
        let arguments = ["-c".to_string(), script.to_string()];
        let all = BTreeSet::new();
        Children::default().run(Path::new("/bin/sh"), &arguments, Path::new("/"), &all, &log).unwrap()
    }

    #[test]
    fn endings_are_told_apart() {
        assert_eq!(run("exit 3").exit_code, Some(3));
        let killed = run("kill -9 $$");
        assert_eq!((killed.exit_code, killed.signal), (None, Some(9)));
    }

    #[test]
    fn a_child_leads_a_group_and_ignores_what_is_meant_for_us() {
        assert_eq!(
            run("kill -USR1 $$; read line && exit 1; [ $(ps -o pgid= $$) = $$ ] || exit 2; exit 7").exit_code,
            Some(7)
        );
        let start = |program: &str, folder: &str| {
            let log = File::create("/dev/null").unwrap();
            Children::default().run(Path::new(program), &[], Path::new(folder), &BTreeSet::new(), &log)
        };
        assert_eq!(start("/etc/passwd", "/").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(start("/bin/true", "/not/there").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_script_that_does_not_say_what_runs_it_is_run_by_the_shell() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("a step");
        let start = |content: &[u8]| {
            std::fs::write(&program, content).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let log = File::create("/dev/null").unwrap();
            Children::default().run(&program, &["7".to_string()], Path::new("/"), &BTreeSet::new(), &log)
        };
        assert_eq!(start(b"exit $1\n").unwrap().exit_code, Some(7));
        // a program for another machine is no script
        assert_eq!(start(b"\x7fELF\x02\x01\0\0exit 0\n").unwrap_err().raw_os_error(), Some(libc::ENOEXEC));
    }

    /// Seconds of CPU time of this thread.
    fn own_time() -> f64 {
        // SAFETY: the call fills the struct that it is given, of which all bits zero is a valid state.
        unsafe {
            let mut time: libc::timespec = std::mem::zeroed();
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
            time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
        }
    }

    #[test]
    fn a_start_costs_little_however_large_we_are() {
        const TIMES: u32 = 20;
        let large = vec![1u8; 1 << 29];
        let start = own_time();
        (0..TIMES).for_each(|_| assert_eq!(run("exit 0").exit_code, Some(0)));
        let each = (own_time() - start) / f64::from(TIMES);
        // a copy of the page tables of half a gigabyte takes 4 ms and more
        assert!(each < 2e-3 && large[large.len() / 2] == 1, "{:.2} ms", each * 1e3);
    }

    #[test]
    fn a_child_is_bound_to_the_cores_it_is_given() {
        let one = own_cpus().into_iter().take(1).collect();
        let log = tempfile::NamedTempFile::new().unwrap();
        let arguments = ["-c".to_string(), "grep Cpus_allowed_list /proc/self/status".to_string()];
        let children = Children::default();
        children.run(Path::new("/bin/sh"), &arguments, Path::new("/"), &one, log.as_file()).unwrap();
        let said = std::fs::read_to_string(log.path()).unwrap();
        assert_eq!(said.split_whitespace().last(), one.first().map(|cpu| cpu.to_string()).as_deref());
    }

    #[test]
    fn cpu_and_memory_are_measured() {
        let busy = run("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
        assert!(busy.cpu_seconds > 0.01, "{busy:?}");
        assert!(busy.peak_memory_mb > 0.5 && busy.peak_memory_mb < 500.0, "{busy:?}");
    }
}
