//! Machines that jobs are written for, and how large a job must be.

use crate::{Error, Result, names};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A queue of a machine; one without a name is the site's default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Partition or quality of service.
    pub name: String,
    /// Most nodes of a job.
    pub nodes: usize,
    /// Most minutes of a job.
    pub minutes: usize,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Cores of a node.
    pub cores: usize,
    /// Logical CPUs of a core.
    #[serde(default = "one")]
    pub threads_per_core: usize,
    /// Memory of a node, 10^9 bytes.
    pub memory_gb: f64,
    /// Most nodes that we ask for unless told otherwise.
    pub max_nodes: usize,
    /// Work of a core relative to the reference machine.
    pub speed: f64,
    /// `--constraint` of its jobs.
    pub constraint: Option<String>,
    /// Whether queues are chosen with `--qos` instead of `--partition`.
    #[serde(default)]
    pub qos: bool,
    /// Whether sinfo is to be asked.
    #[serde(default)]
    pub ask_slurm: bool,
    /// Whether a job may take a part of a node; what sinfo said is then true of all nodes.
    #[serde(skip)]
    pub shares_nodes: bool,
    /// Queues in order of preference.
    pub queues: Vec<Queue>,
}

fn one() -> usize {
    1
}

/// The work of a job.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Tasks.
    pub tasks: usize,
    /// Core-minutes of all.
    pub minutes: f64,
    /// Core-minutes of the longest chain of tasks that wait for each other.
    pub chain: f64,
    /// Core-minutes of the longest task.
    pub longest: f64,
    /// Cores that a task is to have.
    pub cores: usize,
    /// Memory of a task, 10^6 bytes; 0: not known.
    pub memory_mb: f64,
}

/// Size of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Tasks at once on a node.
    pub at_once: usize,
    /// Logical CPUs on each node; None: whole nodes of unknown size.
    pub cpus: Option<usize>,
    /// Memory on each node, 10^6 bytes; None: what the node has.
    pub memory_mb: Option<usize>,
    /// Wall time in minutes.
    pub minutes: usize,
    /// Seconds before the end at which no more tasks are to start.
    pub notice: usize,
    /// Queue; empty: the site's default.
    pub queue: String,
}

impl Machine {
    /// The machine of this name: from a file, if there is one and it has it, else a built-in one.
    ///
    /// # Errors
    /// [`Error::Usage`] with the names that exist; if the file cannot be read or is wrong.
    pub fn named(name: &str, file: Option<&Path>) -> Result<Self> {
        let mut machines = parse(include_str!("../pipelines/machines.toml"))
            .map_err(|e| Error::Table(format!("machines.toml: {e}")))?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
            machines.extend(parse(&text).map_err(|e| Error::content(path, e))?);
        }
        machines.remove(name).ok_or_else(|| {
            let hint = names::hint(name, machines.keys().map(String::as_str), machines.len());
            Error::Usage(format!("no machine is called '{name}'{hint}"))
        })
    }

    /// A number that no machine has.
    fn senseless(&self) -> Option<&'static str> {
        let counts =
            [("cores", self.cores), ("threads_per_core", self.threads_per_core), ("max_nodes", self.max_nodes)];
        let of_queues = self.queues.iter().flat_map(|queue| [("nodes", queue.nodes), ("minutes", queue.minutes)]);
        let counts = counts.into_iter().chain(of_queues).map(|(field, count)| (field, count as f64));
        let mut all = counts.chain([("memory_gb", self.memory_gb), ("speed", self.speed)]);
        all.find(|(_, number)| !(*number > 0.0 && number.is_finite())).map(|(field, _)| field)
    }

    /// Size of a job: as many tasks at once on a node as cores and memory allow; as many nodes as there are tasks for,
    /// but not so many that the job is over in less than ten minutes; the time that any order of the tasks keeps (the
    /// sum over all cores and the longest chain: Graham 1969, SIAM J. Appl. Math. 17, 416), times 1.5, in steps of ten
    /// minutes. A job that would last longer than a queue allows gets more nodes, then less time than it needs: the next
    /// takes up what it leaves.
    pub fn size(&self, work: &Work, max_nodes: usize, time_scale: f64) -> Size {
        const MARGIN: f64 = 1.5;
        const SHORTEST: f64 = 10.0;
        let cores = work.cores.clamp(1, self.cores);
        let by_memory = (0.9e3 * self.memory_gb / work.memory_mb.max(1.0)) as usize;
        let at_once = (self.cores / cores).min(by_memory).clamp(1, work.tasks.max(1));
        let factor = time_scale / (self.speed * cores as f64);
        let wall = |nodes: usize| {
            let needed = (work.minutes / (nodes * at_once) as f64 + work.chain) * factor * MARGIN;
            ((needed / SHORTEST).ceil().max(1.0) * SHORTEST) as usize
        };
        let most_of_queue = self.queues.iter().map(|queue| queue.nodes).max().unwrap_or(1);
        let most = work.tasks.div_ceil(at_once).clamp(1, max_nodes.min(most_of_queue).max(1));
        let worthwhile = (work.minutes * factor / (at_once as f64 * SHORTEST)).ceil() as usize;
        let longest = self.queues.iter().map(|queue| queue.minutes).max().unwrap_or(usize::MAX);
        let fewest = worthwhile.clamp(1, most);
        let nodes = (fewest..=most).find(|nodes| wall(*nodes) <= longest).unwrap_or(most);
        let fits = |queue: &&Queue| nodes <= queue.nodes && wall(nodes) <= queue.minutes;
        let roomiest = || self.queues.iter().filter(|q| nodes <= q.nodes).max_by_key(|queue| queue.minutes);
        let queue = self.queues.iter().find(fits).or_else(roomiest);
        let minutes = queue.map_or(wall(nodes), |queue| wall(nodes).min(queue.minutes));
        let memory = work.memory_mb * 1.25 * at_once as f64 + 500.0;
        let known = self.shares_nodes && work.memory_mb > 0.0 && self.memory_gb > 1.0;
        Size {
            nodes,
            at_once,
            cpus: match (self.shares_nodes, self.ask_slurm) {
                (true, _) => Some(at_once * cores * self.threads_per_core),
                (false, true) => None,
                (false, false) => Some(self.cores * self.threads_per_core),
            },
            memory_mb: known.then(|| memory.min(0.95e3 * self.memory_gb) as usize),
            minutes,
            notice: ((work.longest * factor * MARGIN * 60.0) as usize).clamp(60, (minutes * 30).max(60)),
            queue: queue.map_or(String::new(), |queue| queue.name.clone()),
        }
    }
}

