//! What a calibration does to a frame (fibre flat, sky, flux calibration), and the deconvolved spectrum that
//! many fibres share. The steps that make these products and those that use them meet here.

mod apply;
mod check;
mod common_spectrum;
mod cosmics;
mod heliocentric;
mod mean_resolution;
#[cfg(feature = "testing")]
pub mod testing;
mod weights;

pub use apply::{divide_by_calibration, divide_by_fiberflat, subtract_sky};
pub use check::{Product, check, check_targets};
pub use common_spectrum::{CommonSpectrum, NormalEquations};
pub use cosmics::flag_cosmics;
pub use mean_resolution::mean_resolution;
pub use weights::smooth_weight;
