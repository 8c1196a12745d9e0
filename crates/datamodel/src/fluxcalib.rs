//! `calib-CAMERA-EXPID.fits` (today's name: fluxcalib): the flux calibration of a camera.

use crate::checks::{check_finite, check_rows, check_shape, invalid};
use crate::fits::{FitsReader, FitsWriter};
use crate::planes::{self, Borrowed, Names};
use crate::{ColumnData, Header, Result, Table, units};
use ndarray::{Array2, ArrayView1};
use std::path::Path;

/// Columns of HDU FIBERCORR.
const FIBERCORR: [&str; 2] = ["FLAT_TO_PSF_FLUX", "PSF_TO_FIBER_FLUX"];

/// Flux calibration; arrays `[nspec, nwave]`, (electron/Angstrom) / (1e-17 erg/s/cm2/Angstrom), exposure
/// time included. A flat-fielded, sky-subtracted frame is divided by it.
#[derive(Debug, Clone, PartialEq)]
pub struct FluxCalib {
    /// Keywords of HDU FLUXCALIB.
    pub header: Header,
    /// Vacuum Angstrom, HDU WAVELENGTH.
    pub wave: Vec<f64>,
    /// HDU FLUXCALIB.
    pub calib: Array2<f32>,
    /// HDU IVAR.
    pub ivar: Array2<f32>,
    /// [`crate::mask::spec`] bits, HDU MASK.
    pub mask: Array2<u32>,
    /// FLAT_TO_PSF_FLUX and PSF_TO_FIBER_FLUX of each fibre, HDU FIBERCORR.
    pub fibercorr: Option<[Vec<f64>; 2]>,
    /// The calibration before convolution with the resolution, HDU DECONVOLVED_CALIB.
    pub deconvolved: Option<Vec<f64>>,
}

impl FluxCalib {
    /// Reads and validates a file.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let names = Names::of(&planes::or_primary(&fits, "FLUXCALIB"));
        let header = fits.header(&names.value)?;
        let p = planes::read(&mut fits, &names)?;
        let fibercorr = if fits.has("FIBERCORR") { Some(read_fibercorr(&mut fits)?) } else { None };
        let deconvolved =
            if fits.has("DECONVOLVED_CALIB") { Some(fits.vector("DECONVOLVED_CALIB")?.to_vec()) } else { None };
        let calib = Self { header, wave: p.wave, calib: p.values, ivar: p.ivar, mask: p.mask, fibercorr, deconvolved };
        calib.check(path)?;
        Ok(calib)
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        let names = Names::of("FLUXCALIB");
        let p =
            Borrowed { path, names: &names, wave: &self.wave, values: &self.calib, ivar: &self.ivar, mask: &self.mask };
        let mut fits = FitsWriter::create(path)?;
        p.write(&mut fits, &planes::with_unit(&self.header, units::CALIBRATION), "")?;
        p.write_wave(&mut fits)?;
        if let Some(columns) = &self.fibercorr {
            let mut table = Table::new();
            for (name, values) in FIBERCORR.into_iter().zip(columns) {
                table.set(name, "", ColumnData::F64(values.clone()));
            }
            fits.table("FIBERCORR", &table, &Header::new())?;
        }
        if let Some(curve) = &self.deconvolved {
            fits.image("DECONVOLVED_CALIB", ArrayView1::from(curve), &planes::unit(units::CALIBRATION))?;
        }
        fits.finish()
    }

    fn check(&self, path: &Path) -> Result<()> {
        for (name, column) in FIBERCORR.into_iter().zip(self.fibercorr.iter().flatten()) {
            check_rows(path, "FIBERCORR", column.len(), self.calib.nrows())?;
            check_finite(path, "FIBERCORR", name, column)?;
        }
        if let Some(curve) = &self.deconvolved {
            check_shape(path, "DECONVOLVED_CALIB", &[curve.len()], &[self.wave.len()])?;
            check_finite(path, "DECONVOLVED_CALIB", "values", curve)?;
        }
        Ok(())
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.camera()
    }
}

fn read_fibercorr(fits: &mut FitsReader) -> Result<[Vec<f64>; 2]> {
    let table = fits.table("FIBERCORR")?;
    let column = |name: &str| {
        let absent = || invalid(fits.path(), "FIBERCORR", &format!("column {name}"), "numbers", "nothing");
        table.floats(name).ok_or_else(absent)
    };
    Ok([column(FIBERCORR[0])?, column(FIBERCORR[1])?])
}
