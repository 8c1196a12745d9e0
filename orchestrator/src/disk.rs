//! What lies on disk: size and time of each file, from one listing a folder.

use crate::graph::{FileId, Graph};
use crate::hash::Map;
use crate::keys::Key;
use crate::parallel;
use crate::production::Production;
use crate::table::Root;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, statat};
use rustix::path::Arg;
use std::collections::HashMap;
use std::os::fd::AsFd;
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

/// Size and time of every file of the graph that is there. Each folder is listed once, by as many threads as there are
/// cores; only the files that the graph knows are looked at.
pub fn survey(production: &Production, graph: &Graph) -> Vec<Option<Stamp>> {
    let mut stamps = vec![None; graph.files.len()];
    for found in parallel::map(&folders(graph), |files| look_into(production, graph, files)) {
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
    let listed = path.parent().and_then(|folder| rustix::fs::open(folder, LISTING, Mode::empty()).ok());
    let Some(folder) = listed else { return Vec::new() };
    let (text, ends) = names(graph, files);
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let ranges = starts.zip(&ends).map(|(start, end)| &text.as_bytes()[start..*end]);
    let known: Map<&[u8], FileId> = ranges.zip(files.iter().copied()).collect();
    let mut found = Vec::with_capacity(files.len());
    let mut buffer = Vec::with_capacity(1 << 16);
    let mut entries = RawDir::new(&folder, buffer.spare_capacity_mut());
    while let Some(Ok(entry)) = entries.next() {
        let Some(file) = known.get(entry.file_name().to_bytes()) else { continue };
        found.extend(stamp_at(&folder, entry.file_name()).map(|stamp| (*file, stamp)));
    }
    found
}

/// The names of files one after the other, and where each ends.
fn names(graph: &Graph, files: &[FileId]) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(files.len() * 32);
    let mut ends = Vec::with_capacity(files.len());
    for file in files.iter().map(|id| graph.file(*id)) {
        let start = text.len();
        graph.pattern(file).render_onto(&graph.space, &file.key, &mut text);
        let name = text[start..].rfind('/').map_or(start, |slash| start + slash + 1);
        text.replace_range(start..name, "");
        ends.push(text.len());
    }
    (text, ends)
}
