//! Signals that stop a run. SIGINT and SIGTERM: the children are asked to end, and killed five seconds later. SIGUSR1
//! (time is nearly up): no task is started any more, those that run may end.

use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The signals that came.
#[derive(Debug)]
pub struct Watched {
    // the number of the last of SIGINT and SIGTERM; 0: none
    stop: Arc<AtomicUsize>,
    late: Arc<AtomicBool>,
}

impl Watched {
    /// From now on.
    ///
    /// # Errors
    /// [`Error::Usage`] if the system refuses.
    pub fn new() -> Result<Self> {
        let watched = Self { stop: Arc::default(), late: Arc::default() };
        let refused = |e| Error::Usage(format!("cannot watch signals: {e}"));
        for number in [libc::SIGINT, libc::SIGTERM] {
            signal_hook::flag::register_usize(number, watched.stop.clone(), number as usize).map_err(refused)?;
        }
        signal_hook::flag::register(libc::SIGUSR1, watched.late.clone()).map_err(refused)?;
        Ok(watched)
    }
}

/// How far stopping has come.
#[derive(Debug, Default)]
pub struct Stop {
    /// The signal that stopped the run.
    pub signal: Option<i32>,
    /// Whether its time is nearly up.
    pub late: bool,
    since: Option<Instant>,
}

impl Stop {
    /// Looks at the signals; tells the children.
    pub fn check(&mut self, watched: &Watched, mut tell: impl FnMut(i32)) {
        const GRACE: Duration = Duration::from_secs(5);
        self.late |= watched.late.load(Ordering::SeqCst);
        let signal = watched.stop.load(Ordering::SeqCst);
        match self.since {
            None if signal != 0 => {
                self.signal = Some(signal as i32);
                self.since = Some(Instant::now());
                tell(libc::SIGTERM);
            }
            Some(since) if since.elapsed() > GRACE => tell(libc::SIGKILL),
            _ => {}
        }
    }

    /// Whether no more tasks are to start.
    pub fn takes_no_more(&self) -> bool {
        self.late || self.signal.is_some()
    }
}
