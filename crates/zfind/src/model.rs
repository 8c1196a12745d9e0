//! The exact model: a template at a redshift, absorbed by the intergalactic medium, integrated over the bins
//! and seen through each channel's resolution; its best coefficients and chi2.

use crate::{
    basis::Basis,
    forest,
    kernel::{BLOCK, GROUP, Rows},
    nnls,
    spectrum::{Channel, Grid, Target},
};
use numerics::{SymmetricBand, banded::dot};
use std::{borrow::Cow, collections::HashMap, ops::Range};
use templates::{Igm, Method, igm::continuum};

/// chi2 of a redshift at which no coefficients can be found (redrock's value).
pub const SINGULAR: f64 = 9_999_999.0;

/// The smallest pivot, relative to the diagonal, of a normal matrix that counts as regular.
pub const SMALLEST_PIVOT: f64 = 1e-13;

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

/// A target's data in the form that the fits read, and scratch memory.
#[derive(Debug)]
pub struct Data<'a> {
    channels: Vec<ChannelData<'a>>,
    /// chi2 of the model 0.
    pub null_chi2: f64,
    binned: Vec<f64>,
    /// What [`Data::penalised_chi2`] has found, by template and bits of the redshift.
    known: HashMap<(usize, u64), f64>,
}

#[derive(Debug)]
struct ChannelData<'a> {
    channel: &'a Channel,
    weight: Vec<f64>,
    weighted_flux: Vec<f64>,
    resolution: Vec<[f32; GROUP]>,
    half: usize,
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

impl<'a> Data<'a> {
    /// Arranges a target's data.
    pub fn new(target: &'a Target) -> Self {
        let channels = target.channels.iter().map(ChannelData::new).collect();
        Self { channels, null_chi2: target.null_chi2(), binned: Vec::new(), known: HashMap::new() }
    }

    /// chi2 of the best fit of template number `template` at redshift `z`, with its penalty; computed once.
    pub fn penalised_chi2(&mut self, template: usize, basis: &Basis, z: f64) -> f64 {
        let key = (template, z.to_bits());
        if let Some(chi2) = self.known.get(&key) {
            return *chi2;
        }
        let fit = self.fit(basis, z);
        let chi2 = fit.chi2 + basis.penalty(&fit.coeff);
        self.known.insert(key, chi2);
        chi2
    }

    /// The best fit of a template at redshift `z`.
    pub fn fit(&mut self, basis: &Basis, z: f64) -> Fit {
        self.normal(basis, z).solve(basis.template.method)
    }

    /// The normal equations of a template's vectors at redshift `z`.
    pub fn normal(&mut self, basis: &Basis, z: f64) -> Normal {
        let (n, width) = (basis.len(), basis.table().width());
        let mut sums = vec![0.0; (width + 1) * width];
        for channel in &self.channels {
            let rows = channel.rows(basis.template.igm, z);
            basis.table().accumulate(basis, z, &rows, &mut self.binned, &mut sums);
        }
        let mut normal = Normal::zeros(n, self.null_chi2);
        for a in 0..n {
            normal.rhs[a] = sums[width * width + a];
            (0..=a).for_each(|b| normal.matrix.add(a, b, sums[width * a + b]));
        }
        normal
    }
}

impl<'a> ChannelData<'a> {
    fn new(channel: &'a Channel) -> Self {
        let half = channel.resolution.ndiag() / 2;
        let (nbin, band) = (channel.grid.wave.len(), 2 * half + GROUP);
        let whole = nbin.next_multiple_of(BLOCK);
        let mut resolution = vec![[0.0; GROUP]; whole / GROUP * band];
        for i in 0..nbin {
            let group = i / GROUP;
            for j in channel.resolution.columns(i) {
                let m = j + half - GROUP * group;
                resolution[group * band + m][i % GROUP] = channel.resolution.get(i, j) as f32;
            }
        }
        let (mut weight, mut weighted_flux) = (vec![0.0; whole], vec![0.0; whole]);
        for (i, (f, w)) in channel.flux.iter().zip(&channel.ivar).enumerate() {
            (weight[i], weighted_flux[i]) = (*w, f * w);
        }
        Self { channel, weight, weighted_flux, resolution, half }
    }

    fn rows(&self, igm: Igm, z: f64) -> Rows<'_> {
        Rows {
            grid: &self.channel.grid,
            weight: &self.weight,
            weighted_flux: &self.weighted_flux,
            resolution: &self.resolution,
            half: self.half,
            absorption: absorption(&self.channel.grid, igm, z),
        }
    }
}

