//! The common deconvolved sky of the sky fibres, with rejection of bins and of whole fibres.

use crate::{Error, Params, fibers::SkyFiber};
use calibrate::{CommonSpectrum, NormalEquations};
use numerics::robust::{self, MAD_TO_SIGMA};
use rayon::prelude::*;

/// Relative error of the sky in a bright line (resolution, flat) below which a residual is no outlier.
const LINE_ERROR: f64 = 0.01;
/// A fibre is dropped when its median residual is this many sigmas from those of the others.
const FIBER_NSIG: f64 = 7.0;

/// Solves for the sky, rejecting until nothing more is rejected. Rejected bins get weight 0; rejected fibres
/// are removed.
pub fn reject_and_solve(fibers: &mut Vec<SkyFiber>, params: &Params) -> Result<CommonSpectrum, Error> {
    for iteration in 0..params.max_iterations {
        let solution = solve(fibers)?;
        let models: Vec<Vec<f64>> = fibers.iter().map(|f| f.resolution.apply(&solution.spectrum)).collect();
        let bins = reject_bins(fibers, &models, params.nsig, iteration == 0);
        let dropped = drop_fiber(fibers, &models);
        if bins == 0 && !dropped {
            return Ok(solution);
        }
    }
    log::warn!("the sky fit still rejects bins after {} iterations", params.max_iterations);
    solve(fibers)
}

fn solve(fibers: &[SkyFiber]) -> Result<CommonSpectrum, Error> {
    let (nwave, ndiag) = fibers.first().map_or((0, 1), |f| (f.flux.len(), f.resolution.ndiag()));
    let normal = NormalEquations::sum(nwave, ndiag, fibers, |n, f| n.add(&f.resolution, &f.weight, &f.flux));
    Ok(normal.solve()?)
}

/// The sky without one fibre.
pub struct Others {
    /// Deconvolved spectrum from all fibres but one.
    pub spectrum: Vec<f64>,
    /// Whether a bin of it in that fibre rests on data.
    pub covered: Vec<bool>,
    /// Its variance over that of the sky from all fibres.
    pub factor: Vec<f64>,
}

/// The sky from all fibres but one, for each of them.
pub fn without_each(fibers: &[SkyFiber]) -> Result<Vec<Others>, Error> {
    let (nwave, ndiag) = fibers.first().map_or((0, 1), |f| (f.flux.len(), f.resolution.ndiag()));
    let others =
        NormalEquations::without_each(nwave, ndiag, fibers, |n, f: &SkyFiber| n.add(&f.resolution, &f.weight, &f.flux));
    fibers.par_iter().zip(others).map(|(fiber, normal)| of_others(fiber, normal)).collect()
}

fn of_others(fiber: &SkyFiber, normal: NormalEquations) -> Result<Others, Error> {
    // with one fibre fewer in a bin the variance grows like the number of fibres there
    let factor = |(&n, &w): (&u32, &f64)| if w > 0.0 && n > 0 { 1.0 + 1.0 / f64::from(n) } else { 1.0 };
    let factor = normal.fibers().iter().zip(&fiber.weight).map(factor).collect();
    if normal.fibers().iter().all(|n| *n == 0) {
        let nothing = vec![false; fiber.flux.len()];
        return Ok(Others { spectrum: vec![0.0; nothing.len()], covered: nothing, factor });
    }
    let solution = normal.solve()?;
    Ok(Others { covered: solution.covered(&fiber.resolution), spectrum: solution.spectrum, factor })
}

/// Rejects outlying bins: all of them, or of each wavelength only the worst fibre's. Returns their number.
fn reject_bins(fibers: &mut [SkyFiber], models: &[Vec<f64>], nsig: f64, only_worst: bool) -> usize {
    let nwave = models.first().map_or(0, Vec::len);
    let mut rejected = 0;
    for j in 0..nwave {
        let chi2 = |f: &SkyFiber, m: &[f64]| match f.weight[j] {
            w if w > 0.0 => (f.flux[j] - m[j]).powi(2) / (1.0 / w + (LINE_ERROR * m[j]).powi(2)),
            _ => 0.0,
        };
        let values: Vec<f64> = fibers.iter().zip(models).map(|(f, m)| chi2(f, m)).collect();
        let worst = values.iter().copied().fold(0.0, f64::max);
        if worst <= nsig * nsig {
            continue;
        }
        for (f, &c) in fibers.iter_mut().zip(&values) {
            if c > nsig * nsig && (!only_worst || c == worst) {
                f.weight[j] = 0.0;
                rejected += 1;
            }
        }
    }
    rejected
}

/// Drops the fibre whose median residual is furthest from those of the others, if it is an outlier: it holds
/// more than sky.
fn drop_fiber(fibers: &mut Vec<SkyFiber>, models: &[Vec<f64>]) -> bool {
    if fibers.len() < 3 {
        return false;
    }
    let offsets: Vec<f64> = fibers.iter().zip(models).map(|(f, m)| median_residual(f, m)).collect();
    let centre = robust::median(&offsets).unwrap_or(0.0);
    let distance: Vec<f64> = offsets.iter().map(|o| (o - centre).abs()).collect();
    // few fibres may agree by chance: their scatter is at least their noise
    let noise: Vec<f64> = fibers.iter().map(median_error).collect();
    let sigma = (MAD_TO_SIGMA * robust::median(&distance).unwrap_or(0.0)).max(robust::median(&noise).unwrap_or(0.0));
    let worst = (0..distance.len()).max_by(|&a, &b| distance[a].total_cmp(&distance[b])).unwrap_or(0);
    if sigma <= 0.0 || distance[worst] <= FIBER_NSIG * sigma {
        return false;
    }
    log::warn!(
        "sky fibre in row {} is {:.1} sigma off the others and is left out",
        fibers[worst].row,
        distance[worst] / sigma
    );
    fibers.remove(worst);
    true
}

fn median_residual(fiber: &SkyFiber, model: &[f64]) -> f64 {
    let good = (0..model.len()).filter(|&j| fiber.weight[j] > 0.0);
    let residuals: Vec<f64> = good.map(|j| fiber.flux[j] - model[j]).collect();
    robust::median(&residuals).unwrap_or(0.0)
}

/// Error of the median residual: 1.25 of that of a mean.
fn median_error(fiber: &SkyFiber) -> f64 {
    let variances: Vec<f64> = fiber.weight.iter().filter(|w| **w > 0.0).map(|w| 1.0 / w).collect();
    1.25 * (robust::median(&variances).unwrap_or(0.0) / variances.len().max(1) as f64).sqrt()
}
