//! Whether a parallel launcher (mpirun, srun) started this process, and how many beside it.

/// Processes that the launcher started on this host, this one included. They share the tasks out by claims.
pub fn on_this_host() -> usize {
    // Open MPI; MPICH's hydra and Intel MPI; PMIx servers
    let direct = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMIX_LOCAL_SIZE"];
    let number = |name: &&str| std::env::var(name).ok()?.parse().ok();
    // Slurm: tasks on each node, "4" or "2(x3),1"; the first will do to share the cores
    let slurm = || {
        let text = std::env::var("SLURM_STEP_TASKS_PER_NODE").ok()?;
        text.split(['(', ',']).next()?.parse().ok()
    };
    direct.iter().find_map(number).or_else(slurm).unwrap_or(1).max(1)
}
