//! The exponential function of many numbers at once, with the same bits on every host.

use std::f64::consts::LOG2_E;

numerics::dispatch! {
    /// Replaces each value by its exponential, to 2e-16 of it; beyond -708 and 709 that of these limits.
    pub fn exp_all(values: &mut [f64]) -> () = exp_each | exp_each
}

#[inline(always)]
fn exp_each(values: &mut [f64]) {
    for value in values {
        *value = exp(*value);
    }
}

/// `e^x = 2^k e^r` with `|r| <= ln(2) / 2`, where Taylor's series needs 13 terms. For kernels only.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    // adding it leaves an integer in the last bits
    const ROUND: f64 = 1.5 * (1u64 << 52) as f64;
    // ln(2) in two parts, the first with trailing zeros: its product with k is exact
    const HIGH: f64 = 0.693_147_180_369_123_8;
    const LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.clamp(-708.0, 709.0);
    let shifted = x.mul_add(LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LOW, k.mul_add(-HIGH, x));
    let mut sum = INVERSE_FACTORIALS[0];
    for c in &INVERSE_FACTORIALS[1..] {
        sum = sum.mul_add(r, *c);
    }
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    sum * scale
}

/// 1 / n! for n from 13 to 0.
const INVERSE_FACTORIALS: [f64; 14] = {
    let mut out = [1.0; 14];
    let mut n = 1;
    while n < 14 {
        out[13 - n] = out[14 - n] / n as f64;
        n += 1;
    }
    out
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_the_library() {
        let x: Vec<f64> = (-70_000..70_900).map(|i| f64::from(i) * 0.01 + 0.001).collect();
        let mut found = x.clone();
        exp_all(&mut found);
        for (x, found) in x.iter().zip(found) {
            assert!((found / x.exp() - 1.0).abs() < 1e-15, "{x}: {found} {}", x.exp());
        }
        let mut ends = [-1e4, 0.0, 1e4];
        exp_all(&mut ends);
        assert!(ends[0] < 1e-307 && ends[1] == 1.0 && ends[2] > 1e307, "{ends:?}");
    }
}
