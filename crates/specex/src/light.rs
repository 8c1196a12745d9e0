//! How bright each line and each fibre is, and which spots can be fitted.

use crate::model::Model;
use crate::patch::Patch;
use numerics::robust;

/// Half size of the box in which a spot's light is measured first, pixels.
const HALF: (usize, usize) = (3, 3);
/// Core of a spot and the bad pixels that it may have (algorithms: 5 of 5x5).
pub const CORE: (usize, usize) = (2, 2);
const BAD_ALLOWED: usize = 5;
/// A line is seen if its median significance over the fibres is this; a fibre is alive if it has this fraction of
/// the median fibre's light.
const SEEN: f64 = 5.0;
const ALIVE: f64 = 0.03;
/// Distance from a line at which the continuum is measured, on either side, pixels.
const BESIDE: f64 = 7.0;

/// First estimates.
#[derive(Debug, Clone, PartialEq)]
pub struct Light {
    /// Lines that are seen.
    pub seen: Vec<bool>,
    /// Fibres that have light.
    pub alive: Vec<bool>,
    /// Light between the lines as a fraction of that of the lines, median over the spots: near 1 in a flat.
    pub continuum: f64,
    /// Electrons of each spot as throughput of the fibre times brightness of the line, `[nfiber, nline]`.
    pub flux: Vec<f64>,
}

/// Measures every spot with the model's present shape and splits the light into fibre times line, which no single
/// cosmic ray changes. `usable` marks the fibres that may be used.
pub fn measure(patch: &Patch, model: &Model, usable: &[bool]) -> Light {
    let (nf, nl) = (model.nfiber, model.nline());
    let spots: Vec<Option<(f64, f64)>> = (0..nf * nl).map(|s| spot(patch, model, s / nl, s % nl, 0.0)).collect();
    let mut throughput = vec![1.0; nf];
    let mut brightness = vec![0.0; nl];
    let mut seen = vec![false; nl];
    for _ in 0..4 {
        for line in 0..nl {
            let known = (0..nf).filter(|f| usable[*f] && throughput[*f] > ALIVE);
            let (flux, significance): (Vec<f64>, Vec<f64>) = known
                .filter_map(|f| spots[f * nl + line].map(|(flux, sigma)| (flux / throughput[f], flux / sigma)))
                .unzip();
            brightness[line] = robust::median(&flux).unwrap_or(0.0).max(0.0);
            seen[line] = robust::median(&significance).is_some_and(|s| s > SEEN) && flux.len() > nf / 4;
        }
        for fiber in 0..nf {
            let ratio: Vec<f64> = (0..nl)
                .filter(|l| seen[*l] && brightness[*l] > 0.0)
                .filter_map(|l| spots[fiber * nl + l].map(|(flux, _)| flux / brightness[l]))
                .collect();
            throughput[fiber] = robust::median(&ratio).unwrap_or(0.0).max(0.0);
        }
        let norm = robust::median(&throughput).unwrap_or(1.0);
        if norm > 0.0 {
            throughput.iter_mut().for_each(|t| *t /= norm);
        }
    }
    let alive = (0..nf).map(|f| usable[f] && throughput[f] > ALIVE).collect();
    let flux = (0..nf * nl).map(|s| throughput[s / nl] * brightness[s % nl]).collect();
    let continuum = continuum(patch, model, &spots, &seen);
    Light { seen, alive, continuum, flux }
}

fn continuum(patch: &Patch, model: &Model, spots: &[Option<(f64, f64)>], seen: &[bool]) -> f64 {
    let nl = seen.len();
    let ratios: Vec<f64> = (0..spots.len())
        .filter(|s| seen[s % nl])
        .filter_map(|s| {
            let beside = |offset: f64| spot(patch, model, s / nl, s % nl, offset).map(|(flux, _)| flux);
            Some(beside(-BESIDE)?.min(beside(BESIDE)?) / spots[s]?.0)
        })
        .collect();
    robust::median(&ratios).unwrap_or(0.0)
}

/// Electrons of a spot moved by `offset` rows, and their error.
fn spot(patch: &Patch, model: &Model, fiber: usize, line: usize, offset: f64) -> Option<(f64, f64)> {
    if !measurable(patch, model, fiber, line) {
        return None;
    }
    let (x, y) = model.centre(fiber, line);
    let centre = (x, y + offset);
    let window = patch.window(centre, HALF)?;
    let values = model.spot_shape(fiber, line).integrate(centre, patch.corner(window), (window.nx, window.ny));
    let (mut top, mut norm, mut variance) = (0.0, 0.0, 0.0);
    for (row, range) in values.chunks_exact(window.nx).zip(patch.rows(window)) {
        for (v, p) in row.iter().zip(range).filter(|(_, p)| patch.good[*p]) {
            top += v * patch.data[p];
            norm += v * v;
            variance += v * v * (patch.noise[p] + patch.data[p].max(0.0));
        }
    }
    (norm > 0.0 && variance > 0.0).then(|| (top / norm, variance.sqrt() / norm))
}

/// Whether the core of a spot is on the image and has few bad pixels.
pub fn measurable(patch: &Patch, model: &Model, fiber: usize, line: usize) -> bool {
    let Some(window) = patch.window(model.centre(fiber, line), CORE) else { return false };
    let whole = window.nx * window.ny == (2 * CORE.0 + 1) * (2 * CORE.1 + 1);
    whole && patch.rows(window).flatten().filter(|p| !patch.good[*p]).count() <= BAD_ALLOWED
}
