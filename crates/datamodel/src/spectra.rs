//! Grouped spectra: `brick-NAME.fits`, and DESI's `spectra-` and `coadd-` files of any release.

use crate::{Band, Fibermap, Header, Result, Table};
use ndarray::{Array2, Array3};
use std::{collections::BTreeMap, path::Path};

/// Spectra of several targets in up to three bands. Rows agree with the fibermap's; a spectrum without a
/// band has ivar 0 and mask NODATA there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spectra {
    /// Keywords of the primary HDU.
    pub header: Header,
    /// One row a spectrum, HDU FIBERMAP (with NIGHT, EXPID, MJD, TILEID).
    pub fibermap: Fibermap,
    /// One row a target and exposure, HDU EXP_FIBERMAP of a coadd.
    pub exp_fibermap: Option<Fibermap>,
    /// HDUs B_*, R_*, Z_*.
    pub bands: BTreeMap<Band, BandSpectra>,
    /// HDU SCORES.
    pub scores: Option<Table>,
}

/// One band of [`Spectra`]; arrays `[nspec, nwave]`.
#[derive(Debug, Clone, PartialEq)]
pub struct BandSpectra {
    /// Vacuum Angstrom, HDU X_WAVELENGTH.
    pub wave: Vec<f64>,
    /// 1e-17 erg/s/cm2/Angstrom, HDU X_FLUX.
    pub flux: Array2<f32>,
    /// Its inverse variance, HDU X_IVAR.
    pub ivar: Array2<f32>,
    /// [`crate::mask::spec`] bits, HDU X_MASK (zeros where absent).
    pub mask: Array2<u32>,
    /// `[nspec, ndiag, nwave]`, HDU X_RESOLUTION (identity where absent).
    pub resolution: Array3<f32>,
}

impl Spectra {
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
