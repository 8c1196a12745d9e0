//! From the table and what the nights hold to the tasks: a join on the keys that inputs and tasks share.

use crate::Result;
use crate::graph::{File, FileId, Graph, Need, Task, TaskId, Unplanned};
use crate::keys::{Dims, Key, Space};
use crate::plan::{Exposure, NightPlan};
use crate::table::{Pick, Slot, Table};
use std::collections::{HashMap, HashSet};

/// Night and exposure.
type Exposed = (u32, u32);

/// A brick that an exposure touches, with the spectrograph that does (None: any).
type Touch = (Option<u32>, u32);

struct Builder {
    graph: Graph,
    by_kind: Vec<Vec<FileId>>,
    by_key: HashMap<(u16, Key), FileId>,
    flavors: HashMap<Exposed, String>,
    bricks: HashMap<Exposed, Vec<Touch>>,
    // cameras that a raw file of many cameras holds
    cameras: HashMap<FileId, Vec<u32>>,
    skipped: HashSet<(u32, usize)>,
    dims: Named,
}

#[derive(Clone, Copy)]
struct Named {
    night: usize,
    expid: usize,
    camera: usize,
    spectrograph: usize,
    brick: usize,
}

pub(crate) fn build(table: Table, space: Space, plans: &[NightPlan]) -> Result<Graph> {
    let dims = Named {
        night: space.dim("night")?,
        expid: space.dim("expid")?,
        camera: space.dim("camera")?,
        spectrograph: space.dim("spectrograph")?,
        brick: space.dim("brick")?,
    };
    let kinds = table.files.len();
    let graph = Graph {
        table,
        space,
        files: Vec::new(),
        tasks: Vec::new(),
        unplanned: Vec::new(),
        needs: Vec::new(),
        alternatives: Vec::new(),
        dependents: Vec::new(),
        targets: HashMap::new(),
    };
    let mut builder = Builder {
        graph,
        by_kind: vec![Vec::new(); kinds],
        by_key: HashMap::new(),
        flavors: HashMap::new(),
        bricks: HashMap::new(),
        cameras: HashMap::new(),
        skipped: HashSet::new(),
        dims,
    };
    for plan in plans {
        builder.add_night(plan)?;
    }
    for step in 0..builder.graph.table.steps.len() {
        builder.add_given(step);
        builder.add_step(step);
    }
    Ok(builder.with_dependents())
}

impl Builder {
    fn add_night(&mut self, plan: &NightPlan) -> Result<()> {
        let night = self.graph.space.intern(self.dims.night, &plan.night)?;
        for name in &plan.skip {
            let step = self.graph.table.step(name)?;
            self.skipped.insert((night, step));
        }
        for (expid, exposure) in &plan.exposures {
            let id = self.graph.space.intern(self.dims.expid, expid)?;
            let space = &self.graph.space;
            let key = space.with(space.with(Key::default(), self.dims.night, night), self.dims.expid, id);
            self.flavors.insert((night, id), exposure.flavor.clone());
            self.add_files(plan, exposure, key)?;
            self.add_bricks(plan, exposure, (night, id))?;
        }
        Ok(())
    }

    fn add_files(&mut self, plan: &NightPlan, exposure: &Exposure, key: Key) -> Result<()> {
        for (name, cameras) in &exposure.files {
            let Some(kind) = self.graph.table.files.iter().position(|f| f.name == *name) else { continue };
            let mut held = Vec::new();
            for camera in cameras {
                let id = self.graph.space.intern(self.dims.camera, camera)?;
                let with_camera = self.graph.space.with(key, self.dims.camera, id);
                if plan.spectrographs.contains(self.graph.space.text(&with_camera, self.dims.spectrograph)) {
                    held.push((id, with_camera));
                }
            }
            if self.graph.table.files[kind].dims.has(self.dims.camera) {
                for (_, with_camera) in held {
                    self.add_file(kind, with_camera, None);
                }
            } else {
                let file = self.add_file(kind, key, None);
                self.cameras.insert(file, held.into_iter().map(|(id, _)| id).collect());
            }
        }
        Ok(())
    }

