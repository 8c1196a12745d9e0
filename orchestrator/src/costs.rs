//! What the tasks of each step cost: from the records of the production where there are some, else from the table.

use crate::graph::{Graph, TaskId};
use crate::history;
use crate::production::Production;
use crate::record::{Ending, Record};
use crate::table::Step;

/// Cost of the tasks of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Core-minutes of a task.
    pub minutes: f64,
    /// Core-minutes for each target of its brick.
    pub minutes_per_target: f64,
    /// The slow ones (19 of 20 are faster) take this times as long.
    pub slow: f64,
    /// Memory, 10^6 bytes; 0: not known.
    pub memory_mb: f64,
    /// Whether records say so; else it is the table's guess for the reference machine.
    pub measured: bool,
}

/// Costs by step.
#[derive(Debug, Clone)]
pub struct Costs {
    steps: Vec<Cost>,
}

/// Attempts of a step that are looked for, and that are enough.
const LOOKED_AT: usize = 256;
const ENOUGH: usize = 64;

impl Costs {
    /// From a sample of the records, spread evenly over the tasks of each step.
    pub fn of(production: &Production, graph: &Graph) -> Self {
        let mut tasks: Vec<Vec<TaskId>> = vec![Vec::new(); graph.table.steps.len()];
        graph.ids().for_each(|task| tasks[usize::from(graph.task(task).step)].push(task));
        let steps = graph.table.steps.iter().zip(&tasks).map(|(step, tasks)| {
            let sample: Vec<Sample> = tasks
                .iter()
                .step_by(tasks.len().div_ceil(LOOKED_AT).max(1))
                .filter_map(|task| Sample::read(production, graph, *task))
                .take(ENOUGH)
                .collect();
            measured(step, &sample)
        });
        Self { steps: steps.collect() }
    }

    /// Cost of the tasks of a step.
    pub fn step(&self, step: usize) -> &Cost {
        &self.steps[step]
    }

    /// Whether records say something of any step.
    pub fn are_measured(&self) -> bool {
        self.steps.iter().any(|cost| cost.measured)
    }

    /// Core-minutes of a task.
    pub fn minutes(&self, graph: &Graph, task: TaskId) -> f64 {
        let cost = self.step(usize::from(graph.task(task).step));
        cost.minutes + cost.minutes_per_target * f64::from(graph.targets(task))
    }
}

struct Sample {
    minutes: f64,
    memory_mb: f64,
    targets: f64,
}

impl Sample {
    /// The first attempt at a task, if it went well.
    fn read(production: &Production, graph: &Graph, task: TaskId) -> Option<Self> {
        let record = Record::read(&history::record_path(production, graph, task, 1))?;
        let minutes = record.cpu_seconds / 60.0;
        (record.ending == Ending::Done).then(|| Self {
            minutes,
            memory_mb: record.peak_memory_mb,
            targets: f64::from(graph.targets(task)),
        })
    }
}

/// The table's cost, scaled to the median of the sample.
fn measured(step: &Step, sample: &[Sample]) -> Cost {
    const FEW: usize = 3;
    let guess = Cost {
        minutes: step.minutes,
        minutes_per_target: step.minutes_per_target,
        slow: 2.0,
        memory_mb: step.memory_mb,
        measured: false,
    };
    if sample.len() < FEW {
        return guess;
    }
    let expected = |s: &Sample| step.minutes + step.minutes_per_target * s.targets;
    let has_guess = sample.iter().all(|s| expected(s) > 0.0);
    let mut ratios: Vec<f64> =
        sample.iter().map(|s| if has_guess { s.minutes / expected(s) } else { s.minutes }).collect();
    ratios.sort_by(f64::total_cmp);
    let quantile = |q: f64| ratios[((ratios.len() - 1) as f64 * q).round() as usize];
    let (median, slow) = (quantile(0.5), quantile(0.95));
    Cost {
        minutes: if has_guess { step.minutes * median } else { median },
        minutes_per_target: if has_guess { step.minutes_per_target * median } else { 0.0 },
        slow: if median > 0.0 { (slow / median).max(1.0) } else { 1.0 },
        memory_mb: sample.iter().map(|s| s.memory_mb).fold(0.0, f64::max),
        measured: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{DESI, Table};

    #[test]
    fn records_scale_the_guess() {
        let (table, _) = Table::parse(DESI).unwrap();
        let step = &table.steps[table.step("zfind").unwrap()];
        let expected = |targets: f64| step.minutes + step.minutes_per_target * targets;
        // three times as slow as the table says, one of twenty six times
        let sample = |n: usize| {
            let targets = n as f64;
            let factor = if n == 20 { 6.0 } else { 3.0 };
            Sample { minutes: factor * expected(targets), memory_mb: 100.0 + targets, targets }
        };
        let cost = measured(step, &(1..=20).map(sample).collect::<Vec<_>>());
        assert!((cost.minutes / step.minutes - 3.0).abs() < 1e-9 && cost.measured, "{cost:?}");
        assert!((cost.minutes_per_target / step.minutes_per_target - 3.0).abs() < 1e-9, "{cost:?}");
        assert!((cost.slow - 1.0).abs() < 1e-9 && cost.memory_mb == 120.0, "{cost:?}");
        assert!(!measured(step, &[sample(1)]).measured);
    }
}
