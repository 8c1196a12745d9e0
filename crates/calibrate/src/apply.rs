//! Fibre flat, sky and flux calibration applied to a frame, each with its own error propagated.
//!
//! The variance of a quotient `F / C` is `var_F / C² + F² var_C / C⁴` with `F` before the division.

use datamodel::{Fiberflat, FluxCalib, Frame, Sky, mask::spec};
use ndarray::{Array2, Array3, ArrayViewMut1, Axis, Zip};

/// `f / c` and its inverse variance, both 0 where either value carries no information.
fn quotient(f: f32, ivar_f: f32, c: f32, ivar_c: f32) -> (f32, f32) {
    let (f, w, c, v) = (f64::from(f), f64::from(ivar_f), f64::from(c), f64::from(ivar_c));
    if !(c > 0.0 && f.is_finite() && c.is_finite()) {
        return (0.0, 0.0);
    }
    let ivar = if w > 0.0 && v > 0.0 { c.powi(4) * w * v / (c * c * v + f * f * w) } else { 0.0 };
    ((f / c) as f32, if ivar.is_finite() { ivar as f32 } else { 0.0 })
}

/// `1 / (1/a + 1/b)`: the inverse variance of a sum or difference; 0 where either is 0.
fn combine_ivar(a: f32, b: f32) -> f32 {
    let (a, b) = (f64::from(a), f64::from(b));
    if a > 0.0 && b > 0.0 { (1.0 / (1.0 / a + 1.0 / b)) as f32 } else { 0.0 }
}

/// Divides flux by `divisor` and sets `bit` where the divisor is bad.
fn divide(frame: &mut Frame, divisor: &Array2<f32>, ivar: &Array2<f32>, mask: &Array2<u32>, bit: u32) {
    let bad = Zip::from(divisor)
        .and(ivar)
        .and(mask)
        .par_map_collect(|&c, &w, &m| if c <= 0.0 || w <= 0.0 || m != 0 { bit } else { 0 });
    Zip::from(&mut frame.flux).and(&mut frame.ivar).and(divisor).and(ivar).par_for_each(|f, w, &c, &v| {
        (*f, *w) = quotient(*f, *w, c, v);
    });
    Zip::from(&mut frame.mask).and(&bad).and(mask).par_for_each(|m, &b, &other| *m |= b | other);
}

/// Divides a frame by a fibre flat. Bins whose flat is masked, not positive or without information get
/// BADFIBERFLAT; without information also ivar 0.
pub fn divide_by_fiberflat(frame: &mut Frame, flat: &Fiberflat) {
    divide(frame, &flat.fiberflat, &flat.ivar, &flat.mask, spec::BADFIBERFLAT);
}

/// Subtracts the sky from a flat-fielded frame. Bins that are masked in either carry no information after it.
pub fn subtract_sky(frame: &mut Frame, sky: &Sky) {
    Zip::from(&mut frame.flux).and(&sky.sky).par_for_each(|f, &s| *f -= s);
    Zip::from(&mut frame.mask).and(&sky.mask).and(&sky.ivar).par_for_each(|m, &other, &w| {
        *m |= other | if w > 0.0 { 0 } else { spec::BADSKY };
    });
    Zip::from(&mut frame.ivar).and(&sky.ivar).and(&frame.mask).par_for_each(|w, &v, &m| {
        *w = if m == 0 { combine_ivar(*w, v) } else { 0.0 };
    });
}

/// Divides a flat-fielded, sky-subtracted frame by its flux calibration. The resolution becomes
/// `C⁻¹ R C`, so that it still turns the true flux into the calibrated one.
pub fn divide_by_calibration(frame: &mut Frame, calib: &FluxCalib) {
    divide(frame, &calib.calib, &calib.ivar, &calib.mask, spec::NODATA);
    rescale_resolution(&mut frame.resolution, &calib.calib);
}

/// `R[i, j] *= C[j] / C[i]`; where either is not positive the entry stays.
fn rescale_resolution(resolution: &mut Array3<f32>, calib: &Array2<f32>) {
    let half = resolution.dim().1 / 2;
    Zip::from(resolution.axis_iter_mut(Axis(0))).and(calib.rows()).par_for_each(|mut planes, c| {
        let inverse: Vec<f32> = c.iter().map(|&c| if c > 0.0 { 1.0 / c } else { 0.0 }).collect();
        for (k, plane) in planes.axis_iter_mut(Axis(0)).enumerate() {
            rescale_diagonal(plane, k as isize - half as isize, c.as_slice().unwrap_or_default(), &inverse);
        }
    });
}

