//! From correlated deconvolved fluxes to decorrelated ones with a resolution matrix (Bolton & Schlegel 2010,
//! equations 10 to 13): with a symmetric root `Q`, `Q² = iC`, row sums `s`: `R = Q/s`, `f̃ = R f`, `ivar = s²`.

use crate::solve::System;
use numerics::{NumericsError, RationalSqrt, SymmetricBand, band_completion};
use std::{ops::Range, str::FromStr};

/// Relative error of the square root.
const TOLERANCE: f64 = 1e-9;
/// Off-diagonal reach of the square root in units of the reach of `Aᵀ W A`: entries beyond are below 1e-8
/// of the diagonal for a critically sampled spot.
const ROOT_REACH: usize = 4;

/// Which correlations the decorrelation removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decorrelation {
    /// Those within a fibre: `Q_f = C_f^(-1/2)` of each fibre's own covariance block. No light moves between
    /// fibres; the noise of neighbouring fibres stays slightly correlated.
    #[default]
    Signal,
    /// All: `Q = iC^(1/2)` of the whole sub-bundle. The noise is white, but a little light moves between fibres.
    Noise,
}

impl FromStr for Decorrelation {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "signal" => Ok(Self::Signal),
            "noise" => Ok(Self::Noise),
            _ => Err(format!("'{text}' is neither signal nor noise")),
        }
    }
}

/// A decorrelated spectrum on the padded grid.
#[derive(Debug, Clone)]
pub struct Whitened {
    /// `f̃ = R f`, electrons per bin.
    pub flux: Vec<f64>,
    /// Inverse variance of `flux`.
    pub ivar: Vec<f64>,
    /// `[ndiag, nwave]`: `resolution[k, j]` is `R[j + k - ndiag / 2, j]`, 0 outside the matrix.
    pub resolution: Vec<f64>,
}

/// Decorrelates each fibre by itself. The band of its covariance `C_f` is that of the selected inverse;
/// `C_f⁻¹` is banded but for the square of the crosstalk between fibres, so the band determines it.
pub(crate) fn signal(
    system: &System,
    core: Range<usize>,
    half: usize,
    ndiag: usize,
) -> Result<Vec<Whitened>, NumericsError> {
    let (m, n) = (system.m, system.nwave);
    let covariance = system.factor.inverse_band(half * m);
    core.map(|g| {
        let mut block = SymmetricBand::zeros(n, half);
        for i in 0..n {
            for j in i.saturating_sub(half)..=i {
                block.add(i, j, covariance.get(i * m + g, j * m + g));
            }
        }
        let inverse = band_completion::inverse_of_band(&block)?;
        let q = root(&inverse, &block, ROOT_REACH * half)?;
        let solution: Vec<f64> = system.solution.iter().skip(g).step_by(m).copied().collect();
        Ok(normalise(&q.apply(&vec![1.0; n]), &q.apply(&solution), |i, j| q.get(i, j), ndiag))
    })
    .collect()
}

/// Decorrelates all fibres of the system together.
pub(crate) fn noise(
    system: &System,
    core: Range<usize>,
    half: usize,
    ndiag: usize,
) -> Result<Vec<Whitened>, NumericsError> {
    let (m, n) = (system.m, system.nwave);
    let covariance = system.factor.inverse_band(0);
    let q = root(&system.inverse_covariance, &covariance, ROOT_REACH * half * m)?;
    let (sums, fluxes) = (q.apply(&vec![1.0; n * m]), q.apply(&system.solution));
    let of = |v: &[f64], g: usize| v.iter().skip(g).step_by(m).copied().collect::<Vec<f64>>();
    Ok(core.map(|g| normalise(&of(&sums, g), &of(&fluxes, g), |i, j| q.get(i * m + g, j * m + g), ndiag)).collect())
}

/// `a^(1/2)` within `width` diagonals; `inverse` holds at least the diagonals of `a⁻¹` that matter.
fn root(a: &SymmetricBand, inverse: &SymmetricBand, width: usize) -> Result<SymmetricBand, NumericsError> {
    // Gershgorin bounds; the factor 2 is for what the band of the inverse leaves out
    RationalSqrt::new(0.5 / largest_row(inverse), largest_row(a), TOLERANCE).band(a, width)
}

/// Largest sum of magnitudes in a row.
fn largest_row(a: &SymmetricBand) -> f64 {
    let (n, kd) = (a.order(), a.half_bandwidth());
    let mut sums = vec![0.0; n];
    for i in 0..n {
        let first = i.saturating_sub(kd);
        for (j, v) in (first..=i).zip(&a.row(i)[kd - (i - first)..]) {
            sums[i] += v.abs();
            if j < i {
                sums[j] += v.abs();
            }
        }
    }
    sums.into_iter().fold(0.0, f64::max)
}

/// Divides the rows of `Q` by their sums.
fn normalise(sums: &[f64], flux: &[f64], q: impl Fn(usize, usize) -> f64, ndiag: usize) -> Whitened {
    let (n, half) = (sums.len(), ndiag / 2);
    let mut resolution = vec![0.0; ndiag * n];
    for j in 0..n {
        for i in j.saturating_sub(half)..(j + half + 1).min(n) {
            resolution[(i + half - j) * n + j] = q(i, j) / sums[i];
        }
    }
    Whitened {
        flux: flux.iter().zip(sums).map(|(f, s)| f / s).collect(),
        ivar: sums.iter().map(|s| s * s).collect(),
        resolution,
    }
}
