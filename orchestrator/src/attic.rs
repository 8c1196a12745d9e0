//! attic/N/: products that were moved out of the way, under the paths that they had, with a line that says why.

use crate::production::{Production, make_folder};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Moves files of a production into a new folder of its attic, which is returned.
///
/// # Errors
/// [`Error::Io`] at the first file that cannot be moved.
pub fn store(production: &Production, files: &[PathBuf], why: &str) -> Result<PathBuf> {
    let folder = next_folder(&production.dir.join("attic"))?;
    let note = folder.join("why.txt");
    std::fs::write(&note, format!("{why}\n")).map_err(Error::io("write", &note))?;
    for file in files {
        let target = folder.join(file.strip_prefix(&production.dir).unwrap_or(file));
        make_folder(target.parent().unwrap_or(&folder))?;
        std::fs::rename(file, &target).map_err(Error::io("move to the attic", file))?;
    }
    Ok(folder)
}

/// The first number that nobody has taken.
fn next_folder(attic: &Path) -> Result<PathBuf> {
    make_folder(attic)?;
    for number in 1.. {
        let folder = attic.join(number.to_string());
        match std::fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", &folder)(error)),
        }
    }
    Ok(attic.to_path_buf())
}
