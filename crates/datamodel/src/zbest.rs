//! `zbest-BRICK.fits`: redshifts with redrock's columns (HDU REDSHIFTS).

use crate::{Fibermap, Header, Result, Table};
use std::path::Path;

/// The best fit of one target: a row of REDSHIFTS.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Redshift {
    /// TARGETID.
    pub targetid: i64,
    /// Redshift Z.
    pub z: f64,
    /// Its statistical error ZERR.
    pub zerr: f64,
    /// [`crate::mask::zwarn`] bits, ZWARN.
    pub zwarn: i64,
    /// Pixels with information, NPIXELS.
    pub npixels: i64,
    /// GALAXY, QSO or STAR, SPECTYPE.
    pub spectype: String,
    /// Of a star its type, SUBTYPE.
    pub subtype: String,
    /// Coefficients of the templates; NCOEFF is their number, COEFF is zero-padded to the longest of the file
    /// and at least 10.
    pub coeff: Vec<f64>,
    /// chi2 of the best fit, CHI2.
    pub chi2: f64,
    /// chi2 of the next best fit minus that of the best, DELTACHI2.
    pub deltachi2: f64,
    /// PCA, NMF, ARCH or NONE, FITMETHOD.
    pub fitmethod: String,
}

/// A redshift file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Zbest {
    /// Primary header: RRVER, TEMNAMnn, TEMVERnn, TEMFILnn ...
    pub header: Header,
    /// HDU REDSHIFTS, in the order of the targets.
    pub redshifts: Vec<Redshift>,
    /// Rows of the targets in the same order, HDU FIBERMAP.
    pub fibermap: Fibermap,
    /// One row a target and exposure, HDU EXP_FIBERMAP.
    pub exp_fibermap: Option<Fibermap>,
    /// HDU TSNR2.
    pub tsnr2: Option<Table>,
}

impl Zbest {
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
