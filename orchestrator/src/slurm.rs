//! Jobs for Slurm: their text, the drivers that submit them, and what sinfo says of the machine.

use crate::jobs::Job;
use crate::machine::{Machine, Queue, Size};
use crate::production::Production;
use crate::scripts::{Settings, command, prologue, quoted};
use crate::shell::quote;
use std::process::{Command, Stdio};

/// The function that submits jobs, which drivers source.
pub const SUBMIT: &str = include_str!("../pipelines/submit.sh");

/// How a job of several nodes is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// One job that waits until all its nodes are free.
    Chain,
    /// An array of jobs of one node each, which start as nodes become free and share the tasks out.
    Array,
}

/// What jobs ask Slurm for beside their size.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Asked {
    /// Slurm account of the jobs
    #[arg(long)]
    pub account: Option<String>,
    /// Slurm partition of the jobs [default: chosen by their size]
    #[arg(long)]
    pub partition: Option<String>,
    /// Quality of service of the jobs [default: chosen by their size where the machine has some]
    #[arg(long)]
    pub qos: Option<String>,
    /// Features that nodes must have [default: the machine's]
    #[arg(long)]
    pub constraint: Option<String>,
    /// Reservation that the jobs use
    #[arg(long)]
    pub reservation: Option<String>,
}

impl Asked {
    /// Slurm's options, the queue of a job where nothing else was asked for.
    fn directives(&self, machine: &Machine, queue: &str) -> Vec<String> {
        let chosen = Some(queue.to_string()).filter(|queue| !queue.is_empty());
        let default = |is_qos: bool| chosen.clone().filter(|_| machine.qos == is_qos);
        let options = [
            ("account", self.account.clone()),
            ("partition", self.partition.clone().or_else(|| default(false))),
            ("qos", self.qos.clone().or_else(|| default(true))),
            ("constraint", self.constraint.clone().or_else(|| machine.constraint.clone())),
            ("reservation", self.reservation.clone()),
        ];
        options.into_iter().filter_map(|(flag, value)| Some(format!("--{flag}={}", quote(&value?)))).collect()
    }
}

/// The text of a job.
pub fn job(production: &Production, job: &Job, settings: &Settings) -> String {
    let size = settings.machine.size(&job.work, settings.max_nodes, settings.time_scale);
    let array = settings.mode == Mode::Array && size.nodes > 1;
    let nodes = if array { 1 } else { size.nodes };
    let directives: String =
        directives(production, job, settings, &size, array).iter().map(|d| format!("#SBATCH {d}\n")).collect();
    let cpus = size.cpus.map_or(String::new(), |cpus| format!(" --cpus-per-task={cpus}"));
    format!(
        "#!/bin/bash -l\n# {name}; written by desi_pipe\n# {tasks} tasks, {minutes:.1} core-minutes{known}\n{directives}\n\
         {prologue}\
         # one desi_pipe_run a node; each runs {at_once} tasks at once, and they share the tasks out\n\
         srun --export=ALL --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1{cpus} --cpu-bind=none --no-kill \\\n    \
         --kill-on-bad-exit=0 --wait=0 {command} --jobs {at_once} &\nrun=$!\n\
         # time is nearly up: no task is started any more, those that run may end\n\
         late=\ntrap 'late=1; kill -USR1 $run' USR1\n\
         wait $run\ncode=$?\n\
         while [ -n \"$late\" ]; do\n    late=\n    wait $run\n    code=$?\ndone\nexit $code\n",
        name = job.name,
        tasks = job.work.tasks,
        minutes = job.work.minutes,
        known = if settings.measured { ", from the records of what ran" } else { ", as the pipeline's table guesses" },
        prologue = prologue(production, settings),
        at_once = size.at_once,
        command = command(job),
    )
}

fn directives(production: &Production, job: &Job, settings: &Settings, size: &Size, array: bool) -> Vec<String> {
    let nodes = if array { 1 } else { size.nodes };
    let log = production.logs().join(format!("{}_slurm_{}.log", job.name, if array { "%A_%a" } else { "%j" }));
    let mut directives = vec![
        format!("--job-name={}", job.name),
        format!("--chdir={}", quoted(&production.dir)),
        format!("--output={}", quoted(&log)),
        format!("--nodes={nodes}"),
        format!("--ntasks={nodes}"),
        "--ntasks-per-node=1".into(),
        format!("--time={:02}:{:02}:00", size.minutes / 60, size.minutes % 60),
        format!("--signal=B:USR1@{}", size.notice),
        // the tasks' claims and records say what is left to do: a node that is lost costs its tasks only
        "--no-kill".into(),
        "--no-requeue".into(),
        "--export=NONE".into(),
    ];
    directives.extend(size.cpus.map(|cpus| format!("--cpus-per-task={cpus}")));
    directives.extend((!settings.machine.shares_nodes).then(|| "--exclusive".into()));
    directives.extend(size.memory_mb.map(|memory| format!("--mem={memory}M")));
    directives.extend(array.then(|| format!("--array=0-{}", size.nodes - 1)));
    directives.extend(settings.asked.directives(&settings.machine, &size.queue));
    directives
}

