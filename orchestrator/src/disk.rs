//! What lies on disk: size and time of each file, from one listing a folder.

use crate::graph::{FileId, Graph};
use crate::hash::Map;
use crate::keys::Key;
use crate::parallel;
use crate::production::Production;
use crate::table::Root;
use std::collections::HashMap;
use std::fs::{DirEntry, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
    let here = std::fs::symlink_metadata(path).ok()?;
    let link = here.file_type().is_symlink();
    let there = if link { std::fs::metadata(path).ok()? } else { here };
    stamp_of(&there, link)
}

fn stamp_of(file: &Metadata, link: bool) -> Option<Stamp> {
    let mtime = file.mtime() * 1_000_000_000 + file.mtime_nsec();
    file.is_file().then_some(Stamp { size: file.len(), mtime, link })
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
    let folder = production.root(root).join(path);
    // a folder that is not there holds nothing
    let Some(entries) = folder.parent().and_then(|folder| std::fs::read_dir(folder).ok()) else { return Vec::new() };
    let name = |file: FileId| {
        let (_, mut path) = graph.path(file);
        path.drain(..path.rfind('/').map_or(0, |slash| slash + 1));
        path
    };
    let names: Map<String, FileId> = files.iter().map(|file| (name(*file), *file)).collect();
    let look = |entry: DirEntry| {
        let file = *entry.file_name().to_str().and_then(|name| names.get(name))?;
        let here = entry.metadata().ok()?;
        let seen = if here.file_type().is_symlink() { stamp(&entry.path()) } else { stamp_of(&here, false) };
        Some((file, seen?))
    };
    entries.flatten().filter_map(look).collect()
}
