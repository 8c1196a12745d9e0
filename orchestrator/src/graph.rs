//! The graph: every task of a production, what it needs and what needs it.

use crate::dependents::Dependents;
use crate::hash::Map;
use crate::keys::{Key, Space};
use crate::plan::NightPlan;
use crate::table::{Pattern, Root, Step, Table};
use crate::{Error, Result, graph_build, names};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::OnceLock;

/// Index of a task; tasks stand in an order in which each comes after those that make its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// Index of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A file that a task needs or makes.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Index of its kind in the table.
    pub kind: u16,
    /// Its keys.
    pub key: Key,
    /// The task that makes it; None for raw data and files that are given.
    pub maker: Option<TaskId>,
}

/// One run of a step's program.
#[derive(Debug, Clone)]
pub struct Task {
    /// Index of its step in the table.
    pub step: u16,
    /// The file that it makes.
    pub output: FileId,
    pub(crate) needs: Range<u32>,
}

/// One file that a task needs: the first alternative that can be had.
#[derive(Debug, Clone)]
pub struct Need {
    /// Index of the input in the step.
    pub slot: u16,
    pub(crate) alternatives: Range<u32>,
}

/// Tasks that were not planned because an input has no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplanned {
    /// Name that the task would have.
    pub task: String,
    /// The kind of file that it lacks.
    pub lacks: String,
}

/// All tasks and files of a production.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The pipeline.
    pub table: Table,
    /// Keys and their values.
    pub space: Space,
    /// Every file.
    pub files: Vec<File>,
    /// Every task.
    pub tasks: Vec<Task>,
    /// What could not be planned, and why.
    pub unplanned: Vec<Unplanned>,
    pub(crate) night: usize,
    pub(crate) needs: Vec<Need>,
    pub(crate) alternatives: Vec<FileId>,
    pub(crate) dependents: OnceLock<Dependents>,
    pub(crate) targets: Map<u32, u32>,
}

impl Graph {
    /// The tasks that follow from what the nights hold.
    ///
    /// # Errors
    /// [`Error::Table`] if a key in a plan has not its form.
    pub fn build(table: Table, space: Space, plans: &[NightPlan]) -> Result<Self> {
        graph_build::build(table, space, plans, |_, _| ()).map(|(graph, ())| graph)
    }

