//! `frame-` and `cframe-CAMERA-EXPID.fits`: extracted spectra of one camera.

use crate::{Fibermap, Header, Result, Table};
use ndarray::{Array2, Array3};
use std::path::Path;

/// Spectra on a common wavelength grid; arrays `[nspec, nwave]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// CAMERA, EXPID, NIGHT, FLAVOR, EXPTIME, BUNIT ... of HDU FLUX.
    pub header: Header,
    /// Vacuum Angstrom, HDU WAVELENGTH.
    pub wave: Vec<f64>,
    /// electron/Angstrom (frame), 1e-17 erg/s/cm2/Angstrom (cframe), HDU FLUX.
    pub flux: Array2<f32>,
    /// Inverse variance of `flux`, HDU IVAR; 0 carries no information.
    pub ivar: Array2<f32>,
    /// [`crate::mask::spec`] bits, HDU MASK.
    pub mask: Array2<u32>,
    /// `[nspec, ndiag, nwave]`, layout of [`numerics::Resolution`], HDU RESOLUTION.
    pub resolution: Array3<f32>,
    /// PSF-weighted chi2 of the pixels, HDU CHI2PIX.
    pub chi2pix: Option<Array2<f32>>,
    /// One row a spectrum, HDU FIBERMAP.
    pub fibermap: Fibermap,
    /// HDU SCORES.
    pub scores: Option<Table>,
}

impl Frame {
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

    /// Number of spectra.
    pub fn nspec(&self) -> usize {
        self.flux.nrows()
    }

    /// Inverse variance with masked bins at 0, spectrum `i`, as f64.
    pub fn good_ivar(&self, i: usize) -> Vec<f64> {
        self.ivar.row(i).iter().zip(self.mask.row(i)).map(|(w, m)| if *m == 0 { f64::from(*w) } else { 0.0 }).collect()
    }

    /// Resolution matrix of spectrum `i`.
    pub fn resolution_of(&self, i: usize) -> numerics::Resolution {
        numerics::Resolution::from_dia(self.resolution.index_axis(ndarray::Axis(0), i))
    }
}
