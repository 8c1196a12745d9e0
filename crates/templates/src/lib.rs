//! Spectral templates: redrock's file format, the built-in set, the grid of standard stars, and the model
//! spectra that the simulator observes.
//!
//! Wavelengths are vacuum Angstrom, spectra are flux densities per Angstrom.

mod builtin;
pub mod dust;
pub mod filters;
pub mod igm;
pub mod models;
mod star_grid;
mod synthesis;
mod template;

pub use builtin::builtin;
pub use star_grid::StarGrid;
pub use template::{Template, default_redshifts, load};

/// How coefficients are fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Any sign (RRMETHOD PCA).
    Pca,
    /// Non-negative (RRMETHOD NMF).
    Nmf,
}

/// Transmission of the intergalactic medium that a template is multiplied by (RRIGM). Redrock's Inoue14 is not
/// among them: a file that asks for it is refused with an error that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Igm {
    /// No absorption.
    None,
    /// Calura et al. 2012: Lyman series.
    Calura12,
    /// Kamble et al. 2020: Lyman alpha.
    Kamble20,
}

#[doc(hidden)]
pub fn debug_type(name: &str) -> (Vec<f64>, Vec<Vec<f64>>) {
    let w = builtin::star::wavelengths();
    let t: &[(f64, f64)] = match name { "M" => &[(2800.0, 5.0), (3100.0, 5.0), (3400.0, 4.8), (3700.0, 4.7), (3900.0, 4.6)], "K" => &[(4000.0, 4.6), (4300.0, 4.6), (4600.0, 4.6), (4900.0, 4.6), (4300.0, 2.0)], "A" => &[(7500.0, 4.0), (8500.0, 4.0), (9500.0, 4.0), (10000.0, 4.0), (10500.0, 3.6)], _ => &[(8000.0, 8.0), (12000.0, 8.0), (16000.0, 8.0), (22000.0, 8.0), (36000.0, 8.0)] };
    let f = t.iter().map(|&(teff, logg)| synthesis::spectrum::flux(&synthesis::atmosphere::Star { teff, logg, feh: if name == "WD" { -4.0 } else { 0.0 } }, &w)).collect();
    (w, f)
}