    /// A task.
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id.0 as usize]
    }

    /// A file.
    pub fn file(&self, id: FileId) -> &File {
        &self.files[id.0 as usize]
    }

    /// The keys of a task, which are those of its output.
    pub fn key(&self, id: TaskId) -> &Key {
        &self.file(self.task(id).output).key
    }

    /// All tasks in order.
    pub fn ids(&self) -> impl Iterator<Item = TaskId> + use<> {
        (0..self.tasks.len() as u32).map(TaskId)
    }

    /// The step of a task.
    pub fn step(&self, id: TaskId) -> &Step {
        &self.table.steps[usize::from(self.task(id).step)]
    }

    /// What a task needs.
    pub fn needs(&self, id: TaskId) -> &[Need] {
        let range = &self.task(id).needs;
        &self.needs[range.start as usize..range.end as usize]
    }

    /// The files that can serve a need, best first.
    pub fn alternatives(&self, need: &Need) -> &[FileId] {
        &self.alternatives[need.alternatives.start as usize..need.alternatives.end as usize]
    }

    /// The tasks that may need the output of this one.
    pub fn dependents(&self, id: TaskId) -> &[TaskId] {
        self.dependents.get_or_init(|| Dependents::of(self)).on(id)
    }

    /// The pattern of a file's path.
    pub fn pattern(&self, file: &File) -> &Pattern {
        let kind = &self.table.files[usize::from(file.kind)];
        if file.maker.is_none() { kind.raw.as_ref().unwrap_or(&kind.path) } else { &kind.path }
    }

    /// Root and relative path of a file.
    pub fn path(&self, id: FileId) -> (Root, String) {
        let file = self.file(id);
        let pattern = self.pattern(file);
        (pattern.root, pattern.render(&self.space, &file.key))
    }

    /// Path of a file with the root as a symbol, as records keep it.
    pub fn portable(&self, id: FileId) -> String {
        let mut path = String::with_capacity(64);
        self.portable_onto(id, &mut path);
        path
    }

    /// The same, at the end of a text.
    pub fn portable_onto(&self, id: FileId, text: &mut String) {
        let file = self.file(id);
        let pattern = self.pattern(file);
        text.push_str(pattern.root.symbol());
        text.push('/');
        pattern.render_onto(&self.space, &file.key, text);
    }

    fn night_text(&self, key: &Key) -> Option<&str> {
        Some(self.space.text(key, self.night)).filter(|text| !text.is_empty())
    }

    /// File name without extension.
    fn stem(&self, kind: usize, key: &Key) -> String {
        let mut name = String::with_capacity(32);
        self.table.files[kind].path.name_onto(&self.space, key, &mut name);
        name.truncate(name.find(".fits").unwrap_or(name.len()));
        name
    }

    /// Name in the plan of a file of this kind and key: night and file name without extension.
    pub(crate) fn name_of(&self, kind: usize, key: &Key) -> String {
        let stem = self.stem(kind, key);
        self.night_text(key).map_or_else(|| stem.clone(), |night| format!("{night}_{stem}"))
    }

    /// Name of a file in the plan.
    pub fn file_name(&self, id: FileId) -> String {
        let file = self.file(id);
        self.name_of(usize::from(file.kind), &file.key)
    }

    /// Name of a task: that of its output, after the night if it has one.
    pub fn name(&self, id: TaskId) -> String {
        self.file_name(self.task(id).output)
    }

    /// Name of a task in its folder.
    pub fn short_name(&self, id: TaskId) -> String {
        self.stem(self.step(id).output, self.key(id))
    }

    /// Folder of a task's logs and records: its night, else its step.
    pub fn folder(&self, id: TaskId) -> &str {
        self.night_text(self.key(id)).unwrap_or(&self.step(id).name)
    }

    /// The tasks of each night; one that has no night of its own belongs to those of its inputs.
    pub fn by_night(&self) -> BTreeMap<&str, Vec<TaskId>> {
        let mut nights: BTreeMap<&str, Vec<TaskId>> = BTreeMap::new();
        let mut without: Map<TaskId, BTreeSet<&str>> = Map::default();
        for task in self.ids() {
            let own: BTreeSet<&str> = match self.night_text(self.key(task)) {
                Some(night) => BTreeSet::from([night]),
                None => {
                    let files = self.needs(task).iter().flat_map(|need| self.alternatives(need));
                    let makers = files.clone().filter_map(|file| without.get(&self.file(*file).maker?));
                    let of_makers: BTreeSet<&str> = makers.flatten().copied().collect();
                    let of_files = files.filter_map(|file| self.night_text(&self.file(*file).key));
                    let all: BTreeSet<&str> = of_files.chain(of_makers).collect();
                    without.insert(task, all.clone());
                    all
                }
            };
            own.into_iter().for_each(|night| nights.entry(night).or_default().push(task));
        }
        nights
    }

    /// Targets in the brick of a task; 0 if it has none.
    pub fn targets(&self, id: TaskId) -> u32 {
        let brick = self.space.dim("brick").ok().and_then(|dim| self.key(id).get(dim));
        brick.and_then(|brick| self.targets.get(&brick)).copied().unwrap_or(0)
    }

    /// The task of this name; the night may be left out where that leaves no doubt.
    ///
    /// # Errors
    /// [`Error::Usage`] with the names that come close.
    pub fn find(&self, name: &str) -> Result<TaskId> {
        let matching = |of: &dyn Fn(TaskId) -> String| self.ids().filter(|id| of(*id) == name).collect::<Vec<_>>();
        if let [id] = matching(&|id| self.name(id))[..] {
            return Ok(id);
        }
        let short = matching(&|id| self.short_name(id));
        if let [id] = short[..] {
            return Ok(id);
        }
        let known: Vec<String> =
            if short.is_empty() { self.ids().collect() } else { short }.into_iter().map(|id| self.name(id)).collect();
        let hint = names::hint(name, known.iter().map(String::as_str), 8);
        Err(Error::Usage(format!("no task is called '{name}'{hint}")))
    }
}
