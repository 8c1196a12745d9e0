//! Machines that jobs are written for, and how large a job must be.

use crate::{Error, Result, names};
use serde::Deserialize;
use std::collections::BTreeMap;

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
    /// Most nodes that we ask for unless told otherwise.
    pub max_nodes: usize,
    /// Work of a core relative to the reference machine.
    pub speed: f64,
    /// `--constraint` of its jobs.
    pub constraint: Option<String>,
    /// Whether queues are chosen with `--qos` instead of `--partition`.
    #[serde(default)]
    pub qos: bool,
    /// Queues in order of preference.
    pub queues: Vec<Queue>,
}

/// Size of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Wall time in minutes.
    pub minutes: usize,
    /// Queue; empty: the site's default.
    pub queue: String,
}

impl Machine {
    /// The machine of this name.
    ///
    /// # Errors
    /// [`Error::Usage`] with the names that exist.
    pub fn named(name: &str) -> Result<Self> {
        let text = include_str!("../pipelines/machines.toml");
        let mut machines: BTreeMap<String, Self> =
            toml::from_str(text).map_err(|e| Error::Table(format!("machines.toml: {e}")))?;
        machines.remove(name).ok_or_else(|| {
            let hint = names::hint(name, machines.keys().map(String::as_str), machines.len());
            Error::Usage(format!("no machine is called '{name}'{hint}"))
        })
    }

    /// Nodes and wall time for tasks of these core-minutes each: one core a task, as many nodes as there are tasks
    /// for, twice the time that the rounds take, in steps of 10 minutes, at least 10.
    pub fn size(&self, tasks: usize, minutes: f64, max_nodes: usize, time_scale: f64) -> Size {
        const MARGIN: f64 = 2.0;
        let nodes = tasks.div_ceil(self.cores).clamp(1, max_nodes.max(1));
        let rounds = tasks.div_ceil(nodes * self.cores).max(1);
        let needed = rounds as f64 * minutes / self.speed * time_scale * MARGIN;
        let mut wall = ((needed / 10.0).ceil().max(1.0) * 10.0) as usize;
        let fits = |queue: &&Queue| nodes <= queue.nodes && wall <= queue.minutes;
        let queue = self.queues.iter().find(fits).or(self.queues.last());
        // the next run takes up what a job could not finish
        wall = queue.map_or(wall, |queue| wall.min(queue.minutes));
        Size { nodes, minutes: wall, queue: queue.map_or(String::new(), |queue| queue.name.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_grow_with_their_tasks() {
        let cori = Machine::named("cori").unwrap();
        assert_eq!(cori.size(30, 15.0, 64, 1.0), Size { nodes: 1, minutes: 30, queue: "debug".into() });
        assert_eq!(cori.size(30, 15.0, 64, 2.0), Size { nodes: 1, minutes: 60, queue: "regular".into() });
        assert_eq!(cori.size(65, 15.0, 2, 1.0), Size { nodes: 2, minutes: 60, queue: "regular".into() });
        // capped by the queue
        assert_eq!(cori.size(100_000, 15.0, 1, 1.0).minutes, 720);
    }

    #[test]
    fn an_unknown_machine_is_refused() {
        assert!(Machine::named("coro").unwrap_err().to_string().contains("cori"));
    }
}
