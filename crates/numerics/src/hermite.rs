//! Probabilists' Hermite polynomials `He_k` and the integrals of `He_k(t) g(t)` over a pixel, where
//! `g(t) = exp(-t²/2)/√(2π)`.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `He_0(t) … He_{n-1}(t)`: `He_{k+1} = t He_k - k He_{k-1}` (Abramowitz & Stegun 22.7.14).
pub fn polynomials(t: f64, n: usize) -> Vec<f64> {
    let mut h = Vec::with_capacity(n);
    for k in 0..n {
        h.push(match k {
            0 => 1.0,
            1 => t,
            _ => t * h[k - 1] - (k - 1) as f64 * h[k - 2],
        });
    }
    h
}

/// The antiderivatives of `He_k g` at `t`, `k = 0 … n-1`: the normal distribution function for `k = 0`
/// and `-He_{k-1}(t) g(t)` above, since `d/dt (He_{k-1} g) = -He_k g`.
pub fn antiderivatives(t: f64, out: &mut [f64]) {
    let g = libm::exp(-0.5 * t * t) / (2.0 * PI).sqrt();
    let (mut previous, mut current) = (0.0, 1.0);
    for (k, o) in out.iter_mut().enumerate() {
        if k == 0 {
            *o = 0.5 * (1.0 + libm::erf(t * FRAC_1_SQRT_2));
        } else {
            *o = -current * g;
            let next = t * current - (k - 1) as f64 * previous;
            (previous, current) = (current, next);
        }
    }
}

/// Value of the Gaussian density `g(t)`.
pub fn gaussian(t: f64) -> f64 {
    libm::exp(-0.5 * t * t) / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn antiderivatives_match_a_numerical_integral() {
        let (a, b) = (-0.7, 1.1);
        let (mut lo, mut hi) = ([0.0; 7], [0.0; 7]);
        antiderivatives(a, &mut lo);
        antiderivatives(b, &mut hi);
        let n = 20_000;
        let dt = (b - a) / f64::from(n);
        for k in 0..7 {
            let sum: f64 = (0..n)
                .map(|i| {
                    let t = a + (f64::from(i) + 0.5) * dt;
                    polynomials(t, 7)[k] * gaussian(t) * dt
                })
                .sum();
            assert!((hi[k] - lo[k] - sum).abs() < 1e-8, "order {k}");
        }
    }
}
