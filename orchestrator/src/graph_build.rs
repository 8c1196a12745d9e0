//! From the table and what the nights hold to the tasks: a join on the keys that inputs and tasks share.

use crate::graph::{File, FileId, Graph, Need, Task, TaskId, Unplanned};
use crate::hash::Map;
use crate::keys::{Dims, Key, Ranks, Space};
use crate::plan::{Exposure, NightPlan};
use crate::shared::Shared;
use crate::table::{Pick, Slot, Table};
use crate::{Result, parallel};
use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

// files or tasks that one thread looks at before it takes more
const MANY: usize = 4096;

/// Night and exposure.
type Exposed = (u32, u32);

/// A brick that an exposure touches, with the spectrograph that does (None: any).
type Touch = (Option<u32>, u32);

struct Builder {
    graph: Graph,
    by_kind: Vec<Vec<FileId>>,
    // made when a file is first looked for
    by_key: Vec<OnceLock<Map<Key, FileId>>>,
    flavors: Map<Exposed, String>,
    bricks: Map<Exposed, Vec<Touch>>,
    // cameras that a raw file of many cameras holds
    cameras: Map<FileId, Vec<u32>>,
    skipped: HashSet<(u32, usize)>,
    dims: Named,
    ranks: Ranks,
}

/// A file of the raw data, and the cameras that it holds if it is one of many.
struct Raw {
    key: Key,
    cameras: Vec<u32>,
}

/// What some tasks of a step need, found apart from that of others; ranges start from its own first element.
#[derive(Default)]
struct Found {
    needs: Vec<Need>,
    alternatives: Vec<FileId>,
    // for each task where its needs end; else the input that has no file
    tasks: Vec<std::result::Result<u32, usize>>,
    // the last file of each kind that was looked for
    last: Vec<FileId>,
}

#[derive(Clone, Copy)]
struct Named {
    night: usize,
    expid: usize,
    camera: usize,
    spectrograph: usize,
    brick: usize,
}

/// The graph; from when its raw files are known until the rest is, `beside` works with a graph of these alone, of which
/// the files are the first of the whole. It is told when it holds up.
pub(crate) fn build<T: Send>(
    table: Table,
    space: Space,
    plans: &[NightPlan],
    beside: impl FnOnce(&Graph, &AtomicBool) -> T + Send,
) -> Result<(Graph, T)> {
    let mut builder = Builder::of_raw(table, space, plans)?;
    let raw = builder.graph.clone();
    let holds_up = AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        let beside = scope.spawn(|| beside(&raw, &holds_up));
        builder.add_steps();
        holds_up.store(true, Ordering::Relaxed);
        beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    Ok((builder.graph, made))
}

