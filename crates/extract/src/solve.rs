//! The solution of one sub-bundle: regularise, factor, solve, decorrelate.

use crate::{
    decorrelate::{Decorrelation, Whitened, decorrelate},
    grid::SubBundle,
    normal::Normal,
};
use numerics::{BandedCholesky, NumericsError, SymmetricBand};
use std::ops::Range;

/// Smallest `Σ_p W_p A_pj` of a bin, in units of the largest one, that is left without a prior.
const MIN_WEIGHT: f64 = 1e-4;
/// Prior `α` that is added, electron^-1, where rounding has spoilt the factorisation.
const RESCUE: f64 = 1e-4;

/// One fibre's spectrum on the padded grid.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// Fibre, counted from the bundle's first.
    pub fiber: usize,
    /// The solution `f` of the normal equations, electrons per bin.
    pub deconvolved: Vec<f64>,
    /// Reconvolved spectrum, its inverse variance and resolution matrix.
    pub whitened: Whitened,
}

/// Solves a sub-bundle; `ndiag` is the number of diagonals of the resolution matrices that are returned.
///
/// # Errors
/// [`NumericsError::NotPositiveDefinite`] if the equations cannot be solved even with a prior on every bin.
pub fn solve(
    normal: &Normal,
    sub: &SubBundle,
    decorrelation: Decorrelation,
    regularize: f64,
    ndiag: usize,
) -> Result<Vec<Spectrum>, NumericsError> {
    let system = System::new(normal, sub.extended.clone(), regularize)?;
    let m = sub.extended.len();
    let of_fiber = |v: &[f64], g: usize| v.iter().skip(g).step_by(m).copied().collect::<Vec<f64>>();
    let core = sub.core.start - sub.extended.start..sub.core.end - sub.extended.start;
    let whitened = decorrelate(decorrelation, &system, core.clone(), normal.half, ndiag)?;
    let spectra = core.zip(whitened).map(|(g, whitened)| Spectrum {
        fiber: sub.extended.start + g,
        deconvolved: of_fiber(&system.solution, g),
        whitened,
    });
    Ok(spectra.collect())
}

/// The regularised normal equations of some fibres, factored and solved.
pub struct System {
    /// Number of fibres.
    pub m: usize,
    /// Number of bins.
    pub nwave: usize,
    /// The inverse covariance `Aᵀ W A + diag(α²)`, rows ordered by bin, then by fibre.
    pub inverse_covariance: SymmetricBand,
    /// Its Cholesky factor.
    pub factor: BandedCholesky,
    /// `f`, electrons per bin.
    pub solution: Vec<f64>,
}

impl System {
    /// Regularises, factors and solves the equations of `fibers`.
    ///
    /// # Errors
    /// As [`solve`].
    pub fn new(normal: &Normal, fibers: Range<usize>, regularize: f64) -> Result<Self, NumericsError> {
        let (m, nwave) = (fibers.len(), normal.nwave);
        let rows: Vec<usize> = (0..nwave).flat_map(|i| fibers.clone().map(move |f| f * nwave + i)).collect();
        let gather = |v: &[f64]| rows.iter().map(|&r| v[r]).collect::<Vec<f64>>();
        let mut matrix = normal.band(fibers);
        let alpha = prior(&gather(&normal.fluxweight), regularize);
        alpha.iter().enumerate().for_each(|(u, a)| matrix.add(u, u, a * a));
        let factor = matrix.clone().cholesky().or_else(|_| {
            (0..matrix.order()).for_each(|u| matrix.add(u, u, RESCUE * RESCUE));
            matrix.clone().cholesky()
        })?;
        let solution = factor.solve(&gather(&normal.rhs));
        Ok(Self { m, nwave, inverse_covariance: matrix, factor, solution })
    }
}

/// `α` of each bin: a Gaussian prior of mean 0 and width `1/α` electrons. A bin of little weight gets what
/// it lacks to [`MIN_WEIGHT`] of the largest weight; a bin without any, which nothing couples to, is pinned.
fn prior(fluxweight: &[f64], regularize: f64) -> Vec<f64> {
    let largest = fluxweight.iter().copied().fold(0.0, f64::max);
    let (floor, pin) = (MIN_WEIGHT * largest, if largest > 0.0 { largest.sqrt() } else { 1.0 });
    let alpha = |&w: &f64| match w {
        0.0 => pin,
        w if w < floor => floor - w,
        _ => regularize,
    };
    fluxweight.iter().map(alpha).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bins_of_little_weight_get_a_prior() {
        assert_eq!(prior(&[1.0, 0.5, 0.0, 2e-5], 0.0), [0.0, 0.0, 1.0, 8e-5]);
        assert_eq!(prior(&[0.0, 0.0], 0.0), [1.0, 1.0]);
        assert_eq!(prior(&[1.0, 1e-5], 0.3)[0], 0.3);
    }
}
