//! A complete file takes the place of the old one.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Syncs a file, gives it its final name and syncs the folder.
pub(super) fn publish(file: &File, temporary: &Path, path: &Path) -> Result<()> {
    let failed = |action| move |source| Error::Io { path: path.to_path_buf(), action, source };
    file.sync_all().map_err(failed("write"))?;
    fs::rename(temporary, path).map_err(failed("rename"))?;
    match File::open(folder(path)).and_then(|f| f.sync_all()) {
        // Some network file systems cannot sync a folder; the file itself is safe.
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other.map_err(failed("write the folder of")),
    }
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Hidden, unique to the process and the call, in the same folder so that a rename suffices.
pub(super) fn temporary_name(path: &Path) -> PathBuf {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    folder(path).join(format!(".{name}.{}-{count}.tmp", std::process::id()))
}
