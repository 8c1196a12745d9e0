//! How a child comes to be: as by posix_spawn(3), without a copy of this process' page tables, which in a production of a
//! million tasks takes longer than many a task; and bound to its parent, which posix_spawn cannot do.
//!
//! The child shares the memory of the thread that starts it, which stands still, until it has become the program
//! (vfork(2)). Until then it makes nothing but system calls; all that they need is made before.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

/// All that the child needs to become the program.
pub struct Start {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    folder: CString,
    input: File,
    log: i32,
    cores: Option<libc::cpu_set_t>,
    parent: i32,
}

/// The same as the child sees it, with a place for the error that keeps it from starting.
struct Plain<'a> {
    start: &'a Start,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    error: i32,
}

impl Start {
    /// A program with its arguments, in a folder, bound to some cores (none: those of this process); what it prints goes
    /// to the log, which must stay open until it is spawned.
    ///
    /// # Errors
    /// If a text holds a zero byte, or /dev/null cannot be opened.
    pub fn new(
        program: &Path,
        arguments: &[String],
        folder: &Path,
        cpus: &BTreeSet<usize>,
        log: &File,
    ) -> io::Result<Self> {
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
        let program = text(program.as_os_str())?;
        let rest = arguments.iter().map(|argument| text(OsStr::new(argument)));
        let arguments = std::iter::once(Ok(program.clone())).chain(rest).collect::<io::Result<_>>()?;
        // BLAS in foreign programs must not fight with our own parallel tasks
        let own = [("OPENBLAS_NUM_THREADS".into(), "1".into())];
        let inherited = std::env::vars_os().filter(|(name, _)| name != "OPENBLAS_NUM_THREADS");
        let variables = inherited.chain(own).map(|(name, value)| {
            let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
            CString::new(pair).map_err(io::Error::from)
        });
        Ok(Self {
            program,
            arguments,
            environment: variables.collect::<io::Result<_>>()?,
            folder: text(folder.as_os_str())?,
            input: File::open("/dev/null")?,
            log: log.as_raw_fd(),
            cores: (!cpus.is_empty()).then(|| core_set(cpus)),
            parent: std::process::id() as i32,
        })
    }

    /// Starts it, in a process group of its own; the process id. It is killed when the calling thread ends.
    ///
    /// # Errors
    /// If there can be no process, or it cannot become the program.
    pub fn spawn(&self) -> io::Result<u32> {
        const STACK: usize = 1 << 16;
        let mut stack = vec![0u128; STACK / size_of::<u128>()];
        // SAFETY: the sets are plain bits, filled by the calls; the stack and what `plain` points to outlive the child's
        // use of them, because with CLONE_VFORK this thread stands still until the child has become the program or
        // ended; signals are held back, so that no handler of ours runs in the child.
        unsafe {
            let mut plain = Plain {
                start: self,
                arguments: pointers(&self.arguments),
                environment: pointers(&self.environment),
                error: 0,
            };
            let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let pid = libc::clone(
                become_program,
                stack.as_mut_ptr_range().end.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                (&raw mut plain).cast(),
            );
            let error = io::Error::last_os_error();
            // the child wrote to it behind the compiler's back
            let failed = ptr::read_volatile(&raw const plain.error);
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
            if pid < 0 {
                return Err(error);
            }
            if failed != 0 {
                libc::waitpid(pid, ptr::null_mut(), 0);
                return Err(io::Error::from_raw_os_error(failed));
            }
            Ok(pid as u32)
        }
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

fn core_set(cpus: &BTreeSet<usize>) -> libc::cpu_set_t {
    // SAFETY: an all-zero set is the empty one; CPU_SET ignores numbers that are too large.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cpus.iter().filter(|cpu| **cpu < libc::CPU_SETSIZE as usize).for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
        set
    }
}

/// The child's part. Only system calls: its memory is that of its parent.
extern "C" fn become_program(plain: *mut libc::c_void) -> libc::c_int {
    // SAFETY: spawn passes a Plain that lives until this process has another image or is gone; all pointers in it are
    // to texts that end with zero, the lists end with null.
    unsafe {
        let plain = &mut *plain.cast::<Plain>();
        let start = plain.start;
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // the parent may have died before that took effect
        if libc::getppid() != start.parent {
            libc::_exit(127);
        }
        default_signals();
        if let Some(cores) = &start.cores {
            // cores that the system has taken away: the task runs where it may
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), cores);
        }
        let ready = libc::setpgid(0, 0) == 0
            && libc::chdir(start.folder.as_ptr()) == 0
            && libc::dup2(start.input.as_raw_fd(), 0) == 0
            && libc::dup2(start.log, 1) == 1
            && libc::dup2(start.log, 2) == 2;
        if ready {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &none, ptr::null_mut());
            libc::execve(start.program.as_ptr(), plain.arguments.as_ptr(), plain.environment.as_ptr());
        }
        ptr::write_volatile(&raw mut plain.error, *libc::__errno_location());
        libc::_exit(127)
    }
}

/// No handler of the parent may run in the child, and none of its choices goes to the program, save one: batch systems
/// send SIGUSR1 to all processes of a job, and it is meant for us.
unsafe fn default_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        let action = if signal == libc::SIGUSR1 { libc::SIG_IGN } else { libc::SIG_DFL };
        // SAFETY: the table of signals is the child's own; of numbers that are no signals the call says so.
        unsafe { libc::signal(signal, action) };
    }
}
