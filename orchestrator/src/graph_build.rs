//! From the table and what the nights hold to the tasks: a join on the keys that inputs and tasks share.

use crate::Result;
use crate::graph::{File, FileId, Graph, Need, Task, TaskId, Unplanned};
use crate::hash::Map;
use crate::keys::{Dims, Key, Ranks, Space};
use crate::plan::{Exposure, NightPlan};
use crate::table::{Pick, Slot, Table};
use std::collections::HashSet;
use std::sync::OnceLock;

/// Night and exposure.
type Exposed = (u32, u32);

/// A brick that an exposure touches, with the spectrograph that does (None: any).
type Touch = (Option<u32>, u32);

struct Builder {
    graph: Graph,
    by_kind: Vec<Vec<FileId>>,
    by_key: Vec<Map<Key, FileId>>,
    // the last file of each kind that was looked for
    found: Vec<FileId>,
    flavors: Map<Exposed, String>,
    bricks: Map<Exposed, Vec<Touch>>,
    // cameras that a raw file of many cameras holds
    cameras: Map<FileId, Vec<u32>>,
    skipped: HashSet<(u32, usize)>,
    dims: Named,
    ranks: Ranks,
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
        dependents: OnceLock::new(),
        targets: Map::default(),
    };
    let mut builder = Builder {
        ranks: graph.space.ranks(),
        graph,
        by_kind: vec![Vec::new(); kinds],
        by_key: vec![Map::default(); kinds],
        found: vec![FileId(0); kinds],
        flavors: Map::default(),
        bricks: Map::default(),
        cameras: Map::default(),
        skipped: HashSet::new(),
        dims,
    };
    for plan in plans {
        builder.add_night(plan)?;
    }
    builder.ranks = builder.graph.space.ranks();
    for step in 0..builder.graph.table.steps.len() {
        builder.add_given(step);
        builder.add_step(step);
    }
    Ok(builder.graph)
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
        let id = *self.by_key[kind].entry(key).or_insert(next);
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
        let lookups: Vec<Lookup> = slots.iter().map(|slot| self.lookup(slot, dims)).collect();
        let keys = self.keys_of_tasks(step, &slots[0], dims);
        self.by_key[output].reserve(keys.len());
        for key in keys {
            let first = self.graph.needs.len();
            let lacking = (0..slots.len()).find(|slot| !self.add_needs(*slot, &lookups[*slot], &slots[*slot], &key));
            match lacking {
                None => self.add_task(step, output, key, first),
                Some(slot) => {
                    self.graph.needs.truncate(first);
                    let lacks = self.graph.table.files[slots[slot].file].name.clone();
                    let task = self.graph.name_of(output, &key);
                    self.graph.unplanned.push(Unplanned { task, lacks });
                }
            }
        }
    }

    /// The keys of a step's tasks, sorted: those of its output that its first input covers.
    fn keys_of_tasks(&self, step: usize, first: &Slot, dims: Dims) -> Vec<Key> {
        let order = &self.graph.table.order;
        let keys = self.files_of(first).flat_map(|file| self.expand(file, dims));
        let wanted = keys.filter(|key| !self.is_skipped(key, step));
        let mut sorted: Vec<_> = wanted.map(|key| (self.ranks.sorting(&key, order), key)).collect();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.into_iter().map(|(_, key)| key).collect()
    }

    fn add_task(&mut self, step: usize, output: usize, key: Key, first_need: usize) {
        let id = TaskId(self.graph.tasks.len() as u32);
        let needs = first_need as u32..self.graph.needs.len() as u32;
        let output = self.add_file(output, key, Some(id));
        self.graph.tasks.push(Task { step: step as u16, key, output, needs });
    }

    /// The files of an input's kind whose exposure has one of its flavours.
    fn files_of(&self, slot: &Slot) -> impl Iterator<Item = FileId> {
        self.by_kind[slot.file].iter().copied().filter(move |file| self.has_flavor(*file, slot))
    }

    fn has_flavor(&self, file: FileId, slot: &Slot) -> bool {
        let flavor = || self.flavor(&self.graph.file(file).key);
        slot.flavor.is_empty() || flavor().is_some_and(|flavor| slot.flavor.iter().any(|wanted| wanted == flavor))
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

    /// How to find an input's files by the keys that they share with the task.
    fn lookup(&self, slot: &Slot, task: Dims) -> Lookup {
        let file = self.graph.table.files[slot.file].dims;
        if slot.pick == Pick::All && file.without(task).is_empty() {
            return Lookup::Own(file);
        }
        let mut dims = file.and(task);
        if slot.pick != Pick::All {
            dims = dims.without(Dims::one(self.dims.expid));
        }
        if task.has(self.dims.brick) {
            dims = dims.or(Dims::one(self.dims.brick));
        }
        let mut files: Map<Key, Vec<FileId>> = Map::default();
        for file in self.files_of(slot) {
            for key in self.expand(file, dims) {
                files.entry(key).or_default().push(file);
            }
        }
        let order = &self.graph.table.order;
        for list in files.values_mut() {
            list.sort_by_cached_key(|id| self.ranks.sorting(&self.graph.file(*id).key, order));
            list.dedup();
        }
        Lookup::Shared(dims, files)
    }

    /// Adds what a task needs of one input: for each need the files that serve it, best first; false if there is none.
    fn add_needs(&mut self, index: usize, lookup: &Lookup, slot: &Slot, task: &Key) -> bool {
        let (dims, files) = match lookup {
            Lookup::Own(dims) => {
                let file = self.find(slot.file, task.project(*dims));
                let file = file.filter(|file| self.has_flavor(*file, slot));
                file.into_iter().for_each(|file| self.add_need(index, [file]));
                return file.is_some();
            }
            Lookup::Shared(dims, files) => (dims, files),
        };
        let files = files.get(&task.project(*dims)).map_or(&[][..], Vec::as_slice);
        if slot.pick == Pick::All {
            files.iter().for_each(|file| self.add_need(index, [*file]));
            return !files.is_empty();
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
        let any = !groups.is_empty();
        for (_, group) in groups {
            let group = self.by_preference(group, slot.pick, task);
            self.add_need(index, group);
        }
        any
    }

    /// The file of this kind and key. Tasks come in the order of their inputs: it often lies beside the last one found.
    fn find(&mut self, kind: usize, key: Key) -> Option<FileId> {
        let next = FileId(self.found[kind].0 + 1);
        let beside = self.graph.files.get(next.0 as usize);
        let is_it = beside.is_some_and(|file| usize::from(file.kind) == kind && file.key == key);
        let file = if is_it { Some(next) } else { self.by_key[kind].get(&key).copied() };
        self.found[kind] = file.unwrap_or(self.found[kind]);
        file
    }

    fn add_need(&mut self, slot: usize, alternatives: impl IntoIterator<Item = FileId>) {
        let start = self.graph.alternatives.len() as u32;
        self.graph.alternatives.extend(alternatives);
        let end = self.graph.alternatives.len() as u32;
        self.graph.needs.push(Need { slot: slot as u16, alternatives: start..end });
    }

    fn by_preference(&self, mut group: Vec<FileId>, pick: Pick, task: &Key) -> Vec<FileId> {
        let number = |key: &Key| self.ranks.of(key, self.dims.expid);
        group.sort_by_key(|file| number(&self.graph.file(*file).key));
        if pick == Pick::Recent {
            let after = group.partition_point(|file| number(&self.graph.file(*file).key) < number(task));
            group[..after].reverse();
        }
        group
    }
}

enum Lookup {
    /// The task's own keys name the one file.
    Own(Dims),
    /// The files by the keys that they share with the task.
    Shared(Dims, Map<Key, Vec<FileId>>),
}