fn parse(text: &str) -> std::result::Result<BTreeMap<String, Machine>, String> {
    let machines: BTreeMap<String, Machine> = toml::from_str(text).map_err(|e| e.to_string())?;
    for (name, machine) in &machines {
        if let Some(field) = machine.senseless() {
            return Err(format!("{name}: {field} is to be a number greater than 0"));
        }
    }
    Ok(machines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(tasks: usize, minutes: f64) -> Work {
        let sum = tasks as f64 * minutes;
        Work { tasks, minutes: sum, chain: minutes, longest: minutes, cores: 1, memory_mb: 1000.0 }
    }

    #[test]
    fn jobs_grow_with_their_tasks_and_costs() {
        let machine = Machine { speed: 1.0, ..Machine::named("cori", None).unwrap() };
        let size = |tasks, minutes, nodes, scale| {
            let size = machine.size(&work(tasks, minutes), nodes, scale);
            (size.nodes, size.minutes, size.queue)
        };
        // 30 tasks on 32 cores: (15 + 15) x 1.5
        assert_eq!(size(30, 15.0, 64, 1.0), (1, 50, "regular".into()));
        assert_eq!(size(30, 15.0, 64, 0.5), (1, 30, "debug".into()));
        // 3200 tasks of a second are no work for a hundred nodes
        assert_eq!(size(3200, 1.0 / 60.0, 64, 1.0), (1, 10, "debug".into()));
        assert_eq!(size(3200, 15.0, 64, 1.0).0, 64);
        assert_eq!(size(3200, 15.0, 2, 1.0).0, 2);
        // capped by the queue
        assert_eq!(size(100_000, 15.0, 1, 1.0).1, 720);
    }

    #[test]
    fn cores_and_memory_limit_the_tasks_at_once() {
        let machine = Machine::named("cori", None).unwrap();
        assert_eq!(machine.size(&work(99, 1.0), 64, 1.0).at_once, 32);
        assert_eq!(machine.size(&Work { cores: 8, ..work(99, 1.0) }, 64, 1.0).at_once, 4);
        assert_eq!(machine.size(&Work { memory_mb: 50e3, ..work(99, 1.0) }, 64, 1.0).at_once, 2);
        let perlmutter = Machine::named("perlmutter", None).unwrap();
        assert_eq!(perlmutter.size(&work(99, 1.0), 64, 1.0).cpus, Some(256));
        let shared = Machine { shares_nodes: true, ..machine };
        let size = shared.size(&work(3, 1.0), 64, 1.0);
        assert_eq!((size.cpus, size.memory_mb), (Some(3), Some(4250)));
    }

    #[test]
    fn an_unknown_machine_and_a_senseless_one_are_refused() {
        assert!(Machine::named("coro", None).unwrap_err().to_string().contains("cori"));
        let sound = "[ours]\ncores = 8\nmemory_gb = 9.0\nmax_nodes = 7\nspeed = 1.0\n\
                     queues = [{ name = \"\", nodes = 6, minutes = 5 }]\n";
        assert!(parse(sound).is_ok());
        for (good, bad) in [("= 8", "= 0"), ("9.0", "-1"), ("7", "0"), ("1.0", "nan"), ("6", "0"), ("5", "0")] {
            assert!(parse(&sound.replacen(good, bad, 1)).unwrap_err().starts_with("ours: "), "{bad} for {good}");
        }
    }
}
