//! Spectral templates: redrock's file format, the built-in set, the grid of standard stars, and the model
//! spectra that the simulator observes.
//!
//! Wavelengths are vacuum Angstrom, spectra are flux densities per Angstrom.

mod builtin;
pub mod dust;
pub mod filters;
pub mod igm;
pub mod inoue;
pub mod models;
mod parallel;
mod star_grid;
mod synthesis;
mod template;

pub use builtin::builtin;
pub use star_grid::StarGrid;
pub use synthesis::exponential::exp_all;
pub use template::{Template, default_redshifts, load};

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
    /// Inoue et al. 2014: Lyman series and continuum.
    Inoue14,
}