/// The driver that submits jobs, each after those that it needs.
pub fn driver(production: &Production, jobs: &[Job], label: &str) -> String {
    let scripts = production.scripts();
    let mut text = format!(
        "#!/bin/bash\n# Submits the jobs of {label}; written by desi_pipe.\n\
         production={}\nscripts={}\nsource \"$scripts\"/submit.sh\n\n",
        quote(&production.dir.display().to_string()),
        quote(&scripts.display().to_string()),
    );
    for job in jobs {
        let names: Vec<&str> = std::iter::once(&job.name).chain(&job.after).map(String::as_str).collect();
        text += &format!("submit {}\n", names.join(" "));
    }
    text + "exit $status\n"
}

/// A machine as sinfo describes its partition (None: the default one), where sinfo answers sensibly.
pub fn asked_slurm(machine: Machine, partition: Option<&str>) -> Machine {
    let ask = Command::new("timeout")
        .args(["10", "sinfo", "--noheader", "--format=%P|%c|%m|%l|%D"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let answer = ask.ok().filter(|output| output.status.success());
    let text = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    described(&machine, &text, partition).unwrap_or(machine)
}

/// From lines `PARTITION|CPUS|MEMORY_MB|TIMELIMIT|NODES`; the default partition has a star, a number of nodes that
/// differ a plus.
fn described(machine: &Machine, text: &str, partition: Option<&str>) -> Option<Machine> {
    let mut found: Option<Machine> = None;
    for line in text.lines() {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, cpus, memory, limit, nodes] = fields[..] else { continue };
        let is_ours = match partition {
            Some(wanted) => name.trim_end_matches('*') == wanted,
            None => name.ends_with('*'),
        };
        let number = |text: &str| text.trim_end_matches('+').parse::<usize>().ok().filter(|n| *n > 0);
        let (Some(cpus), Some(memory), Some(nodes), true) = (number(cpus), number(memory), number(nodes), is_ours)
        else {
            continue;
        };
        // the same partition on a line for each kind of node: the smallest, so that jobs fit all
        let before = found.as_ref().map_or((usize::MAX, f64::INFINITY, 0), |m| (m.cores, m.memory_gb, m.max_nodes));
        let all_nodes = before.2 + nodes;
        let queue = Queue { name: String::new(), nodes: all_nodes, minutes: minutes(limit).unwrap_or(1440) };
        found = Some(Machine {
            cores: before.0.min(cpus),
            memory_gb: before.1.min(memory as f64 * 1e-3),
            max_nodes: all_nodes,
            shares_nodes: true,
            queues: vec![queue],
            ..machine.clone()
        });
    }
    found
}

/// Minutes of a time limit as Slurm writes it: `1-02:00:00`, `2:00:00`, `30:00`, `infinite`.
fn minutes(limit: &str) -> Option<usize> {
    let (days, rest) = limit.split_once('-').unwrap_or(("0", limit));
    let parts: Vec<usize> = rest.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let rest = match parts[..] {
        [hours, minutes, _] => 60 * hours + minutes,
        [minutes, _] => minutes,
        _ => return None,
    };
    Some(1440 * days.parse::<usize>().ok()? + rest).filter(|minutes| *minutes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinfo_describes_a_machine() {
        let machine = Machine::named("generic", None).unwrap();
        let text = "debug*|2+|21000|infinite|1\nlong|64|9000|2-00:30:00|7\ndebug*|8|9000|infinite|2\n";
        let found = described(&machine, text, None).unwrap();
        assert_eq!((found.cores, found.memory_gb, found.max_nodes, found.shares_nodes), (2, 9.0, 3, true));
        assert_eq!(found.queues[0].minutes, 1440);
        let found = described(&machine, text, Some("long")).unwrap();
        assert_eq!((found.cores, found.queues[0].minutes), (64, 2910));
        for nonsense in ["", "slurm_load_partitions: Unable to contact", "debug*|0|0|x|0", "a|b\n\u{0}"] {
            assert_eq!(described(&machine, nonsense, None), None);
        }
    }

    #[test]
    fn what_was_asked_for_goes_before_what_is_chosen() {
        let perlmutter = Machine::named("perlmutter", None).unwrap();
        assert_eq!(Asked::default().directives(&perlmutter, "debug"), ["--qos=debug", "--constraint=cpu"]);
        let asked = Asked { qos: Some("urgent".into()), constraint: Some("gpu&hbm".into()), ..Asked::default() };
        assert_eq!(asked.directives(&perlmutter, "debug"), ["--qos=urgent", "--constraint='gpu&hbm'"]);
    }
}
