//! The deconvolved spectrum `s` that many fibres share: data `y_f = R_f s + noise` with inverse variances
//! `w_f`. Its normal equations `(Σ R_fᵀ w_f R_f) s = Σ R_fᵀ w_f y_f` are banded (Bolton & Schlegel 2010,
//! PASP 122, 248, section 3, for one spectrum), with half bandwidth `ndiag - 1`.

use numerics::{BandedCholesky, Diagonals, Entry, NumericsError, SymmetricBand, View};
use rayon::prelude::*;

/// Ridge relative to the diagonal: deconvolution keeps modes down to 1e-5 of the largest; what lies below
/// this is rounding.
const RIDGE: f64 = 1e-9;

/// Fibres summed before partial sums are added: fixed, so that the result does not depend on the threads.
const FIBERS_PER_SUM: usize = 16;

/// Matrix and right-hand side.
#[derive(Debug, Clone)]
pub struct NormalEquations {
    matrix: SymmetricBand,
    rhs: Vec<f64>,
    /// Fibres with a datum in each bin.
    fibers: Vec<u32>,
}

/// The solution with its covariance.
#[derive(Debug, Clone)]
pub struct CommonSpectrum {
    /// `s`. Bins without a datum of their own are poorly known: their neighbours' wings alone speak of them.
    pub spectrum: Vec<f64>,
    /// Whether any fibre has a datum in the bin.
    pub solved: Vec<bool>,
    factor: BandedCholesky,
}

impl NormalEquations {
    /// Without data, for `nwave` bins and matrices of `ndiag` diagonals.
    pub fn zeros(nwave: usize, ndiag: usize) -> Self {
        Self { matrix: SymmetricBand::zeros(nwave, ndiag - 1), rhs: vec![0.0; nwave], fibers: vec![0; nwave] }
    }

    /// Adds one fibre.
    pub fn add<T: Entry>(&mut self, resolution: &View<T>, w: &[f64], y: &[f64]) {
        resolution.accumulate(w, y, &mut self.matrix, &mut self.rhs);
        self.fibers.iter_mut().zip(w).for_each(|(n, w)| *n += u32::from(*w > 0.0));
    }

    /// The sum over `fibers` of what `add_one` adds for each, on all threads, in a fixed order.
    pub fn sum<T: Sync>(nwave: usize, ndiag: usize, fibers: &[T], add_one: impl Fn(&mut Self, &T) + Sync) -> Self {
        let partial: Vec<Self> = fibers
            .par_chunks(FIBERS_PER_SUM)
            .map(|chunk| {
                let mut normal = Self::zeros(nwave, ndiag);
                chunk.iter().for_each(|f| add_one(&mut normal, f));
                normal
            })
            .collect();
        let mut total = Self::zeros(nwave, ndiag);
        partial.iter().for_each(|p| total.merge(p));
        total
    }

    /// The sum over all `fibers` but one, for each of them: of those before it and those after it. Nothing is subtracted, so
    /// nothing cancels.
    pub fn without_each<T>(nwave: usize, ndiag: usize, fibers: &[T], add_one: impl Fn(&mut Self, &T)) -> Vec<Self> {
        let mut after = vec![Self::zeros(nwave, ndiag)];
        for fiber in fibers.iter().skip(1).rev() {
            let mut next = after[after.len() - 1].clone();
            add_one(&mut next, fiber);
            after.push(next);
        }
        let mut before = Self::zeros(nwave, ndiag);
        let mut others = Vec::with_capacity(fibers.len());
        for (fiber, mut normal) in fibers.iter().zip(after.into_iter().rev()) {
            normal.merge(&before);
            add_one(&mut before, fiber);
            others.push(normal);
        }
        others
    }

    /// Adds the data of other equations.
    pub fn merge(&mut self, other: &Self) {
        for i in 0..self.rhs.len() {
            self.matrix.row_mut(i).iter_mut().zip(other.matrix.row(i)).for_each(|(a, b)| *a += b);
        }
        self.rhs.iter_mut().zip(&other.rhs).for_each(|(a, b)| *a += b);
        self.fibers.iter_mut().zip(&other.fibers).for_each(|(a, b)| *a += b);
    }

    /// Adds a prior that the second difference of `s` is 0, of `strength` relative to the information that the
    /// data hold nearby. It carries the solution smoothly over gaps; where there are data, a strength below
    /// 1e-4 only damps what the resolution has removed anyway.
    pub fn add_smoothness(&mut self, strength: f64) {
        const REACH: usize = 25;
        let diagonal = self.matrix.diagonal();
        let n = diagonal.len();
        let least = diagonal.iter().copied().filter(|d| *d > 0.0).fold(f64::INFINITY, f64::min);
        if !least.is_finite() || self.matrix.half_bandwidth() < 2 {
            return;
        }
        for j in 1..n.saturating_sub(1) {
            let near = &diagonal[j.saturating_sub(REACH)..(j + REACH + 1).min(n)];
            let ivar = strength * near.iter().copied().fold(least, f64::max);
            let difference = [1.0, -2.0, 1.0];
            for (p, a) in difference.iter().enumerate() {
                for (q, b) in difference[..=p].iter().enumerate() {
                    self.matrix.add(j - 1 + p, j - 1 + q, ivar * a * b);
                }
            }
        }
    }

