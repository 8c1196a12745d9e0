//! Square root of a banded symmetric positive-definite matrix, in a band.
//!
//! `A^(1/2) = (2/π) ∫₀^∞ A (A + s²)⁻¹ ds`. With `s = √m sc(t | 1 - m/M)` the midpoint rule in `t` converges as
//! `exp(-2π² N / (ln(M/m) + 3))` for eigenvalues in `[m, M]` (Hale, Higham & Trefethen 2008, SIAM J. Numer.
//! Anal. 46, 2505, method 3): each of its `N` terms is a shifted banded solve. The root of a matrix whose
//! entries decay off the diagonal decays too, so a band of it is all of it within rounding.

use crate::{
    NumericsError, SymmetricBand,
    lanes::{BandLanes, Lane},
};
use std::f64::consts::PI;

/// The approximation `√x ≈ Σ_k weight_k (1 - shift_k / (x + shift_k))` on an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct RationalSqrt {
    shifts: Vec<f64>,
    weights: Vec<f64>,
}

impl RationalSqrt {
    /// The approximation on `[smallest, largest]` (both positive) of relative error `tolerance`.
    pub fn new(smallest: f64, largest: f64, tolerance: f64) -> Self {
        // a ratio of 1 would make the elliptic functions degenerate
        let largest = largest.max(2.0 * smallest);
        let m1 = smallest / largest;
        let rate = 2.0 * PI * PI / (3.0 - libm::log(m1));
        let n = ((-libm::log(0.25 * tolerance) / rate).ceil() as usize).max(2);
        let period = complete_elliptic(m1);
        let scale = 2.0 * period * smallest.sqrt() / (PI * n as f64);
        let terms = (0..n).map(|k| {
            let (sn, cn, dn) = jacobi((k as f64 + 0.5) * period / n as f64, m1);
            (smallest * (sn / cn).powi(2), scale * dn / (cn * cn))
        });
        let (shifts, weights) = terms.unzip();
        Self { shifts, weights }
    }

    /// Number of terms, each of which costs a factorisation and a selected inverse.
    pub fn terms(&self) -> usize {
        self.shifts.len()
    }

    /// `√x` for a number.
    pub fn scalar(&self, x: f64) -> f64 {
        self.shifts.iter().zip(&self.weights).map(|(s, w)| w * (1.0 - s / (x + s))).sum()
    }

    /// The entries of `A^(1/2)` within `width` diagonals of the main one; replaces each of `vectors` by its product
    /// with the whole of `A^(1/2)`.
    ///
    /// # Errors
    /// [`NumericsError::NotPositiveDefinite`] if `a` is not.
    pub fn band(
        &self,
        a: &SymmetricBand,
        width: usize,
        vectors: &mut [Vec<f64>],
    ) -> Result<SymmetricBand, NumericsError> {
        let n = a.order();
        let mut root = SymmetricBand::zeros(n, width);
        let constant: f64 = self.weights.iter().sum();
        let given = vectors.to_vec();
        vectors.iter_mut().flatten().for_each(|v| *v *= constant);
        for (&shift, &weight) in self.shifts.iter().zip(&self.weights) {
            let mut shifted = a.clone();
            (0..n).for_each(|i| shifted.add(i, i, shift));
            let factor = shifted.cholesky()?;
            factor.add_inverse(-weight * shift, &mut root);
            for (out, x) in vectors.iter_mut().zip(&given) {
                out.iter_mut().zip(factor.solve(x)).for_each(|(o, y)| *o -= weight * shift * y);
            }
        }
        (0..n).for_each(|i| root.add(i, i, constant));
        Ok(root)
    }

    /// [`RationalSqrt::band`] of several matrices at once, with two vectors; `width` is at most the number of entries
    /// that each row has left of the diagonal.
    ///
    /// # Errors
    /// [`NumericsError::NotPositiveDefinite`] if a matrix is not.
    pub fn lanes(&self, a: &BandLanes, width: usize, vectors: &mut [[Lane; 2]]) -> Result<BandLanes, NumericsError> {
        let n = a.order();
        let mut root = BandLanes::zeros(n, width);
        let constant: f64 = self.weights.iter().sum();
        let given = vectors.to_vec();
        vectors.as_flattened_mut().as_flattened_mut().iter_mut().for_each(|v| *v *= constant);
        let (mut shifted, mut solved) = (a.clone(), given.clone());
        for (&shift, &weight) in self.shifts.iter().zip(&self.weights) {
            shifted.clone_from(a);
            (0..n).for_each(|i| shifted.diagonal_mut(i).iter_mut().for_each(|v| *v += shift));
            shifted.factor()?;
            shifted.add_inverse(-weight * shift, &mut root);
            solved.clone_from(&given);
            shifted.solve(&mut solved);
            let solved = solved.as_flattened().as_flattened();
            for (o, y) in vectors.as_flattened_mut().as_flattened_mut().iter_mut().zip(solved) {
                *o -= weight * shift * y;
            }
        }
        (0..n).for_each(|i| root.diagonal_mut(i).iter_mut().for_each(|v| *v += constant));
        Ok(root)
    }
}

