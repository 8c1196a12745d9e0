//! What lies on disk: one listing a folder, kept until told otherwise.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    let mtime = there.mtime() * 1_000_000_000 + there.mtime_nsec();
    there.is_file().then_some(Stamp { size: there.len(), mtime, link })
}

/// The files of each folder looked into so far.
#[derive(Debug, Default)]
pub struct Listings {
    folders: HashMap<PathBuf, HashMap<String, Stamp>>,
}

impl Listings {
    /// Looks a file up; its folder is listed once.
    pub fn stamp(&mut self, folder: &Path, name: &str) -> Option<Stamp> {
        if let Some(files) = self.folders.get(folder) {
            return files.get(name).copied();
        }
        let files = list(folder);
        let found = files.get(name).copied();
        self.folders.insert(folder.to_path_buf(), files);
        found
    }
}

fn list(folder: &Path) -> HashMap<String, Stamp> {
    // a folder that is not there holds nothing
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let visible = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
        Some((stamp(&entry.path())?, name))
    });
    visible.map(|(stamp, name)| (name, stamp)).collect()
}