    fn add_bricks(&mut self, plan: &NightPlan, exposure: &Exposure, at: Exposed) -> Result<()> {
        for (spectrograph, bricks) in &exposure.bricks {
            let any = spectrograph == "all";
            if !any && !plan.spectrographs.contains(spectrograph) {
                continue;
            }
            let id = if any { None } else { Some(self.graph.space.intern(self.dims.spectrograph, spectrograph)?) };
            for (brick, targets) in bricks {
                let brick = self.graph.space.intern(self.dims.brick, brick)?;
                self.bricks.entry(at).or_default().push((id, brick));
                let most = self.graph.targets.entry(brick).or_default();
                *most = (*most).max(*targets);
            }
        }
        Ok(())
    }

    /// A file of this kind and key; the same one if it is there already, now made by `maker` if one is given.
    fn add_file(&mut self, kind: usize, key: Key, maker: Option<TaskId>) -> FileId {
        let next = FileId(self.graph.files.len() as u32);
        let id = *self.by_key.entry((kind as u16, key)).or_insert(next);
        if id == next {
            self.graph.files.push(File { kind: kind as u16, key, maker });
            self.by_kind[kind].push(id);
        } else if maker.is_some() {
            self.graph.files[id.0 as usize].maker = maker;
        }
        id
    }

    /// Where a step is skipped its files are given: one for each camera that the night has.
    fn add_given(&mut self, step: usize) {
        if self.skipped.is_empty() {
            return;
        }
        let output = self.graph.table.steps[step].output;
        let dims = self.graph.table.files[output].dims;
        let keys: Vec<Key> = self.graph.files.iter().map(|file| file.key).collect();
        for key in keys {
            if self.is_skipped(&key, step) && dims.without(key.dims()).is_empty() {
                self.add_file(output, key.project(dims), None);
            }
        }
    }

    fn is_skipped(&self, key: &Key, step: usize) -> bool {
        key.get(self.dims.night).is_some_and(|night| self.skipped.contains(&(night, step)))
    }

    fn add_step(&mut self, step: usize) {
        let slots = self.graph.table.steps[step].inputs.clone();
        let output = self.graph.table.steps[step].output;
        let dims = self.graph.table.files[output].dims;
        let mut seen = HashSet::new();
        let mut keys: Vec<Key> = self
            .files_of(&slots[0])
            .flat_map(|file| self.expand(file, dims))
            .filter(|key| !self.is_skipped(key, step) && seen.insert(*key))
            .collect();
        keys.sort_by(|a, b| self.graph.space.compare(a, b, &self.graph.table.order));
        let indexes: Vec<Index> = slots.iter().map(|slot| self.index(slot, dims)).collect();
        for key in keys {
            let found: Vec<Vec<Vec<FileId>>> =
                indexes.iter().zip(&slots).map(|(index, slot)| self.matches(index, slot, &key)).collect();
            match found.iter().position(Vec::is_empty) {
                None => self.add_task(step, output, key, found),
                Some(slot) => {
                    let lacks = self.graph.table.files[slots[slot].file].name.clone();
                    let task = self.graph.name_of(output, &key);
                    self.graph.unplanned.push(Unplanned { task, lacks });
                }
            }
        }
    }

    fn add_task(&mut self, step: usize, output: usize, key: Key, found: Vec<Vec<Vec<FileId>>>) {
        let id = TaskId(self.graph.tasks.len() as u32);
        let first = self.graph.needs.len() as u32;
        for (slot, needs) in found.into_iter().enumerate() {
            for alternatives in needs {
                let start = self.graph.alternatives.len() as u32;
                self.graph.alternatives.extend(alternatives);
                let end = self.graph.alternatives.len() as u32;
                self.graph.needs.push(Need { slot: slot as u16, alternatives: start..end });
            }
        }
        let needs = first..self.graph.needs.len() as u32;
        let output = self.add_file(output, key, Some(id));
        self.graph.tasks.push(Task { step: step as u16, key, output, needs });
    }

    /// The files of an input's kind whose exposure has one of its flavours.
    fn files_of(&self, slot: &Slot) -> impl Iterator<Item = FileId> {
        let wanted = slot.flavor.clone();
        self.by_kind[slot.file].iter().copied().filter(move |file| {
            wanted.is_empty() || self.flavor(&self.graph.file(*file).key).is_some_and(|f| wanted.iter().any(|w| w == f))
        })
    }

    fn flavor(&self, key: &Key) -> Option<&str> {
        let at = (key.get(self.dims.night)?, key.get(self.dims.expid)?);
        self.flavors.get(&at).map(String::as_str)
    }

