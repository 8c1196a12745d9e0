//! Legendre series `Σ c_k P_k(u)` on `u ∈ [-1, 1]`, plain unnormalised polynomials as in the PSF files.

use crate::{NumericsError, SymmetricBand};

/// Maps `x` of `[min, max]` to `u` of `[-1, 1]`.
pub fn reduced(x: f64, min: f64, max: f64) -> f64 {
    2.0 * (x - min) / (max - min) - 1.0
}

/// `P_0(u) … P_{n-1}(u)` by Bonnet's recurrence (Abramowitz & Stegun 8.5.3).
pub fn polynomials(u: f64, n: usize) -> Vec<f64> {
    let mut p = Vec::with_capacity(n);
    for k in 0..n {
        p.push(match k {
            0 => 1.0,
            1 => u,
            _ => ((2 * k - 1) as f64 * u * p[k - 1] - (k - 1) as f64 * p[k - 2]) / k as f64,
        });
    }
    p
}

/// `Σ_k coefficients[k] P_k(u)`.
pub fn evaluate(coefficients: &[f64], u: f64) -> f64 {
    let (mut p0, mut p1) = (1.0, u);
    let mut sum = 0.0;
    for (k, c) in coefficients.iter().enumerate() {
        sum += c * p0;
        let next = ((2 * k + 3) as f64 * u * p1 - (k + 1) as f64 * p0) / (k + 2) as f64;
        (p0, p1) = (p1, next);
    }
    sum
}

/// Weighted least-squares fit of a series of `n` terms to `y(u)`; weights are inverse variances.
///
/// # Errors
/// [`NumericsError::TooFewData`] with fewer than `n` positive weights, [`NumericsError::NotPositiveDefinite`]
/// if the abscissae do not determine the series.
pub fn fit(u: &[f64], y: &[f64], w: &[f64], n: usize) -> Result<Vec<f64>, NumericsError> {
    let found = w.iter().filter(|w| **w > 0.0).count();
    if found < n {
        return Err(NumericsError::TooFewData { what: "Legendre fit", found, needed: n });
    }
    let mut normal = SymmetricBand::zeros(n, n.saturating_sub(1));
    let mut rhs = vec![0.0; n];
    for ((&u, &y), &w) in u.iter().zip(y).zip(w).filter(|(_, w)| **w > 0.0) {
        let p = polynomials(u, n);
        for i in 0..n {
            rhs[i] += w * p[i] * y;
            for j in 0..=i {
                normal.add(i, j, w * p[i] * p[j]);
            }
        }
    }
    Ok(normal.cholesky()?.solve(&rhs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_matches_the_closed_forms() {
        for u in [-1.0f64, -0.3, 0.0, 0.7, 1.0] {
            let p3 = 0.5 * (5.0 * u.powi(3) - 3.0 * u);
            let p2 = 0.5 * (3.0 * u * u - 1.0);
            assert!((evaluate(&[0.5, -1.0, 2.0, 3.0], u) - (0.5 - u + 2.0 * p2 + 3.0 * p3)).abs() < 1e-14);
            assert!((polynomials(u, 4)[3] - p3).abs() < 1e-14);
        }
    }

    #[test]
    fn fit_recovers_an_exact_series() {
        let c = [3.0, -2.0, 0.5, 0.1];
        let u: Vec<f64> = (0..30).map(|i| reduced(f64::from(i), 0.0, 29.0)).collect();
        let y: Vec<f64> = u.iter().map(|&u| evaluate(&c, u)).collect();
        let got = fit(&u, &y, &[1.0; 30], 4).unwrap();
        assert!(got.iter().zip(&c).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(fit(&u[..3], &y[..3], &[1.0; 3], 4).is_err());
    }
}
