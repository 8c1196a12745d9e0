//! From correlated deconvolved fluxes to decorrelated ones with a resolution matrix (Bolton & Schlegel 2010,
//! equations 10 to 13): with a symmetric root `Q`, `Q² = iC`, row sums `s`: `R = Q/s`, `f̃ = R f`, `ivar = s²`.

use crate::solve::System;
use numerics::{
    NumericsError, RationalSqrt, SymmetricBand,
    band_completion::{self, Completion},
};
use std::{ops::Range, str::FromStr};

/// Relative error of the square root.
const TOLERANCE: f64 = 1e-9;
/// Reach in bins of the square root to begin with, in units of the reach of `Aᵀ W A`: entries beyond are
/// below 1e-9 of the diagonal for clean pixels.
const ROOT_REACH: usize = 4;
/// Bands are not widened beyond this many times the reach of `Aᵀ W A`.
const WIDEST: usize = 16;
/// Partial correlation of bins at the edge of a band that determines the rest.
const COMPLETE: f64 = 1e-8;
/// Entry of the resolution matrix at the edge of a band that holds all that matters.
const NEGLIGIBLE: f64 = 1e-8;

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

/// Decorrelates each fibre by itself. The band of its covariance `C_f` is that of the selected inverse. `C_f⁻¹`
/// is banded but for the square of the crosstalk between fibres, so a band of `C_f` determines it: the band is
/// widened until it does.
pub(crate) fn signal(
    system: &System,
    core: Range<usize>,
    half: usize,
    ndiag: usize,
) -> Result<Vec<Whitened>, NumericsError> {
    let m = system.m;
    let mut reach = half + 1;
    let (blocks, completions) = loop {
        let covariance = system.factor.inverse_band(reach * m);
        let blocks: Vec<SymmetricBand> = core.clone().map(|g| own_block(&covariance, g, system, reach)).collect();
        let completions: Vec<Completion> = blocks.iter().map(band_completion::complete).collect::<Result<_, _>>()?;
        let edge = completions.iter().map(|c| c.edge).fold(0.0, f64::max);
        if edge < COMPLETE || reach >= WIDEST * half.max(1) {
            break (blocks, completions);
        }
        reach *= 2;
    };
    let whiten = |((g, block), completion): ((usize, &SymmetricBand), &Completion)| {
        let root = Root::new(&completion.inverse, block, half, 1)?;
        let solution: Vec<f64> = system.solution.iter().skip(g).step_by(m).copied().collect();
        Ok(normalise(&root.sums, &root.q.apply(&solution), |i, j| root.q.get(i, j), ndiag))
    };
    core.zip(&blocks).zip(&completions).map(whiten).collect()
}

/// The covariance of fibre `g` of the system within `reach` bins.
fn own_block(covariance: &SymmetricBand, g: usize, system: &System, reach: usize) -> SymmetricBand {
    let m = system.m;
    let mut block = SymmetricBand::zeros(system.nwave, reach);
    for i in 0..system.nwave {
        for j in i.saturating_sub(reach)..=i {
            block.add(i, j, covariance.get(i * m + g, j * m + g));
        }
    }
    block
}

/// Decorrelates all fibres of the system together.
pub(crate) fn noise(
    system: &System,
    core: Range<usize>,
    half: usize,
    ndiag: usize,
) -> Result<Vec<Whitened>, NumericsError> {
    let m = system.m;
    let covariance = system.factor.inverse_band(0);
    let root = Root::new(&system.inverse_covariance, &covariance, half, m)?;
    let flux = root.q.apply(&system.solution);
    let of = |v: &[f64], g: usize| v.iter().skip(g).step_by(m).copied().collect::<Vec<f64>>();
    Ok(core
        .map(|g| normalise(&of(&root.sums, g), &of(&flux, g), |i, j| root.q.get(i * m + g, j * m + g), ndiag))
        .collect())
}

/// The square root of a banded matrix and its row sums.
struct Root {
    q: SymmetricBand,
    sums: Vec<f64>,
}

impl Root {
    /// `a^(1/2)` in a band that is widened until its edge is negligible. `inverse` holds at least the diagonals
    /// of `a⁻¹` that matter; `half` is the reach of `Aᵀ W A` in bins, each of which is `m` rows.
    fn new(a: &SymmetricBand, inverse: &SymmetricBand, half: usize, m: usize) -> Result<Self, NumericsError> {
        // Gershgorin bounds; the factor 2 is for what the band of the inverse leaves out
        let rational = RationalSqrt::new(0.5 / largest_row(inverse), largest_row(a), TOLERANCE);
        let mut reach = ROOT_REACH * half.max(1);
        loop {
            let q = rational.band(a, reach * m)?;
            let sums = q.apply(&vec![1.0; a.order()]);
            if edge(&q, &sums, m) < NEGLIGIBLE || reach >= WIDEST * half.max(1) {
                return Ok(Self { q, sums });
            }
            reach *= 2;
        }
    }
}

/// Largest entry of `R = Q/s` in the last bin (`m` diagonals) of the band.
fn edge(q: &SymmetricBand, sums: &[f64], m: usize) -> f64 {
    let kd = q.half_bandwidth();
    let of_row = |i: usize| {
        let last = q.row(i)[..m.min(kd)].iter().enumerate().filter(move |(k, _)| i + k >= kd);
        last.map(move |(k, v)| v.abs() / sums[i].abs().min(sums[i + k - kd].abs())).fold(0.0, f64::max)
    };
    if kd + 1 >= q.order() { 0.0 } else { (kd..q.order()).map(of_row).fold(0.0, f64::max) }
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