    /// The keys `dims` that a file covers: its own, or those of the cameras that it holds or the bricks that it touches.
    fn expand(&self, file: FileId, dims: Dims) -> Vec<Key> {
        let key = self.graph.file(file).key;
        let missing = dims.without(key.dims());
        let space = &self.graph.space;
        if missing.is_empty() {
            return vec![key.project(dims)];
        }
        if missing.has(self.dims.camera) {
            let cameras = self.cameras.get(&file).map_or(&[][..], Vec::as_slice);
            return cameras.iter().map(|c| space.with(key, self.dims.camera, *c).project(dims)).collect();
        }
        let (true, Some(night), Some(expid)) =
            (missing.has(self.dims.brick), key.get(self.dims.night), key.get(self.dims.expid))
        else {
            return Vec::new();
        };
        let own = key.get(self.dims.spectrograph);
        let bricks = self.bricks.get(&(night, expid)).map_or(&[][..], Vec::as_slice);
        let touching = bricks.iter().filter(|(s, _)| s.is_none() || own.is_none() || *s == own);
        touching.map(|(_, brick)| space.with(key, self.dims.brick, *brick).project(dims)).collect()
    }

    /// An input's files by the keys that they share with the task.
    fn index(&self, slot: &Slot, task: Dims) -> Index {
        let file = self.graph.table.files[slot.file].dims;
        let mut dims = file.and(task);
        if slot.pick != Pick::All {
            dims = dims.without(Dims::one(self.dims.expid));
        }
        if task.has(self.dims.brick) {
            dims = dims.or(Dims::one(self.dims.brick));
        }
        let mut files: HashMap<Key, Vec<FileId>> = HashMap::new();
        for file in self.files_of(slot) {
            for key in self.expand(file, dims) {
                files.entry(key).or_default().push(file);
            }
        }
        for list in files.values_mut() {
            list.sort_by(|a, b| self.compare(*a, *b));
            list.dedup();
        }
        Index { dims, files }
    }

    fn compare(&self, a: FileId, b: FileId) -> std::cmp::Ordering {
        let key = |id: FileId| &self.graph.file(id).key;
        self.graph.space.compare(key(a), key(b), &self.graph.table.order)
    }

    /// The files that serve a task: for each need its alternatives, best first.
    fn matches(&self, index: &Index, slot: &Slot, task: &Key) -> Vec<Vec<FileId>> {
        let files = index.files.get(&task.project(index.dims)).map_or(&[][..], Vec::as_slice);
        if slot.pick == Pick::All {
            return files.iter().map(|file| vec![*file]).collect();
        }
        // one need for each set of files that differ by their exposure only; files come sorted, so groups do too
        let expid = Dims::one(self.dims.expid);
        let mut groups: Vec<(Key, Vec<FileId>)> = Vec::new();
        for file in files {
            let key = self.graph.file(*file).key;
            let apart = key.project(key.dims().without(expid));
            match groups.iter_mut().find(|(known, _)| *known == apart) {
                Some((_, group)) => group.push(*file),
                None => groups.push((apart, vec![*file])),
            }
        }
        let own = self.graph.space.text(task, self.dims.expid);
        groups.into_iter().map(|(_, group)| self.by_preference(group, slot.pick, own)).collect()
    }

    fn by_preference(&self, mut group: Vec<FileId>, pick: Pick, own: &str) -> Vec<FileId> {
        let number = |file: &FileId| self.graph.space.text(&self.graph.file(*file).key, self.dims.expid).to_string();
        group.sort_by_key(number);
        if pick == Pick::Recent {
            let after = group.partition_point(|file| number(file).as_str() < own);
            group[..after].reverse();
        }
        group
    }

    fn with_dependents(mut self) -> Graph {
        let mut dependents = vec![Vec::new(); self.graph.tasks.len()];
        for id in self.graph.ids() {
            for need in self.graph.needs(id) {
                for file in self.graph.alternatives(need) {
                    if let Some(maker) = self.graph.file(*file).maker {
                        dependents[maker.0 as usize].push(id);
                    }
                }
            }
        }
        dependents.iter_mut().for_each(Vec::dedup);
        self.graph.dependents = dependents;
        self.graph
    }
}

struct Index {
    dims: Dims,
    files: HashMap<Key, Vec<FileId>>,
}
