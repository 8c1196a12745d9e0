//! Fibres followed along the dispersion in the flat.

use crate::error::BootError;
use crate::fibers::{self, BUNDLE, Fiber};
use crate::profile;
use crate::surface::{self, Sample, Terms};
use datamodel::{Image, mask::ccd};
use ndarray::Array2;
use numerics::{interp, legendre, robust};

/// Rows that are combined into one cut.
const BLOCK: usize = 16;
/// Half width of the cut in the middle that finds the fibres, rows.
const MIDDLE: usize = 15;
/// Largest error of a centroid that is used, and largest step between cuts, pixels.
const WORST_ERROR: f64 = 0.2;
const WORST_STEP: f64 = 0.6;
/// Fewest rows, as a fraction, over which the median fibre must be seen.
const LEAST_TRACED: f64 = 0.4;
/// Terms of x(y).
const SERIES: usize = 6;

/// The fibres' traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// Legendre coefficients of x over `u = 2y/(ny-1) - 1`, `[nfiber, 6]`, pixels.
    pub coeff: Array2<f64>,
    /// Gaussian width across the dispersion, pixels.
    pub sigma: Vec<f64>,
    /// Fibres whose light was seen.
    pub seen: Vec<bool>,
}

impl Traces {
    /// Column of a fibre at the reduced row `u`, pixels.
    pub fn x(&self, fiber: usize, u: f64) -> f64 {
        surface::value(&self.coeff, fiber, u)
    }
}

/// Whether a pixel may be used.
pub fn usable(image: &Image, at: (usize, usize)) -> bool {
    image.ivar[at] > 0.0 && image.mask[at] & !ccd::BADREADNOISE == 0
}

/// Finds and follows the fibres of a flat.
///
/// # Errors
/// [`BootError::NoFibers`], [`BootError::NotTraced`].
pub fn trace(flat: &Image) -> Result<Traces, BootError> {
    let ny = flat.pix.nrows();
    let middle = ny / 2;
    let (mut cut, ivar) = cut(flat, middle.saturating_sub(MIDDLE), (middle + MIDDLE + 1).min(ny));
    let good: Vec<bool> = ivar.iter().map(|w| *w > 0.0).collect();
    interp::fill(&mut cut, &good);
    let errors: Vec<f64> = ivar.iter().filter(|w| **w > 0.0).map(|w| 1.0 / w.sqrt()).collect();
    let peaks = fibers::peaks(&cut, &good, robust::median(&errors).unwrap_or(0.0));
    let fibers = fibers::number(&peaks);
    if fibers.is_empty() || fibers.iter().filter(|f| f.seen).count() < BUNDLE / 2 {
        return Err(BootError::NoFibers { found: peaks.len() });
    }
    let points = follow(flat, &fibers);
    let rows = ny.div_ceil(BLOCK);
    let counts: Vec<f64> = (0..fibers.len())
        .filter(|f| fibers[*f].seen)
        .map(|f| points.iter().filter(|p| p.sample.fiber == f).count() as f64)
        .collect();
    let traced = robust::median(&counts).unwrap_or(0.0) / rows as f64;
    if traced < LEAST_TRACED {
        return Err(BootError::NotTraced { percent: 100.0 * traced });
    }
    fit(&fibers, &points)
}

/// A centroid and width of a fibre; the sample's value is the distance from the fibre's column in the middle.
struct Point {
    sample: Sample,
    sigma: f64,
}

/// Median of rows `first..end` in each column, and its inverse variance (0 where no pixel is usable).
fn cut(image: &Image, first: usize, end: usize) -> (Vec<f64>, Vec<f64>) {
    let mut column = Vec::with_capacity(end - first);
    (0..image.pix.ncols())
        .map(|x| {
            column.clear();
            let mut ivar = 0.0;
            for y in (first..end).filter(|y| usable(image, (*y, x))) {
                column.push(f64::from(image.pix[(y, x)]));
                ivar += f64::from(image.ivar[(y, x)]);
            }
            let enough = 2 * column.len() > end - first;
            // a median has pi/2 times the variance of the mean
            let ivar = if enough { ivar / std::f64::consts::FRAC_PI_2 } else { 0.0 };
            (robust::median_in_place(&mut column).unwrap_or(0.0), ivar)
        })
        .unzip()
}

