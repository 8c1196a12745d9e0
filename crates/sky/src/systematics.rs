//! The error of the sky model in bright lines, measured on the residuals of the sky fibres: a wavelength
//! error of `σ_w` Angstrom and up to half a percent of the flux.

use crate::{
    CommonSky,
    adjust::{Adjustment, Basis},
};
use datamodel::Frame;
use numerics::robust;

/// Largest relative error of the flux of a line, and the wavelength error in Angstrom from which on it comes whole: what is
/// added is the least that explains the residuals.
const FLUX_ERROR: f64 = 0.005;
const WHOLE: f64 = 0.02;
/// Wavelength errors that are tried: steps and largest, in Angstrom.
const STEP: f64 = 0.0025;
const LARGEST: f64 = 2.0;
/// Half width in bins of the residuals looked at, and of the bins that receive the variance.
const WINDOW: usize = 2;
const REACH: usize = 3;
/// Median over mean of a chi2 of 5 degrees of freedom.
const MEDIAN_TO_MEAN: f64 = 0.8703;

/// Variance to add to each bin of the sky model.
pub fn variance(
    frame: &Frame,
    common: &CommonSky,
    adjustments: &[Adjustment],
    basis: &Basis,
    peaks: &[usize],
) -> Vec<f64> {
    let nwave = frame.wave.len();
    let mean = &common.mean;
    let slope: Vec<f64> = (0..nwave).map(|j| derivative(mean, &frame.wave, j)).collect();
    let models: Vec<Vec<f64>> = common
        .fibers
        .iter()
        .map(|f| adjustments[f.row].apply(&f.resolution.apply(common.spectrum_for(f.row)), basis).0)
        .collect();
    let mut added = vec![0.0f64; nwave];
    for &peak in peaks {
        let residuals = Residuals::around(peak, frame, common, &models);
        let extra = |sigma: f64, j: usize| {
            ((sigma / WHOLE).min(1.0) * FLUX_ERROR * mean[j]).powi(2) + (sigma * slope[j]).powi(2)
        };
        if residuals.consistent(|_| 0.0) {
            continue;
        }
        let sigmas = (1..=(LARGEST / STEP) as usize).map(|k| k as f64 * STEP);
        let sigma = sigmas.into_iter().find(|&s| residuals.consistent(|j| extra(s, j))).unwrap_or(LARGEST);
        let from = peak.saturating_sub(REACH);
        for (k, a) in added[from..(peak + REACH + 1).min(nwave)].iter_mut().enumerate() {
            *a = a.max(extra(sigma, from + k));
        }
    }
    added
}

fn derivative(y: &[f64], x: &[f64], j: usize) -> f64 {
    let (a, b) = (j.saturating_sub(1), (j + 1).min(y.len() - 1));
    (y[b] - y[a]) / (x[b] - x[a])
}

/// Squared residuals and variances of the sky fibres near a line.
struct Residuals {
    /// Of each fibre: (bin, squared residual, variance).
    fibers: Vec<Vec<(usize, f64, f64)>>,
    /// Largest median of the reduced chi2 that counts as consistent.
    limit: f64,
}

impl Residuals {
    fn around(peak: usize, frame: &Frame, common: &CommonSky, models: &[Vec<f64>]) -> Self {
        let bins = peak.saturating_sub(WINDOW)..(peak + WINDOW + 1).min(frame.wave.len());
        let of_fiber = |k: usize| -> Vec<(usize, f64, f64)> {
            let fiber = &common.fibers[k];
            let residual = |j: usize| f64::from(frame.flux[(fiber.row, j)]) - models[k][j];
            let good = bins.clone().filter(|&j| fiber.weight[j] > 0.0);
            good.map(|j| (j, residual(j).powi(2), 1.0 / fiber.weight[j])).collect()
        };
        let fibers: Vec<_> = (0..models.len()).map(of_fiber).filter(|r| !r.is_empty()).collect();
        // the common sky has its own error, of which a fibre that made it knows nothing; the median scatters by
        // 1.25 of the mean's error
        let n = fibers.len().max(1) as f64;
        let degrees = (2 * WINDOW + 1) as f64;
        let expected = if common.without.is_empty() { (1.0 - 1.0 / n).max(0.1) } else { 1.0 + 1.0 / n };
        let limit = expected + 1.25 * (2.0 / (degrees * n)).sqrt();
        Self { fibers, limit }
    }

    /// Whether the residuals agree with their variance and `extra`.
    fn consistent(&self, extra: impl Fn(usize) -> f64) -> bool {
        let reduced = |r: &Vec<(usize, f64, f64)>| {
            r.iter().map(|&(j, square, variance)| square / (variance + extra(j))).sum::<f64>() / r.len() as f64
        };
        let values: Vec<f64> = self.fibers.iter().map(reduced).collect();
        robust::median(&values).is_none_or(|m| m / MEDIAN_TO_MEAN <= self.limit)
    }
}
