//! The smooth flat of each fibre: a spline through `D / model`, with rejection of outlying bins.

use crate::{Params, fibers::FlatFiber};
use numerics::spline::SplineBasis;
use rayon::prelude::*;

/// Most bins of a fibre that are rejected before it is fitted again: an outlier pulls its neighbours.
const REJECTED_AT_ONCE: usize = 5;

/// Fits every living fibre against its model of the lamp (electron/Angstrom), rejecting until nothing is.
pub fn fit_and_reject(
    fibers: &mut [FlatFiber],
    wave: &[f64],
    params: &Params,
    model: impl Fn(&FlatFiber) -> Vec<f64> + Sync,
) {
    // most fibres have data in the same range, and so the same knots
    let any = |j: usize| f64::from(u8::from(fibers.iter().any(|f| !f.dead && f.weight[j] > 0.0)));
    let any: Vec<f64> = (0..wave.len()).map(any).collect();
    let basis = SplineBasis::new(wave, &any, params.smoothing).ok();
    fibers.par_iter_mut().filter(|f| !f.dead).for_each(|fiber| {
        let lamp = model(fiber);
        while !fiber.dead {
            let Some((ratio, weight)) = fit(fiber, wave, &lamp, basis.as_ref(), params) else {
                fiber.dead = true;
                return;
            };
            let outliers = worst_bins(fiber, &ratio, &weight, params);
            if outliers.is_empty() {
                return;
            }
            outliers.into_iter().for_each(|j| fiber.reject(j, params));
        }
    });
}

/// Fits the smooth flat, with the B-splines that fibres have in `common` where they suit; returns `D / model` and its inverse variance, or `None` without data.
fn fit(
    fiber: &mut FlatFiber,
    wave: &[f64],
    lamp: &[f64],
    common: Option<&SplineBasis>,
    params: &Params,
) -> Option<(Vec<f64>, Vec<f64>)> {
    let usable = |j: usize| fiber.weight[j] > 0.0 && lamp[j] > 0.0;
    let ratio: Vec<f64> = (0..wave.len()).map(|j| if usable(j) { fiber.flux[j] / lamp[j] } else { 0.0 }).collect();
    let weight: Vec<f64> =
        (0..wave.len()).map(|j| if usable(j) { fiber.weight[j] * lamp[j] * lamp[j] } else { 0.0 }).collect();
    fiber.smooth = match common.filter(|basis| basis.suits(&weight)) {
        Some(basis) => basis.smooth(&ratio, &weight),
        None => SplineBasis::new(wave, &weight, params.smoothing).and_then(|own| own.smooth(&ratio, &weight)),
    }
    .ok()?;
    Some((ratio, weight))
}

/// The bins beyond nsig of noise and systematic error, at most the worst few.
fn worst_bins(fiber: &FlatFiber, ratio: &[f64], weight: &[f64], params: &Params) -> Vec<usize> {
    let chi2 = |j: usize| (ratio[j] - fiber.smooth[j]).powi(2) / (1.0 / weight[j] + params.systematic_error.powi(2));
    let mut outliers: Vec<(usize, f64)> = (0..ratio.len())
        .filter(|&j| weight[j] > 0.0)
        .map(|j| (j, chi2(j)))
        .filter(|(_, c)| *c > params.nsig * params.nsig)
        .collect();
    outliers.sort_by(|a, b| b.1.total_cmp(&a.1));
    outliers.truncate(REJECTED_AT_ONCE);
    outliers.into_iter().map(|(j, _)| j).collect()
}
