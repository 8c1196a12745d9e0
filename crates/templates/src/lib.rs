//! Spectral templates: redrock's file format, the built-in set, the grid of standard stars, and the model
//! spectra that the simulator observes.

use ndarray::Array2;
use std::path::{Path, PathBuf};

/// How coefficients are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Any sign (RRMETHOD PCA).
    Pca,
    /// Non-negative (RRMETHOD NMF).
    Nmf,
}

/// Transmission of the intergalactic medium that a template is multiplied by (RRIGM).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Igm {
    /// No absorption.
    None,
    /// Calura et al. 2012: Lyman series.
    Calura12,
    /// Kamble et al. 2020: Lyman alpha.
    Kamble20,
    /// Inoue et al. 2014.
    Inoue14,
}

/// A basis of rest-frame spectra for one class.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// GALAXY, QSO or STAR (RRTYPE).
    pub spectype: String,
    /// Of a star its type (RRSUBTYP), of a quasar LOZ or HIZ, else empty.
    pub subtype: String,
    /// VERSION of the file.
    pub version: String,
    /// File name, or "built-in".
    pub source: String,
    /// Rest-frame vacuum Angstrom, ascending.
    pub wave: Vec<f64>,
    /// `[nbasis, nwave]`, flux density per Angstrom in arbitrary units.
    pub basis: Array2<f64>,
    /// Redshifts to scan, ascending.
    pub redshifts: Vec<f64>,
    /// Its IGM model.
    pub igm: Igm,
    /// Its fit.
    pub method: Method,
}

/// Model spectra of stars for flux calibration.
#[derive(Debug, Clone, PartialEq)]
pub struct StarGrid {
    /// Vacuum Angstrom.
    pub wave: Vec<f64>,
    /// `[nmodel, nwave]`, flux density per Angstrom in arbitrary units.
    pub flux: Array2<f64>,
    /// Effective temperature of each model, K.
    pub teff: Vec<f64>,
    /// log10 of the surface gravity in cm/s2.
    pub logg: Vec<f64>,
    /// [Fe/H] in dex.
    pub feh: Vec<f64>,
}

impl Template {
    /// Reads one redrock template file.
    pub fn read(path: &Path) -> datamodel::Result<Self> {
        let _ = path;
        todo!()
    }
}

/// The template files of a folder (rrtemplate-*.fits; of several versions of one class the newest), or the
/// files named.
pub fn load(paths: &[PathBuf]) -> datamodel::Result<Vec<Template>> {
    let _ = paths;
    todo!()
}

/// The set that needs no file.
pub fn builtin() -> Vec<Template> {
    todo!()
}

impl StarGrid {
    /// Reads DESI's star templates (HDU0 flux, table TEFF LOGG FEH, wavelengths).
    pub fn read(path: &Path) -> datamodel::Result<Self> {
        let _ = path;
        todo!()
    }

    /// The grid that needs no file.
    pub fn builtin() -> Self {
        todo!()
    }
}
