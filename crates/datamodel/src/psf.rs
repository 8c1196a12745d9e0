//! `psf-` and `psfnight-` files: the Gauss-Hermite PSF of every fibre (PSFVER 3; PSFVER 2 is read).

use crate::{Header, Result};
use ndarray::Array2;
use std::{collections::BTreeMap, path::Path};

/// Legendre series in wavelength, one row a fibre: `Σ_k coeff[f, k] P_k(2(λ-wavemin)/(wavemax-wavemin)-1)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LegendreRows {
    /// Wavelengths in Angstrom that map to -1 and 1.
    pub wavemin: f64,
    /// See `wavemin`.
    pub wavemax: f64,
    /// `[nfiber, ncoeff]`.
    pub coeff: Array2<f64>,
}

/// A Gauss-Hermite PSF file.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussHermitePsf {
    /// Keywords of HDU PSF: CAMERA, NPIX_X, NPIX_Y, ARCEXP, BnnRCHI2, BnnNDATA ...
    pub header: Header,
    /// Pixel x of the trace (first pixel centre is 0), HDU XTRACE.
    pub x: LegendreRows,
    /// Pixel y of the trace, HDU YTRACE.
    pub y: LegendreRows,
    /// Wavelength range of the rows of `parameters`, Angstrom.
    pub wavemin: f64,
    /// See `wavemin`.
    pub wavemax: f64,
    /// PARAM -> COEFF `[nfiber, LEGDEG+1]` of GHSIGX, GHSIGY, GH-i-j, TAILAMP, TAILCORE, TAILXSCA, TAILYSCA,
    /// TAILINDE, CONT. `GH-0-0` is 1 on reading whatever the file's junk says (specex means 1).
    pub parameters: BTreeMap<String, Array2<f64>>,
    /// Bundle of each fibre, row BUNDLE.
    pub bundle: Vec<i32>,
    /// Status of the fit of each fibre: 0 fitted, -1 skipped, 1-4 failed, row STATUS.
    pub status: Vec<i32>,
    /// First fibre, FIBERMIN.
    pub fibermin: usize,
    /// Highest Hermite orders in x and y, GHDEGX and GHDEGY.
    pub ghdeg: (usize, usize),
    /// Half size of a spot in pixels, HSIZEX and HSIZEY.
    pub half_size: (usize, usize),
    /// Size of the image `(ny, nx)`, NPIX_Y and NPIX_X.
    pub npix: (usize, usize),
}

impl GaussHermitePsf {
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

    /// Number of fibres.
    pub fn nfiber(&self) -> usize {
        self.x.coeff.nrows()
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.str("CAMERA")?.trim().to_lowercase().parse().ok()
    }

    /// Reduced chi2 of a bundle, BnnRCHI2.
    pub fn rchi2(&self, bundle: usize) -> Option<f64> {
        self.header.float(&format!("B{bundle:02}RCHI2"))
    }
}
