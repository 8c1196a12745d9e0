//! Least squares with coefficients that are not negative, from the normal equations: the active-set method of
//! Lawson & Hanson (1974), chapter 23, in the form of Bro & de Jong (1997).

use numerics::SymmetricBand;

/// The `x >= 0` that minimises `xᵀ M x - 2 yᵀ x`; `None` if a sub-matrix of `M` is singular.
pub fn solve(normal: &SymmetricBand, rhs: &[f64]) -> Option<Vec<f64>> {
    let n = rhs.len();
    let tolerance = 1e-10 * rhs.iter().fold(0.0f64, |m, y| m.max(y.abs()));
    let mut x = vec![0.0; n];
    let mut free: Vec<usize> = Vec::new();
    for _ in 0..10 * n {
        let fitted = normal.apply(&x);
        let gradient = |i: usize| rhs[i] - fitted[i];
        let candidate = (0..n).filter(|i| !free.contains(i)).max_by(|&a, &b| gradient(a).total_cmp(&gradient(b)));
        let Some(enter) = candidate.filter(|&i| gradient(i) > tolerance) else { break };
        free.push(enter);
        loop {
            let s = restricted(normal, rhs, &free)?;
            if s.iter().all(|v| *v > 0.0) {
                free.iter().zip(&s).for_each(|(&i, v)| x[i] = *v);
                break;
            }
            let step = free
                .iter()
                .zip(&s)
                .filter(|(_, v)| **v <= 0.0)
                .map(|(&i, v)| x[i] / (x[i] - v))
                .fold(f64::INFINITY, f64::min);
            free.iter().zip(&s).for_each(|(&i, v)| x[i] += step * (v - x[i]));
            let bound = |i: usize, s: f64| s <= 0.0 && x[i] <= 1e-14 * s.abs().max(f64::MIN_POSITIVE);
            let leaving: Vec<usize> = free.iter().zip(&s).filter(|(i, v)| bound(**i, **v)).map(|(&i, _)| i).collect();
            leaving.iter().for_each(|&i| x[i] = 0.0);
            free.retain(|i| !leaving.contains(i));
            if free.is_empty() || leaving.is_empty() {
                break;
            }
        }
    }
    Some(x)
}

/// The unconstrained solution in the coefficients `free`.
fn restricted(normal: &SymmetricBand, rhs: &[f64], free: &[usize]) -> Option<Vec<f64>> {
    let mut m = SymmetricBand::zeros(free.len(), free.len() - 1);
    for (a, &i) in free.iter().enumerate() {
        for (b, &j) in free[..=a].iter().enumerate() {
            m.add(a, b, normal.get(i, j));
        }
    }
    let y: Vec<f64> = free.iter().map(|&i| rhs[i]).collect();
    Some(m.cholesky().ok()?.solve(&y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    /// The Karush-Kuhn-Tucker conditions, which are necessary and sufficient: x >= 0, gradient <= 0, and one of
    /// the two is 0.
    #[test]
    fn solutions_meet_the_optimality_conditions() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for n in [1, 2, 5, 10] {
            for _ in 0..50 {
                let a: Vec<Vec<f64>> =
                    (0..3 * n).map(|_| (0..n).map(|_| rng.random_range(-0.3..1.0)).collect()).collect();
                let b: Vec<f64> = (0..3 * n).map(|_| rng.random_range(-0.5..1.0)).collect();
                let mut m = SymmetricBand::zeros(n, n - 1);
                let mut y = vec![0.0; n];
                for (row, f) in a.iter().zip(&b) {
                    for i in 0..n {
                        y[i] += row[i] * f;
                        (0..=i).for_each(|j| m.add(i, j, row[i] * row[j]));
                    }
                }
                let x = solve(&m, &y).unwrap();
                let fitted = m.apply(&x);
                for i in 0..n {
                    let gradient = y[i] - fitted[i];
                    assert!(x[i] >= 0.0 && gradient < 1e-8, "x {} gradient {gradient}", x[i]);
                    assert!(x[i] == 0.0 || gradient.abs() < 1e-8, "x {} gradient {gradient}", x[i]);
                }
            }
        }
    }
}
