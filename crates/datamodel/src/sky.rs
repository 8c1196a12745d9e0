//! `sky-CAMERA-EXPID.fits`: the sky that each fibre of a flat-fielded frame sees.

use crate::checks::{check_ivar, tidy};
use crate::fits::{FitsReader, FitsWriter};
use crate::planes::{self, Borrowed, Names};
use crate::{Header, Result, units};
use ndarray::Array2;
use std::path::Path;

/// Sky model; arrays `[nspec, nwave]`, in the unit of the flat-fielded frame (electron/Angstrom).
#[derive(Debug, Clone, PartialEq)]
pub struct Sky {
    /// Keywords of HDU SKY; NREJ, the number of rejected bins.
    pub header: Header,
    /// Vacuum Angstrom, HDU WAVELENGTH.
    pub wave: Vec<f64>,
    /// HDU SKY.
    pub sky: Array2<f32>,
    /// Inverse variance of the model, inflated by its systematic error, HDU IVAR.
    pub ivar: Array2<f32>,
    /// [`crate::mask::spec`] bits, HDU MASK.
    pub mask: Array2<u32>,
    /// Inverse variance from counting alone, HDU STATIVAR.
    pub stat_ivar: Option<Array2<f32>>,
    /// Factor on the sky lines of each fibre, HDU THRPUTCORR.
    pub throughput_correction: Option<Array2<f32>>,
}

impl Sky {
    /// Reads and validates a file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let names = Names::of(&planes::or_primary(&fits, "SKY"));
        let header = fits.header(&names.value)?;
        let p = planes::read(&mut fits, &names)?;
        let stat_ivar = planes::read_optional(&mut fits, "STATIVAR", &p.ivar)?;
        let throughput_correction = planes::read_optional(&mut fits, "THRPUTCORR", &p.ivar)?;
        stat_ivar.as_ref().map_or(Ok(()), |w| check_ivar(path, "STATIVAR", w))?;
        Ok(Self { header, wave: p.wave, sky: p.values, ivar: p.ivar, mask: p.mask, stat_ivar, throughput_correction })
    }

    /// The header alone.
    pub fn read_header(path: &Path) -> Result<Header> {
        planes::read_header(path, "SKY")
    }

    /// Reads some rows of a sky of `nspec` fibres, without what only tells of its making (STATIVAR, THRPUTCORR).
    pub fn read_rows(path: &Path, nspec: usize, rows: &[usize]) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let names = Names::of(&planes::or_primary(&fits, "SKY"));
        let header = fits.header(&names.value)?;
        let p = planes::read_verified_rows(&mut fits, &names, nspec, rows)?;
        Ok(Self {
            header,
            wave: p.wave,
            sky: p.values,
            ivar: p.ivar,
            mask: p.mask,
            stat_ivar: None,
            throughput_correction: None,
        })
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let names = Names::of("SKY");
        let p =
            Borrowed { path, names: &names, wave: &self.wave, values: &self.sky, ivar: &self.ivar, mask: &self.mask };
        let mut fits = FitsWriter::create(path)?;
        p.write(&mut fits, &planes::with_unit(&self.header, units::ELECTRON_PER_ANGSTROM), "")?;
        p.write_wave(&mut fits)?;
        for (name, plane) in [("STATIVAR", &self.stat_ivar), ("THRPUTCORR", &self.throughput_correction)] {
            if let Some(plane) = plane {
                fits.image(name, tidy(path, name, plane, &self.ivar)?.view(), &Header::new())?;
            }
        }
        fits.finish()
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.camera()
    }
}
