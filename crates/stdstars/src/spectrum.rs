//! A spectrum of a star and its comparison with models: least squares over a free smooth calibration.
//!
//! `data = c(λ) · model` with `c` piecewise linear between knots. For each model `c` is solved (a tridiagonal
//! system) and the chi2 that is left is returned, so that nothing but lines narrower than the knots counts.

use crate::masks;
use datamodel::{Band, Frame};
use numerics::{Resolution, interp, robust};

/// Spacing of the knots in bins: wider than a line, narrower than what a calibration does.
const KNOT_SPACING: usize = 200;
/// Bins this many sigmas above the continuum are cosmic rays or sky.
const OUTLIER_NSIG: f64 = 3.0;

/// One arm of one exposure of a star.
#[derive(Debug, Clone)]
pub struct StarSpectrum {
    /// Its arm.
    pub band: Band,
    /// Median S/N per bin.
    pub median_snr: f64,
    /// Bin edges, vacuum Angstrom, one more than bins.
    edges: Vec<f64>,
    wave: Vec<f64>,
    flux: Vec<f64>,
    /// Inverse variance, 0 where the bin says nothing about the star.
    ivar: Vec<f64>,
    /// Smooth flux.
    continuum: Vec<f64>,
    resolution: Resolution,
}

impl StarSpectrum {
    /// The spectrum of a row of a flat-fielded, sky-subtracted frame.
    pub fn of(frame: &Frame, row: usize) -> Self {
        let flux: Vec<f64> = frame.flux.row(row).iter().map(|&f| f64::from(f)).collect();
        let mut ivar = frame.good_ivar(row);
        let snr: Vec<f64> = flux.iter().zip(&ivar).filter(|(_, w)| **w > 0.0).map(|(f, w)| f * w.sqrt()).collect();
        let good: Vec<bool> = ivar.iter().map(|w| *w > 0.0).collect();
        let mut continuum = robust::running_median(&flux, &good, KNOT_SPACING);
        let known: Vec<bool> = continuum.iter().map(|c| c.is_finite()).collect();
        interp::fill(&mut continuum, &known);
        for j in 0..flux.len() {
            let high = (flux[j] - continuum[j]) * ivar[j].sqrt() > OUTLIER_NSIG;
            if high || continuum[j] <= 0.0 || !masks::is_clear(frame.wave[j]) {
                ivar[j] = 0.0;
            }
        }
        Self {
            band: frame.camera().map_or(Band::B, |c| c.band),
            median_snr: robust::median(&snr).unwrap_or(0.0),
            edges: numerics::resample::bin_edges(&frame.wave),
            wave: frame.wave.clone(),
            resolution: frame.resolution_of(row),
            flux,
            ivar,
            continuum,
        }
    }

    /// Number of bins that count.
    pub fn ndata(&self) -> usize {
        self.ivar.iter().filter(|w| **w > 0.0).count()
    }

    /// Number of knots of the free calibration.
    pub fn nknots(&self) -> usize {
        self.flux.len() / KNOT_SPACING + 2
    }

    /// Where the bin edges fall on a model grid when the star recedes with redshift `z`.
    pub fn positions(&self, model_wave: &[f64], z: f64) -> Positions {
        let mut segment = 0;
        let at = |e: &f64| {
            let x = e / (1.0 + z);
            while segment + 2 < model_wave.len() && model_wave[segment + 1] <= x {
                segment += 1;
            }
            (segment, x - model_wave[segment])
        };
        Positions { edges: self.edges.iter().map(at).collect() }
    }

    /// A model as this spectrum would show it without noise and calibration.
    pub fn project(&self, model: &Model, positions: &Positions) -> Vec<f64> {
        let integral: Vec<f64> = positions.edges.iter().map(|&(s, dx)| model.integral_to(s, dx)).collect();
        let mean: Vec<f64> =
            integral.windows(2).zip(self.edges.windows(2)).map(|(i, e)| (i[1] - i[0]) / (e[1] - e[0])).collect();
        self.resolution.apply(&mean)
    }

    /// Weights of a fit: noise and the models' relative error.
    pub fn weights(&self, template_error: f64, keep: impl Fn(f64) -> bool) -> Vec<f64> {
        let weight = |j: usize| match self.ivar[j] {
            w if w > 0.0 && keep(self.wave[j]) => 1.0 / (1.0 / w + (template_error * self.continuum[j]).powi(2)),
            _ => 0.0,
        };
        (0..self.flux.len()).map(weight).collect()
    }

    /// chi2 of a projected model after its best smooth calibration.
    pub fn chi2(&self, projected: &[f64], weights: &[f64]) -> f64 {
        let n = projected.len();
        let intervals = n.div_ceil(KNOT_SPACING);
        let mut system = Tridiagonal::new(intervals + 1);
        let mut total = 0.0;
        for k in 0..intervals {
            let bins = k * KNOT_SPACING..((k + 1) * KNOT_SPACING).min(n);
            let (mut aa, mut ab, mut bb, mut ya, mut yb) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (i, j) in bins.enumerate() {
                let u = i as f64 / KNOT_SPACING as f64;
                let (m, d, w) = (projected[j], self.flux[j], weights[j]);
                let (wmm, wmd) = (w * m * m, w * m * d);
                aa += wmm * (1.0 - u) * (1.0 - u);
                ab += wmm * u * (1.0 - u);
                bb += wmm * u * u;
                ya += wmd * (1.0 - u);
                yb += wmd * u;
                total += w * d * d;
            }
            system.add(k, [aa, ab, bb], [ya, yb]);
        }
        total - system.quadratic_form()
    }
}

/// Segments of a model grid and distances into them, one for each bin edge.
#[derive(Debug, Clone)]
pub struct Positions {
    edges: Vec<(usize, f64)>,
}

