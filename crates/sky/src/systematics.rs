//! The error of the sky model in bright lines, measured on the residuals of the sky fibres: a wavelength error and, with it,
//! one of the flux. What all lines have in common is told from their mean, what one line has beyond that from itself.

use crate::{CommonSky, Row};
use datamodel::Frame;

/// Relative error of the flux of a line per Angstrom of wavelength error: 0.5 % where that is 0.02 Angstrom.
const FLUX_ERROR: f64 = 0.25;
/// Largest wavelength error, Angstrom, and the halvings that find it.
const LARGEST: f64 = 2.0;
const HALVINGS: usize = 24;
/// Half width in bins of the residuals looked at, and of the bins that receive the variance.
const WINDOW: usize = 2;
const REACH: usize = 3;
/// Most that the reduced chi2 of a fibre counts: one that is bad by itself tells nothing of the others.
const WORST: f64 = 9.0;
/// What all lines have in common counts from this many of its errors on, what a single one has from this many.
const COMMON_NSIG: f64 = 3.0;
const SINGLE_NSIG: f64 = 1.5;

/// Variance to add to each bin of the sky model, given the model of every row of the frame.
pub fn variance(frame: &Frame, common: &CommonSky, rows: &[Row], peaks: &[usize]) -> Vec<f64> {
    let shape = shape(&common.mean, &frame.wave);
    let lines: Vec<Line> = peaks.iter().map(|&p| Line::at(p, frame, common, rows, &shape)).collect();
    let lines: Vec<Line> = lines.into_iter().filter(|l| !l.fibers.is_empty()).collect();
    let shared = shared_error(&lines);
    let mut added = vec![0.0f64; shape.len()];
    for line in &lines {
        let limit = 1.0 + SINGLE_NSIG * line.error();
        let square = shared + least(|s| line.chi2(shared + s) <= limit);
        let from = line.peak.saturating_sub(REACH);
        for (a, shape) in added[from..].iter_mut().zip(&shape[from..]).take(line.peak + REACH + 1 - from) {
            *a = a.max(square * shape);
        }
    }
    added
}

/// Variance for a wavelength error of 1 Angstrom.
fn shape(sky: &[f64], wave: &[f64]) -> Vec<f64> {
    let slope = |j: usize| {
        let (a, b) = (j.saturating_sub(1), (j + 1).min(sky.len() - 1));
        (sky[b] - sky[a]) / (wave[b] - wave[a])
    };
    (0..sky.len()).map(|j| slope(j).powi(2) + (FLUX_ERROR * sky[j]).powi(2)).collect()
}

/// The squared wavelength error of the typical line: the weighted median of what each tells, if significantly above 0.
fn shared_error(lines: &[Line]) -> f64 {
    let mut told: Vec<(f64, f64)> = lines.iter().map(Line::told).filter(|(_, weight)| *weight > 0.0).collect();
    told.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = told.iter().map(|t| t.1).sum();
    let mut below = 0.0;
    let median = told.iter().find(|(_, weight)| {
        below += weight;
        below >= 0.5 * total
    });
    // a median scatters by 1.25 of what a mean does
    median.map(|m| m.0).filter(|m| *m > COMMON_NSIG * 1.25 / total.sqrt()).unwrap_or(0.0)
}

/// The least squared error at which something holds that holds from there on.
fn least(holds: impl Fn(f64) -> bool) -> f64 {
    if holds(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, LARGEST);
    for _ in 0..HALVINGS {
        let middle: f64 = 0.5 * (low + high);
        if holds(middle * middle) { high = middle } else { low = middle }
    }
    high * high
}

/// The residuals of the sky fibres near a line.
struct Line {
    peak: usize,
    /// Of each fibre: (squared residual, variance, variance of a wavelength error of 1 Angstrom) of its bins.
    fibers: Vec<Vec<(f64, f64, f64)>>,
}

impl Line {
    fn at(peak: usize, frame: &Frame, common: &CommonSky, rows: &[Row], shape: &[f64]) -> Self {
        let bins = peak.saturating_sub(WINDOW)..(peak + WINDOW + 1).min(shape.len());
        let of_fiber = |fiber: &crate::SkyFiber| -> Vec<(f64, f64, f64)> {
            let row = &rows[fiber.row];
            let good = bins.clone().filter(|&j| fiber.weight[j] > 0.0 && row.covered[j]);
            let datum = |j: usize| {
                let residual = f64::from(frame.flux[(fiber.row, j)]) - row.model[j];
                (residual * residual, 1.0 / fiber.ivar[j] + row.common[j] + row.adjusted[j], shape[j])
            };
            good.map(datum).collect()
        };
        Self { peak, fibers: common.fibers.iter().map(of_fiber).filter(|r| !r.is_empty()).collect() }
    }

    /// Mean reduced chi2 of the fibres with a squared wavelength error.
    fn chi2(&self, square: f64) -> f64 {
        let reduced = |bins: &Vec<(f64, f64, f64)>| {
            let sum: f64 = bins.iter().map(|(r, variance, shape)| r / (variance + square * shape)).sum();
            (sum / bins.len() as f64).min(WORST)
        };
        self.fibers.iter().map(reduced).sum::<f64>() / self.fibers.len() as f64
    }

    /// The squared wavelength error that the excess of the residuals tells, negative where they are small by chance, and its inverse
    /// variance.
    fn told(&self) -> (f64, f64) {
        let (mut excess, mut weight) = (0.0, 0.0);
        for (residual, variance, shape) in self.fibers.iter().flatten() {
            let share = shape / variance;
            excess += (residual / variance - 1.0) * share;
            weight += share * share;
        }
        (excess / weight, 0.5 * weight)
    }

    /// Statistical error of [`Line::chi2`].
    fn error(&self) -> f64 {
        (2.0 / self.fibers.iter().map(Vec::len).sum::<usize>() as f64).sqrt()
    }
}
