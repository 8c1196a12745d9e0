//! `fiberflat-CAMERA-EXPID.fits`: relative throughput of the fibres.

use crate::{Fibermap, Header, Result};
use ndarray::Array2;
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
