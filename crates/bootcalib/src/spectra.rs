//! Arc spectra along the traces and their emission lines.

use crate::profile::{self, Peak};
use crate::trace::{Traces, usable};
use datamodel::Image;
use numerics::{legendre, robust};

/// Half width of the extraction across the trace, pixels.
const HALF: i64 = 2;
/// Significance of a line, in sigmas.
const THRESHOLD: f64 = 7.0;
/// Window of the running median that is taken off, rows.
const BACKGROUND: usize = 101;
/// Distance below which two lines are one, and half window of the centroid, rows.
const SEPARATION: f64 = 2.5;
const HALF_WINDOW: usize = 3;
/// Relative difference from the median width of a fibre's lines; blends of two lines pass.
const WIDTH_TOLERANCE: f64 = 0.4;

/// Lines of a fibre, centres in rows, ascending.
pub fn peaks(arc: &Image, traces: &Traces, fiber: usize) -> Vec<Peak> {
    let (mut flux, ivar) = extract(arc, traces, fiber);
    let good: Vec<bool> = ivar.iter().map(|w| *w > 0.0).collect();
    let level = robust::running_median(&flux, &good, BACKGROUND);
    flux.iter_mut().zip(level).for_each(|(f, l)| *f -= if l.is_nan() { 0.0 } else { l });
    let mut found: Vec<Peak> = Vec::new();
    for y in 1..flux.len().saturating_sub(1) {
        let top = good[y] && flux[y] >= flux[y - 1] && flux[y] > flux[y + 1];
        if !top || flux[y] * ivar[y].sqrt() < THRESHOLD {
            continue;
        }
        let Some(peak) = profile::fit(&flux, &ivar, (y as f64, 1.1), HALF_WINDOW) else { continue };
        match found.last_mut() {
            Some(last) if peak.centre - last.centre < SEPARATION => {
                if peak.flux > last.flux {
                    *last = peak;
                }
            }
            _ => found.push(peak),
        }
    }
    alike(found)
}

/// The peaks that are as wide as lines are: cosmic rays are narrower, saturated lines wider.
fn alike(mut peaks: Vec<Peak>) -> Vec<Peak> {
    let widths: Vec<f64> = peaks.iter().map(|p| p.sigma).collect();
    if let Some(typical) = robust::median(&widths) {
        peaks.retain(|p| (p.sigma / typical - 1.0).abs() < WIDTH_TOLERANCE);
    }
    peaks
}

/// Light of a fibre in each row, weighted with the fibre's Gaussian profile, and its inverse variance.
fn extract(arc: &Image, traces: &Traces, fiber: usize) -> (Vec<f64>, Vec<f64>) {
    let (ny, nx) = arc.pix.dim();
    let sigma = traces.sigma[fiber];
    (0..ny)
        .map(|y| {
            let x = traces.x(fiber, legendre::reduced(y as f64, 0.0, ny as f64 - 1.0));
            let (mut top, mut norm, mut variance, mut whole) = (0.0, 0.0, 0.0, 0.0);
            for column in x.round() as i64 - HALF..=x.round() as i64 + HALF {
                let p = numerics::hermite::gaussian((column as f64 - x) / sigma);
                whole += p * p;
                if column >= 0 && column < nx as i64 && usable(arc, (y, column as usize)) {
                    let at = (y, column as usize);
                    top += p * f64::from(arc.pix[at]);
                    norm += p * p;
                    variance += p * p / f64::from(arc.ivar[at]);
                }
            }
            // half of the profile must be there
            if norm > 0.5 * whole { (top / norm, norm * norm / variance) } else { (0.0, 0.0) }
        })
        .unzip()
}
