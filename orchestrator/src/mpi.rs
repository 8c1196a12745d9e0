//! Ranks that talk by MPI (feature `mpi`).

use crate::ranks::{Job, Post};
use crate::say;
use mpi::ffi;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::{AsRaw, MatchedReceiveVec, Source};
use std::time::Duration;

/// A message on its way: the buffer stays until MPI has done with it.
struct Sent {
    request: ffi::MPI_Request,
    _buffer: Box<[u8]>,
}

/// The world communicator.
pub struct World {
    comm: SimpleCommunicator,
    // dropped last: MPI_Finalize
    universe: mpi::environment::Universe,
    sent: Vec<Sent>,
}

impl World {
    /// Joins the job of the launcher that started this process; None if there is none or it has one rank only.
    pub fn join() -> Option<Self> {
        // Open MPI; MPICH's hydra, Slurm's pmi2; PMIx servers. SLURM_* alone is also set in plain batch scripts.
        let launched = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"].iter().any(|n| std::env::var_os(n).is_some());
        if !launched {
            return None;
        }
        let (universe, _) = mpi::initialize_with_threading(mpi::Threading::Funneled)?;
        let comm = universe.world();
        // what a lost rank leaves undone must not end the others
        // SAFETY: a valid communicator and one of MPI's own handlers.
        unsafe { ffi::MPI_Comm_set_errhandler(comm.as_raw(), ffi::RSMPI_ERRORS_RETURN) };
        (comm.size() > 1).then(|| Self { comm, universe, sent: Vec::new() })
    }

    /// Forgets the messages that have gone.
    fn sweep(&mut self) {
        self.sent.retain_mut(|sent| {
            let mut gone = 0;
            // SAFETY: the request is ours and not yet completed; its buffer is still there.
            let code = unsafe { ffi::MPI_Test(&mut sent.request, &mut gone, ffi::RSMPI_STATUS_IGNORE) };
            code == 0 && gone == 0
        });
    }
}

impl Post for World {
    fn rank(&self) -> usize {
        self.comm.rank() as usize
    }

    fn size(&self) -> usize {
        self.comm.size() as usize
    }

    fn send(&mut self, to: usize, message: Vec<u8>) {
        self.sweep();
        let buffer = message.into_boxed_slice();
        // SAFETY: all-zero bytes are a valid place for a request, which MPI_Isend fills.
        let mut request: ffi::MPI_Request = unsafe { std::mem::zeroed() };
        // SAFETY: the buffer lives in `sent` until MPI_Test says that it is no longer read.
        let code = unsafe {
            let (data, length) = (buffer.as_ptr().cast(), buffer.len() as i32);
            ffi::MPI_Isend(data, length, ffi::RSMPI_UINT8_T, to as i32, 0, self.comm.as_raw(), &mut request)
        };
        if code == 0 {
            self.sent.push(Sent { request, _buffer: buffer });
        }
    }

    fn receive(&mut self) -> Option<(usize, Vec<u8>)> {
        let message = self.comm.any_process().immediate_matched_probe()?;
        let (bytes, status) = message.matched_receive_vec::<u8>();
        Some((status.source_rank() as usize, bytes))
    }
}

impl Job for World {
    fn leave(mut self: Box<Self>, whole: bool) {
        const PATIENCE: Duration = Duration::from_secs(20);
        // the last messages must go out before this process does
        let start = std::time::Instant::now();
        while !self.sent.is_empty() && start.elapsed() < Duration::from_secs(2) {
            self.sweep();
            std::thread::sleep(Duration::from_millis(1));
        }
        // MPI may still read what did not go
        std::mem::take(&mut self.sent).into_iter().for_each(std::mem::forget);
        if whole {
            // MPI_Finalize waits for all ranks: one that died meanwhile must not hold up this one
            std::thread::spawn(|| {
                std::thread::sleep(PATIENCE);
                say::err(format_args!("desi_pipe_run: another rank did not end within {} s", PATIENCE.as_secs()));
                std::process::exit(4);
            });
            drop(self.universe);
        } else {
            std::mem::forget(self.universe);
        }
    }
}
