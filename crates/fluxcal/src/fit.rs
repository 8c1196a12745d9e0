//! The common calibration vector and the grey factors of the stars, with rejection of bins and stars.

use crate::{Error, Params, stars::Star};
use calibrate::{CommonSpectrum, NormalEquations};
use numerics::robust;

/// A star is an outlier when its grey factor is both this many sigmas and this fraction off the others.
const STAR_NSIG: f64 = 3.0;
const STAR_OFFSET: f64 = 0.05;
/// Strength of the prior that carries the vector over gaps.
const SMOOTHNESS: f64 = 1e-6;
/// The mean of the grey factors has converged to 1.
const SCALE_ACCURACY: f64 = 1e-4;

/// Solves for the calibration vector; rejected bins get weight 0, rejected stars are removed.
pub fn solve_with_rejection(stars: &mut Vec<Star>, params: &Params) -> Result<CommonSpectrum, Error> {
    first_scales(stars, params);
    let mut solution = None;
    for iteration in 0..params.max_iterations {
        let mut common = solve(stars)?;
        let models: Vec<Vec<f64>> = stars.iter().map(|s| expected(s, &common.spectrum)).collect();
        let rejected = reject_bins(stars, &models, params, iteration == 0);
        for (star, model) in stars.iter_mut().zip(&models) {
            star.scale = scale(star, model);
        }
        let dropped = drop_star(stars);
        let mean = normalise(stars);
        common.spectrum.iter_mut().for_each(|c| *c *= mean);
        solution = Some(common);
        if rejected == 0 && !dropped && (mean - 1.0).abs() < SCALE_ACCURACY {
            break;
        }
    }
    solution.map_or_else(|| solve(stars), Ok)
}

/// `R (c m)`: what the star would show with a grey factor of 1.
fn expected(star: &Star, calib: &[f64]) -> Vec<f64> {
    let product: Vec<f64> = star.model.iter().zip(calib).map(|(m, c)| m * c).collect();
    star.resolution.apply(&product)
}

/// Weighted least-squares grey factor.
fn scale(star: &Star, model: &[f64]) -> f64 {
    let sum = |value: &dyn Fn(usize) -> f64| (0..model.len()).map(|j| star.weight[j] * value(j)).sum::<f64>();
    let norm = sum(&|j| model[j] * model[j]);
    if norm > 0.0 { sum(&|j| star.flux[j] * model[j]) / norm } else { 0.0 }
}

/// First grey factors, against the median over the stars of flux over convolved model; stars with hardly any
/// light are dropped.
fn first_scales(stars: &mut Vec<Star>, params: &Params) {
    let nwave = stars.first().map_or(0, |s| s.flux.len());
    let convolved: Vec<Vec<f64>> = stars.iter().map(|s| s.resolution.apply(&s.model)).collect();
    let ratio = |j: usize| {
        let values: Vec<f64> = stars
            .iter()
            .zip(&convolved)
            .filter(|(s, m)| s.weight[j] > 0.0 && m[j] > 0.0)
            .map(|(s, m)| s.flux[j] / m[j])
            .collect();
        robust::median(&values)
    };
    let medians: Vec<Option<f64>> = (0..nwave).map(ratio).collect();
    let good: Vec<bool> = medians.iter().map(Option::is_some).collect();
    let mut calib: Vec<f64> = medians.into_iter().map(|m| m.unwrap_or(0.0)).collect();
    numerics::interp::fill(&mut calib, &good);
    for star in stars.iter_mut() {
        star.scale = scale(star, &expected(star, &calib));
    }
    if stars.iter().any(|s| s.scale >= params.min_scale) {
        stars.retain(|s| {
            let lit = s.scale >= params.min_scale;
            if !lit {
                log::warn!(
                    "standard star in fibre {} has {:.2} of the expected light and is left out",
                    s.fiber,
                    s.scale
                );
            }
            lit
        });
    }
    normalise(stars);
}

/// Divides the grey factors by their mean, which is returned: half of the stars being off leaves the flux of
/// the average star right.
fn normalise(stars: &mut [Star]) -> f64 {
    let mean = stars.iter().map(|s| s.scale).sum::<f64>() / stars.len() as f64;
    if mean <= 0.0 {
        return 1.0;
    }
    stars.iter_mut().for_each(|s| s.scale /= mean);
    mean
}

/// The deconvolved vector for the present grey factors.
fn solve(stars: &[Star]) -> Result<CommonSpectrum, Error> {
    let (nwave, ndiag) = stars.first().map_or((0, 1), |s| (s.flux.len(), s.resolution.ndiag()));
    let mut normal = NormalEquations::sum(nwave, ndiag, stars, |normal, star| {
        let mut scaled = star.resolution.clone();
        let column: Vec<f64> = star.model.iter().map(|m| m * star.scale).collect();
        scaled.scale_columns(&column);
        normal.add(&scaled, &star.weight, &star.flux);
    });
    normal.add_smoothness(SMOOTHNESS);
    Ok(normal.solve()?)
}

/// Rejects outlying bins: all of them, or of each wavelength only the worst star's. Returns their number.
fn reject_bins(stars: &mut [Star], models: &[Vec<f64>], params: &Params, only_worst: bool) -> usize {
    let nwave = models.first().map_or(0, Vec::len);
    let mut rejected = 0;
    for j in 0..nwave {
        let chi2 = |s: &Star, m: &[f64]| {
            let (w, m) = (s.weight[j], s.scale * m[j]);
            if w > 0.0 { (s.flux[j] - m).powi(2) / (1.0 / w + (params.model_error * m).powi(2)) } else { 0.0 }
        };
        let values: Vec<f64> = stars.iter().zip(models).map(|(s, m)| chi2(s, m)).collect();
        let worst = values.iter().copied().fold(0.0, f64::max);
        for (star, &c) in stars.iter_mut().zip(&values) {
            if c > params.nsig * params.nsig && (!only_worst || c == worst) {
                star.weight[j] = 0.0;
                rejected += 1;
            }
        }
    }
    rejected
}

/// Drops the star whose grey factor is furthest from the others', if it is an outlier.
fn drop_star(stars: &mut Vec<Star>) -> bool {
    if stars.len() < 3 {
        return false;
    }
    let scales: Vec<f64> = stars.iter().map(|s| s.scale).collect();
    let median = robust::median(&scales).unwrap_or(1.0);
    let sigma = robust::mad_sigma(&scales).unwrap_or(0.0);
    let distance = |s: &Star| (s.scale - median).abs();
    let worst = (0..stars.len()).max_by(|&a, &b| distance(&stars[a]).total_cmp(&distance(&stars[b]))).unwrap_or(0);
    let off = distance(&stars[worst]);
    if off <= STAR_NSIG * sigma || off <= STAR_OFFSET * median {
        return false;
    }
    log::warn!(
        "standard star in fibre {} has {:.2} of the others' light and is left out",
        stars[worst].fiber,
        stars[worst].scale / median
    );
    stars.remove(worst);
    true
}
