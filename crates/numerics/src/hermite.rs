//! Probabilists' Hermite polynomials `He_k` and the integrals of `He_k(t) g(t)` over a pixel, where
//! `g(t) = exp(-t²/2)/√(2π)`.

use crate::{
    dispatch,
    gauss::{EIGHT, density_and_integral},
};
use std::f64::consts::PI;

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

dispatch!(
    /// Integrals of `He_k g`, `k = 0 … orders - 1`, over `n` pixels from `first` on, with `t = (x - centre)/sigma`:
    /// `out[k * n + pixel]`.
    ///
    /// The antiderivatives are the normal distribution function for `k = 0` and `-He_{k-1}(t) g(t)` above, since
    /// `d/dt (He_{k-1} g) = -He_k g`.
    pub fn pixel_integrals(
        centre: f64, sigma: f64, first: i64, n: usize, orders: usize, out: &mut Vec<f64>
    ) -> () = integrals | integrals
);

#[inline(always)]
fn integrals(centre: f64, sigma: f64, first: i64, n: usize, orders: usize, out: &mut Vec<f64>) {
    // the antiderivatives at the edges of the pixels, then their differences in the same place
    let stride = (n + 1).next_multiple_of(EIGHT);
    out.clear();
    out.resize(orders * stride, 0.0);
    for at in (0..stride).step_by(EIGHT) {
        let mut t = [0.0; EIGHT];
        for (p, t) in t.iter_mut().enumerate() {
            *t = (first as f64 + (at + p) as f64 - 0.5 - centre) / sigma;
        }
        let (g, integral) = density_and_integral(&t);
        let (mut previous, mut current) = ([0.0; EIGHT], [1.0; EIGHT]);
        for k in 0..orders {
            let values = &mut out[k * stride + at..][..EIGHT];
            for p in 0..EIGHT {
                if k == 0 {
                    values[p] = integral[p];
                } else {
                    values[p] = -current[p] * g[p];
                    let next = t[p] * current[p] - (k - 1) as f64 * previous[p];
                    (previous[p], current[p]) = (current[p], next);
                }
            }
        }
    }
    for k in 0..orders {
        for p in 0..n {
            out[k * n + p] = out[k * stride + p + 1] - out[k * stride + p];
        }
    }
    out.truncate(orders * n);
}

/// Value of the Gaussian density `g(t)`.
pub fn gaussian(t: f64) -> f64 {
    libm::exp(-0.5 * t * t) / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixel_integrals_match_a_numerical_integral() {
        let (centre, sigma, first, n, orders) = (3.2, 1.3, -2, 11, 7);
        let mut out = Vec::new();
        pixel_integrals(centre, sigma, first, n, orders, &mut out);
        assert_eq!(out.len(), orders * n);
        for p in 0..n {
            let (steps, edge) = (4000, (first as f64 + p as f64 - 0.5 - centre) / sigma);
            let dt = 1.0 / sigma / f64::from(steps);
            let points = (0..steps).map(|i| edge + (f64::from(i) + 0.5) * dt);
            let mut sums = vec![0.0; orders];
            for t in points {
                let h = polynomials(t, orders);
                (0..orders).for_each(|k| sums[k] += h[k] * gaussian(t) * dt);
            }
            for k in 0..orders {
                assert!((out[k * n + p] - sums[k]).abs() < 1e-7, "order {k}, pixel {p}");
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (mut plain, mut chosen) = (Vec::new(), Vec::new());
        integrals(8.3, 1.1, 0, 17, 9, &mut plain);
        pixel_integrals(8.3, 1.1, 0, 17, 9, &mut chosen);
        assert_eq!(plain, chosen);
    }
}