impl Builder {
    /// All that is there before the first step.
    fn of_raw(table: Table, space: Space, plans: &[NightPlan]) -> Result<Self> {
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
            night: dims.night,
            needs: Vec::new(),
            alternatives: Vec::new(),
            dependents: OnceLock::new(),
            targets: Map::default(),
        };
        let mut builder = Builder {
            ranks: graph.space.ranks(),
            graph,
            by_kind: vec![Vec::new(); kinds],
            by_key: vec![OnceLock::new(); kinds],
            flavors: Map::default(),
            bricks: Map::default(),
            cameras: Map::default(),
            skipped: HashSet::new(),
            dims,
        };
        let mut raw: Vec<Vec<Raw>> = (0..kinds).map(|_| Vec::new()).collect();
        for plan in plans {
            builder.add_night(plan, &mut raw)?;
        }
        builder.ranks = builder.graph.space.ranks();
        builder.add_raw(raw);
        Ok(builder)
    }

    fn add_steps(&mut self) {
        for step in 0..self.graph.table.steps.len() {
            self.add_given(step);
            self.add_step(step);
        }
    }

    fn add_night(&mut self, plan: &NightPlan, raw: &mut [Vec<Raw>]) -> Result<()> {
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
            self.note_files(plan, exposure, key, raw)?;
            self.add_bricks(plan, exposure, (night, id))?;
        }
        Ok(())
    }

    fn note_files(&mut self, plan: &NightPlan, exposure: &Exposure, key: Key, raw: &mut [Vec<Raw>]) -> Result<()> {
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
                raw[kind].extend(held.into_iter().map(|(_, key)| Raw { key, cameras: Vec::new() }));
            } else {
                raw[kind].push(Raw { key, cameras: held.into_iter().map(|(id, _)| id).collect() });
            }
        }
        Ok(())
    }

    /// The raw files, by kind, in the order in which tasks come too.
    fn add_raw(&mut self, raw: Vec<Vec<Raw>>) {
        // a survey makes five files of a raw one: what grows later is copied
        self.graph.files.reserve(6 * raw.iter().map(Vec::len).sum::<usize>());
        for (kind, mut raw) in raw.into_iter().enumerate() {
            let place = |file: &Raw| (self.ranks.sorting(&file.key, &self.graph.table.order), file.key);
            // most often they come sorted
            if !raw.is_sorted_by_key(place) {
                raw.sort_by_cached_key(place);
            }
            // a night that two plans tell of
            raw.dedup_by_key(|file| file.key);
            for file in raw {
                let id = self.push_file(kind, file.key, None);
                if !file.cameras.is_empty() {
                    self.cameras.insert(id, file.cameras);
                }
            }
        }
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
        let Some(id) = self.index(kind).get(&key).copied() else { return self.push_file(kind, key, maker) };
        if maker.is_some() {
            self.graph.files[id.0 as usize].maker = maker;
        }
        id
    }

    /// A file of which it is known that there is no other of its kind and key.
    fn push_file(&mut self, kind: usize, key: Key, maker: Option<TaskId>) -> FileId {
        let id = FileId(self.graph.files.len() as u32);
        self.graph.files.push(File { kind: kind as u16, key, maker });
        self.by_kind[kind].push(id);
        if let Some(index) = self.by_key[kind].get_mut() {
            index.insert(key, id);
        }
        id
    }

    /// The files of a kind by their keys.
    fn index(&self, kind: usize) -> &Map<Key, FileId> {
        let by_key = |id: &FileId| (self.graph.file(*id).key, *id);
        self.by_key[kind].get_or_init(|| self.by_kind[kind].iter().map(by_key).collect())
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
        let lookups = parallel::map(&slots, |slot| self.lookup(slot, dims));
        let keys = self.keys_of_tasks(step, &slots[0], dims);
        let parts: Vec<&[Key]> = keys.chunks(MANY).collect();
        let found = parallel::map(&parts, |keys| self.needs_of(keys, &slots, &lookups));
        let is_new = self.by_kind[output].is_empty();
        for (keys, found) in parts.into_iter().zip(found) {
            self.add_tasks(step, keys, found, is_new);
        }
    }

    /// The keys of a step's tasks, sorted: those of its output that its first input covers.
    fn keys_of_tasks(&self, step: usize, first: &Slot, dims: Dims) -> Vec<Key> {
        let parts: Vec<&[FileId]> = self.by_kind[first.file].chunks(MANY).collect();
        let mut keys = parallel::map(&parts, |files| {
            let mut keys = Vec::with_capacity(files.len());
            let wanted = files.iter().filter(|file| self.has_flavor(**file, first));
            wanted.for_each(|file| self.expand(*file, dims, |key| keys.push(key)));
            keys.dedup();
            keys
        })
        .concat();
        if !self.skipped.is_empty() {
            keys.retain(|key| !self.is_skipped(key, step));
        }
        let place = |key: &Key| (self.ranks.sorting(key, &self.graph.table.order), *key);
        // most often they come sorted
        if !keys.is_sorted_by_key(place) {
            keys.sort_by_cached_key(place);
        }
        keys.dedup();
        keys
    }

    /// What the tasks of these keys need.
    fn needs_of(&self, keys: &[Key], slots: &[Slot], lookups: &[Lookup]) -> Found {
        let mut found = Found { last: vec![FileId(0); self.by_kind.len()], ..Found::default() };
        for key in keys {
            let first = found.needs.len();
            let lacking =
                (0..slots.len()).find(|slot| !self.add_needs(&mut found, *slot, &lookups[*slot], &slots[*slot], key));
            if lacking.is_some() {
                found.needs.truncate(first);
            }
            found.tasks.push(lacking.map_or(Ok(found.needs.len() as u32), Err));
        }
        found
    }

    fn add_tasks(&mut self, step: usize, keys: &[Key], found: Found, is_new: bool) {
        let output = self.graph.table.steps[step].output;
        let (needs, alternatives) = (self.graph.needs.len() as u32, self.graph.alternatives.len() as u32);
        self.graph.alternatives.extend(found.alternatives);
        self.graph.needs.extend(found.needs.into_iter().map(|need| Need {
            alternatives: need.alternatives.start + alternatives..need.alternatives.end + alternatives,
            ..need
        }));
        let mut start = needs;
        for (key, task) in keys.iter().zip(found.tasks) {
            let end = match task {
                Ok(end) => needs + end,
                Err(slot) => {
                    let lacks = self.graph.table.steps[step].inputs[slot].file;
                    let lacks = self.graph.table.files[lacks].name.clone();
                    let task = self.graph.name_of(output, key);
                    self.graph.unplanned.push(Unplanned { task, lacks });
                    continue;
                }
            };
            let id = TaskId(self.graph.tasks.len() as u32);
            let output = match is_new {
                true => self.push_file(output, *key, Some(id)),
                false => self.add_file(output, *key, Some(id)),
            };
            self.graph.tasks.push(Task { step: step as u16, output, needs: start..end });
            start = end;
        }
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

    /// Visits the keys `dims` that a file covers: its own, or those of the cameras that it holds or the bricks that it
    /// touches.
    fn expand(&self, file: FileId, dims: Dims, mut visit: impl FnMut(Key)) {
        let File { kind, key, .. } = *self.graph.file(file);
        let missing = dims.without(self.graph.table.files[usize::from(kind)].dims);
        let space = &self.graph.space;
        if missing.is_empty() {
            return visit(key.project(dims));
        }
        if missing.has(self.dims.camera) {
            let cameras = self.cameras.get(&file).map_or(&[][..], Vec::as_slice);
            return cameras.iter().for_each(|c| visit(space.with(key, self.dims.camera, *c).project(dims)));
        }
        let (true, Some(night), Some(expid)) =
            (missing.has(self.dims.brick), key.get(self.dims.night), key.get(self.dims.expid))
        else {
            return;
        };
        let own = key.get(self.dims.spectrograph);
        let bricks = self.bricks.get(&(night, expid)).map_or(&[][..], Vec::as_slice);
        let touching = bricks.iter().filter(|(s, _)| s.is_none() || own.is_none() || *s == own);
        touching.for_each(|(_, brick)| visit(space.with(key, self.dims.brick, *brick).project(dims)));
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
        let mut files = Vec::new();
        for file in self.files_of(slot) {
            self.expand(file, dims, |key| files.push((key, file)));
        }
        let place = |id: &FileId| self.ranks.sorting(&self.graph.file(*id).key, &self.graph.table.order);
        Lookup::Shared(dims, Shared::new(files, place))
    }

    /// Adds what a task needs of one input: for each need the files that serve it, best first; false if there is none.
    fn add_needs(&self, found: &mut Found, index: usize, lookup: &Lookup, slot: &Slot, task: &Key) -> bool {
        let (dims, files) = match lookup {
            Lookup::Own(dims) => {
                let file = self.find(&mut found.last, slot.file, task.project(*dims));
                let file = file.filter(|file| self.has_flavor(*file, slot));
                file.into_iter().for_each(|file| found.add(index, &[file]));
                return file.is_some();
            }
            Lookup::Shared(dims, files) => (dims, files),
        };
        let files = files.of(&task.project(*dims));
        if slot.pick == Pick::All {
            files.chunks(1).for_each(|file| found.add(index, file));
            return !files.is_empty();
        }
        if files.len() == 1 {
            found.add(index, files);
            return true;
        }
        // one need for each set of files that differ by their exposure only; files come sorted, so groups do too
        let expid = Dims::one(self.dims.expid);
        let apart = self.graph.table.files[slot.file].dims.without(expid);
        let mut groups: Vec<(Key, Vec<FileId>)> = Vec::new();
        for file in files {
            let apart = self.graph.file(*file).key.project(apart);
            match groups.iter_mut().find(|(known, _)| *known == apart) {
                Some((_, group)) => group.push(*file),
                None => groups.push((apart, vec![*file])),
            }
        }
        for (_, group) in &mut groups {
            self.by_preference(group, slot.pick, task);
            found.add(index, group);
        }
        !groups.is_empty()
    }

    /// The file of this kind and key. Tasks come in the order of their inputs: it often is the last one found or lies
    /// beside it, else where it belongs among the sorted ones; a hash of all is made only where they are not sorted.
    fn find(&self, last: &mut [FileId], kind: usize, key: Key) -> Option<FileId> {
        let is_it = |id: &FileId| {
            let file = self.graph.files.get(id.0 as usize);
            file.is_some_and(|file| usize::from(file.kind) == kind && file.key == key)
        };
        let sorted = || {
            let place = |key: &Key| self.ranks.sorting(key, &self.graph.table.order);
            let place_of_key = place(&key);
            let files = &self.by_kind[kind];
            let at = files.partition_point(|file| place(&self.graph.file(*file).key) < place_of_key);
            files.get(at).copied().filter(is_it)
        };
        let same_or_next = [last[kind], FileId(last[kind].0 + 1)].into_iter().find(is_it);
        let found = same_or_next.or_else(sorted).or_else(|| self.index(kind).get(&key).copied());
        last[kind] = found.unwrap_or(last[kind]);
        found
    }

    fn by_preference(&self, group: &mut [FileId], pick: Pick, task: &Key) {
        let number = |key: &Key| self.ranks.of(key, self.dims.expid);
        group.sort_by_key(|file| number(&self.graph.file(*file).key));
        if pick == Pick::Recent {
            let after = group.partition_point(|file| number(&self.graph.file(*file).key) < number(task));
            group[..after].reverse();
        }
    }
}

impl Found {
    fn add(&mut self, slot: usize, alternatives: &[FileId]) {
        let start = self.alternatives.len() as u32;
        self.alternatives.extend(alternatives);
        self.needs.push(Need { slot: slot as u16, alternatives: start..self.alternatives.len() as u32 });
    }
}

enum Lookup {
    /// The task's own keys name the one file.
    Own(Dims),
    /// The files by the keys that they share with the task.
    Shared(Dims, Shared),
}
