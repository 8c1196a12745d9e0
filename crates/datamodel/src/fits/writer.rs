//! Writing a FITS file atomically: under a temporary name beside the final one, every HDU with CHECKSUM and
//! DATASUM (their comments carry no date), synced, renamed. Data are swapped, summed and written in one pass;
//! cfitsio is asked only to compress.

use super::checksum::{self, BLOCK, CHUNK};
use super::handle::Handle;
use super::publish::{folder, publish, temporary_name};
use super::{Pixel, card, layout, rows};
use crate::{Error, Header, Result, Table};
use ndarray::ArrayView;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A FITS file being written. Dropped without [`FitsWriter::finish`], it leaves nothing behind.
pub struct FitsWriter {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    /// Bytes that are complete.
    end: u64,
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
        let file = File::create(&temporary).map_err(failed("create"))?;
        Ok(Self { file, path: path.to_path_buf(), temporary, end: 0 })
    }

    /// Writes an image HDU; the first one becomes the primary HDU.
    pub fn image<T: Pixel, D: ndarray::Dimension>(
        &mut self,
        name: &str,
        data: ArrayView<T, D>,
        header: &Header,
    ) -> Result<()> {
        let cards = layout::image::<T>(data.shape(), self.end == 0);
        let data = data.as_standard_layout();
        let data = data.as_slice().unwrap_or_default();
        self.hdu(cards, name, header, |file, at| put_pixels(file, at, data))
    }

    /// Writes an empty primary HDU that holds a header only.
    pub fn empty_primary(&mut self, header: &Header) -> Result<()> {
        self.hdu(layout::image::<i16>(&[], true), "", header, |_, at| Ok((at, 0)))
    }

    /// Compressed images and tables are extensions.
    fn extension(&mut self) -> Result<()> {
        if self.end > 0 { Ok(()) } else { self.empty_primary(&Header::new()) }
    }

    /// Writes a binary table HDU.
    pub fn table(&mut self, name: &str, table: &Table, header: &Header) -> Result<()> {
        self.extension()?;
        let cards = layout::table(rows::width(table), table.nrows(), &rows::describe(table));
        self.hdu(cards, name, header, |file, at| put_pixels(file, at, &rows::encode(table)))
    }

    /// Writes a RICE tile-compressed integer image HDU (never the primary).
    pub fn compressed<T: Pixel, D: ndarray::Dimension>(
        &mut self,
        name: &str,
        data: ArrayView<T, D>,
        header: &Header,
    ) -> Result<()> {
        self.extension()?;
        let records = records(vec![], name, header);
        let hdu = Compressed::new(&self.path, name, data, &records).map_err(|e| self.under_final_name(e))?;
        let append = |end: &mut u64| {
            let mut cards = vec![0; (hdu.data - hdu.start) as usize];
            hdu.file.read_exact_at(&mut cards, hdu.start)?;
            let (start, mut at, mut sum) = (*end, *end + cards.len() as u64, 0);
            checksum::for_chunks(&hdu.file, hdu.data, hdu.end, |chunk| {
                sum = checksum::add(sum, chunk);
                self.file.write_all_at(chunk, at)?;
                at += chunk.len() as u64;
                Ok(())
            })?;
            checksum::seal(&mut cards, sum);
            self.file.write_all_at(&cards, start)?;
            *end = at;
            Ok(())
        };
        append(&mut self.end).map_err(|source| self.failed(source))
    }

    /// Writes an HDU: `put` its data from the given byte on, returning where they end and their sum, and before them the
    /// header, of which `layout` says what the data are.
    fn hdu(
        &mut self,
        layout: Vec<String>,
        name: &str,
        header: &Header,
        put: impl FnOnce(&File, u64) -> std::io::Result<(u64, u32)>,
    ) -> Result<()> {
        let mut cards = records(layout, name, header).concat().into_bytes();
        cards.extend(format!("{:<80}", "END").bytes());
        cards.resize(cards.len().next_multiple_of(BLOCK), b' ');
        let written = put(&self.file, self.end + cards.len() as u64).and_then(|(end, sum)| {
            checksum::seal(&mut cards, sum);
            self.file.write_all_at(&cards, self.end)?;
            Ok(end)
        });
        self.end = written.map_err(|source| self.failed(source))?;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), action: "write", source }
    }

    /// The user knows the file by its final name.
    fn under_final_name(&self, error: Error) -> Error {
        let path = self.path.clone();
        match error {
            Error::Io { action, source, .. } => Error::Io { path, action, source },
            Error::Fits { hdu, action, status, message, .. } => Error::Fits { path, hdu, action, status, message },
            other => other,
        }
    }

    /// Completes the file: fsync, rename, fsync of the folder.
    pub fn finish(self) -> Result<()> {
        publish(&self.file, &self.temporary, &self.path)
    }
}

impl Drop for FitsWriter {
    fn drop(&mut self) {
        // Absent if the file was published.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// All cards of a new header but END, the sums empty.
fn records(layout: Vec<String>, name: &str, header: &Header) -> Vec<String> {
    layout.into_iter().chain(card::format(name, header)).chain(checksum::placeholders()).collect()
}

/// Writes numbers from a byte on, padded to a block; returns where the padding ends and the sum of all.
fn put_pixels<T: Pixel>(file: &File, mut at: u64, data: &[T]) -> std::io::Result<(u64, u32)> {
    let mut buffer = vec![0; CHUNK.min((data.len() * T::SIZE).next_multiple_of(BLOCK))];
    let mut sum = 0;
    for values in data.chunks(CHUNK / T::SIZE) {
        let size = values.len() * T::SIZE;
        let bytes = &mut buffer[..size.next_multiple_of(BLOCK)];
        T::encode(values, bytes);
        bytes[size..].fill(0);
        sum = checksum::add(sum, bytes);
        file.write_all_at(bytes, at)?;
        at += bytes.len() as u64;
    }
    Ok((at, sum))
}

/// A compressed image in a file of cfitsio's, which has no name any more: where its header, data and padding start and end.
struct Compressed {
    file: File,
    start: u64,
    data: u64,
    end: u64,
}

impl Compressed {
    fn new<T: Pixel, D: ndarray::Dimension>(
        beside: &Path,
        name: &str,
        data: ArrayView<T, D>,
        records: &[String],
    ) -> Result<Self> {
        let path = temporary_name(beside);
        let made = Self::written(&path, name, data, records);
        // cfitsio may have failed to create it
        let _ = fs::remove_file(&path);
        made
    }

    fn written<T: Pixel, D: ndarray::Dimension>(
        path: &Path,
        name: &str,
        data: ArrayView<T, D>,
        records: &[String],
    ) -> Result<Self> {
        let mut handle = Handle::create(path)?;
        handle.hdu = name.to_string();
        handle.create_compressed::<T>(data.shape())?;
        records.iter().try_for_each(|r| handle.write_record(r))?;
        let data = data.as_standard_layout();
        handle.write_pixels(data.as_slice().unwrap_or_default())?;
        handle.close()?;
        let written = Handle::open(path)?;
        written.move_to(1)?;
        let [start, data, end] = written.extent()?;
        let io = |source| Error::Io { path: path.to_path_buf(), action: "write", source };
        Ok(Self { file: File::open(path).map_err(io)?, start, data, end })
    }
}
