//! Cosmic rays by their sharpness, as the SDSS photometric pipeline finds them (Lupton et al. 2001; the
//! parameters are those of DESI): a hit rises above the mean of its two neighbours along an axis more steeply
//! than the core of the PSF can.

use datamodel::Band;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

/// Steps `(dx, dy)` to one of the two opposite neighbours on each axis: horizontal, vertical, both diagonals.
const AXES: [(isize, isize); 4] = [(1, 0), (0, 1), (1, 1), (1, -1)];

/// How a hit is told from light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CosmicParams {
    /// Significance of a pixel, sigma.
    pub nsig: f64,
    /// Sigmas that the noise is given in the comparison with the PSF.
    pub cfudge: f64,
    /// Factor on the PSF's ratio: below 1 only what is clearly sharper than the PSF is a hit.
    pub c2fudge: f64,
    /// Rounds of growing into the neighbours of hits.
    pub niter: usize,
    /// Whether the neighbours of hits are masked too.
    pub dilate: bool,
}

impl Default for CosmicParams {
    fn default() -> Self {
        Self { nsig: 6.0, cfudge: 3.0, c2fudge: 0.5, niter: 100, dilate: true }
    }
}

/// Mean of two opposite neighbours over the central pixel of a spot, on each axis of [`AXES`] (measured on DESI's
/// PSFs; algorithms: cosmic rays).
fn psf_ratios(band: Band) -> [f64; 4] {
    match band {
        Band::B => [0.366247, 0.391422, 0.172965, 0.184552],
        Band::R => [0.39508155, 0.2951822, 0.13044542, 0.14904523],
        Band::Z => [0.513852, 0.537679, 0.297071, 0.276298],
    }
}

/// Pixels hit by cosmic rays. `pix` in electrons; pixels with `ivar` 0 are masked and never hits.
pub fn find(pix: ArrayView2<f32>, ivar: ArrayView2<f32>, band: Band, params: &CosmicParams) -> Array2<bool> {
    let (ny, nx) = pix.dim();
    let mut search = Search { pix, ivar, hits: Array2::from_elem((ny, nx), false), ratios: psf_ratios(band) };
    let rows = 1..ny.saturating_sub(1);
    let columns = 1..nx.saturating_sub(1);
    let first: Vec<(usize, usize)> = rows
        .into_par_iter()
        .flat_map_iter(|y| columns.clone().map(move |x| (y, x)))
        .filter(|&(y, x)| search.is_hit(y, x, params.nsig, params.cfudge, params.c2fudge))
        .collect();
    let mut new = search.accept(first);
    for _ in 0..params.niter {
        if new.len() < 2 {
            break;
        }
        let candidates = search.neighbours(&new);
        let grown = candidates.into_iter().filter(|&(y, x)| search.is_hit(y, x, 3.0, 0.0, 1.0)).collect();
        new = search.accept(grown);
    }
    if params.dilate { dilated(&search.hits) } else { search.hits }
}

struct Search<'a> {
    pix: ArrayView2<'a, f32>,
    ivar: ArrayView2<'a, f32>,
    hits: Array2<bool>,
    ratios: [f64; 4],
}

