//! Maths without I/O: banded symmetric algebra, resolution matrices, resampling, splines, Legendre and
//! Hermite series, robust statistics.
//!
//! Everything but the images of [`shot_noise`] is `f64`, runs on one thread and gives the same bits on every host: no BLAS
//! is called.

pub mod banded;
mod gauss;
pub mod hermite;
pub mod interp;
pub mod lanes;
pub mod legendre;
mod panel;
pub mod rational_sqrt;
pub mod resample;
pub mod resolution;
pub mod robust;
pub mod shot_noise;
pub mod simd;
pub mod spline;

/// Speed of light in km/s, exact by the definition of the metre.
pub const LIGHT_KMS: f64 = 299_792.458;

pub use banded::{BandedCholesky, SymmetricBand};
pub use lanes::BandLanes;
pub use rational_sqrt::RationalSqrt;
pub use resolution::{Diagonals, Entry, Resolution, View};

/// What can go wrong in the numerical kernels.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NumericsError {
    /// A matrix that should be positive definite is not.
    #[error("matrix is not positive definite: pivot {pivot:e} at row {row} of {n}")]
    NotPositiveDefinite {
        /// Row of the bad pivot.
        row: usize,
        /// Order of the matrix.
        n: usize,
        /// Value of the pivot before its square root.
        pivot: f64,
    },
    /// There are fewer usable data than the fit needs.
    #[error("{what}: {found} usable data, at least {needed} needed")]
    TooFewData {
        /// The fit that was attempted.
        what: &'static str,
        /// Usable data.
        found: usize,
        /// Data needed.
        needed: usize,
    },
}
