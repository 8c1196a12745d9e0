//! What lies on disk: size and time of each file, looked up by its name in its folder.

use crate::graph::{FileId, Graph};
use crate::hash::Map;
use crate::keys::Key;
use crate::parallel;
use crate::production::Production;
use crate::table::Root;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, statat};
use rustix::path::Arg;
use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

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

/// Size and time of every file of the graph that is there. Each folder is opened once and listed at most once; only the
/// files that the graph knows are looked at, each once.
pub fn survey(production: &Production, graph: &Graph) -> Vec<Option<Stamp>> {
    let mut stamps = vec![None; graph.files.len()];
    for found in parallel::map_waiting(&folders(graph), |files| look_into(production, graph, files)) {
        found.into_iter().for_each(|(file, stamp)| stamps[file.0 as usize] = Some(stamp));
    }
    stamps
}

/// The files of each folder.
fn folders(graph: &Graph) -> Vec<Vec<FileId>> {
    let mut folders: Vec<Vec<FileId>> = Vec::new();
    let mut known: Map<(u16, bool, Key), usize> = Map::default();
    let mut last = None;
    for id in (0..graph.files.len() as u32).map(FileId) {
        let file = graph.file(id);
        let which = (file.kind, file.maker.is_none(), file.key.project(graph.pattern(file).folder));
        let folder = match last {
            Some((same, folder)) if same == which => folder,
            _ => *known.entry(which).or_insert_with(|| {
                folders.push(Vec::new());
                folders.len() - 1
            }),
        };
        last = Some((which, folder));
        folders[folder].push(id);
    }
    join_same(graph, folders)
}

/// Folders that several kinds of files share become one.
fn join_same(graph: &Graph, folders: Vec<Vec<FileId>>) -> Vec<Vec<FileId>> {
    let mut joined: HashMap<(Root, String), Vec<FileId>> = HashMap::new();
    for files in folders {
        let (root, path) = graph.path(files[0]);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_string();
        joined.entry((root, folder)).or_default().extend(files);
    }
    joined.into_values().collect()
}

fn look_into(production: &Production, graph: &Graph, files: &[FileId]) -> Vec<(FileId, Stamp)> {
    let (root, path) = graph.path(files[0]);
    let path = production.root(root).join(path);
    // a folder that is not there holds nothing
    let Some(mut folder) = path.parent().and_then(Folder::open) else { return Vec::new() };
    let mut found = Vec::with_capacity(files.len());
    let mut name = String::with_capacity(64);
    for id in files {
        let file = graph.file(*id);
        name.clear();
        graph.pattern(file).name_onto(&graph.space, &file.key, &mut name);
        name.push('\0');
        found.extend(folder.look(name.as_bytes()).map(|stamp| (*id, stamp)));
    }
    found
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
