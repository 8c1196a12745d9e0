//! Generated scripts: setup.sh, a job a group of steps for the shell and for Slurm, and the drivers that start them.

use crate::costs::Costs;
use crate::graph::Graph;
use crate::jobs::{Job, Jobs};
use crate::machine::Machine;
use crate::production::{Production, make_folder, write_atomically};
use crate::shell::quote;
use crate::slurm::{self, Asked, Mode};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What scripts are to look like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the programs.
    pub programs: PathBuf,
    /// Lines pasted into every script.
    pub env: String,
    /// Machine of the Slurm jobs.
    pub machine: Machine,
    /// Most nodes of a job.
    pub max_nodes: usize,
    /// Factor on wall times.
    pub time_scale: f64,
    /// What the Slurm jobs ask for.
    pub asked: Asked,
    /// How Slurm jobs of several nodes are submitted.
    pub mode: Mode,
    /// Whether costs come from records.
    pub measured: bool,
    /// Launcher of the shell scripts.
    pub mpi_run: String,
    /// Ranks that it starts; 1: no launcher, all cores.
    pub max_cores: usize,
    /// Whether the scripts log at level DEBUG.
    pub debug: bool,
}

/// Writes setup.sh.
///
/// # Errors
/// [`Error::Io`].
pub fn write_setup(production: &Production, settings: &Settings) -> Result<()> {
    let path = |path: &Path| quote(&path.display().to_string());
    let programs = path(&settings.programs);
    let text = format!(
        "# Environment of this production; written by desi_pipe. Source it before desi_pipe, desi_pipe_run and\n\
         # desi_pipe_status.\n\
         export DESI_SPECTRO_DATA={}\n\
         export DESI_SPECTRO_REDUX={}\n\
         export SPECPROD={}\n\
         export PRODNAME=\"$SPECPROD\"\n\
         export OPENBLAS_NUM_THREADS=1\n\
         case \"$PATH:\" in {programs}:*) ;; *) export PATH={programs}:\"$PATH\" ;; esac\n\
         {}{}export DESI_LOGLEVEL=DEBUG\n",
        path(&production.raw),
        path(&production.redux),
        quote(&production.name),
        exported("RR_TEMPLATE_DIR"),
        if settings.debug { "" } else { "#" },
    );
    write_atomically(&production.dir.join("setup.sh"), &text)
}

/// A line that sets a variable to the folder that it names now; nothing where it is not set.
fn exported(name: &str) -> String {
    let folder = std::env::var_os(name).filter(|value| !value.is_empty()).and_then(|v| std::path::absolute(v).ok());
    folder.map_or(String::new(), |folder| format!("export {name}={}\n", quote(&folder.display().to_string())))
}

/// Writes the jobs and drivers of all nights and of each; removes those of groups that have no task any more.
///
/// # Errors
/// [`Error::Io`].
pub fn write_jobs(production: &Production, graph: &Graph, settings: &Settings) -> Result<()> {
    make_folder(&production.scripts())?;
    let costs = Costs::of(production, graph);
    let settings = &Settings { measured: costs.are_measured(), ..settings.clone() };
    let jobs = Jobs::of(graph, &costs);
    let mut written = BTreeSet::from(["submit.sh".to_string()]);
    write_executable(&production.scripts().join("submit.sh"), slurm::SUBMIT)?;
    for job in jobs.all.iter().chain(jobs.nights.values().flatten()) {
        for (kind, text) in
            [("sh", shell_job(production, job, settings)), ("slurm", slurm::job(production, job, settings))]
        {
            let name = format!("{}.{kind}", job.name);
            write_executable(&production.scripts().join(&name), &text)?;
            written.insert(name);
        }
    }
    write_drivers(production, "all", &jobs.all, &jobs.chains)?;
    jobs.nights.iter().try_for_each(|(night, jobs)| write_drivers(production, night, jobs, jobs))?;
    remove_others(&production.scripts(), &written)
}

fn write_drivers(production: &Production, label: &str, shell: &[Job], slurm: &[Job]) -> Result<()> {
    let driver = |kind: &str| production.scripts().join(format!("run_{kind}_{label}.sh"));
    write_executable(&driver("shell"), &shell_driver(production, shell, label))?;
    write_executable(&driver("slurm"), &slurm::driver(production, slurm, label))
}

/// The desi_pipe_run command of a job, without its log.
pub fn command(job: &Job) -> String {
    let night = job.night.as_ref().map_or(String::new(), |night| format!(" --nights {night}"));
    format!("desi_pipe_run --first {} --last {}{night}", job.first, job.last)
}

/// The lines before the command of a job.
pub fn prologue(production: &Production, settings: &Settings) -> String {
    let setup = quote(&production.dir.join("setup.sh").display().to_string());
    let env = settings.env.trim_end();
    let env = if env.is_empty() { String::new() } else { format!("{env}\n") };
    format!("{env}source {setup}\n")
}

/// A path for a line of Slurm options, which knows double quotes only.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

fn shell_job(production: &Production, job: &Job, settings: &Settings) -> String {
    let command = command(job);
    let log = quote(&production.logs().join(format!("{}_sh", job.name)).display().to_string());
    let start = format!(
        "#!/bin/bash\n# {}; written by desi_pipe\n{}log={log}_\"$(date +%Y%m%d-%H%M%S)\".log\n",
        job.name,
        prologue(production, settings),
    );
    match settings.max_cores {
        0 | 1 => format!("{start}exec {command} --nompi --log \"$log\"\n"),
        ranks => {
            start
                + &format!(
                    "# Open MPI: a rank that dies takes no other with it. Its exit status says nothing then: rank 0 writes\n\
                     # its own. None: rank 0 or the launcher died, and all ranks are started again.\n\
                     export OMPI_MCA_orte_enable_recovery=1 OMPI_MCA_rmaps_base_oversubscribe=1\n\
                     trap 'exit 130' INT\ntrap 'exit 143' TERM\n\
                     status=$(mktemp)\n\
                     for try in 1 2 3; do\n    \
                     {} {ranks} {command} --exit-file \"$status\" 2>&1 | tee -a \"$log\"\n    \
                     code=$(cat \"$status\")\n    \
                     if [ -n \"$code\" ]; then break; fi\ndone\n\
                     rm -f \"$status\"\nexit \"${{code:-4}}\"\n",
                    settings.mpi_run,
                )
        }
    }
}

fn shell_driver(production: &Production, jobs: &[Job], label: &str) -> String {
    let mut text = format!("#!/bin/bash\n# Runs every step of {label}, one after the other; written by desi_pipe.\n");
    text += "# A step that fails does not hold up tasks whose inputs are there; then the exit status is 1.\nstatus=0\n";
    text += "run() {\n    bash \"$1\"\n    local code=$?\n    # stopped by a signal\n";
    text += "    if [ $code -gt 128 ]; then exit $code; fi\n    if [ $code -ne 0 ]; then status=1; fi\n}\n";
    for job in jobs {
        let script = production.scripts().join(format!("{}.sh", job.name));
        text += &format!("run {}\n", quote(&script.display().to_string()));
    }
    text + "exit $status\n"
}

/// Removes the jobs that an earlier desi_pipe wrote and this one did not.
fn remove_others(folder: &Path, written: &BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_job = name.ends_with(".sh") || name.ends_with(".slurm");
        if is_job && !name.starts_with("run_") && !written.contains(&name) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

fn write_executable(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, text)?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(Error::io("make executable", path))
}