/// The stretches of bins that lie between two Lyman lines at redshift `z`, with their transmissions.
fn absorption(grid: &Grid, igm: Igm, z: f64) -> Vec<(Range<usize>, Cow<'_, [f64]>)> {
    let limits = forest::limits(igm);
    let below = |limit: f64| grid.wave.partition_point(|w| *w < limit * (1.0 + z));
    let range = |s: usize| limits.get(s + 1).map_or(0, |&l| below(l))..below(limits[s]);
    let stretches =
        grid.forest(igm).iter().enumerate().map(|(s, t)| (s, range(s), t)).filter(|(_, r, _)| !r.is_empty());
    stretches
        .map(|(s, range, lines)| {
            let lines = &lines[range.clone()];
            if !forest::is_continuum(igm, s + 1) {
                return (range, Cow::Borrowed(lines));
            }
            let both = lines.iter().zip(&grid.wave[range.clone()]).map(|(t, &w)| t * continuum(igm, z, w)).collect();
            (range, Cow::Owned(both))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::Resolution;
    use rand::{Rng, SeedableRng};
    use std::sync::Arc;
    use templates::{Template, igm::transmission};

    /// The sums agree with the model written out bin by bin with the routines of `numerics`, with forest and
    /// resolution, for templates of any number of vectors.
    #[test]
    fn normal_equations_are_those_of_the_model_written_out() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let grid = Arc::new(Grid::new((0..300).map(|i| 3700.0 + 1.1 * f64::from(i)).collect()));
        let plane = ndarray::Array2::from_shape_fn((7, 300), |_| rng.random_range(0.0..0.3f32));
        let resolution = Resolution::from_dia(plane.view());
        let flux: Vec<f64> = (0..300).map(|_| rng.random_range(-1.0..3.0)).collect();
        let ivar: Vec<f64> = (0..300).map(|i| if i % 9 == 0 { 0.0 } else { rng.random_range(0.0..2.0) }).collect();
        let target = Target { id: 1, channels: vec![Channel { grid: grid.clone(), flux, ivar, resolution }] };
        let wave: Vec<f64> = (0..2000).map(|i| 700.0 + 0.3 * f64::from(i)).collect();
        let models =
            [(1, Igm::None, 2.47), (5, Igm::Kamble20, 2.47), (10, Igm::Calura12, 2.47), (20, Igm::Calura12, 2.9)];
        for (n, igm, z) in models.into_iter().chain([(6, Igm::Inoue14, 2.47), (6, Igm::Inoue14, 3.2)]) {
            let basis = ndarray::Array2::from_shape_fn((n, 2000), |_| rng.random_range(0.0..1.0));
            let template = Template {
                spectype: "QSO".into(),
                subtype: String::new(),
                version: String::new(),
                source: String::new(),
                wave: wave.clone(),
                basis: basis.clone(),
                redshifts: vec![2.5],
                igm,
                method: Method::Pca,
                coefficients: ndarray::Array2::zeros((0, 0)),
            };
            let observed: Vec<f64> = wave.iter().map(|w| w * (1.0 + z)).collect();
            let seen: Vec<Vec<f64>> = (0..n)
                .map(|v| {
                    let mut m = numerics::resample::rebin(&grid.wave, &observed, &basis.row(v).to_vec());
                    m.iter_mut().zip(&grid.wave).for_each(|(m, &w)| *m *= transmission(igm, z, w));
                    target.channels[0].resolution.apply(&m)
                })
                .collect();
            let normal = Data::new(&target).normal(&Basis::new(template), z);
            let c = &target.channels[0];
            for a in 0..n {
                let rhs: f64 = (0..300).map(|i| c.ivar[i] * c.flux[i] * seen[a][i]).sum();
                assert!((normal.rhs[a] - rhs).abs() < 1e-7 * rhs.abs().max(1.0));
                for b in 0..=a {
                    let m: f64 = (0..300).map(|i| c.ivar[i] * seen[a][i] * seen[b][i]).sum();
                    assert!((normal.matrix.get(a, b) - m).abs() < 1e-7 * m.abs().max(1.0));
                }
            }
        }
    }

    #[test]
    fn chi2_is_that_of_the_residuals_and_singular_matrices_are_told() {
        // f = (1, 2, 4) at x = (0, 1, 2), weights 1: the straight line 5/6 + 3/2 x leaves 1/6
        let mut normal = Normal::zeros(2, 21.0);
        normal.matrix.add(0, 0, 3.0);
        normal.matrix.add(1, 0, 3.0);
        normal.matrix.add(1, 1, 5.0);
        normal.rhs = vec![7.0, 10.0];
        let fit = normal.solve(Method::Pca);
        assert!((fit.chi2 - 1.0 / 6.0).abs() < 1e-12 && (fit.coeff[1] - 1.5).abs() < 1e-12);
        assert!((normal.solve(Method::Nmf).chi2 - 1.0 / 6.0).abs() < 1e-12);
        normal.matrix.add(1, 1, -2.0);
        assert_eq!(normal.solve(Method::Pca).chi2, SINGULAR);
    }
}
