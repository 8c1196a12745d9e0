//! Who needs the output of a task: the edges of the graph backwards, found when first asked for.

use crate::graph::{Graph, TaskId};

/// For each task those that may need its output.
#[derive(Debug, Clone)]
pub struct Dependents {
    tasks: Vec<TaskId>,
    // those of task N from here up to the next
    from: Vec<u32>,
}

impl Dependents {
    /// Of all tasks: counted, then filled in.
    pub fn of(graph: &Graph) -> Self {
        let count = graph.tasks.len();
        let mut from = vec![0u32; count + 1];
        each_edge(graph, |maker, _| from[maker.0 as usize + 1] += 1);
        (0..count).for_each(|task| from[task + 1] += from[task]);
        let mut next = from.clone();
        let mut tasks = vec![TaskId(0); from[count] as usize];
        each_edge(graph, |maker, task| {
            let place = &mut next[maker.0 as usize];
            tasks[*place as usize] = task;
            *place += 1;
        });
        Self { tasks, from }
    }

    /// Of one task, in order.
    pub fn on(&self, task: TaskId) -> &[TaskId] {
        let index = task.0 as usize;
        &self.tasks[self.from[index] as usize..self.from[index + 1] as usize]
    }
}

/// Visits maker and task; a task that needs several files of one maker counts once.
fn each_edge(graph: &Graph, mut visit: impl FnMut(TaskId, TaskId)) {
    let mut last = vec![None; graph.tasks.len()];
    for task in graph.ids() {
        let files = graph.needs(task).iter().flat_map(|need| graph.alternatives(need));
        for maker in files.filter_map(|file| graph.file(*file).maker) {
            if last[maker.0 as usize].replace(task) != Some(task) {
                visit(maker, task);
            }
        }
    }
}
