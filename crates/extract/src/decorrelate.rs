//! From correlated deconvolved fluxes to decorrelated ones with a resolution matrix (Bolton & Schlegel 2010,
//! equations 10 to 13): with a symmetric root `Q`, `Q² = iC`, row sums `s`: `R = Q/s`, `f̃ = R f`, `ivar = s²`.

use crate::solve::System;
use numerics::{
    BandLanes, NumericsError, RationalSqrt,
    lanes::{LANES, Lane, completion},
};
use std::{ops::Range, str::FromStr};

/// Relative error of the square root.
const TOLERANCE: f64 = 3e-9;
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

/// Decorrelates the fibres `core` of a system; `half` is the reach of `Aᵀ W A` in bins.
///
/// # Errors
/// [`NumericsError::NotPositiveDefinite`] if rounding has spoilt a matrix.
pub(crate) fn decorrelate(
    decorrelation: Decorrelation,
    system: &System,
    core: Range<usize>,
    half: usize,
    ndiag: usize,
) -> Result<Vec<Whitened>, NumericsError> {
    match decorrelation {
        Decorrelation::Signal => signal(system, core, half, ndiag),
        Decorrelation::Noise => noise(system, core, ndiag),
    }
}

/// The inverses of the covariances of some fibres, side by side.
#[derive(Debug, Clone)]
pub struct OwnInverses {
    /// The fibres, counted from the system's first; the last one fills the lanes left.
    fibers: Vec<usize>,
    /// `C_f⁻¹` in the band that matters.
    pub matrices: BandLanes,
    /// Largest row of the covariances.
    largest: f64,
    /// Bins of the covariance that were computed to each side.
    pub reach: usize,
}

impl OwnInverses {
    /// The approximation of the square root that holds for them.
    pub fn root(&self) -> RationalSqrt {
        RationalSqrt::new(smallest_eigenvalue(self.largest), self.matrices.largest_row(), TOLERANCE)
    }
}

/// Decorrelates each fibre by itself.
fn signal(system: &System, core: Range<usize>, half: usize, ndiag: usize) -> Result<Vec<Whitened>, NumericsError> {
    let inverses = own_inverses(system, core, half, ndiag)?;
    let whitened: Vec<Vec<Whitened>> = inverses.iter().map(|i| whiten(system, i, ndiag)).collect::<Result<_, _>>()?;
    Ok(whitened.into_iter().flatten().collect())
}

/// The inverse of each fibre's own covariance `C_f`, whose band is that of the selected inverse. `C_f⁻¹` is banded but
/// for the square of the crosstalk between fibres, so a band of `C_f` determines it: the band is widened until it does.
///
/// # Errors
/// [`NumericsError::NotPositiveDefinite`] if rounding has spoilt a covariance.
pub fn own_inverses(
    system: &System,
    core: Range<usize>,
    half: usize,
    ndiag: usize,
) -> Result<Vec<OwnInverses>, NumericsError> {
    let groups: Vec<Vec<usize>> = core.collect::<Vec<_>>().chunks(LANES).map(<[usize]>::to_vec).collect();
    let narrow = (half + 1).max(ndiag / 2);
    let (mut reach, widest) = (5 * narrow / 2, WIDEST * narrow);
    loop {
        let mut edge = 0.0f64;
        let mut inverse = |fibers: &Vec<usize>| {
            let own = system.factor.inverse_blocks(system.m, fibers, reach);
            let completion = completion::complete(&own, narrow, NEGLIGIBLE)?;
            edge = edge.max(completion.edge);
            let (fibers, largest) = (fibers.clone(), own.largest_row());
            Ok(OwnInverses { fibers, matrices: completion.inverse, largest, reach })
        };
        let inverses = groups.iter().map(&mut inverse).collect::<Result<_, NumericsError>>()?;
        if edge <= COMPLETE || reach >= widest {
            return Ok(inverses);
        }
        reach += reach / 2;
    }
}

/// The fibre of each lane.
fn lanes_of(fibers: &[usize]) -> impl Iterator<Item = usize> {
    (0..LANES).map(|k| fibers[k.min(fibers.len() - 1)])
}

/// Whitens some fibres.
///
/// # Errors
/// [`NumericsError::NotPositiveDefinite`] if an inverse is not.
pub fn whiten(system: &System, inverses: &OwnInverses, ndiag: usize) -> Result<Vec<Whitened>, NumericsError> {
    let OwnInverses { fibers, matrices, .. } = inverses;
    let rational = inverses.root();
    let n = system.nwave;
    let ones_and_solution = (0..n).map(|i| {
        let mut values = [[1.0; LANES]; 2];
        lanes_of(fibers).zip(&mut values[1]).for_each(|(g, v)| *v = system.solution[i * system.m + g]);
        values
    });
    let mut products: Vec<[Lane; 2]> = ones_and_solution.collect();
    let q = rational.lanes(matrices, ndiag / 2, &mut products)?;
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
