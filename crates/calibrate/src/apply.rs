//! Fibre flat, sky and flux calibration applied to a frame, each with its own error propagated.
//!
//! The variance of a quotient `F / C` is `var_F / C² + F² var_C / C⁴` with `F` before the division.

use crate::heliocentric;
use datamodel::{Fiberflat, FluxCalib, Frame, Sky, mask::spec};
use ndarray::{Array2, Array3, ArrayViewMut2, Axis, Zip};
use numerics::interp;

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

/// Divides a frame by a fibre flat, moved to the frame's barycentric wavelengths where it has them. Bins whose flat is masked, not positive or without information get
/// BADFIBERFLAT; without information also ivar 0.
pub fn divide_by_fiberflat(frame: &mut Frame, flat: &Fiberflat) {
    let flat = heliocentric::flat_of(frame, flat);
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

/// Divides a flat-fielded, sky-subtracted frame by its flux calibration, and rescales the resolution so that it
/// still turns the true flux into the calibrated one.
pub fn divide_by_calibration(frame: &mut Frame, calib: &FluxCalib) {
    divide(frame, &calib.calib, &calib.ivar, &calib.mask, spec::NODATA);
    rescale_resolution(&mut frame.resolution, &calib.calib);
}

/// `R[i, j] *= C[j] s[i] / Σ_k R[i, k] C[k]` with `s` the row sums: `C⁻¹ R C`, but for the noise of `C`. The
/// calibration of a bin is by its making the mean of `C` through the resolution, so a flat spectrum must come
/// out flat; dividing by the noisy `C[i]` itself would make rows sum to 1 give or take that noise.
fn rescale_resolution(resolution: &mut Array3<f32>, calib: &Array2<f32>) {
    Zip::from(resolution.axis_iter_mut(Axis(0))).and(calib.rows()).par_for_each(|mut planes, c| {
        let mut columns: Vec<f64> = c.iter().map(|&c| f64::from(c)).collect();
        let good: Vec<bool> = columns.iter().map(|c| *c > 0.0).collect();
        if !good.contains(&true) {
            return;
        }
        interp::fill(&mut columns, &good);
        let mut rows = vec![(0.0, 0.0); columns.len()];
        for_entries(planes.view_mut(), |value, i, j| {
            let r = f64::from(*value);
            rows[i].0 += r;
            rows[i].1 += r * columns[j];
        });
        let rows: Vec<f64> = rows.into_iter().map(|(s, t)| if s > 0.0 && t > 0.0 { s / t } else { 0.0 }).collect();
        for_entries(planes.view_mut(), |value, i, j| *value = (f64::from(*value) * columns[j] * rows[i]) as f32);
    });
}

/// Visits the entries `R[i, j]` of one fibre's stored diagonals `[ndiag, nwave]` that lie in the matrix.
fn for_entries(mut planes: ArrayViewMut2<f32>, mut visit: impl FnMut(&mut f32, usize, usize)) {
    let (ndiag, n) = planes.dim();
    let half = ndiag / 2;
    for (k, mut plane) in planes.axis_iter_mut(Axis(0)).enumerate() {
        for j in half.saturating_sub(k)..(n + half - k).min(n) {
            visit(&mut plane[j], j + k - half, j);
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
        // what fluxcal makes of the true throughput
        let seen = frame.resolution_of(0).apply(&c);
        let sums = frame.resolution_of(0).row_sums();
        (0..200).for_each(|j| calib.calib[(0, j)] = (seen[j] / sums[j]) as f32);
        divide_by_calibration(&mut frame, &calib);
        let expected = frame.resolution_of(0).apply(&f);
        for (j, e) in expected.iter().enumerate().take(195).skip(5) {
            // the convolved throughput stands for the true one: second order in its slope
            assert!((f64::from(frame.flux[(0, j)]) - e).abs() < 1e-3 * e.abs(), "bin {j}");
        }
    }

    #[test]
    fn a_noisy_calibration_leaves_the_row_sums_of_the_resolution() {
        let instrument = Instrument::new(1, 200, 11);
        let mut frame = frame_of(&instrument, &[vec![100.0; 200]], 0.0, 1);
        let before = frame.resolution_of(0).row_sums();
        let mut calib = instrument.unit_calibration();
        (0..200).for_each(|j| calib.calib[(0, j)] = 10.0 + (j * 7919 % 13) as f32 * 0.1);
        // a bin without calibration
        calib.calib[(0, 90)] = 0.0;
        divide_by_calibration(&mut frame, &calib);
        for (a, b) in before.iter().zip(frame.resolution_of(0).row_sums()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
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
