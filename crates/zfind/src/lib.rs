//! Redshifts and classes of calibrated spectra.
//!
//! Templates are fitted by weighted least squares at every redshift of a grid: coarsely at all of them at once
//! by FFT ([`scan`]), then exactly near the minima ([`search`], [`model`]); the fits of all templates are ranked
//! ([`classify`]). The exact model and the ranking are redrock's (Bailey et al., in preparation;
//! github.com/desihub/redrock).

pub mod archetype;
pub mod basis;
pub mod batch;
pub mod classify;
pub mod details;
pub mod fibermap;
pub mod finder;
pub mod forest;
pub mod input;
pub mod kernel;
pub mod lattice;
pub mod minima;
pub mod model;
pub mod nnls;
pub mod observe;
pub mod output;
pub mod plausible;
pub mod plot;
pub mod prior;
pub mod rebuild;
pub mod scan;
pub mod sdss;
pub mod search;
pub mod spectra;
pub mod spectrum;
pub mod svg;
