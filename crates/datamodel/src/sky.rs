//! `sky-CAMERA-EXPID.fits`: the sky that each fibre of a flat-fielded frame sees.

use crate::{Header, Result};
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
