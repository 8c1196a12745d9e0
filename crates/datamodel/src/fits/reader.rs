//! Reading a FITS file: HDUs by name, images and tables whole, CHECKSUM and DATASUM verified.

use crate::{Header, Result, Table};
use ndarray::{ArrayD, Array1, Array2, Array3};
use std::path::Path;

/// An open FITS file.
pub struct FitsReader {}

impl FitsReader {
    /// Opens a file (plain, or gzipped where the name ends in .gz); NAME may contain any character.
    pub fn open(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }
    /// Path it was opened under.
    pub fn path(&self) -> &Path {
        todo!()
    }
    /// EXTNAMEs in order; an HDU without one is called by its number ("0" is the primary).
    pub fn names(&self) -> &[String] {
        todo!()
    }
    /// Whether an HDU of that name (compared without case) exists.
    pub fn has(&self, hdu: &str) -> bool {
        let _ = hdu;
        todo!()
    }
    /// Header of an HDU by name or number ("0"), without structural keywords.
    pub fn header(&mut self, hdu: &str) -> Result<Header> {
        let _ = hdu;
        todo!()
    }
    /// An image of any type and dimension as f32, BSCALE/BZERO applied, tile compression undone.
    pub fn image_f32(&mut self, hdu: &str) -> Result<ArrayD<f32>> {
        let _ = hdu;
        todo!()
    }
    /// The same as f64.
    pub fn image_f64(&mut self, hdu: &str) -> Result<ArrayD<f64>> {
        let _ = hdu;
        todo!()
    }
    /// The same as u32 (masks written as i4, with or without BZERO).
    pub fn image_u32(&mut self, hdu: &str) -> Result<ArrayD<u32>> {
        let _ = hdu;
        todo!()
    }
    /// A 1-dimensional f64 image.
    pub fn vector(&mut self, hdu: &str) -> Result<Array1<f64>> {
        let _ = hdu;
        todo!()
    }
    /// A 2-dimensional f32 image `[slow, fast]`; an error names another dimension.
    pub fn plane(&mut self, hdu: &str) -> Result<Array2<f32>> {
        let _ = hdu;
        todo!()
    }
    /// A 2-dimensional mask.
    pub fn mask(&mut self, hdu: &str) -> Result<Array2<u32>> {
        let _ = hdu;
        todo!()
    }
    /// A 3-dimensional f32 image.
    pub fn cube(&mut self, hdu: &str) -> Result<Array3<f32>> {
        let _ = hdu;
        todo!()
    }
    /// A binary table with all its columns of fixed length (variable-length ones are left out).
    pub fn table(&mut self, hdu: &str) -> Result<Table> {
        let _ = hdu;
        todo!()
    }
}
