//! Cosmic rays: pixels that rise above their neighbours more sharply than the optics can make light do, the
//! method of the SDSS photometric pipeline.

mod candidates;

use datamodel::{Band, mask::ccd};
use ndarray::Array2;
use rayon::prelude::*;

/// Offsets of one neighbour of each pair that opposes the pixel: horizontal, vertical, the two diagonals.
const AXES: [(isize, isize); 4] = [(0, 1), (1, 0), (1, 1), (1, -1)];
/// Axes along which a pixel must stand out.
const AXES_NEEDED: usize = 2;
/// Rows that are searched together.
const BAND: usize = 64;

/// Thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// Sigmas above the neighbours.
    pub nsig: f64,
    /// Sigmas that noise may make a spot look sharper by.
    pub cfudge: f64,
    /// Factor on the sharpness of the spot, below 1 to be careful.
    pub c2fudge: f64,
    /// Most rounds of growing.
    pub niter: usize,
    /// Sigmas above the expected electrons from which a pixel beside a hit is masked too.
    pub halo: f32,
}

impl Default for Params {
    fn default() -> Self {
        Self { nsig: 6.0, cfudge: 3.0, c2fudge: 0.5, niter: 100, halo: 3.0 }
    }
}

impl Params {
    /// For the neighbours of pixels already found: they only need to be sharper than a spot.
    fn of_growth(self) -> Self {
        Self { nsig: 3.0, cfudge: 0.0, c2fudge: 1.0, ..self }
    }
}

/// Mean of the two opposite neighbours over the centre of an unresolved spot, for each of the axes.
pub fn sharpness(band: Band) -> [f64; 4] {
    match band {
        Band::B => [0.366_247, 0.391_422, 0.172_965, 0.184_552],
        Band::R => [0.395_081_55, 0.295_182_2, 0.130_445_42, 0.149_045_23],
        Band::Z => [0.513_852, 0.537_679, 0.297_071, 0.276_298],
    }
}

/// What is known of the pixels of an image.
#[derive(Clone, Copy)]
pub struct Pixels<'a> {
    /// Electrons.
    pub values: &'a Array2<f32>,
    /// Read noise in electrons.
    pub readnoise: &'a Array2<f32>,
    /// [`ccd`] bits; a pixel with any but BADREADNOISE is not used.
    pub mask: &'a Array2<u32>,
}

/// The pixels that cosmic rays hit, each once.
pub fn find(pixels: Pixels, sharpness: [f64; 4], params: Params) -> Vec<(usize, usize)> {
    let (ny, nx) = pixels.values.dim();
    let bands: Vec<usize> = (1..ny.saturating_sub(1)).step_by(BAND).collect();
    let mut hits: Vec<(usize, usize)> = bands
        .into_par_iter()
        .flat_map_iter(|first| candidates::of_rows(pixels, first..(first + BAND).min(ny - 1), sharpness, params))
        .filter(|&at| pixels.is_cosmic(at, None, sharpness, params))
        .collect();
    let mut hit = Array2::from_elem((ny, nx), false);
    hits.iter().for_each(|&at| hit[at] = true);
    let mut front = hits.clone();
    for _ in 0..params.niter {
        let mut near: Vec<(usize, usize)> =
            front.iter().flat_map(|&at| around(at, (ny, nx))).filter(|&at| !hit[at]).collect();
        near.sort_unstable();
        near.dedup();
        near.retain(|&at| pixels.is_cosmic(at, Some(&hit), sharpness, params.of_growth()));
        near.iter().for_each(|&at| hit[at] = true);
        hits.extend_from_slice(&near);
        front = near;
        if front.len() < 2 {
            break;
        }
    }
    hits
}

/// The pixels beside `hits` that exceed the `expected` electrons by `nsig` sigma: charge that spread, too blunt for
/// [`find`].
pub fn halo(pixels: Pixels, hits: &[(usize, usize)], expected: &Array2<f32>, nsig: f32) -> Vec<(usize, usize)> {
    let exceeds = |&at: &(usize, usize)| {
        let (excess, noise) = (pixels.values[at] - expected[at], pixels.readnoise[at]);
        excess > 0.0 && excess * excess > nsig * nsig * (expected[at] + noise * noise)
    };
    hits.iter().flat_map(|&at| around(at, expected.dim())).filter(exceeds).collect()
}

impl Pixels<'_> {
    /// Value and variance of a usable pixel.
    fn usable(&self, at: (usize, usize), hit: Option<&Array2<bool>>) -> Option<(f64, f64)> {
        let known = self.mask[at] & !ccd::BADREADNOISE == 0 && !hit.is_some_and(|h| h[at]);
        let (value, noise) = (f64::from(self.values[at]), f64::from(self.readnoise[at]));
        // the noise is the pixel's own: a hit must not raise that of its neighbours
        known.then(|| (value, value.max(0.0) + noise * noise))
    }

    /// Whether an inner pixel stands out above its neighbours and is sharper than a spot. Where one of two opposite
    /// neighbours cannot be used: beside a known defect the pixel itself stands for it, which is careful; beside a
    /// hit (given in the second round) the other neighbour stands for both, which follows tracks.
    fn is_cosmic(&self, (y, x): (usize, usize), hit: Option<&Array2<bool>>, sharpness: [f64; 4], p: Params) -> bool {
        let Some(own) = self.usable((y, x), hit) else { return false };
        let (value, sigma) = (own.0, own.1.sqrt());
        if value <= p.nsig * sigma {
            return false;
        }
        let (mut stands_out, mut sharp) = (0, false);
        for ((dy, dx), spot) in AXES.into_iter().zip(sharpness) {
            let one = self.usable((y.wrapping_add_signed(dy), x.wrapping_add_signed(dx)), hit);
            let other = self.usable((y.wrapping_add_signed(-dy), x.wrapping_add_signed(-dx)), hit);
            let mean = |a: (f64, f64), b: (f64, f64)| (0.5 * (a.0 + b.0), 0.5 * (a.1 + b.1).sqrt());
            let (back, noise) = match (one, other) {
                (Some(a), Some(b)) => mean(a, b),
                (Some(a), None) | (None, Some(a)) if hit.is_none() => mean(a, own),
                (Some(a), None) | (None, Some(a)) => (a.0, a.1.sqrt()),
                (None, None) => continue,
            };
            stands_out += usize::from(value > back + p.nsig * sigma);
            sharp |= (value - p.cfudge * sigma) * p.c2fudge * spot > back + p.cfudge * noise;
        }
        stands_out >= AXES_NEEDED && sharp
    }
}

/// The inner pixels among the eight around one.
fn around((y, x): (usize, usize), (ny, nx): (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    let rows = y.saturating_sub(1).max(1)..(y + 2).min(ny - 1);
    rows.flat_map(move |v| (x.saturating_sub(1).max(1)..(x + 2).min(nx - 1)).map(move |u| (v, u)))
        .filter(move |&at| at != (y, x))
}