/// Steps from the middle to both ends.
fn follow(flat: &Image, fibers: &[Fiber]) -> Vec<Point> {
    let ny = flat.pix.nrows();
    let blocks = ny.div_ceil(BLOCK);
    let start: Vec<f64> = fibers.iter().map(|f| f.x).collect();
    let mut points = Vec::new();
    let up: Vec<usize> = (blocks / 2..blocks).collect();
    let down: Vec<usize> = (0..blocks / 2).rev().collect();
    for order in [up, down] {
        let mut position = start.clone();
        for block in order {
            let rows = (block * BLOCK, ((block + 1) * BLOCK).min(ny));
            let u = legendre::reduced(0.5 * (rows.0 + rows.1 - 1) as f64, 0.0, ny as f64 - 1.0);
            step(cut(flat, rows.0, rows.1), u, fibers, &mut position, &mut points);
        }
    }
    points
}

/// Centroids of one cut; moves `position` along, fibres that are not seen with the others of their bundle.
fn step((cut, ivar): (Vec<f64>, Vec<f64>), u: f64, fibers: &[Fiber], position: &mut [f64], points: &mut Vec<Point>) {
    let peaks: Vec<_> = (0..fibers.len())
        .map(|f| {
            let peak = profile::fit(&cut, &ivar, (position[f], 1.1), 3).filter(|_| fibers[f].seen)?;
            (peak.error < WORST_ERROR && (peak.centre - position[f]).abs() < WORST_STEP).then_some(peak)
        })
        .collect();
    for bundle in 0..fibers.len() / BUNDLE {
        let range = bundle * BUNDLE..(bundle + 1) * BUNDLE;
        let shifts: Vec<f64> = range.clone().filter_map(|f| peaks[f].map(|p| p.centre - position[f])).collect();
        let shift = robust::median(&shifts).unwrap_or(0.0);
        for f in range {
            match peaks[f] {
                // a fibre that leaves its bundle is a defect or its neighbour
                Some(peak) if (peak.centre - position[f] - shift).abs() < 0.5 * WORST_STEP => {
                    position[f] = peak.centre;
                    let weight = 1.0 / (peak.error.powi(2) + 1e-4);
                    let sample = Sample { fiber: f, u, value: peak.centre - fibers[f].x, weight };
                    points.push(Point { sample, sigma: peak.sigma });
                }
                _ => position[f] += shift,
            }
        }
    }
}

fn fit(fibers: &[Fiber], points: &[Point]) -> Result<Traces, BootError> {
    let nfiber = fibers.len();
    let samples: Vec<Sample> = points.iter().map(|p| p.sample).collect();
    let slit = if nfiber > 2 * BUNDLE { 5 } else { 3 };
    let (mut coeff, kept) = surface::fit(&samples, Terms { nfiber, series: SERIES, slit, own: 4 })?;
    for (f, fiber) in fibers.iter().enumerate() {
        coeff[(f, 0)] += fiber.x;
    }
    let widths = |f: usize| -> Vec<f64> {
        let of_fiber = points.iter().zip(&kept).filter(|(p, k)| **k && p.sample.fiber == f);
        of_fiber.map(|(p, _)| p.sigma).collect()
    };
    let mut sigma: Vec<f64> = (0..nfiber).map(|f| robust::median(&widths(f)).unwrap_or(f64::NAN)).collect();
    let known: Vec<bool> = sigma.iter().map(|s| s.is_finite()).collect();
    interp::fill(&mut sigma, &known);
    Ok(Traces { coeff, sigma, seen: known })
}
