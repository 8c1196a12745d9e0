//! The Gaussian density and its integral, eight values at a time.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E};

/// Values that are computed side by side.
pub(crate) const EIGHT: usize = 8;

/// `1/√(2π)`.
const NORMAL: f64 = 0.398_942_280_401_432_7;

/// Chebyshev coefficients of `erfc(x) exp(x²)` in `(x - k)/(x + k)` for `x >= 0` (Schonfelder 1978, Math. Comp. 32,
/// 1232), to 10⁻¹⁷.
const SCALED_ERFC: [f64; 23] = [
    0.3050715409616002,
    -0.4348412727125775,
    0.1763511936436055,
    -0.06071079560924941,
    0.017712068995694115,
    -0.004321119385567294,
    0.0008542166768870987,
    -0.00012715509060916275,
    1.1248167243671189e-05,
    3.1306388542182096e-07,
    -2.70988068537762e-07,
    3.0737622701407694e-08,
    2.515620384817624e-09,
    -1.0289299213203185e-09,
    2.99440521199496e-11,
    2.6051789687265776e-11,
    -2.634839924173934e-12,
    -6.434045098933775e-13,
    1.1245740179818324e-13,
    1.72815333858143e-14,
    -4.264101699748991e-15,
    -5.45371983256376e-16,
    1.5869760188875885e-16,
];
/// The `k` of [`SCALED_ERFC`].
const SCALE: f64 = 3.75;

/// `exp(x)` for `x <= 0`; below -708, `exp(-708)`.
#[inline(always)]
fn exp(x: &[f64; EIGHT]) -> [f64; EIGHT] {
    // adding and subtracting it rounds to an integer, which then stands in the lowest bits
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    /// `1/k!`
    const TAYLOR: [f64; 14] = {
        let (mut t, mut k) = ([1.0; 14], 1);
        while k < 14 {
            t[k] = t[k - 1] / k as f64;
            k += 1;
        }
        t
    };
    debug_assert!((LN_2_HIGH + LN_2_LOW - LN_2).abs() < 1e-16);
    let mut out = [0.0; EIGHT];
    for k in 0..EIGHT {
        let x = if x[k] < -708.0 { -708.0 } else { x[k] };
        let shifted = x.mul_add(LOG2_E, ROUND);
        let n = shifted - ROUND;
        let r = (-n).mul_add(LN_2_LOW, (-n).mul_add(LN_2_HIGH, x));
        let mut sum = TAYLOR[13];
        for c in TAYLOR[..13].iter().rev() {
            sum = sum.mul_add(r, *c);
        }
        out[k] = sum * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    }
    out
}

/// The density `g(t) = exp(-t²/2)/√(2π)` and its integral from -∞ to `t`; absolute error below 3·10⁻¹⁶.
#[inline(always)]
pub(crate) fn density_and_integral(t: &[f64; EIGHT]) -> ([f64; EIGHT], [f64; EIGHT]) {
    let mut exponent = [0.0; EIGHT];
    for k in 0..EIGHT {
        exponent[k] = -0.5 * t[k] * t[k];
    }
    let decay = exp(&exponent);
    let (mut y, mut b, mut previous) = ([0.0; EIGHT], [0.0; EIGHT], [0.0; EIGHT]);
    for k in 0..EIGHT {
        let x = t[k].abs() * FRAC_1_SQRT_2;
        y[k] = (x - SCALE) / (x + SCALE);
    }
    // Clenshaw's recurrence
    for c in SCALED_ERFC[1..].iter().rev() {
        for k in 0..EIGHT {
            let next = (2.0 * y[k]).mul_add(b[k], c - previous[k]);
            (previous[k], b[k]) = (b[k], next);
        }
    }
    let (mut density, mut integral) = ([0.0; EIGHT], [0.0; EIGHT]);
    for k in 0..EIGHT {
        let scaled = y[k].mul_add(b[k], SCALED_ERFC[0] - previous[k]);
        let tail = 0.5 * scaled * decay[k];
        density[k] = NORMAL * decay[k];
        integral[k] = if t[k] < 0.0 { tail } else { 1.0 - tail };
    }
    (density, integral)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_and_integral_agree_with_the_mathematical_library() {
        for i in 0..4000 {
            let t: [f64; EIGHT] = std::array::from_fn(|k| -40.0 + 0.02 * f64::from(i) + 0.0025 * k as f64);
            let (density, integral) = density_and_integral(&t);
            for k in 0..EIGHT {
                let g = libm::exp(-0.5 * t[k] * t[k]) * NORMAL;
                let phi = 0.5 * libm::erfc(-t[k] * FRAC_1_SQRT_2);
                assert!((density[k] - g).abs() < 3e-16 && (integral[k] - phi).abs() < 3e-16, "at {}", t[k]);
                // also the faint wing is right to some digits
                assert!(t[k] < -37.0 || (integral[k] / phi - 1.0).abs() < 1e-12, "at {}", t[k]);
            }
        }
    }
}
