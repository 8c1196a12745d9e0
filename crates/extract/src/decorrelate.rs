//! From correlated deconvolved fluxes to decorrelated ones with a resolution matrix (Bolton & Schlegel 2010,
//! equations 10 to 13): with a symmetric root `Q`, `Q² = iC`, row sums `s`: `R = Q/s`, `f̃ = R f`, `ivar = s²`.

use crate::solve::System;
use numerics::{
    BandLanes, NumericsError, RationalSqrt, SymmetricBand,
    lanes::{LANES, Lane, completion},
};
use std::{ops::Range, str::FromStr};

/// Relative error of the square root.
const TOLERANCE: f64 = 1e-9;
/// Bands are not widened beyond this many times the reach of `Aᵀ W A`.
const WIDEST: usize = 16;
/// A row of the band is widened, within what is known of the covariance, while the partial correlation of bins at its
/// edge exceeds this: fluxes then are right to 1e-5 sigma where a line of signal-to-noise 1000 is near, else to 1e-8.
const NEGLIGIBLE: f64 = 1e-9;
/// More of the covariance is computed while a partial correlation exceeds this where it ends.
const COMPLETE: f64 = 2e-8;

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
    let groups: Vec<Vec<usize>> = core.collect::<Vec<_>>().chunks(LANES).map(<[usize]>::to_vec).collect();
    let narrow = (half + 1).max(ndiag / 2);
    let (mut reach, widest) = (2 * narrow, WIDEST * narrow);
    let completed = loop {
        let covariance = system.factor.inverse_band(reach * system.m);
        let complete = |fibers: &Vec<usize>| {
            let own = own_blocks(&covariance, fibers, system, reach);
            Ok((completion::complete(&own, narrow, NEGLIGIBLE)?, own.largest_row()))
        };
        let completed: Vec<_> = groups.iter().map(complete).collect::<Result<_, NumericsError>>()?;
        let edge = completed.iter().map(|(c, _)| c.edge).fold(0.0, f64::max);
        if edge <= COMPLETE || reach >= widest {
            break completed;
        }
        reach += reach / 2;
    };
    let mut whitened = Vec::new();
    for (fibers, (completion, largest)) in groups.iter().zip(completed) {
        whitened.extend(roots(system, fibers, &completion.inverse, largest, ndiag)?);
    }
    Ok(whitened)
}

/// The covariances of some fibres of the system within `reach` bins, side by side; the last one fills the lanes left.
fn own_blocks(covariance: &SymmetricBand, fibers: &[usize], system: &System, reach: usize) -> BandLanes {
    let m = system.m;
    let mut blocks = BandLanes::zeros(system.nwave, reach);
    for i in 0..system.nwave {
        let to = blocks.row_mut(i);
        for (k, g) in lanes_of(fibers).enumerate() {
            let row = covariance.row(i * m + g);
            for (to, back) in to.iter_mut().rev().zip(0..) {
                to[k] = row[row.len() - 1 - back * m];
            }
        }
    }
    blocks
}

/// The fibre of each lane.
fn lanes_of(fibers: &[usize]) -> impl Iterator<Item = usize> {
    (0..LANES).map(|k| fibers[k.min(fibers.len() - 1)])
}

/// Whitens some fibres, given the inverses of their covariances and a bound of the covariances' rows.
fn roots(
    system: &System,
    fibers: &[usize],
    inverse: &BandLanes,
    largest: f64,
    ndiag: usize,
) -> Result<Vec<Whitened>, NumericsError> {
    let rational = RationalSqrt::new(smallest_eigenvalue(largest), inverse.largest_row(), TOLERANCE);
    let n = system.nwave;
    let ones_and_solution = (0..n).map(|i| {
        let mut values = [[1.0; LANES]; 2];
        lanes_of(fibers).zip(&mut values[1]).for_each(|(g, v)| *v = system.solution[i * system.m + g]);
        values
    });
    let mut products: Vec<[Lane; 2]> = ones_and_solution.collect();
    let q = rational.lanes(inverse, ndiag / 2, &mut products)?;
    let of_lane = |k: usize| {
        let [sums, flux] = [0, 1].map(|p| products.iter().map(|v| v[p][k]).collect::<Vec<f64>>());
        normalise(&sums, &flux, |i, j| q.get(i, j)[k], ndiag)
    };
    Ok((0..fibers.len()).map(of_lane).collect())
}

/// A bound of the smallest eigenvalue of a matrix from the largest row of a band of its inverse (Gershgorin); the
/// factor 2 is for what the band leaves out.
fn smallest_eigenvalue(largest_row_of_inverse: f64) -> f64 {
    0.5 / largest_row_of_inverse
}

/// Decorrelates all fibres of the system together.
pub(crate) fn noise(system: &System, core: Range<usize>, ndiag: usize) -> Result<Vec<Whitened>, NumericsError> {
    let m = system.m;
    let smallest = smallest_eigenvalue(system.factor.inverse_band(0).largest_row());
    let rational = RationalSqrt::new(smallest, system.inverse_covariance.largest_row(), TOLERANCE);
    let mut products = [vec![1.0; m * system.nwave], system.solution.clone()];
    let q = rational.band(&system.inverse_covariance, ndiag / 2 * m, &mut products)?;
    let of = |v: &[f64], g: usize| v.iter().skip(g).step_by(m).copied().collect::<Vec<f64>>();
    let whiten = |g| normalise(&of(&products[0], g), &of(&products[1], g), |i, j| q.get(i * m + g, j * m + g), ndiag);
    Ok(core.map(whiten).collect())
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