/// A model with its running integral.
#[derive(Debug, Clone)]
pub struct Model {
    flux: Vec<f64>,
    slope: Vec<f64>,
    integral: Vec<f64>,
}

impl Model {
    /// From its flux at `wave`.
    pub fn new(wave: &[f64], flux: Vec<f64>) -> Self {
        let slope = wave.windows(2).zip(flux.windows(2)).map(|(x, y)| (y[1] - y[0]) / (x[1] - x[0])).collect();
        let mut integral = vec![0.0; wave.len()];
        for i in 1..wave.len() {
            integral[i] = integral[i - 1] + 0.5 * (flux[i] + flux[i - 1]) * (wave[i] - wave[i - 1]);
        }
        Self { flux, slope, integral }
    }

    /// Integral up to `dx` into segment `s`.
    fn integral_to(&self, s: usize, dx: f64) -> f64 {
        self.integral[s] + dx * (self.flux[s] + 0.5 * dx * self.slope[s])
    }
}

/// A symmetric tridiagonal system.
struct Tridiagonal {
    diagonal: Vec<f64>,
    off: Vec<f64>,
    rhs: Vec<f64>,
}

impl Tridiagonal {
    fn new(n: usize) -> Self {
        Self { diagonal: vec![0.0; n], off: vec![0.0; n], rhs: vec![0.0; n] }
    }

    /// Adds the 2x2 block at rows `k`, `k + 1`.
    fn add(&mut self, k: usize, block: [f64; 3], rhs: [f64; 2]) {
        self.diagonal[k] += block[0];
        self.off[k] += block[1];
        self.diagonal[k + 1] += block[2];
        self.rhs[k] += rhs[0];
        self.rhs[k + 1] += rhs[1];
    }

    /// `bᵀ A⁻¹ b` by elimination; rows without data count nothing.
    fn quadratic_form(&self) -> f64 {
        let (mut total, mut d_before, mut y_before) = (0.0, 0.0, 0.0);
        for k in 0..self.rhs.len() {
            let off = if k > 0 { self.off[k - 1] } else { 0.0 };
            let factor = if d_before > 0.0 { off / d_before } else { 0.0 };
            let d = self.diagonal[k] - factor * off;
            let y = self.rhs[k] - factor * y_before;
            // a knot that its neighbour determines already (or without data) has nothing left to fit
            let pivot = d > 1e-12 * self.diagonal[k];
            total += if pivot { y * y / d } else { 0.0 };
            (d_before, y_before) = if pivot { (d, y) } else { (0.0, 0.0) };
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use calibrate::testing::{Instrument, frame_of};
    use numerics::SymmetricBand;

    fn observed() -> (StarSpectrum, Model, Vec<f64>) {
        let instrument = Instrument::new(1, 900, 11);
        let wave: Vec<f64> = (0..9000).map(|i| 3950.0 + 0.1 * f64::from(i)).collect();
        let line = |w: f64, l: f64| 0.5 * (-0.5 * ((w - l) / 5.0f64).powi(2)).exp();
        let flux: Vec<f64> =
            wave.iter().map(|w| (w / 4000.0).powi(2) * (1.0 - line(*w, 4200.0) - line(*w, 4500.0))).collect();
        let model = Model::new(&wave, flux);
        let z = 0.001;
        let truth: Vec<f64> = instrument
            .wave
            .iter()
            .map(|w| 500.0 * (1.0 + (w - 4000.0) / 900.0) * numerics::interp::linear(w / (1.0 + z), &wave, &model.flux))
            .collect();
        (StarSpectrum::of(&frame_of(&instrument, &[truth], 10.0, 3), 0), model, wave)
    }

    #[test]
    fn the_calibration_is_solved_exactly() {
        let (s, model, wave) = observed();
        let m = s.project(&model, &s.positions(&wave, 0.001));
        let w = s.weights(0.0, |_| true);
        // the same least squares with a dense matrix of hat functions
        let n = s.flux.len() / KNOT_SPACING + 2;
        let mut normal = SymmetricBand::zeros(n, n - 1);
        let mut rhs = vec![0.0; n];
        let hat = |k: usize, j: usize| (1.0 - (j as f64 / KNOT_SPACING as f64 - k as f64).abs()).max(0.0);
        for j in 0..m.len() {
            for (a, r) in rhs.iter_mut().enumerate() {
                *r += w[j] * m[j] * hat(a, j) * s.flux[j];
                (0..=a).for_each(|b| normal.add(a, b, w[j] * m[j] * m[j] * hat(a, j) * hat(b, j)));
            }
        }
        let c = normal.cholesky().unwrap().solve(&rhs);
        let expected: f64 = (0..m.len())
            .map(|j| w[j] * (s.flux[j] - m[j] * (0..n).map(|k| c[k] * hat(k, j)).sum::<f64>()).powi(2))
            .sum();
        let chi2 = s.chi2(&m, &w);
        assert!((chi2 / expected - 1.0).abs() < 1e-6, "{chi2} {expected}");
        let dof = s.ndata() as f64 - n as f64;
        assert!((chi2 - dof).abs() < 5.0 * (2.0 * dof).sqrt(), "chi2 {chi2} for {dof}");
    }

    #[test]
    fn the_right_redshift_has_the_least_chi2() {
        let (s, model, wave) = observed();
        let w = s.weights(0.0, |_| true);
        let chi2 = |z: f64| s.chi2(&s.project(&model, &s.positions(&wave, z)), &w);
        let best = (0..101).map(|i| f64::from(i) * 4e-5 - 1e-3).min_by(|a, b| chi2(*a).total_cmp(&chi2(*b))).unwrap();
        assert!((best - 0.001).abs() < 1e-4, "{best}");
    }
}
