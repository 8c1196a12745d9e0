//! Generated scripts: setup.sh, a job a group of steps for the shell and for Slurm, and the drivers that start them.

use crate::graph::{Graph, TaskId};
use crate::machine::Machine;
use crate::production::{Production, make_folder, write_atomically};
use crate::shell::quote;
use crate::slice::Slice;
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
    /// Slurm account.
    pub account: Option<String>,
    /// Slurm partition (or quality of service where the machine uses it) instead of the machine's choice.
    pub partition: Option<String>,
    /// Launcher of the shell scripts.
    pub mpi_run: String,
    /// Ranks that it starts; 1: no launcher, all cores.
    pub max_cores: usize,
    /// Whether the scripts log at level DEBUG.
    pub debug: bool,
}

/// A group of steps that one job runs.
struct Group<'g> {
    name: &'g str,
    steps: Vec<usize>,
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
         {}export DESI_LOGLEVEL=DEBUG\n",
        path(&production.raw),
        path(&production.redux),
        quote(&production.name),
        if settings.debug { "" } else { "#" },
    );
    write_atomically(&production.dir.join("setup.sh"), &text)
}

/// Writes the jobs and drivers of all nights and of each; removes those of groups that have no task.
///
/// # Errors
/// [`Error::Io`].
pub fn write_jobs(production: &Production, graph: &Graph, nights: &[String], settings: &Settings) -> Result<()> {
    make_folder(&production.scripts())?;
    write_of(production, graph, None, settings)?;
    nights.iter().try_for_each(|night| write_of(production, graph, Some(night), settings))
}

fn write_of(production: &Production, graph: &Graph, night: Option<&String>, settings: &Settings) -> Result<()> {
    let only = night.map(|night| BTreeSet::from([night.clone()]));
    let slice = Slice::new(graph, only.as_ref(), None)?;
    let label = night.map_or("all", String::as_str);
    let mut shell_jobs = Vec::new();
    let mut slurm_jobs = Vec::new();
    for group in groups(graph) {
        let member = |task: &TaskId| group.steps.contains(&usize::from(graph.task(*task).step)) && slice.holds(*task);
        let tasks: Vec<TaskId> = graph.ids().filter(member).collect();
        let name = format!("{}_{label}", group.name);
        let (shell, slurm) = (script(production, &name, "sh"), script(production, &name, "slurm"));
        if tasks.is_empty() {
            remove(&shell)?;
            remove(&slurm)?;
            continue;
        }
        write_executable(&shell, &shell_job(production, graph, &group, night, settings, &name))?;
        write_executable(&slurm, &slurm_job(production, graph, &group, night, settings, &name, &tasks))?;
        shell_jobs.push(shell);
        slurm_jobs.push(slurm);
    }
    let driver = |kind: &str| production.scripts().join(format!("run_{kind}_{label}.sh"));
    write_executable(&driver("shell"), &shell_driver(&shell_jobs, label))?;
    write_executable(&driver("slurm"), &slurm_driver(&slurm_jobs, label))
}

fn script(production: &Production, name: &str, kind: &str) -> PathBuf {
    production.scripts().join(format!("{name}.{kind}"))
}

/// The groups in order; the steps of a group follow each other in the table.
fn groups(graph: &Graph) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, step) in graph.table.steps.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if group.name == step.group => group.steps.push(index),
            _ => groups.push(Group { name: &step.group, steps: vec![index] }),
        }
    }
    groups
}

/// The desi_pipe_run command of a job, without its log.
fn command(graph: &Graph, group: &Group, night: Option<&String>) -> String {
    let name = |step: Option<&usize>| step.map_or("", |step| graph.table.steps[*step].name.as_str());
    let mut command =
        format!("desi_pipe_run --first {} --last {}", name(group.steps.first()), name(group.steps.last()));
    if let Some(night) = night {
        command += &format!(" --nights {night}");
    }
    command
}

fn prologue(production: &Production, settings: &Settings) -> String {
    let setup = quote(&production.dir.join("setup.sh").display().to_string());
    let env = settings.env.trim_end();
    let env = if env.is_empty() { String::new() } else { format!("{env}\n") };
    format!("{env}source {setup}\n")
}

fn log_start(production: &Production, name: &str) -> String {
    quote(&production.logs().join(name).display().to_string())
}

