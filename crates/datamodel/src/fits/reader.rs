//! Reading a FITS file: HDUs by name, images and tables whole, CHECKSUM and DATASUM verified.

use super::Pixel;
use super::handle::{Damage, END_OF_FILE, Handle, READ_ERROR};
use super::plain::Hdu;
use super::{card, rows};
use crate::{Error, Header, Result, Table};
use ndarray::{Array, Array1, Array2, Array3, ArrayD, Dimension};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// An open FITS file.
pub struct FitsReader {
    file: Handle,
    path: PathBuf,
    names: Vec<String>,
    headers: Vec<Header>,
    /// Which HDUs' sums have been verified.
    verified: Vec<bool>,
    /// The file itself, unless it is a compressed one.
    plain: Option<File>,
}

impl FitsReader {
    /// Opens a file (plain, or gzipped where the name ends in .gz); NAME may contain any character.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Io`], or [`Error::Fits`] if it is no FITS file or is truncated.
    pub fn open(path: &Path) -> Result<Self> {
        let plain = probe(path)?;
        let mut reader = Self {
            file: Handle::open(path)?,
            path: path.to_path_buf(),
            names: vec![],
            headers: vec![],
            verified: vec![],
            plain: None,
        };
        let mut end = 0;
        for index in 0.. {
            reader.file.hdu = index.to_string();
            match reader.file.move_to(index) {
                Err(Error::Fits { status: END_OF_FILE | READ_ERROR, .. }) if index > 0 => break,
                other => other?,
            }
            let (header, name) = card::parse(&reader.file.records()?);
            reader.names.push(name.unwrap_or_else(|| index.to_string()));
            reader.headers.push(header);
            end = reader.file.extent()?[2];
        }
        reader.verified = vec![false; reader.names.len()];
        if plain {
            let file = File::open(path).map_err(|source| reader.refused(source))?;
            reader.check_length(&file, end)?;
            reader.plain = Some(file);
        }
        Ok(reader)
    }

    /// cfitsio takes a file that ends within an HDU for one that has fewer HDUs, or fails at the data only.
    fn check_length(&self, mut file: &File, end: u64) -> Result<()> {
        let io = |source| self.refused(source);
        let length = file.metadata().map_err(io)?.len();
        let last = self.names.last().cloned().unwrap_or_default();
        if length < end {
            return Err(self.truncated(&last, format!("the file is truncated: it has {length} of {end} bytes")));
        }
        let mut next = Vec::new();
        file.seek(SeekFrom::Start(end)).map_err(io)?;
        file.take(8).read_to_end(&mut next).map_err(io)?;
        if !next.is_empty() && b"XTENSION".starts_with(&next) {
            let message = format!("the file is truncated in the header of the HDU after {last}");
            return Err(self.truncated("", message));
        }
        Ok(())
    }

