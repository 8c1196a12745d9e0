//! Writing a FITS file atomically: under a temporary name beside the final one, every HDU with CHECKSUM and
//! DATASUM (their comments carry no date), synced, renamed.

use super::handle::{Handle, Pixel};
use super::{card, checksum, rows};
use crate::{Error, Header, Result, Table};
use ndarray::ArrayView;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A FITS file being written. Dropped without [`FitsWriter::finish`], it leaves nothing behind.
pub struct FitsWriter {
    /// `None` once closed.
    file: Option<Handle>,
    path: PathBuf,
    temporary: PathBuf,
    has_primary: bool,
}

impl FitsWriter {
    /// Starts a file that will appear at `path` (its folder is made if absent).
    ///
    /// # Errors
    /// [`Error::Io`], here and in all that follows, if the system refuses: no permission, disk full.
    pub fn create(path: &Path) -> Result<Self> {
        let failed = |action| move |source| Error::Io { path: path.to_path_buf(), action, source };
        fs::create_dir_all(folder(path)).map_err(failed("create the folder of"))?;
        let temporary = temporary_name(path);
        // The system's own reason, which cfitsio does not pass on, and no left-over in the way.
        File::create(&temporary).and_then(|_| fs::remove_file(&temporary)).map_err(failed("create"))?;
        let file = Handle::create(&temporary).map_err(|e| under_final_name(e, path))?;
        Ok(Self { file: Some(file), path: path.to_path_buf(), temporary, has_primary: false })
    }

    fn file(&mut self, hdu: &str) -> Result<&Handle> {
        let closed = || Error::Io {
            path: self.path.clone(),
            action: "write",
            source: std::io::Error::other("the file is closed"),
        };
        let file = self.file.as_mut().ok_or_else(closed)?;
        file.hdu = hdu.to_string();
        Ok(file)
    }

    /// Writes an image HDU; the first one becomes the primary HDU.
    pub fn image<T: Pixel, D: ndarray::Dimension>(
        &mut self,
        name: &str,
        data: ArrayView<T, D>,
        header: &Header,
    ) -> Result<()> {
        self.any_image(name, data, header, false)
    }

    /// Writes a RICE tile-compressed integer image HDU (never the primary).
    pub fn compressed<T: Pixel, D: ndarray::Dimension>(
        &mut self,
        name: &str,
        data: ArrayView<T, D>,
        header: &Header,
    ) -> Result<()> {
        self.any_image(name, data, header, true)
    }

    /// Compressed images and tables are extensions: cfitsio would put a primary without sums before the first.
    fn extension(&mut self) -> Result<()> {
        if self.has_primary { Ok(()) } else { self.empty_primary(&Header::new()) }
    }

    fn any_image<T: Pixel, D: ndarray::Dimension>(
        &mut self,
        name: &str,
        data: ArrayView<T, D>,
        header: &Header,
        compress: bool,
    ) -> Result<()> {
        if compress {
            self.extension()?;
        }
        let result = self.file(name)?.create_image::<T>(data.shape(), compress);
        self.fill(name, header, &[], result, |file| {
            let data = data.as_standard_layout();
            file.write_pixels(data.as_slice().unwrap_or_default())
        })
    }

    /// Writes an empty primary HDU that holds a header only.
    pub fn empty_primary(&mut self, header: &Header) -> Result<()> {
        let result = self.file("0")?.create_image::<i16>(&[], false);
        self.fill("", header, &[], result, |_| Ok(()))
    }

    /// Writes a binary table HDU.
    pub fn table(&mut self, name: &str, table: &Table, header: &Header) -> Result<()> {
        let (columns, dimensions): (Vec<_>, Vec<_>) = rows::describe(table).into_iter().unzip();
        let shapes: Vec<String> =
            (1..).zip(dimensions).filter_map(|(i, d)| Some(card::structural(&format!("TDIM{i}"), &d?))).collect();
        self.extension()?;
        let result = self.file(name)?.create_table(table.nrows(), &columns);
        self.fill(name, header, &shapes, result, |file| file.write_row_bytes(&rows::encode(table)))
    }

    /// Writes the cards of the HDU just created and then its data.
    fn fill(
        &mut self,
        name: &str,
        header: &Header,
        first: &[String],
        created: Result<()>,
        data: impl FnOnce(&Handle) -> Result<()>,
    ) -> Result<()> {
        self.has_primary = true;
        let path = self.path.clone();
        let file = self.file(name)?;
        let filled = created.and_then(|()| {
            let records = first.iter().cloned().chain(card::format(name, header)).chain(checksum::placeholders());
            records.into_iter().try_for_each(|r| file.write_record(&r))?;
            data(file)
        });
        filled.map_err(|e| under_final_name(e, &path))
    }

    /// Completes the file: checksums, flush, close with its status, fsync, rename, fsync of the folder.
    pub fn finish(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        file.close().and_then(|()| self.publish()).map_err(|e| under_final_name(e, &self.path))
    }

    fn publish(&self) -> Result<()> {
        let failed = |action| move |source| Error::Io { path: self.path.clone(), action, source };
        let extents = extents(&self.temporary)?;
        let file = File::options().read(true).write(true).open(&self.temporary).map_err(failed("write"))?;
        checksum::seal(&file, &extents).map_err(failed("write"))?;
        file.sync_all().map_err(failed("write"))?;
        fs::rename(&self.temporary, &self.path).map_err(failed("rename"))?;
        match File::open(folder(&self.path)).and_then(|f| f.sync_all()) {
            // Some network file systems cannot sync a folder; the file itself is safe.
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            other => other.map_err(failed("write the folder of")),
        }
    }
}

impl Drop for FitsWriter {
    fn drop(&mut self) {
        self.file = None;
        // Absent if the file was published.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Where each HDU's header, data and padding start and end.
fn extents(path: &Path) -> Result<Vec<[u64; 3]>> {
    let file = Handle::open(path)?;
    let count = file.count()?;
    (0..count)
        .map(|i| {
            file.move_to(i)?;
            file.extent()
        })
        .collect()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// Hidden, unique to the process and the call, in the same folder so that a rename suffices.
fn temporary_name(path: &Path) -> PathBuf {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    folder(path).join(format!(".{name}.{}-{count}.tmp", std::process::id()))
}

/// The user knows the file by its final name.
fn under_final_name(error: Error, path: &Path) -> Error {
    let path = path.to_path_buf();
    match error {
        Error::Io { action, source, .. } => Error::Io { path, action, source },
        Error::Fits { hdu, action, status, message, .. } => Error::Fits { path, hdu, action, status, message },
        other => other,
    }
}
