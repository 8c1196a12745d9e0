//! `fiberflat-CAMERA-EXPID.fits`: relative throughput of the fibres.

use crate::checks::{check_finite, check_rows, check_shape};
use crate::fits::{FitsReader, FitsWriter};
use crate::planes::{self, Borrowed, Names, Planes};
use crate::{Fibermap, Header, Result, units};
use ndarray::{Array2, ArrayView1};
use std::path::Path;

/// Fibre flat; arrays `[nspec, nwave]`. A frame is divided by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fiberflat {
    /// Keywords of HDU FIBERFLAT; CHI2PDF of the fit.
    pub header: Header,
    /// Vacuum Angstrom, HDU WAVELENGTH.
    pub wave: Vec<f64>,
    /// Dimensionless, about 1, HDU FIBERFLAT.
    pub fiberflat: Array2<f32>,
    /// Its inverse variance, HDU IVAR.
    pub ivar: Array2<f32>,
    /// [`crate::mask::spec`] bits, HDU MASK.
    pub mask: Array2<u32>,
    /// Deconvolved mean spectrum of the lamp, electron/Angstrom, HDU MEANSPEC.
    pub meanspec: Vec<f64>,
    /// HDU FIBERMAP (absent in 2016 files).
    pub fibermap: Option<Fibermap>,
}

impl Fiberflat {
    /// Reads and validates a file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let names = Names::of(&planes::or_primary(&fits, "FIBERFLAT"));
        let p = planes::read(&mut fits, &names)?;
        let fibermap = Fibermap::read_optional(&mut fits, "FIBERMAP")?;
        Self::with_planes(fits, &names, p, fibermap)
    }

    /// The header alone.
    pub fn read_header(path: &Path) -> Result<Header> {
        planes::read_header(path, "FIBERFLAT")
    }

    /// Reads some rows of a flat of `nspec` fibres.
    pub fn read_rows(path: &Path, nspec: usize, rows: &[usize]) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let names = Names::of(&planes::or_primary(&fits, "FIBERFLAT"));
        let p = planes::read_verified_rows(&mut fits, &names, nspec, rows)?;
        let fibermap = Fibermap::read_optional(&mut fits, "FIBERMAP")?;
        fibermap.as_ref().map_or(Ok(()), |f| check_rows(path, "FIBERMAP", f.len(), nspec))?;
        Self::with_planes(fits, &names, p, fibermap.map(|f| f.select(rows)))
    }

    fn with_planes(mut fits: FitsReader, names: &Names, p: Planes, fibermap: Option<Fibermap>) -> Result<Self> {
        let header = fits.header(&names.value)?;
        let meanspec = fits.vector("MEANSPEC")?.to_vec();
        let flat = Self { header, wave: p.wave, fiberflat: p.values, ivar: p.ivar, mask: p.mask, meanspec, fibermap };
        flat.check(fits.path())?;
        Ok(flat)
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        let names = Names::of("FIBERFLAT");
        let p = Borrowed {
            path,
            names: &names,
            wave: &self.wave,
            values: &self.fiberflat,
            ivar: &self.ivar,
            mask: &self.mask,
        };
        let mut fits = FitsWriter::create(path)?;
        p.write(&mut fits, &planes::with_unit(&self.header, ""), "")?;
        let meanspec = ArrayView1::from(&self.meanspec);
        fits.image("MEANSPEC", meanspec.mapv(|x| x as f32).view(), &planes::unit(units::ELECTRON_PER_ANGSTROM))?;
        p.write_wave(&mut fits)?;
        if let Some(fibermap) = &self.fibermap {
            fibermap.write_to(&mut fits, "FIBERMAP")?;
        }
        fits.finish()
    }

    fn check(&self, path: &Path) -> Result<()> {
        check_shape(path, "MEANSPEC", &[self.meanspec.len()], &[self.wave.len()])?;
        check_finite(path, "MEANSPEC", "values", &self.meanspec)?;
        self.fibermap.as_ref().map_or(Ok(()), |f| check_rows(path, "FIBERMAP", f.len(), self.fiberflat.nrows()))
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.camera()
    }
}
