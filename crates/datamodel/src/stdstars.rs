//! `stdstars-SPECTROGRAPH-EXPID.fits`: models of the standard stars.

use crate::{Fibermap, Header, Result};
use ndarray::Array2;
use std::path::Path;

/// Best model of each star, normalised to its photometry, not convolved with the resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct StdStars {
    /// Keywords of HDU FLUX.
    pub header: Header,
    /// Vacuum Angstrom, the templates' own grid, HDU WAVELENGTH.
    pub wave: Vec<f64>,
    /// `[nstar, nwave]`, 1e-17 erg/s/cm2/Angstrom, redshifted to the star's velocity, HDU FLUX.
    pub flux: Array2<f32>,
    /// Global FIBER of each star, HDU FIBERS.
    pub fibers: Vec<i32>,
    /// One row a star, HDU METADATA.
    pub stars: Vec<StarFit>,
    /// `[nstar, ntemplate]` weights of the templates, HDU COEFF.
    pub coeff: Array2<f64>,
    /// Rows of the stars, HDU FIBERMAP.
    pub fibermap: Option<Fibermap>,
    /// Frames that were fitted: (NIGHT, EXPID, CAMERA), HDU INPUT_FRAMES.
    pub input_frames: Vec<(i64, i64, String)>,
}

/// The fit of one star (HDU METADATA).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StarFit {
    /// TARGETID.
    pub targetid: i64,
    /// Global FIBER.
    pub fiber: i32,
    /// log10 of the surface gravity in cm/s2, LOGG.
    pub logg: f64,
    /// Effective temperature in K, TEFF.
    pub teff: f64,
    /// [Fe/H] in dex, FEH.
    pub feh: f64,
    /// chi2 per degree of freedom, CHI2DOF.
    pub chi2dof: f64,
    /// Redshift, positive for a receding star, REDSHIFT.
    pub redshift: f64,
    /// Observed G-R colour, DATA_G-R.
    pub data_color: f64,
    /// Model G-R colour, MODEL_G-R.
    pub model_color: f64,
    /// Median S/N per bin in b, r, z: BLUE_SNR, RED_SNR, NIR_SNR.
    pub snr: [f64; 3],
}

impl StdStars {
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
}
