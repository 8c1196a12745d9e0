//! The few pixels of an image that may be cosmic rays, by comparisons that run over whole rows in single precision and
//! let through whatever [`Pixels::is_cosmic`] may accept.

use super::{AXES, AXES_NEEDED, Params, Pixels};
use datamodel::mask::ccd;
use numerics::dispatch;
use std::ops::Range;

/// What single precision may be off by: thresholds are lowered by this part of the pixel's value.
const ROUNDING: f32 = 1e-5;

/// Inner pixels of some rows, in order.
pub(super) fn of_rows(
    pixels: Pixels<'_>,
    rows: Range<usize>,
    sharpness: [f64; 4],
    params: Params,
) -> Vec<(usize, usize)> {
    let nx = pixels.values.ncols();
    let mut noise = vec![0.0; nx];
    let mut passes = vec![0; nx];
    let mut near: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; nx]);
    pixels.known(rows.start - 1, &mut near[1]);
    pixels.known(rows.start, &mut near[2]);
    let limits = Limits {
        nsig: params.nsig as f32,
        cfudge: params.cfudge as f32,
        spots: sharpness.map(|spot| (params.c2fudge * spot) as f32),
    };
    let mut found = vec![];
    for y in rows {
        near.rotate_left(1);
        pixels.known(y + 1, &mut near[2]);
        noise.iter_mut().zip(pixels.readnoise.row(y)).for_each(|(own, noise)| *own = *noise);
        let [below, own, above] = &near;
        test_row([below, own, above], &noise, limits, &mut passes);
        found.extend((1..nx.saturating_sub(1)).filter(|&x| passes[x] != 0).map(|x| (y, x)));
    }
    found
}

impl Pixels<'_> {
    /// The values of a row, those that cannot be used infinitely low: next to such a pixel any other stands out.
    fn known(&self, y: usize, out: &mut [f32]) {
        for ((out, &value), &mask) in out.iter_mut().zip(self.values.row(y)).zip(self.mask.row(y)) {
            *out = if mask & !ccd::BADREADNOISE == 0 { value } else { f32::NEG_INFINITY };
        }
    }
}

#[derive(Clone, Copy)]
struct Limits {
    nsig: f32,
    cfudge: f32,
    /// Sharpness along the axes, with its factor.
    spots: [f32; 4],
}

dispatch! {
    /// Marks the inner pixels of a row that may be hits, given its values with the rows below and above, and its read noise.
    fn test_row(rows: [&[f32]; 3], noise: &[f32], limits: Limits, passes: &mut [u32]) -> ()
        = test_each | test_each
}

#[inline(always)]
fn test_each(rows: [&[f32]; 3], noise: &[f32], limits: Limits, passes: &mut [u32]) {
    let inner = passes.len().saturating_sub(2);
    if inner == 0 {
        return;
    }
    // values of the row `1 + dy` from column `1 + dx` on
    let shifted = |dy: isize, dx: isize| &rows[(1 + dy) as usize][(1 + dx) as usize..][..inner];
    let pairs: [[&[f32]; 2]; 4] = AXES.map(|(dy, dx)| [shifted(dy, dx), shifted(-dy, -dx)]);
    let (values, noise, passes) = (shifted(0, 0), &noise[1..][..inner], &mut passes[1..][..inner]);
    for x in 0..inner {
        let value = values[x];
        let sigma = (value.max(0.0) + noise[x] * noise[x]).sqrt();
        let raised = value + ROUNDING * value.max(0.0);
        let (stands_out, sharp) = (raised - limits.nsig * sigma, raised - limits.cfudge * sigma);
        let (mut axes, mut any) = (0, u32::from(limits.cfudge < 0.0));
        for (pair, spot) in pairs.iter().zip(limits.spots) {
            let back = 0.5 * (pair[0][x] + pair[1][x]);
            axes += u32::from(stands_out > back);
            // the noise of the neighbours, which makes it harder unless cfudge is negative, is left out
            any |= u32::from(sharp * spot > back);
        }
        // a pixel that cannot be used is infinitely low itself
        passes[x] = u32::from(axes >= AXES_NEEDED as u32) & any & u32::from(stands_out > 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosmics::{find, sharpness};
    use datamodel::Band;
    use ndarray::Array2;

    /// What the comparisons of whole rows let through holds all that the exact test accepts, beside masked pixels too.
    #[test]
    fn no_hit_is_missed() {
        let shape = (150, 90);
        let mut state = 7u64;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let values =
            Array2::from_shape_fn(shape, |_| 30.0 * uniform() + if uniform() > 0.9 { 300.0 * uniform() } else { 0.0 });
        let mask = Array2::from_shape_fn(shape, |_| if uniform() > 0.8 { ccd::BAD } else { ccd::BADREADNOISE });
        let readnoise = Array2::from_elem(shape, 3.0);
        let pixels = Pixels { values: &values, readnoise: &readnoise, mask: &mask };
        for cfudge in [3.0, 0.0, -1.0] {
            let params = Params { niter: 0, cfudge, ..Params::default() };
            let inner = (1..shape.0 - 1).flat_map(|y| (1..shape.1 - 1).map(move |x| (y, x)));
            let exact: Vec<_> = inner.filter(|&at| pixels.is_cosmic(at, None, sharpness(Band::R), params)).collect();
            assert!(exact.len() > 100, "{}", exact.len());
            assert_eq!(find(pixels, sharpness(Band::R), params), exact);
        }
    }
}
