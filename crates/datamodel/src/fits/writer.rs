//! Writing a FITS file atomically: under a temporary name beside the final one, every HDU with CHECKSUM and
//! DATASUM (their comments carry no date), synced, renamed.

use crate::{Header, Result, Table};
use ndarray::ArrayView;
use std::path::Path;

/// A FITS file being written. Dropped without [`FitsWriter::finish`], it leaves nothing behind.
pub struct FitsWriter {}

/// A type that an image can be written as.
pub trait Pixel: Copy {}
impl Pixel for f32 {}
impl Pixel for f64 {}
impl Pixel for u32 {}
impl Pixel for i32 {}
impl Pixel for u16 {}
impl Pixel for i16 {}

impl FitsWriter {
    /// Starts a file that will appear at `path` (its folder is made if absent).
    pub fn create(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }
    /// Writes an image HDU; the first one becomes the primary HDU.
    pub fn image<T: Pixel, D: ndarray::Dimension>(&mut self, name: &str, data: ArrayView<T, D>, header: &Header) -> Result<()> {
        let _ = (name, data, header);
        todo!()
    }
    /// Writes a RICE tile-compressed integer image HDU (never the primary).
    pub fn compressed<T: Pixel, D: ndarray::Dimension>(&mut self, name: &str, data: ArrayView<T, D>, header: &Header) -> Result<()> {
        let _ = (name, data, header);
        todo!()
    }
    /// Writes an empty primary HDU that holds a header only.
    pub fn empty_primary(&mut self, header: &Header) -> Result<()> {
        let _ = header;
        todo!()
    }
    /// Writes a binary table HDU.
    pub fn table(&mut self, name: &str, table: &Table, header: &Header) -> Result<()> {
        let _ = (name, table, header);
        todo!()
    }
    /// Completes the file: checksums, flush, close with its status, fsync, rename, fsync of the folder.
    pub fn finish(self) -> Result<()> {
        todo!()
    }
}
