//! What a fibre sees differently: its throughput, wavelength scale and line width against those of flat and
//! PSF, measured on the bright sky lines. To first order
//! `M = S + a(λ) S + b(λ) S' + c(λ) S''` with low-order polynomials a, b (bins) and c (bins²).
//!
//! The scatter of a, b, c over the sky fibres beyond their errors is the prior of every fibre: what does not
//! vary significantly is not adjusted, and what a fibre's own lines do not tell stays near 0.

use crate::{CommonSky, fibers::SkyFiber};
use datamodel::Frame;
use numerics::{SymmetricBand, legendre, robust};
use rayon::prelude::*;

/// Throughput, shift, width.
const KINDS: usize = 3;
/// Half width in bins of the window around a line; its continuum is a free constant.
const WINDOW: usize = 3;
/// Lines that one more term of the polynomials takes.
const LINES_PER_TERM: usize = 20;
/// Relative error of the sky in a line and of the object's continuum (its own lines) beside the noise.
const LINE_ERROR: f64 = 0.005;
const OBJECT_ERROR: f64 = 0.05;

/// The adjustment of one fibre.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjustment {
    /// Legendre coefficients over the range, kind by kind.
    coefficients: Vec<f64>,
    /// Their variances.
    variances: Vec<f64>,
}

impl Adjustment {
    /// No change.
    pub fn none() -> Self {
        Self { coefficients: vec![], variances: vec![] }
    }

    fn terms(&self) -> usize {
        self.coefficients.len() / KINDS
    }

    /// The adjusted sky of a fibre and the variance that the adjustment brings.
    pub fn apply(&self, sky: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut model, mut variance) = (sky.to_vec(), vec![0.0; sky.len()]);
        if self.coefficients.iter().all(|c| *c == 0.0) {
            return (model, variance);
        }
        for j in 0..sky.len() {
            for ((c, v), t) in self.coefficients.iter().zip(&self.variances).zip(design(sky, j, self.terms())) {
                model[j] += c * t;
                variance[j] += v * t * t;
            }
        }
        (model, variance)
    }
}

