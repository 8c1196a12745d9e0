//! `calib-CAMERA-EXPID.fits` (today's name: fluxcalib): the flux calibration of a camera.

use crate::{Header, Result};
use ndarray::Array2;
use std::path::Path;

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
        let _ = path;
        todo!()
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let _ = path;
        todo!()
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.str("CAMERA")?.trim().to_lowercase().parse().ok()
    }
}
