//! The exact model: a template at a redshift, absorbed by the intergalactic medium, integrated over the bins
//! and seen through each channel's resolution; its best coefficients and chi2.

use crate::{
    basis::Basis,
    forest, nnls,
    spectrum::{Channel, Target},
};
use numerics::{SymmetricBand, banded::dot};
use templates::Method;

/// chi2 of a redshift at which no coefficients can be found (redrock's value).
pub const SINGULAR: f64 = 9_999_999.0;

/// The smallest pivot, relative to the diagonal, of a normal matrix that counts as regular.
const SMALLEST_PIVOT: f64 = 1e-13;

/// The best coefficients at one redshift.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// chi2, [`SINGULAR`] where there is no solution.
    pub chi2: f64,
    /// Coefficients of the vectors; zeros where there is no solution.
    pub coeff: Vec<f64>,
}

/// Normal equations of a linear fit: `M c = y`, and chi2 of the model 0.
#[derive(Debug, Clone)]
pub struct Normal {
    /// `M`.
    pub matrix: SymmetricBand,
    /// `y`.
    pub rhs: Vec<f64>,
    /// chi2 at `c = 0`.
    pub null_chi2: f64,
}

/// Scratch memory of [`fit`], reused between calls.
#[derive(Debug, Default)]
pub struct Workspace {
    binned: Vec<f64>,
    seen: Vec<f64>,
    weighted: Vec<f64>,
}

impl Normal {
    /// Normal equations of `n` coefficients, all zero.
    pub fn zeros(n: usize, null_chi2: f64) -> Self {
        Self { matrix: SymmetricBand::zeros(n, n.saturating_sub(1)), rhs: vec![0.0; n], null_chi2 }
    }

    /// The best coefficients: of any sign, or none negative.
    pub fn solve(&self, method: Method) -> Fit {
        let solution = match method {
            Method::Pca => self.least_squares(),
            Method::Nmf => nnls::solve(&self.matrix, &self.rhs),
        };
        match solution {
            Some(coeff) => {
                let fitted = self.matrix.apply(&coeff);
                let chi2 = self.null_chi2 - 2.0 * dot(&coeff, &self.rhs) + dot(&coeff, &fitted);
                Fit { chi2, coeff }
            }
            None => Fit { chi2: SINGULAR, coeff: vec![0.0; self.rhs.len()] },
        }
    }

    /// Cholesky's method on the matrix scaled to a unit diagonal.
    fn least_squares(&self) -> Option<Vec<f64>> {
        let n = self.rhs.len();
        let scale: Vec<f64> = self.matrix.diagonal().iter().map(|d| 1.0 / d.sqrt()).collect();
        if n == 0 || !scale.iter().all(|s| s.is_finite()) {
            return None;
        }
        let mut scaled = SymmetricBand::zeros(n, n - 1);
        for i in 0..n {
            (0..=i).for_each(|j| scaled.add(i, j, self.matrix.get(i, j) * scale[i] * scale[j]));
        }
        let factor = scaled.cholesky().ok()?;
        if factor.factor().diagonal().iter().any(|d| d * d < SMALLEST_PIVOT) {
            return None;
        }
        let rhs: Vec<f64> = self.rhs.iter().zip(&scale).map(|(y, s)| y * s).collect();
        Some(factor.solve(&rhs).iter().zip(&scale).map(|(c, s)| c * s).collect())
    }
}

/// The normal equations of a template's vectors at redshift `z`.
pub fn normal(basis: &Basis, target: &Target, z: f64, null_chi2: f64, work: &mut Workspace) -> Normal {
    let n = basis.len();
    let mut normal = Normal::zeros(n, null_chi2);
    for channel in &target.channels {
        let nbin = channel.grid.wave.len();
        project(basis, channel, z, work);
        work.weighted.resize(nbin, 0.0);
        for a in 0..n {
            let seen = &work.seen[a * nbin..(a + 1) * nbin];
            work.weighted.iter_mut().zip(seen).zip(&channel.ivar).for_each(|((o, s), w)| *o = s * w);
            normal.rhs[a] += dot(&work.weighted, &channel.flux);
            for b in 0..=a {
                normal.matrix.add(a, b, dot(&work.weighted, &work.seen[b * nbin..(b + 1) * nbin]));
            }
        }
    }
    normal
}

/// The best fit of a template at redshift `z`.
pub fn fit(basis: &Basis, target: &Target, z: f64, null_chi2: f64, work: &mut Workspace) -> Fit {
    normal(basis, target, z, null_chi2, work).solve(basis.template.method)
}

/// The vectors as a channel sees them, into `work.seen` (`[nvector, nbin]`).
fn project(basis: &Basis, channel: &Channel, z: f64, work: &mut Workspace) {
    let (n, nbin) = (basis.len(), channel.grid.wave.len());
    work.binned.resize(n * nbin, 0.0);
    work.seen.resize(n * nbin, 0.0);
    basis.rebin(z, &channel.grid, &mut work.binned);
    absorb(basis, channel, z, &mut work.binned);
    for (binned, seen) in work.binned.chunks_exact(nbin).zip(work.seen.chunks_exact_mut(nbin)) {
        channel.resolution.apply_into(binned, seen);
    }
}

/// Multiplies the vectors by the transmission of the intergalactic medium.
fn absorb(basis: &Basis, channel: &Channel, z: f64, binned: &mut [f64]) {
    let model = basis.template.igm;
    let wave = &channel.grid.wave;
    let nbin = wave.len();
    let limits = forest::limits(model);
    let below = |limit: f64| wave.partition_point(|w| *w < limit * (1.0 + z));
    for (s, transmission) in channel.grid.forest(model).iter().enumerate() {
        let range = limits.get(s + 1).map_or(0, |&l| below(l))..below(limits[s]);
        for vector in binned.chunks_exact_mut(nbin) {
            vector[range.clone()].iter_mut().zip(&transmission[range.clone()]).for_each(|(v, t)| *v *= t);
        }
    }
}