    fn refused(&self, source: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), action: "read", source }
    }

    fn truncated(&self, hdu: &str, message: String) -> Error {
        Error::Fits { path: self.path.clone(), hdu: hdu.to_string(), action: "read", status: END_OF_FILE, message }
    }

    /// Path it was opened under.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// EXTNAMEs in order; an HDU without one is called by its number ("0" is the primary).
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether an HDU of that name (compared without case) exists.
    pub fn has(&self, hdu: &str) -> bool {
        self.index(hdu).is_ok()
    }

    /// Header of an HDU by name or number ("0"), without structural keywords.
    ///
    /// # Errors
    /// [`Error::MissingHdu`].
    pub fn header(&mut self, hdu: &str) -> Result<Header> {
        Ok(self.headers[self.index(hdu)?].clone())
    }

    fn index(&self, hdu: &str) -> Result<usize> {
        let by_name = self.names.iter().position(|n| n.eq_ignore_ascii_case(hdu));
        let by_number = || hdu.parse().ok().filter(|&i: &usize| i < self.names.len());
        by_name.or_else(by_number).ok_or_else(|| Error::MissingHdu {
            path: self.path.clone(),
            hdu: hdu.to_string(),
            found: self
                .names
                .iter()
                .map(|n| if n == "0" { "an unnamed primary" } else { n })
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    /// Makes an HDU current, its sums verified once.
    fn enter(&mut self, hdu: &str) -> Result<()> {
        let index = self.index(hdu)?;
        self.file.hdu = self.names[index].clone();
        self.file.move_to(index)?;
        if self.verified[index] {
            return Ok(());
        }
        let damage = match &self.plain {
            Some(file) => self.hdu()?.damage(file).map_err(|e| self.refused(e))?,
            None => self.file.damage()?,
        };
        self.judge(hdu, index, damage)
    }

    /// Verifies the sums of an HDU whose data are not read whole.
    pub fn verify(&mut self, hdu: &str) -> Result<()> {
        self.enter(hdu)
    }

    /// The verdict on the sums of an HDU.
    fn judge(&mut self, hdu: &str, index: usize, damage: Damage) -> Result<()> {
        self.verified[index] = true;
        match damage {
            None => Ok(()),
            Some(keyword) => Err(Error::Checksum { path: self.path.clone(), hdu: hdu.to_string(), keyword }),
        }
    }

    /// The current HDU as it lies in the file.
    fn hdu(&self) -> Result<Hdu> {
        Ok(Hdu { extent: self.file.extent()?, cards: card::every(&self.file.records()?) })
    }

    /// An image of a plain file that holds numbers of this type, its sums verified in the same pass; `None` for any other HDU.
    fn plain_image<T: Pixel>(&mut self, hdu: &str) -> Result<Option<ArrayD<T>>> {
        let index = self.index(hdu)?;
        self.file.hdu = self.names[index].clone();
        self.file.move_to(index)?;
        let (Some(file), Some(shape)) = (&self.plain, self.file.image_shape()?) else { return Ok(None) };
        let place = self.hdu()?;
        if shape.is_empty() || !place.holds::<T>() {
            return Ok(None);
        }
        let (data, damage) = place.pixels(file, shape.iter().product()).map_err(|e| self.refused(e))?;
        self.judge(hdu, index, damage)?;
        self.shaped(hdu, shape, data).map(Some)
    }

    /// Makes an HDU current and gives the shape of its image, which must have data.
    fn enter_image(&mut self, hdu: &str) -> Result<Vec<usize>> {
        self.enter(hdu)?;
        match self.file.image_shape()? {
            Some(shape) if !shape.is_empty() => Ok(shape),
            Some(_) => Err(self.invalid(hdu, "shape", "an image", "no data")),
            None => Err(self.invalid(hdu, "type", "an image", "a table")),
        }
    }

    /// Rows along the slowest axis of an image.
    pub fn nrows(&mut self, hdu: &str) -> Result<usize> {
        let index = self.index(hdu)?;
        self.file.hdu = self.names[index].clone();
        self.file.move_to(index)?;
        Ok(self.file.image_shape()?.and_then(|shape| shape.first().copied()).unwrap_or(0))
    }

    /// Some rows along the slowest axis of an image, and nothing but them: the sums of the HDU, which need all of it,
    /// are not verified.
    pub fn rows<D: Dimension>(&mut self, hdu: &str, rows: &[usize]) -> Result<Array<f32, D>> {
        let image = self.some_rows(hdu, rows, Some(f32::NAN))?;
        self.dimensions(hdu, image)
    }

    /// The same of a mask.
    pub fn mask_rows(&mut self, hdu: &str, rows: &[usize]) -> Result<Array2<u32>> {
        let image = self.some_rows::<i64>(hdu, rows, None)?;
        self.dimensions(hdu, image).map(|mask: Array2<i64>| mask.mapv(|m| m as u32))
    }

    fn some_rows<T: Pixel>(&mut self, hdu: &str, rows: &[usize], blank: Option<T>) -> Result<ArrayD<T>> {
        let all = self.nrows(hdu)?;
        if let Some(row) = rows.iter().find(|r| **r >= all) {
            return Err(self.invalid(hdu, "rows", &format!("more than {row}"), &all.to_string()));
        }
        let mut shape = self.file.image_shape()?.unwrap_or_default();
        if shape.is_empty() {
            return self.shaped(hdu, vec![0], vec![]);
        }
        let size: usize = shape[1..].iter().product();
        let mut data = vec![T::default(); rows.len() * size];
        // one call for rows that follow each other
        let mut start = 0;
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            let mut first = [1; 9];
            first[shape.len() - 1] = run[0] as i64 + 1;
            let end = start + run.len() * size;
            self.file.pixels_from(first, &mut data[start..end], blank)?;
            start = end;
        }
        shape[0] = rows.len();
        self.shaped(hdu, shape, data)
    }

    fn pixels<T: Pixel>(&mut self, hdu: &str, blank: Option<T>) -> Result<ArrayD<T>> {
        let shape = self.enter_image(hdu)?;
        let data = self.file.pixels(shape.iter().product(), blank)?;
        self.shaped(hdu, shape, data)
    }

    fn shaped<T>(&self, hdu: &str, shape: Vec<usize>, data: Vec<T>) -> Result<ArrayD<T>> {
        ArrayD::from_shape_vec(shape, data).map_err(|e| self.invalid(hdu, "shape", "an array", &e.to_string()))
    }

    /// An image of any type and dimension as f32, BSCALE/BZERO applied, tile compression undone.
    ///
    /// # Errors
    /// Those of all the readers below: [`Error::MissingHdu`], [`Error::Checksum`], [`Error::Fits`] where the
    /// data end early, [`Error::Invalid`] where the HDU is no image or has another dimension.
    pub fn image_f32(&mut self, hdu: &str) -> Result<ArrayD<f32>> {
        if let Some(image) = self.plain_image(hdu)? {
            return Ok(image);
        }
        // infinite where f32 cannot hold it; to cfitsio that is an error of the file
        match self.plain_image::<f64>(hdu)? {
            Some(image) => Ok(image.mapv(|x| x as f32)),
            None => self.pixels(hdu, Some(f32::NAN)),
        }
    }

    /// The same as f64.
    pub fn image_f64(&mut self, hdu: &str) -> Result<ArrayD<f64>> {
        match self.plain_image(hdu)? {
            Some(image) => Ok(image),
            None => self.pixels(hdu, Some(f64::NAN)),
        }
    }

    /// The same as u32 (masks written as i4, with or without BZERO).
    pub fn image_u32(&mut self, hdu: &str) -> Result<ArrayD<u32>> {
        if let Some(image) = self.plain_image(hdu)? {
            return Ok(image);
        }
        if let Some(image) = self.plain_image::<i32>(hdu)? {
            return Ok(image.mapv_into_any(|x| x as u32));
        }
        let shape = self.enter_image(hdu)?;
        let n = shape.iter().product();
        let data = match self.file.image_type()? {
            t if t == u32::IMAGE => self.file.pixels(n, None)?,
            t if t == i64::IMAGE => self.file.pixels::<i64>(n, None)?.into_iter().map(|x| x as u32).collect(),
            _ => self.file.pixels::<i32>(n, None)?.into_iter().map(|x| x as u32).collect(),
        };
        self.shaped(hdu, shape, data)
    }

    /// A 2-dimensional image of integers; one of numbers is an error.
    pub fn counts(&mut self, hdu: &str) -> Result<Array2<i32>> {
        self.enter_image(hdu)?;
        if self.file.image_type()? < 0 {
            return Err(self.invalid(hdu, "type", "integers", "floating-point numbers"));
        }
        let image = self.pixels(hdu, None)?;
        self.dimensions(hdu, image)
    }

    fn dimensions<T, D: Dimension>(&self, hdu: &str, image: ArrayD<T>) -> Result<Array<T, D>> {
        let found = format!("{:?}", image.shape());
        let expected = format!("{} dimensions", D::NDIM.unwrap_or(0));
        image.into_dimensionality().map_err(|_| self.invalid(hdu, "shape", &expected, &found))
    }

    /// A 1-dimensional f64 image.
    pub fn vector(&mut self, hdu: &str) -> Result<Array1<f64>> {
        let image = self.image_f64(hdu)?;
        self.dimensions(hdu, image)
    }

    /// A 2-dimensional f32 image `[slow, fast]`; an error names another dimension.
    pub fn plane(&mut self, hdu: &str) -> Result<Array2<f32>> {
        let image = self.image_f32(hdu)?;
        self.dimensions(hdu, image)
    }

    /// The same as f64.
    pub fn plane_f64(&mut self, hdu: &str) -> Result<Array2<f64>> {
        let image = self.image_f64(hdu)?;
        self.dimensions(hdu, image)
    }

    /// A 2-dimensional mask.
    pub fn mask(&mut self, hdu: &str) -> Result<Array2<u32>> {
        let image = self.image_u32(hdu)?;
        self.dimensions(hdu, image)
    }

    /// A 3-dimensional f32 image.
    pub fn cube(&mut self, hdu: &str) -> Result<Array3<f32>> {
        let image = self.image_f32(hdu)?;
        self.dimensions(hdu, image)
    }

    /// A binary table with all its columns of fixed length (variable-length ones are left out).
    pub fn table(&mut self, hdu: &str) -> Result<Table> {
        self.enter(hdu)?;
        if self.file.image_shape()?.is_some() {
            return Err(self.invalid(hdu, "type", "a table", "an image"));
        }
        let layout = rows::Layout::of(&card::every(&self.file.records()?));
        let layout = layout.map_err(|found| self.invalid(hdu, "type", "a binary table", &found))?;
        Ok(rows::decode(&layout, &self.file.row_bytes(layout.size())?))
    }

    fn invalid(&self, hdu: &str, item: &str, expected: &str, found: &str) -> Error {
        Error::Invalid {
            path: self.path.clone(),
            hdu: hdu.into(),
            item: item.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// cfitsio's status for a file that does not start with SIMPLE.
const NOT_FITS: i32 = 252;
/// FITS files are made of blocks of so many bytes.
const BLOCK: u64 = 2880;
/// How gzipped files start.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Whether the file is a plain one rather than a compressed one; an error if it is not there, cannot be read or
/// does not start as a FITS file does.
fn probe(path: &Path) -> Result<bool> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Error::Missing { path: path.to_path_buf() },
        _ => Error::Io { path: path.to_path_buf(), action: "open", source },
    };
    let mut start = Vec::new();
    File::open(path).map_err(io)?.take(BLOCK).read_to_end(&mut start).map_err(io)?;
    let unusable = |message: &str| {
        let message = message.to_string();
        Err(Error::Fits { path: path.to_path_buf(), hdu: String::new(), action: "read", status: NOT_FITS, message })
    };
    match start.len() {
        0 => unusable("the file is empty"),
        _ if start.starts_with(GZIP) => Ok(false),
        _ if !start.starts_with(b"SIMPLE  =") => unusable("this is no FITS file"),
        n if n < BLOCK as usize => unusable("the file is truncated in its first header"),
        _ => Ok(true),
    }
}
