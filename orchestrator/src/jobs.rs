//! The jobs of a production: which tasks each runs, how much work they are, and which jobs must come before.

use crate::costs::Costs;
use crate::graph::{Graph, TaskId};
use crate::machine::Work;
use std::collections::{BTreeMap, BTreeSet};

/// A group of steps that one job runs, for a night or for all.
#[derive(Debug, Clone)]
pub struct Job {
    /// `GROUP_NIGHT` or `GROUP_all`.
    pub name: String,
    /// First step.
    pub first: String,
    /// Last step.
    pub last: String,
    /// Its night; None: all.
    pub night: Option<String>,
    /// What it has to do.
    pub work: Work,
    /// Jobs that make what it reads: those of its night, and of all nights.
    pub after: BTreeSet<String>,
}

/// The jobs of a production, each after those that it needs.
#[derive(Debug, Default)]
pub struct Jobs {
    /// A group's tasks of all nights.
    pub all: Vec<Job>,
    /// By night, with the part of the groups without a night (bricks) that the night has a share in.
    pub nights: BTreeMap<String, Vec<Job>>,
    /// In the order in which Slurm gets them: every night's, then those that have no night.
    pub chains: Vec<Job>,
}

/// A job of one group and night (None: the tasks that have none) while its tasks are counted.
#[derive(Default)]
struct Sum {
    work: Work,
    // the longest task of each step: in the worst case they wait for each other
    longest: BTreeMap<usize, f64>,
    after: BTreeSet<(usize, Option<u32>)>,
}

impl Sum {
    fn add(&mut self, graph: &Graph, costs: &Costs, task: TaskId) {
        let step = usize::from(graph.task(task).step);
        let (cost, minutes) = (costs.step(step), costs.minutes(graph, task));
        self.work.tasks += 1;
        self.work.minutes += minutes;
        let longest = self.longest.entry(step).or_default();
        *longest = longest.max(minutes * cost.slow);
        self.work.cores = self.work.cores.max(graph.step(task).cores);
        self.work.memory_mb = self.work.memory_mb.max(cost.memory_mb);
    }

    fn merge(&mut self, other: &Self) {
        self.work.tasks += other.work.tasks;
        self.work.minutes += other.work.minutes;
        self.work.cores = self.work.cores.max(other.work.cores);
        self.work.memory_mb = self.work.memory_mb.max(other.work.memory_mb);
        for (step, minutes) in &other.longest {
            let longest = self.longest.entry(*step).or_default();
            *longest = longest.max(*minutes);
        }
    }

    fn work(&self) -> Work {
        let longest = self.longest.values().copied();
        Work { chain: longest.clone().sum(), longest: longest.fold(0.0, f64::max), ..self.work }
    }
}

/// Groups of steps: names, with the first and last step; the steps of a group follow each other in the table.
fn groups(graph: &Graph) -> (Vec<(String, usize, usize)>, Vec<usize>) {
    let mut groups: Vec<(String, usize, usize)> = Vec::new();
    let mut of_step = Vec::new();
    for (index, step) in graph.table.steps.iter().enumerate() {
        match groups.last_mut() {
            Some((name, _, last)) if *name == step.group => *last = index,
            _ => groups.push((step.group.clone(), index, index)),
        }
        of_step.push(groups.len() - 1);
    }
    (groups, of_step)
}

impl Jobs {
    /// From all tasks, in one pass.
    pub fn of(graph: &Graph, costs: &Costs) -> Self {
        let (groups, of_step) = groups(graph);
        let night = graph.space.dim("night").ok();
        let night_of = |task: TaskId| night.and_then(|dim| graph.key(task).get(dim));
        let place = |task: TaskId| (of_step[usize::from(graph.task(task).step)], night_of(task));
        let mut sums: BTreeMap<(usize, Option<u32>), Sum> = BTreeMap::new();
        // the nights that a task without a night has a share in
        let mut shares: BTreeMap<TaskId, BTreeSet<u32>> = BTreeMap::new();
        let mut parts: BTreeMap<(usize, u32), Sum> = BTreeMap::new();
        for task in graph.ids() {
            let here = place(task);
            let sum = sums.entry(here).or_default();
            sum.add(graph, costs, task);
            let files = graph.needs(task).iter().flat_map(|need| graph.alternatives(need));
            let makers: BTreeSet<TaskId> = files.filter_map(|file| graph.file(*file).maker).collect();
            sum.after.extend(makers.iter().map(|maker| place(*maker)).filter(|there| *there != here));
            if here.1.is_none() {
                let of = |maker: &TaskId| {
                    shares.get(maker).cloned().unwrap_or_else(|| night_of(*maker).into_iter().collect())
                };
                let nights: BTreeSet<u32> = makers.iter().flat_map(of).collect();
                nights.iter().for_each(|night| parts.entry((here.0, *night)).or_default().add(graph, costs, task));
                shares.insert(task, nights);
            }
        }
        let text = |value: u32| night.map_or("", |dim| graph.space.values(dim)[value as usize].as_str()).to_string();
        let job = |group: usize, night: Option<u32>, sum: &Sum, after: BTreeSet<String>| {
            let (name, first, last) = &groups[group];
            let night = night.map(text);
            let label = night.as_deref().unwrap_or("all");
            let step = |index: usize| graph.table.steps[index].name.clone();
            Job {
                name: format!("{name}_{label}"),
                first: step(*first),
                last: step(*last),
                night,
                work: sum.work(),
                after,
            }
        };
        let name =
            |(group, night): (usize, Option<u32>)| format!("{}_{}", groups[group].0, night.map_or("all".into(), text));
        let mut jobs = Self::default();
        for group in 0..groups.len() {
            let of_group: Vec<_> = sums.range((group, None)..(group + 1, None)).collect();
            let mut total = Sum::default();
            of_group.iter().for_each(|(_, sum)| total.merge(sum));
            if total.work.tasks > 0 {
                jobs.all.push(job(group, None, &total, BTreeSet::new()));
            }
            for ((_, night), sum) in &of_group {
                let after = sum.after.iter().map(|place| name(*place)).collect();
                let made = job(group, *night, sum, after);
                made.night.iter().for_each(|n| jobs.nights.entry(n.clone()).or_default().push(made.clone()));
                jobs.chains.push(made);
            }
            for ((_, night), sum) in parts.range((group, 0)..(group + 1, 0)) {
                let after = sums.get(&(group, None)).map_or(BTreeSet::new(), |sum| sum.after.clone());
                let of_night = |(group, there): (usize, Option<u32>)| match there {
                    Some(there) if there != *night => None,
                    _ => Some(name((group, Some(*night)))),
                };
                let made = job(group, Some(*night), sum, after.into_iter().filter_map(of_night).collect());
                jobs.nights.entry(text(*night)).or_default().push(made);
            }
        }
        // a night after the other, then what has none
        jobs.chains.sort_by_key(|job| (job.night.is_none(), job.night.clone()));
        jobs
    }
}
