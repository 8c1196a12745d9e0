//! Cosmic rays: pixels that rise above their neighbours more sharply than the optics can make light do, the
//! method of the SDSS photometric pipeline.

use datamodel::Band;
use ndarray::Array2;
use rayon::prelude::*;

/// Offsets of one neighbour of each pair that opposes the pixel: horizontal, vertical, the two diagonals.
const AXES: [(isize, isize); 4] = [(0, 1), (1, 0), (1, 1), (1, -1)];
/// Axes along which a pixel must stand out.
const AXES_NEEDED: usize = 2;
/// Thresholds for the neighbours of pixels already found: they only need to be sharper than a spot.
const GROWTH: Params = Params { nsig: 3.0, cfudge: 0.0, c2fudge: 1.0, niter: 0, dilate: false };

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
    /// Whether the pixels around those found are masked too.
    pub dilate: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self { nsig: 6.0, cfudge: 3.0, c2fudge: 0.5, niter: 100, dilate: true }
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

/// Which pixels cosmic rays hit. `pix` and `sigma` (noise, infinite where a pixel is masked) in electrons.
pub fn find(pix: &Array2<f32>, sigma: &Array2<f32>, sharpness: [f64; 4], params: Params) -> Array2<bool> {
    let image = Neighbours { pix, sigma };
    let (ny, nx) = pix.dim();
    let seeds: Vec<(usize, usize)> = (1..ny.saturating_sub(1))
        .into_par_iter()
        .flat_map_iter(|y| (1..nx - 1).map(move |x| (y, x)))
        .filter(|&at| image.is_cosmic(at, None, sharpness, params))
        .collect();
    let mut hit = Array2::from_elem((ny, nx), false);
    seeds.iter().for_each(|&at| hit[at] = true);
    let mut front = seeds;
    for _ in 0..params.niter {
        let mut near: Vec<(usize, usize)> =
            front.iter().flat_map(|&at| around(at, (ny, nx))).filter(|&at| !hit[at]).collect();
        near.sort_unstable();
        near.dedup();
        front = near.into_iter().filter(|&at| image.is_cosmic(at, Some(&hit), sharpness, GROWTH)).collect();
        front.iter().for_each(|&at| hit[at] = true);
        if front.len() < 2 {
            break;
        }
    }
    if params.dilate { dilated(&hit) } else { hit }
}

/// The image with what is known of its pixels.
struct Neighbours<'a> {
    pix: &'a Array2<f32>,
    sigma: &'a Array2<f32>,
}

impl Neighbours<'_> {
    /// Value and variance of a usable pixel.
    fn usable(&self, at: (usize, usize), hit: Option<&Array2<bool>>) -> Option<(f64, f64)> {
        let sigma = f64::from(self.sigma[at]);
        let known = sigma.is_finite() && !hit.is_some_and(|h| h[at]);
        known.then(|| (f64::from(self.pix[at]), sigma * sigma))
    }

    /// Whether an inner pixel stands out above its neighbours and is sharper than a spot. A neighbour that
    /// cannot be used is left out: the other one of its axis stands for both.
    fn is_cosmic(&self, (y, x): (usize, usize), hit: Option<&Array2<bool>>, sharpness: [f64; 4], p: Params) -> bool {
        let Some((value, variance)) = self.usable((y, x), hit) else { return false };
        let sigma = variance.sqrt();
        if value <= p.nsig * sigma {
            return false;
        }
        let (mut stands_out, mut sharp) = (0, false);
        for ((dy, dx), spot) in AXES.into_iter().zip(sharpness) {
            let one = (y.wrapping_add_signed(dy), x.wrapping_add_signed(dx));
            let other = (y.wrapping_add_signed(-dy), x.wrapping_add_signed(-dx));
            let (back, noise) = match (self.usable(one, hit), self.usable(other, hit)) {
                (Some(a), Some(b)) => (0.5 * (a.0 + b.0), 0.5 * (a.1 + b.1).sqrt()),
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

/// The pixels found and the four beside each.
fn dilated(hit: &Array2<bool>) -> Array2<bool> {
    let (ny, nx) = hit.dim();
    let mut out = hit.clone();
    for ((y, x), _) in hit.indexed_iter().filter(|(_, h)| **h) {
        for (dy, dx) in [(0, 1), (1, 0), (0, -1), (-1, 0)] {
            let at = (y.wrapping_add_signed(dy), x.wrapping_add_signed(dx));
            if at.0 < ny && at.1 < nx {
                out[at] = true;
            }
        }
    }
    out
}