    /// Number of fibres with a datum in each bin.
    pub fn fibers(&self) -> &[u32] {
        &self.fibers
    }

    /// Solves for the bins that have data.
    ///
    /// # Errors
    /// [`NumericsError::TooFewData`] if no bin has any; [`NumericsError::NotPositiveDefinite`] if a weight or
    /// a matrix entry is not finite.
    pub fn solve(mut self) -> Result<CommonSpectrum, NumericsError> {
        let solved: Vec<bool> = self.fibers.iter().map(|n| *n > 0).collect();
        if !solved.contains(&true) {
            return Err(NumericsError::TooFewData { what: "common spectrum", found: 0, needed: 1 });
        }
        for j in 0..solved.len() {
            // a bin that no datum reaches has an empty row and column: any pivot decouples it
            let d = self.matrix.get(j, j);
            self.matrix.add(j, j, if d > 0.0 { RIDGE * d } else { 1.0 });
        }
        let factor = self.matrix.cholesky()?;
        Ok(CommonSpectrum { spectrum: factor.solve(&self.rhs), solved, factor })
    }
}

impl CommonSpectrum {
    /// Covariance of `s` near the diagonal: as far as a resolution matrix of the equations reaches. The variance of
    /// `R s` is `R.propagate(&covariance)`.
    pub fn covariance(&self) -> Diagonals {
        Diagonals::from(&self.factor.inverse_band(self.factor.factor().half_bandwidth()))
    }

    /// Rows of `R s` that rest on data: at most 1% of the row's weight lies in bins without.
    pub fn covered<T: Entry>(&self, resolution: &View<T>) -> Vec<bool> {
        let missing: Vec<f64> = self.solved.iter().map(|&ok| f64::from(u8::from(!ok))).collect();
        let absolute = resolution.absolute();
        let (total, lost) = (absolute.apply(&vec![1.0; missing.len()]), absolute.apply(&missing));
        total.iter().zip(&lost).map(|(total, lost)| *total > 0.0 && *lost <= 0.01 * total).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Instrument;
    use numerics::Resolution;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};

    /// Pulls of `R s` against the truth, over fibres of different resolution.
    #[test]
    fn the_deconvolved_mean_is_unbiased_with_the_stated_variance() {
        let (nspec, nwave) = (12, 400);
        let instrument = Instrument::new(nspec, nwave, 11);
        let truth: Vec<f64> = (0..nwave).map(|j| 100.0 + if j % 37 == 5 { 3000.0 } else { 0.0 }).collect();
        let matrices: Vec<Resolution> = (0..nspec).map(|f| instrument.resolution_of(f)).collect();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let (mut chi2, mut n) = (0.0, 0);
        for _ in 0..20 {
            let normal = NormalEquations::sum(nwave, 11, &matrices, |_, _| {});
            assert!(normal.fibers().iter().all(|n| *n == 0));
            let mut normal = NormalEquations::zeros(nwave, 11);
            for r in &matrices {
                let m = r.apply(&truth);
                let w: Vec<f64> = m.iter().map(|m| 1.0 / (m + 25.0)).collect();
                let y: Vec<f64> = m
                    .iter()
                    .zip(&w)
                    .map(|(m, w)| {
                        let g: f64 = StandardNormal.sample(&mut rng);
                        m + g / w.sqrt()
                    })
                    .collect();
                normal.add(&r.view(), &w, &y);
            }
            let solution = normal.solve().unwrap();
            let mean = Resolution::mean(&matrices).unwrap();
            let (model, expected) = (mean.apply(&solution.spectrum), mean.apply(&truth));
            for (i, v) in mean.propagate(&solution.covariance()).iter().enumerate().take(nwave - 5).skip(5) {
                chi2 += (model[i] - expected[i]).powi(2) / v;
                n += 1;
            }
        }
        let reduced: f64 = chi2 / f64::from(n);
        // neighbouring bins are correlated: about 3 of them count as one
        let error = (2.0 / (f64::from(n) / 3.0)).sqrt();
        assert!((reduced - 1.0).abs() < 4.0 * error, "chi2 per bin {reduced} +- {error}");
    }

    #[test]
    fn bins_without_data_are_told_and_bridged_smoothly() {
        let instrument = Instrument::new(1, 60, 7);
        let r = instrument.resolution_of(0);
        let truth: Vec<f64> = (0..60).map(|i| 5.0 + 0.1 * f64::from(i)).collect();
        let w: Vec<f64> = (0..60).map(|i| if (20..40).contains(&i) { 0.0 } else { 1.0 }).collect();
        let mut normal = NormalEquations::zeros(60, 7);
        normal.add(&r.view(), &w, &r.apply(&truth));
        normal.add_smoothness(1e-6);
        let solution = normal.solve().unwrap();
        assert!(!solution.solved[30] && solution.solved[10]);
        let covered = solution.covered(&r.view());
        assert!(!covered[30] && covered[10]);
        for (j, (s, t)) in solution.spectrum.iter().zip(&truth).enumerate().take(55).skip(5) {
            assert!((s - t).abs() < 0.01, "{j}: {s}");
        }
        assert!(NormalEquations::zeros(60, 7).solve().is_err());
    }
}
