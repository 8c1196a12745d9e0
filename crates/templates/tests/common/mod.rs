//! What the tests of this crate share.

use std::path::PathBuf;

/// A folder of the shared data; `None`, said on stderr, where it is absent.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let root =
        std::env::var("SPECMILL_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into());
    let path = PathBuf::from(root).join("data").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent (set SPECMILL_SHARED)", path.display());
    None
}