/// `S P_k`, `S' P_k` and `S'' P_k` in bin `j`.
fn design(sky: &[f64], j: usize, terms: usize) -> Vec<f64> {
    let n = sky.len();
    let at = |k: isize| sky[(j as isize + k).clamp(0, n as isize - 1) as usize];
    // fourth-order differences: a line is only a bin wide
    let first = (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12.0;
    let second = (16.0 * (at(1) + at(-1)) - (at(2) + at(-2)) - 30.0 * at(0)) / 12.0;
    let u = 2.0 * j as f64 / (n - 1) as f64 - 1.0;
    let p = legendre::polynomials(u, terms);
    [sky[j], first, second].iter().flat_map(|v| p.iter().map(move |p| p * v)).collect()
}

/// Adjustments of all fibres.
pub fn fit(frame: &Frame, common: &CommonSky, peaks: &[usize]) -> Vec<Adjustment> {
    let terms = 1 + (peaks.len() / LINES_PER_TERM).min(2);
    let estimates: Vec<Option<Estimate>> = (0..frame.nspec())
        .into_par_iter()
        .map(|f| {
            let sky = frame.resolution_of(f).apply(&common.spectrum);
            Estimate::of(frame, f, &sky, peaks, terms)
        })
        .collect();
    let prior = scatter(common.fibers.iter().filter_map(|f| estimates[f.row].as_ref()), KINDS * terms);
    estimates.into_iter().map(|e| e.map_or_else(Adjustment::none, |e| e.with_prior(&prior))).collect()
}

/// The sky fibres as they would be without their adjustment, nothing rejected yet.
pub fn corrected(frame: &Frame, common: &CommonSky, adjustments: &[Adjustment]) -> Vec<SkyFiber> {
    let correct = |fiber: &SkyFiber| {
        let sky = fiber.resolution.apply(&common.spectrum);
        let (model, _) = adjustments[fiber.row].apply(&sky);
        let flux = (0..sky.len()).map(|j| f64::from(frame.flux[(fiber.row, j)]) + sky[j] - model[j]).collect();
        SkyFiber { flux, weight: fiber.full_weight.clone(), ..fiber.clone() }
    };
    common.fibers.iter().map(correct).collect()
}

/// One line for the log: the largest adjustments.
pub fn describe(adjustments: &[Adjustment]) -> String {
    let largest = |kind: usize| {
        let first = |a: &Adjustment| a.coefficients.get(kind * a.terms()).map_or(0.0, |c| c.abs());
        adjustments.iter().map(first).fold(0.0, f64::max)
    };
    format!("throughput up to {:.4}, shift {:.4} bins, width {:.4} bins^2", largest(0), largest(1), largest(2))
}

/// Least squares of one fibre: normal matrix and solution.
struct Estimate {
    normal: SymmetricBand,
    rhs: Vec<f64>,
    value: Vec<f64>,
    variance: Vec<f64>,
}

impl Estimate {
    /// From the windows around the lines; `None` where the fibre has too few data.
    fn of(frame: &Frame, f: usize, sky: &[f64], peaks: &[usize], terms: usize) -> Option<Self> {
        let ivar = frame.good_ivar(f);
        let n = KINDS * terms;
        let mut normal = SymmetricBand::zeros(n, n - 1);
        let mut rhs = vec![0.0; n];
        for (k, &peak) in peaks.iter().enumerate() {
            // a bin belongs to the window of the first line that reaches it
            let start = if k > 0 {
                (peaks[k - 1] + WINDOW + 1).max(peak.saturating_sub(WINDOW))
            } else {
                peak.saturating_sub(WINDOW)
            };
            let bins = start..(peak + WINDOW + 1).min(sky.len());
            add_window(&mut normal, &mut rhs, bins, frame, f, sky, &ivar, terms);
        }
        let value = normal.clone().cholesky().ok()?;
        let covariance = value.inverse_band(n - 1);
        Some(Self { value: value.solve(&rhs), variance: covariance.diagonal(), normal, rhs })
    }

    /// The estimate drawn towards 0 by a prior of these variances; a kind with variance 0 is not adjusted.
    fn with_prior(mut self, prior: &[f64]) -> Adjustment {
        let n = prior.len();
        for (i, &p) in prior.iter().enumerate() {
            // a variance of 0 pins the term at 0
            let weight = if p > 0.0 { 1.0 / p } else { 1e12 / self.variance[i].max(1e-30) };
            self.normal.add(i, i, weight);
        }
        match self.normal.cholesky() {
            Ok(factor) => {
                let mut coefficients = factor.solve(&self.rhs);
                coefficients.iter_mut().zip(prior).filter(|(_, p)| **p <= 0.0).for_each(|(c, _)| *c = 0.0);
                Adjustment { coefficients, variances: factor.inverse_band(n - 1).diagonal() }
            }
            Err(_) => Adjustment::none(),
        }
    }
}

/// Adds the data of one line; the constant under it is projected out.
#[allow(clippy::too_many_arguments)]
fn add_window(
    normal: &mut SymmetricBand,
    rhs: &mut [f64],
    bins: std::ops::Range<usize>,
    frame: &Frame,
    f: usize,
    sky: &[f64],
    ivar: &[f64],
    terms: usize,
) {
    let good: Vec<usize> = bins.filter(|&j| ivar[j] > 0.0).collect();
    if good.len() < 4 {
        return;
    }
    let residual: Vec<f64> = good.iter().map(|&j| f64::from(frame.flux[(f, j)]) - sky[j]).collect();
    let object = robust::median(&residual).unwrap_or(0.0);
    let weight = |j: usize| 1.0 / (1.0 / ivar[j] + (LINE_ERROR * sky[j]).powi(2) + (OBJECT_ERROR * object).powi(2));
    let w: Vec<f64> = good.iter().map(|&j| weight(j)).collect();
    let total: f64 = w.iter().sum();
    let mut columns: Vec<Vec<f64>> = good.iter().map(|&j| design(sky, j, terms)).collect();
    let n = rhs.len();
    let mean = |value: &dyn Fn(usize) -> f64| (0..good.len()).map(|k| w[k] * value(k)).sum::<f64>() / total;
    let means: Vec<f64> = (0..n).map(|i| mean(&|k| columns[k][i])).collect();
    let centre = mean(&|k| residual[k]);
    for (k, column) in columns.iter_mut().enumerate() {
        column.iter_mut().zip(&means).for_each(|(c, m)| *c -= m);
        for i in 0..n {
            rhs[i] += w[k] * column[i] * (residual[k] - centre);
            (0..=i).for_each(|l| normal.add(i, l, w[k] * column[i] * column[l]));
        }
    }
}

/// Variance of each coefficient over the sky fibres beyond its error; 0 where that is not significant (the
/// observed scatter is within three errors of the expected one).
fn scatter<'a>(estimates: impl Iterator<Item = &'a Estimate>, n: usize) -> Vec<f64> {
    let estimates: Vec<&Estimate> = estimates.collect();
    if estimates.len() < 5 {
        return vec![0.0; n];
    }
    // relative error of a variance from the median square of a Gaussian
    let error = 2.33 / (estimates.len() as f64).sqrt();
    (0..n)
        .map(|i| {
            let squares: Vec<f64> = estimates.iter().map(|e| e.value[i].powi(2)).collect();
            let variances: Vec<f64> = estimates.iter().map(|e| e.variance[i]).collect();
            // 0.4549: median of a chi2 of one degree of freedom
            let observed = robust::median(&squares).unwrap_or(0.0) / 0.4549;
            let noise = robust::median(&variances).unwrap_or(0.0);
            if observed > (1.0 + 3.0 * error) * noise { observed - noise } else { 0.0 }
        })
        .collect()
}
