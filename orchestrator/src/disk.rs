//! What lies on disk: size and time of each file, looked up by its name in its folder.

use crate::graph::{File, FileId, Graph};
use crate::hash::Map;
use crate::parallel;
use crate::production::Production;
use crate::table::Root;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, statat};
use rustix::path::Arg;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const LISTING: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Size and time of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Time of the last change, nanoseconds since 1970.
    pub mtime: i64,
    /// Whether it is a symbolic link (size and time are those of its target).
    pub link: bool,
}

/// Looks at one file; None if it is not there or no file.
pub fn stamp(path: &Path) -> Option<Stamp> {
    stamp_at(CWD, path)
}

fn stamp_at(folder: impl AsFd, name: impl Arg + Copy) -> Option<Stamp> {
    let here = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let link = FileType::from_raw_mode(here.st_mode) == FileType::Symlink;
    let there = if link { statat(&folder, name, AtFlags::empty()).ok()? } else { here };
    let is_file = FileType::from_raw_mode(there.st_mode) == FileType::RegularFile;
    let mtime = there.st_mtime as i64 * 1_000_000_000 + there.st_mtime_nsec as i64;
    is_file.then_some(Stamp { size: there.st_size as u64, mtime, link })
}

/// The files of a folder, as runs of ids that stand together.
type Runs = Vec<Range<usize>>;

/// What was found of the files of a folder; None if the folder is not there.
type Found = Option<Vec<Option<Stamp>>>;

/// Folders that were looked into early.
pub type Glance = Vec<(Runs, Found)>;

/// Looks into one folder of the graph after the other until it is time to stop.
pub fn glance(production: &Production, graph: &Graph, stop: &AtomicBool) -> Glance {
    let open = folders(graph).into_iter().take_while(|_| !stop.load(Ordering::Relaxed));
    open.map(|runs| (runs.clone(), look_into(production, graph, &runs))).collect()
}

/// Size and time of every file of the graph that is there. Each folder is opened once and listed at most once; only the
/// files that the graph knows are looked at, each once. `early` are folders of raw data, whose files have the same ids.
pub fn survey(production: &Production, graph: &Graph, early: &Glance) -> Vec<Option<Stamp>> {
    let mut stamps = vec![None; graph.files.len()];
    // files for which a maker was found since are elsewhere
    let is_raw = |runs: &Runs| runs.iter().flat_map(|run| &graph.files[run.clone()]).all(|file| file.maker.is_none());
    let early: HashMap<&Runs, &Found> =
        early.iter().filter(|(runs, _)| is_raw(runs)).map(|(runs, found)| (runs, found)).collect();
    let folders = folders(graph);
    let open: Vec<&Runs> = folders.iter().filter(|runs| !early.contains_key(runs)).collect();
    let found = parallel::map_waiting(&open, |runs| look_into(production, graph, runs));
    for (runs, found) in early.into_iter().chain(open.into_iter().zip(&found)) {
        let Some(mut found) = found.as_deref() else { continue };
        for run in runs {
            let (of_run, rest) = found.split_at(run.len());
            stamps[run.clone()].copy_from_slice(of_run);
            found = rest;
        }
    }
    stamps
}

/// The files by folder, in the order of the first of each.
fn folders(graph: &Graph) -> Vec<Runs> {
    let together = |a: &File, b: &File| {
        let same_pattern = a.kind == b.kind && a.maker.is_none() == b.maker.is_none();
        same_pattern && a.key.agrees(&b.key, graph.pattern(a).folder)
    };
    let mut folders: Vec<Runs> = Vec::new();
    let mut known: Map<(Root, String), usize> = Map::default();
    let mut start = 0;
    for run in graph.files.chunk_by(together) {
        let ids = start..start + run.len();
        start = ids.end;
        let (root, mut path) = graph.path(FileId(ids.start as u32));
        path.truncate(path.rfind('/').unwrap_or(0));
        let folder = *known.entry((root, path)).or_insert_with(|| {
            folders.push(Vec::new());
            folders.len() - 1
        });
        folders[folder].push(ids);
    }
    folders
}

fn look_into(production: &Production, graph: &Graph, runs: &Runs) -> Found {
    let (root, path) = graph.path(FileId(runs[0].start as u32));
    let path = production.root(root).join(path);
    let mut folder = path.parent().and_then(Folder::open)?;
    let mut name = String::with_capacity(64);
    let mut look = |file: &File| {
        name.clear();
        graph.pattern(file).name_onto(&graph.space, &file.key, &mut name);
        name.push('\0');
        folder.look(name.as_bytes())
    };
    Some(runs.iter().flat_map(|run| &graph.files[run.clone()]).map(&mut look).collect())
}

