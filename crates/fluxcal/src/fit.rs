//! The common calibration vector and the grey factors of the stars, with rejection of bins and stars.

use crate::{Error, Params, stars::Star};
use calibrate::{CommonSpectrum, NormalEquations};
use numerics::robust;
use rayon::prelude::*;

/// A star is an outlier when its grey factor is both this many sigmas and this fraction off the others.
const STAR_NSIG: f64 = 3.0;
const STAR_OFFSET: f64 = 0.05;
/// The same of its shape: rms over this many pieces of the range.
const SHAPE_OFFSET: f64 = 0.1;
const PIECES: usize = 20;
/// Strength of the prior that carries the vector over gaps.
const SMOOTHNESS: f64 = 1e-6;
/// The mean of the grey factors has converged to 1.
const SCALE_ACCURACY: f64 = 1e-4;

/// Solves for the calibration vector; rejected bins get weight 0, rejected stars are removed.
pub fn solve_with_rejection(stars: &mut Vec<Star>, params: &Params) -> Result<CommonSpectrum, Error> {
    first_scales(stars);
    drop_dark_stars(stars, params);
    normalise(stars);
    let mut solution = None;
    for iteration in 0..params.max_iterations {
        let mut common = solve(stars)?;
        let models: Vec<Vec<f64>> = stars.iter().map(|s| expected(s, &common.spectrum)).collect();
        let rejected = reject_bins(stars, &models, params, iteration == 0);
        for (star, model) in stars.iter_mut().zip(&models) {
            star.scale = scale(star, model);
        }
        let dropped = drop_star(stars, &models);
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

/// First grey factors, against the median over the stars of flux over convolved model.
pub fn first_scales(stars: &mut [Star]) {
    let nwave = stars.first().map_or(0, |s| s.flux.len());
    let convolved: Vec<Vec<f64>> = stars.iter().map(|s| s.resolution.apply(&s.model)).collect();
    let mut calib = vec![0.0; nwave];
    let mut good = vec![false; nwave];
    let mut values = Vec::with_capacity(stars.len());
    for j in 0..nwave {
        values.clear();
        let usable = stars.iter().zip(&convolved).filter(|(s, m)| s.weight[j] > 0.0 && m[j] > 0.0);
        values.extend(usable.map(|(s, m)| s.flux[j] / m[j]));
        if let Some(median) = robust::median_in_place(&mut values) {
            (calib[j], good[j]) = (median, true);
        }
    }
    numerics::interp::fill(&mut calib, &good);
    for star in stars.iter_mut() {
        star.scale = scale(star, &expected(star, &calib));
    }
}

/// Drops stars with hardly any light.
fn drop_dark_stars(stars: &mut Vec<Star>, params: &Params) {
    if stars.iter().all(|s| s.scale < params.min_scale) {
        return;
    }
    stars.retain(|s| {
        let lit = s.scale >= params.min_scale;
        if !lit {
            log::warn!("standard star in fibre {} has {:.2} of the expected light and is left out", s.fiber, s.scale);
        }
        lit
    });
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
    let (nwave, ndiag) = size(stars);
    solution(NormalEquations::sum(nwave, ndiag, stars, add))
}

/// The same from all stars but one, for each of them.
pub fn solve_without_each(stars: &[Star]) -> Result<Vec<CommonSpectrum>, Error> {
    let (nwave, ndiag) = size(stars);
    NormalEquations::without_each(nwave, ndiag, stars, add).into_par_iter().map(solution).collect()
}

/// Bins and diagonals.
fn size(stars: &[Star]) -> (usize, usize) {
    stars.first().map_or((0, 1), |s| (s.flux.len(), s.resolution.ndiag()))
}

fn add(normal: &mut NormalEquations, star: &Star) {
    let mut scaled = star.resolution.clone();
    let column: Vec<f64> = star.model.iter().map(|m| m * star.scale).collect();
    scaled.scale_columns(&column);
    normal.add(&scaled.view(), &star.weight, &star.flux);
}

fn solution(mut normal: NormalEquations) -> Result<CommonSpectrum, Error> {
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

/// Drops the star that is furthest from the others, in its grey factor or in its shape, if it is an outlier.
fn drop_star(stars: &mut Vec<Star>, models: &[Vec<f64>]) -> bool {
    if stars.len() < 3 {
        return false;
    }
    let scales: Vec<f64> = stars.iter().map(|s| s.scale).collect();
    let shapes: Vec<f64> = stars.iter().zip(models).map(|(s, m)| misfit(s, m)).collect();
    let found =
        outlier(&scales, STAR_OFFSET).map(|k| (k, "light")).or(outlier(&shapes, SHAPE_OFFSET).map(|k| (k, "colour")));
    let Some((worst, what)) = found else { return false };
    log::warn!(
        "standard star in fibre {} differs from the others in its {what} and is left out (grey factor {:.2}, misfit {:.2})",
        stars[worst].fiber,
        scales[worst],
        shapes[worst]
    );
    stars.remove(worst);
    true
}

/// The value furthest from the median, if it is off by more than 3 sigma and by `least`.
fn outlier(values: &[f64], least: f64) -> Option<usize> {
    let median = robust::median(values)?;
    let sigma = robust::mad_sigma(values).unwrap_or(0.0);
    let distance = |k: usize| (values[k] - median).abs();
    let worst = (0..values.len()).max_by(|&a, &b| distance(a).total_cmp(&distance(b)))?;
    (distance(worst) > STAR_NSIG * sigma && distance(worst) > least).then_some(worst)
}

/// Rms over pieces of the range of the star's grey factor there, relative to that of the whole, beyond the noise.
fn misfit(star: &Star, model: &[f64]) -> f64 {
    let piece = |range: std::ops::Range<usize>| {
        let sum = |value: &dyn Fn(usize) -> f64| range.clone().map(|j| star.weight[j] * value(j)).sum::<f64>();
        let norm = sum(&|j| model[j] * model[j]) * star.scale * star.scale;
        (norm > 0.0).then(|| ((sum(&|j| star.flux[j] * model[j]) * star.scale / norm - 1.0).powi(2), 1.0 / norm))
    };
    let n = model.len();
    let pieces: Vec<(f64, f64)> = (0..PIECES).filter_map(|k| piece(k * n / PIECES..(k + 1) * n / PIECES)).collect();
    let excess = pieces.iter().map(|(square, noise)| square - noise).sum::<f64>() / pieces.len().max(1) as f64;
    excess.max(0.0).sqrt()
}