impl Search<'_> {
    /// Value and variance of a pixel, or `None` where it is masked or a hit.
    fn usable(&self, y: usize, x: usize) -> Option<(f64, f64)> {
        let ivar = f64::from(self.ivar[(y, x)]);
        (ivar > 0.0 && !self.hits[(y, x)]).then(|| (f64::from(self.pix[(y, x)]), 1.0 / ivar))
    }

    /// Whether an inner pixel is a hit: sharper than its surroundings on two axes, and than the PSF on one.
    fn is_hit(&self, y: usize, x: usize, nsig: f64, cfudge: f64, c2fudge: f64) -> bool {
        let Some((value, variance)) = self.usable(y, x) else { return false };
        let sigma = variance.sqrt();
        if value <= nsig * sigma {
            return false;
        }
        let (mut sharp_axes, mut sharper_than_psf) = (0, false);
        for (&(dx, dy), ratio) in AXES.iter().zip(self.ratios) {
            let side = |sign: isize| {
                let at = (y.wrapping_add_signed(sign * dy), x.wrapping_add_signed(sign * dx));
                // a masked neighbour cannot speak against the pixel's being light
                self.usable(at.0, at.1).unwrap_or((value, variance))
            };
            let ((a, var_a), (b, var_b)) = (side(1), side(-1));
            let (back, back_sigma) = (0.5 * (a + b), 0.5 * (var_a + var_b).sqrt());
            sharp_axes += usize::from(value > back + nsig * sigma);
            sharper_than_psf |= (value - cfudge * sigma) * c2fudge * ratio > back + cfudge * back_sigma;
        }
        sharp_axes >= 2 && sharper_than_psf
    }

    /// Marks hits and returns those that were not marked before.
    fn accept(&mut self, hits: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
        hits.into_iter().filter(|&at| !std::mem::replace(&mut self.hits[at], true)).collect()
    }

    /// Inner pixels beside the given ones, each once.
    fn neighbours(&self, of: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let (ny, nx) = self.pix.dim();
        let mut found: Vec<_> = of
            .iter()
            .flat_map(|&(y, x)| (y - 1..=y + 1).flat_map(move |j| (x - 1..=x + 1).map(move |i| (j, i))))
            .filter(|&(j, i)| j > 0 && i > 0 && j + 1 < ny && i + 1 < nx && !self.hits[(j, i)])
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Hits and the pixels that share an edge with one.
fn dilated(hits: &Array2<bool>) -> Array2<bool> {
    let (ny, nx) = hits.dim();
    let mut out = hits.clone();
    for ((y, x), _) in hits.indexed_iter().filter(|(_, hit)| **hit) {
        out[(y.saturating_sub(1), x)] = true;
        out[((y + 1).min(ny - 1), x)] = true;
        out[(y, x.saturating_sub(1))] = true;
        out[(y, (x + 1).min(nx - 1))] = true;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spot of light, a trace along y and a straight track on a flat background.
    fn scene() -> (Array2<f32>, Array2<f32>, Vec<(usize, usize)>) {
        let mut pix = Array2::from_shape_fn((60, 60), |(y, x)| {
            let spot =
                20_000.0 * (-0.5 * (((y as f64 - 20.3) / 1.1).powi(2) + ((x as f64 - 14.6) / 1.05).powi(2))).exp();
            let trace = 3000.0 * (-0.5 * ((x as f64 - 40.4) / 1.05).powi(2)).exp();
            (20.0 + spot + trace) as f32
        });
        let track: Vec<(usize, usize)> =
            (0..12).map(|i| (30 + i, 10 + i / 2)).chain((0..8).map(|i| (10 + i, 38 + i))).collect();
        track.iter().for_each(|&at| pix[at] += 2500.0);
        let ivar = pix.mapv(|v| 1.0 / (v.max(0.0) + 9.0));
        (pix, ivar, track)
    }

    #[test]
    fn tracks_are_found_and_light_is_kept() {
        let (pix, ivar, track) = scene();
        let params = CosmicParams { dilate: false, ..Default::default() };
        let hits = find(pix.view(), ivar.view(), Band::R, &params);
        let found = track.iter().filter(|&&at| hits[at]).count();
        let wrong = hits.iter().filter(|h| **h).count() - found;
        assert_eq!(wrong, 0);
        // on the core of the trace, as bright as itself, a hit is not sharper than the PSF
        let missed: Vec<_> = track.iter().filter(|&&at| !hits[at]).collect();
        assert!(missed.iter().all(|(_, x)| (39..=42).contains(x)), "{missed:?}");
        assert!(missed.len() <= 4, "{missed:?}");
    }

    #[test]
    fn dilation_adds_the_edges_and_masked_pixels_are_no_hits() {
        let (mut pix, mut ivar) = (Array2::zeros((9, 9)), Array2::from_elem((9, 9), 0.1f32));
        pix[(4, 4)] = 500.0;
        let hits = find(pix.view(), ivar.view(), Band::B, &CosmicParams::default());
        assert_eq!(hits.iter().filter(|h| **h).count(), 5);
        ivar[(4, 4)] = 0.0;
        assert!(!find(pix.view(), ivar.view(), Band::B, &CosmicParams::default()).iter().any(|h| *h));
    }
}