/// One stored diagonal: cell `j` is the matrix entry of row `j + shift`.
fn rescale_diagonal(mut plane: ArrayViewMut1<f32>, shift: isize, c: &[f32], inverse: &[f32]) {
    let n = c.len() as isize;
    for j in (-shift).max(0)..(n - shift).min(n) {
        let ratio = c[j as usize] * inverse[(j + shift) as usize];
        if ratio > 0.0 && ratio.is_finite() {
            plane[j as usize] *= ratio;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Instrument, frame_of};
    use rand::{Rng, SeedableRng};
    use rand_distr::{Distribution, Normal};

    /// The variance of a quotient against a Monte Carlo: the C⁴ term and the flux before the division.
    #[test]
    fn a_quotient_has_the_variance_of_a_monte_carlo() {
        let (f, c, sf, sc) = (900.0, 12.0, 20.0, 0.4);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let (nf, nc) = (Normal::new(f, sf).unwrap(), Normal::new(c, sc).unwrap());
        let n = 200_000;
        let values: Vec<f64> = (0..n).map(|_| nf.sample(&mut rng) / nc.sample(&mut rng)).collect();
        let mean = values.iter().sum::<f64>() / f64::from(n);
        let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / f64::from(n);
        let (q, ivar) = quotient(f as f32, (1.0 / (sf * sf)) as f32, c as f32, (1.0 / (sc * sc)) as f32);
        assert!((f64::from(q) - f / c).abs() < 1e-5);
        assert!((f64::from(ivar) * var - 1.0).abs() < 0.02, "{}", f64::from(ivar) * var);
        let _ = rng.random::<u8>();
    }

    #[test]
    fn bad_bins_are_masked_and_nothing_is_nan() {
        let instrument = Instrument::new(2, 40, 7);
        let mut frame = frame_of(&instrument, &[vec![100.0; 40], vec![100.0; 40]], 3.0, 1);
        let mut flat = instrument.unit_flat();
        flat.fiberflat[(0, 3)] = 0.0;
        flat.ivar[(0, 4)] = 0.0;
        flat.mask[(0, 5)] = spec::BADFIBERFLAT;
        frame.flux[(1, 7)] = f32::NAN;
        divide_by_fiberflat(&mut frame, &flat);
        for j in 3..6 {
            assert_ne!(frame.mask[(0, j)] & spec::BADFIBERFLAT, 0);
        }
        assert_eq!((frame.ivar[(0, 3)], frame.ivar[(0, 4)]), (0.0, 0.0));
        assert_eq!((frame.flux[(1, 7)], frame.ivar[(1, 7)]), (0.0, 0.0));
        assert!(frame.flux.iter().chain(&frame.ivar).all(|x| x.is_finite()));
    }

    #[test]
    fn the_rescaled_resolution_turns_true_flux_into_calibrated_flux() {
        let instrument = Instrument::new(1, 200, 11);
        let c: Vec<f64> = (0..200).map(|i| 10.0 + 8.0 * (f64::from(i) / 20.0).sin()).collect();
        let f: Vec<f64> = (0..200).map(|i| 1.0 + f64::from(i % 13)).collect();
        let counts: Vec<f64> = c.iter().zip(&f).map(|(c, f)| c * f).collect();
        let mut frame = frame_of(&instrument, &[counts], 0.0, 1);
        let mut calib = instrument.unit_calibration();
        (0..200).for_each(|j| calib.calib[(0, j)] = c[j] as f32);
        divide_by_calibration(&mut frame, &calib);
        let expected = frame.resolution_of(0).apply(&f);
        for (j, e) in expected.iter().enumerate().take(195).skip(5) {
            assert!((f64::from(frame.flux[(0, j)]) - e).abs() < 1e-4 * e.abs(), "bin {j}");
        }
    }

    #[test]
    fn sky_variance_adds_and_masked_bins_lose_their_weight() {
        let instrument = Instrument::new(1, 30, 5);
        let mut frame = frame_of(&instrument, &[vec![50.0; 30]], 2.0, 1);
        let before = frame.clone();
        let mut sky = instrument.unit_sky();
        sky.ivar[(0, 2)] = 0.0;
        frame.mask[(0, 9)] = spec::COSMIC;
        subtract_sky(&mut frame, &sky);
        let expected = 1.0 / (1.0 / before.ivar[(0, 0)] + 1.0 / sky.ivar[(0, 0)]);
        assert!((frame.ivar[(0, 0)] / expected - 1.0).abs() < 1e-5);
        assert_eq!(frame.flux[(0, 0)], before.flux[(0, 0)] - sky.sky[(0, 0)]);
        assert_eq!((frame.mask[(0, 2)], frame.ivar[(0, 2)]), (spec::BADSKY, 0.0));
        assert_eq!(frame.ivar[(0, 9)], 0.0);
    }
}