fn shell_job(
    production: &Production,
    graph: &Graph,
    group: &Group,
    night: Option<&String>,
    settings: &Settings,
    name: &str,
) -> String {
    let command = command(graph, group, night);
    let run = match settings.max_cores {
        0 | 1 => format!("exec {command} --nompi --log \"$log\""),
        // many ranks: their lines go to the log through one process
        ranks => format!("set -o pipefail\n{} {ranks} {command} 2>&1 | tee \"$log\"", settings.mpi_run),
    };
    format!(
        "#!/bin/bash\n# {name}; written by desi_pipe\n{}log={}_\"$(date +%Y%m%d-%H%M%S)\".log\n{run}\n",
        prologue(production, settings),
        log_start(production, &format!("{name}_sh")),
    )
}

fn slurm_job(
    production: &Production,
    graph: &Graph,
    group: &Group,
    night: Option<&String>,
    settings: &Settings,
    name: &str,
    tasks: &[TaskId],
) -> String {
    let machine = &settings.machine;
    let minutes = tasks.iter().map(|task| cost(graph, *task)).fold(0.0, f64::max);
    let size = machine.size(tasks.len(), minutes, settings.max_nodes, settings.time_scale);
    let queue_flag = if machine.qos { "qos" } else { "partition" };
    let queue = settings.partition.clone().unwrap_or(size.queue);
    let log = production.logs().join(format!("{name}_slurm_%j.log"));
    let mut directives = vec![
        format!("--job-name={name}"),
        format!("--nodes={}", size.nodes),
        format!("--time={:02}:{:02}:00", size.minutes / 60, size.minutes % 60),
        format!("--output=\"{}\"", log.display()),
        "--export=NONE".to_string(),
    ];
    let optional = [
        (queue_flag, Some(queue).filter(|queue| !queue.is_empty())),
        ("account", settings.account.clone()),
        ("constraint", machine.constraint.clone()),
    ];
    directives.extend(optional.into_iter().filter_map(|(flag, value)| Some(format!("--{flag}={}", value?))));
    let directives: String = directives.iter().map(|directive| format!("#SBATCH {directive}\n")).collect();
    format!(
        "#!/bin/bash -l\n# {name}; written by desi_pipe\n{directives}\n{}\
         # one desi_pipe_run a node; each runs as many tasks at once as it has cores, and they share the tasks out\n\
         exec srun --export=ALL --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --cpus-per-task={} {}\n",
        prologue(production, settings),
        machine.cores,
        command(graph, group, night),
        nodes = size.nodes,
    )
}

fn cost(graph: &Graph, task: TaskId) -> f64 {
    let step = graph.step(task);
    step.minutes + step.minutes_per_target * f64::from(graph.targets(task))
}

fn shell_driver(jobs: &[PathBuf], label: &str) -> String {
    let mut text = format!("#!/bin/bash\n# Runs every step of {label}, one after the other; written by desi_pipe.\n");
    text += "# A step that fails does not hold up tasks whose inputs are there; then the exit status is 1.\nstatus=0\n";
    text += "run() {\n    bash \"$1\"\n    local code=$?\n    # stopped by a signal\n";
    text += "    if [ $code -gt 128 ]; then exit $code; fi\n    if [ $code -ne 0 ]; then status=1; fi\n}\n";
    jobs.iter().for_each(|job| text += &format!("run {}\n", quote(&job.display().to_string())));
    text + "exit $status\n"
}

fn slurm_driver(jobs: &[PathBuf], label: &str) -> String {
    let mut text = format!("#!/bin/bash\n# Submits every step of {label} as a chain of jobs; written by desi_pipe.\n");
    text += "# A job starts when the one before has ended, well or not: each task looks for its inputs itself.\n";
    text +=
        "set -e\nafter=\nsubmit() {\n    local id\n    id=$(sbatch --parsable ${after:+-d afterany:$after} \"$1\")\n";
    text += "    after=${id%%;*}\n    echo \"$after $1\"\n}\n";
    jobs.iter().for_each(|job| text += &format!("submit {}\n", quote(&job.display().to_string())));
    text
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn write_executable(path: &Path, text: &str) -> Result<()> {
    write_atomically(path, text)?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).map_err(Error::io("make executable", path))
}
