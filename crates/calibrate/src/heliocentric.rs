//! A fibre flat on the wavelengths of a frame that were corrected to the barycentre (keyword HELIOCOR).

use datamodel::{Fiberflat, Frame, Header};
use std::borrow::Cow;

/// The factor by which the wavelengths of a file are longer than those at the telescope.
fn factor(header: &Header) -> f64 {
    header.float("HELIOCOR").filter(|h| *h > 0.0).unwrap_or(1.0)
}

/// The flat as the pixels of the frame saw it: a frame's bin labelled `λ` lies where a flat's bin labelled `λ/h` does,
/// with `h` the ratio of their HELIOCOR (within 10⁻⁴ of 1: about a bin). Values and variances are interpolated linearly; a
/// bin between a good and a masked one is masked.
pub fn flat_of<'a>(frame: &Frame, flat: &'a Fiberflat) -> Cow<'a, Fiberflat> {
    let h = factor(&frame.header) / factor(&flat.header);
    if h == 1.0 || flat.wave.len() < 2 {
        return Cow::Borrowed(flat);
    }
    let mut moved = flat.clone();
    let last = flat.wave.len() - 1;
    for (i, wave) in frame.wave.iter().enumerate().take(flat.wave.len()) {
        let at = wave / h;
        let right = flat.wave.partition_point(|w| *w <= at).clamp(1, last);
        let (a, b) = (flat.wave[right - 1], flat.wave[right]);
        let t = ((at - a) / (b - a)).clamp(0.0, 1.0);
        for f in 0..flat.fiberflat.nrows() {
            let (p, q) = ((f, right - 1), (f, right));
            let mean = |x: f32, y: f32| (1.0 - t) * f64::from(x) + t * f64::from(y);
            moved.fiberflat[(f, i)] = mean(flat.fiberflat[p], flat.fiberflat[q]) as f32;
            let variance = mean(flat.ivar[p].recip(), flat.ivar[q].recip());
            moved.ivar[(f, i)] = if variance.is_finite() { variance.recip() as f32 } else { 0.0 };
            moved.mask[(f, i)] = if t < 1.0 { flat.mask[p] } else { 0 } | if t > 0.0 { flat.mask[q] } else { 0 };
        }
    }
    Cow::Owned(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Instrument, frame_of};

    #[test]
    fn a_flat_is_moved_to_where_the_frames_bins_lie() {
        let instrument = Instrument::new(3, 200, 11);
        let mut frame = frame_of(&instrument, &vec![vec![1.0; 200]; 3], 0.0, 1);
        let h = 1.0 + 8e-5;
        frame.header.set("HELIOCOR", h, "");
        let response = |f: usize, w: f64| 1.0 + 0.1 * f as f64 + 0.3 * ((w - frame.wave[0]) / 40.0).sin();
        let mut flat = instrument.unit_flat();
        flat.fiberflat.indexed_iter_mut().for_each(|((f, i), v)| *v = response(f, frame.wave[i]) as f32);
        flat.ivar.fill(400.0);
        flat.mask[(1, 50)] = 4;
        let moved = flat_of(&frame, &flat);
        for ((f, i), v) in moved.fiberflat.indexed_iter().filter(|((_, i), _)| (5..195).contains(i)) {
            assert!((f64::from(*v) - response(f, frame.wave[i] / h)).abs() < 1e-4, "({f}, {i})");
            assert!((moved.ivar[(f, i)] - 400.0).abs() < 1e-2);
        }
        assert_eq!(moved.mask.row(1).iter().filter(|m| **m == 4).count(), 2);
        // without the keyword, and where both have the same, nothing moves
        flat.header.set("HELIOCOR", h, "");
        assert!(matches!(flat_of(&frame, &flat), Cow::Borrowed(_)));
    }
}