/// A folder in which files are looked for by name. It is listed only when several are not there: where nearly all are,
/// to look at each is all that there is to do; where most are not, the list says so at once.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: OwnedFd,
    missed: usize,
    listed: Option<HashSet<Box<[u8]>>>,
}

impl Folder {
    /// None if it is not there.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let folder = rustix::fs::open(path, LISTING, Mode::empty()).ok()?;
        Some(Self { folder, missed: 0, listed: None })
    }

    /// Looks at a file; its name ends with a zero.
    pub(crate) fn look(&mut self, name: &[u8]) -> Option<Stamp> {
        const MANY: usize = 4;
        let name = CStr::from_bytes_with_nul(name).ok()?;
        if self.listed.as_ref().is_some_and(|listed| !listed.contains(name.to_bytes())) {
            return None;
        }
        let stamp = stamp_at(&self.folder, name);
        self.missed += usize::from(stamp.is_none());
        if self.missed == MANY && self.listed.is_none() {
            self.listed = self.list();
        }
        stamp
    }

    /// The names in it; None if they cannot all be had.
    fn list(&self) -> Option<HashSet<Box<[u8]>>> {
        let mut names = HashSet::new();
        let whole = self.each_name(|name| {
            names.insert(name.into());
        });
        whole.then_some(names)
    }

    /// Visits the names in it; whether these are all.
    pub(crate) fn each_name(&self, mut visit: impl FnMut(&[u8])) -> bool {
        let mut buffer = Vec::with_capacity(1 << 16);
        let mut entries = RawDir::new(&self.folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else { return false };
            visit(entry.file_name().to_bytes());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph_build;
    use crate::plan::{Exposure, NightPlan};
    use crate::production::Place;
    use crate::table::{DESI, Table};
    use std::collections::{BTreeMap, BTreeSet};

    /// A night with a pix file, and a desi file that holds the same camera and another one.
    fn night() -> NightPlan {
        let set = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect::<BTreeSet<_>>();
        let files = [("fibermap", set(&[])), ("pix", set(&["b0", "z1"])), ("raw", set(&["b0", "r0"]))];
        let files = files.map(|(kind, cameras)| (kind.to_string(), cameras)).into();
        let exposure = Exposure { flavor: "arc".into(), files, bricks: BTreeMap::new() };
        NightPlan {
            night: "20260101".into(),
            spectrographs: set(&["0", "1"]),
            skip: set(&[]),
            exposures: BTreeMap::from([("00000003".to_string(), exposure)]),
        }
    }

    #[test]
    fn what_was_seen_early_counts_where_it_still_is_raw() {
        let temporary = tempfile::tempdir().unwrap();
        let top = Some(temporary.path().to_path_buf());
        let production = Production::locate(&Place { raw: top.clone(), redux: top, prod: Some("p".into()) }).unwrap();
        let raw = temporary.path().join("20260101");
        std::fs::create_dir_all(&raw).unwrap();
        ["fibermap-00000003.fits", "pix-b0-00000003.fits", "pix-z1-00000003.fits"]
            .iter()
            .for_each(|name| std::fs::write(raw.join(name), "x").unwrap());
        for stopped in [false, true] {
            let (table, space) = Table::parse(DESI).unwrap();
            let look = |raw: &Graph, _: &AtomicBool| glance(&production, raw, &AtomicBool::new(stopped));
            let (graph, early) = graph_build::build(table, space, &[night()], look).unwrap();
            assert_eq!(early.is_empty(), stopped);
            let stamps = survey(&production, &graph, &early);
            assert_eq!(stamps, survey(&production, &graph, &Glance::new()));
            let is_there = |id: &u32| stamps[*id as usize].is_some();
            let there = (0..stamps.len() as u32).filter(is_there).map(|id| graph.file_name(FileId(id)));
            // preproc makes the other one, elsewhere
            assert_eq!(there.collect::<Vec<_>>(), ["20260101_fibermap-00000003", "20260101_pix-z1-00000003"]);
        }
    }

    #[test]
    fn files_are_found_in_full_and_in_empty_folders() {
        let temporary = tempfile::tempdir().unwrap();
        let is_there = |n: usize| n % 7 == 3 || n > 40;
        (0..60)
            .filter(|n| is_there(*n))
            .for_each(|n| std::fs::write(temporary.path().join(n.to_string()), "x").unwrap());
        std::fs::create_dir(temporary.path().join("0")).unwrap();
        let mut folder = Folder::open(temporary.path()).unwrap();
        let found: Vec<usize> = (0..60).filter(|n| folder.look(format!("{n}\0").as_bytes()).is_some()).collect();
        assert_eq!(found, (0..60).filter(|n| is_there(*n)).collect::<Vec<_>>());
        assert!(folder.listed.is_some() && Folder::open(&temporary.path().join("none")).is_none());
    }
}