/// `K(1 - m1)`, the quarter period, by the arithmetic-geometric mean (Abramowitz & Stegun 17.6).
fn complete_elliptic(m1: f64) -> f64 {
    let (mut a, mut b) = (1.0, m1.sqrt());
    while (a - b) > 1e-15 * a {
        (a, b) = (0.5 * (a + b), (a * b).sqrt());
    }
    PI / (a + b)
}

/// Jacobi's `sn, cn, dn` of `u` for the parameter `1 - m1` (Abramowitz & Stegun 16.4).
fn jacobi(u: f64, m1: f64) -> (f64, f64, f64) {
    let (mut a, mut b) = (1.0, m1.sqrt());
    let mut ratios = Vec::with_capacity(12);
    while (a - b) > 1e-15 * a {
        ratios.push((a - b) / (a + b));
        (a, b) = (0.5 * (a + b), (a * b).sqrt());
    }
    let mut phi = a * u * f64::from(1u32 << ratios.len());
    for c in ratios.iter().rev() {
        phi = 0.5 * (phi + libm::asin(c * libm::sin(phi)));
    }
    let (sn, cn) = libm::sincos(phi);
    (sn, cn, (cn * cn + m1 * sn * sn).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::LANES;
    use ndarray::{Array1, Array2};
    use ndarray_linalg::{Eigh, UPLO};

    #[test]
    fn the_root_of_a_number_is_as_good_as_asked() {
        for (smallest, largest, tolerance) in
            [(1.0, 1.0, 1e-9), (0.3, 200.0, 1e-6), (1e-9, 0.2, 1e-9), (1.0, 1e6, 1e-11)]
        {
            let root = RationalSqrt::new(smallest, largest, tolerance);
            for k in 0..=50 {
                let x = smallest * (largest / smallest).powf(f64::from(k) / 50.0);
                let error = (root.scalar(x) / x.sqrt() - 1.0).abs();
                assert!(error < tolerance, "sqrt({x}) of [{smallest}, {largest}], {} terms: {error:e}", root.terms());
            }
            // nor is it wastefully good
            assert!(root.terms() < 40);
        }
    }

    #[test]
    fn the_root_of_a_band_agrees_with_the_eigen_decomposition() {
        let n = 60;
        let mut a = SymmetricBand::zeros(n, 3);
        for i in 0..n {
            let scale = |i: usize| 1.0 + 0.5 * (0.3 * i as f64).sin();
            for (k, v) in [1.0, 0.5, 0.1, 0.01].into_iter().enumerate().filter(|(k, _)| *k <= i) {
                a.add(i, i - k, v * scale(i) * scale(i - k));
            }
        }
        let dense = Array2::from_shape_fn((n, n), |(i, j)| a.get(i, j));
        let (values, vectors) = dense.eigh(UPLO::Lower).unwrap();
        let expected = vectors.dot(&Array2::from_diag(&values.mapv(f64::sqrt))).dot(&vectors.t());
        let mut vectors = [vec![1.0; n], (0..n).map(|i| (i as f64).sin()).collect()];
        let products = vectors.clone().map(|v| expected.dot(&Array1::from(v)));
        let rational = RationalSqrt::new(values[0], values[n - 1], 1e-12);
        let root = rational.band(&a, 20, &mut vectors).unwrap();
        let mut lanes = BandLanes::zeros(n, 3);
        for i in 0..n {
            for j in i.saturating_sub(3)..=i {
                let first = lanes.first(i);
                lanes.row_mut(i)[j - first] = [a.get(i, j); LANES];
            }
        }
        let mut side_by_side: Vec<[Lane; 2]> = (0..n).map(|i| [[1.0; LANES], [(i as f64).sin(); LANES]]).collect();
        let narrow = rational.lanes(&lanes, 2, &mut side_by_side).unwrap();
        for i in 0..n {
            for (v, p) in vectors.iter().zip(&products) {
                assert!((v[i] - p[i]).abs() < 1e-11);
            }
            for (v, p) in side_by_side[i].iter().zip(&products) {
                assert!(v.iter().all(|v| (v - p[i]).abs() < 1e-11));
            }
            for j in i.saturating_sub(2)..=i {
                assert!(narrow.get(i, j).iter().all(|v| (v - expected[(i, j)]).abs() < 1e-11));
            }
            for j in i.saturating_sub(20)..=i {
                assert!((root.get(i, j) - expected[(i, j)]).abs() < 1e-11, "({i}, {j})");
            }
        }
    }
}
