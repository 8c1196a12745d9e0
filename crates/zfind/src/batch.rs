//! Least squares for many redshifts side by side: [`crate::model::Normal`] in lanes, for the coarse scan.

use crate::model::{SINGULAR, SMALLEST_PIVOT};

/// Redshifts that are solved together.
const LANES: usize = 8;

type Lanes = [f64; LANES];

/// Normal equations of `n` coefficients at `samples` redshifts.
pub struct Equations<'a> {
    /// Number of coefficients.
    pub n: usize,
    /// Number of redshifts.
    pub samples: usize,
    /// `[row, sample]`: the lower triangle of the matrix row by row, then the right-hand side.
    pub rows: &'a [f64],
    /// chi2 of the model 0.
    pub null_chi2: f64,
    /// Factors of the coefficients whose sum is penalised by its absolute value where it is negative; may be empty.
    pub penalised: &'a [f64],
}

impl Equations<'_> {
    /// chi2 with the penalty at each redshift; [`SINGULAR`] where there is no solution.
    pub fn chi2(&self) -> Vec<f64> {
        let nrow = self.n * (self.n + 1) / 2 + self.n;
        let mut block = vec![[0.0; LANES]; nrow];
        let mut out = Vec::with_capacity(self.samples + LANES);
        for start in (0..self.samples).step_by(LANES) {
            let count = LANES.min(self.samples - start);
            for (p, lanes) in block.iter_mut().enumerate() {
                let row = &self.rows[p * self.samples + start..][..count];
                lanes[..count].copy_from_slice(row);
            }
            out.extend_from_slice(&solve(self, &mut block)[..count]);
        }
        out
    }
}

numerics::dispatch! {
    /// Cholesky's method on the matrix scaled to a unit diagonal, as in [`crate::model::Normal`]: with `L Lᵀ` the matrix
    /// and `L q = y`, chi2 is that of the model 0 less `q²`. The block is overwritten.
    fn solve(equations: &Equations, block: &mut [Lanes]) -> Lanes = solve_lanes | solve_lanes
}

#[inline(always)]
fn solve_lanes(equations: &Equations, block: &mut [Lanes]) -> Lanes {
    let n = equations.n;
    let (matrix, rhs) = block.split_at_mut(n * (n + 1) / 2);
    let (mut singular, mut chi2) = ([n == 0; LANES], [equations.null_chi2; LANES]);
    for a in 0..n {
        let row = a * (a + 1) / 2;
        let scale = matrix[row + a];
        for b in 0..a {
            let row_b = b * (b + 1) / 2;
            let mut x = matrix[row + b];
            for k in 0..b {
                subtract(&mut x, &matrix[row + k], &matrix[row_b + k]);
            }
            for i in 0..LANES {
                x[i] *= matrix[row_b + b][i];
            }
            matrix[row + b] = x;
        }
        let (mut pivot, mut q) = (scale, rhs[a]);
        for k in 0..a {
            subtract(&mut pivot, &matrix[row + k], &matrix[row + k]);
            subtract(&mut q, &matrix[row + k], &rhs[k]);
        }
        for i in 0..LANES {
            // the pivot of the scaled matrix is its part of the diagonal
            let regular = pivot[i] >= SMALLEST_PIVOT * scale[i] && scale[i] > 0.0 && scale[i].is_finite();
            singular[i] |= !regular;
            pivot[i] = if singular[i] { 0.0 } else { 1.0 / pivot[i].sqrt() };
            q[i] *= pivot[i];
            chi2[i] -= q[i] * q[i];
        }
        (matrix[row + a], rhs[a]) = (pivot, q);
    }
    if !equations.penalised.is_empty() {
        let mut sum = [0.0; LANES];
        for a in (0..n).rev() {
            let mut c = rhs[a];
            for k in a + 1..n {
                subtract(&mut c, &matrix[k * (k + 1) / 2 + a], &rhs[k]);
            }
            for i in 0..LANES {
                c[i] *= matrix[a * (a + 1) / 2 + a][i];
                sum[i] += equations.penalised[a] * c[i];
            }
            rhs[a] = c;
        }
        for i in 0..LANES {
            chi2[i] += (-sum[i]).max(0.0);
        }
    }
    for i in 0..LANES {
        chi2[i] = if singular[i] { SINGULAR } else { chi2[i] };
    }
    chi2
}

/// `x - a b` in each lane.
#[inline(always)]
fn subtract(x: &mut Lanes, a: &Lanes, b: &Lanes) {
    for i in 0..LANES {
        x[i] = a[i].mul_add(-b[i], x[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Normal;
    use rand::{Rng, SeedableRng};
    use templates::Method;

    /// Against the solution one redshift at a time, with a singular matrix among them.
    #[test]
    fn lanes_agree_with_single_solutions() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        for n in [1usize, 4, 10] {
            let (samples, npair) = (21, n * (n + 1) / 2);
            let mut rows = vec![0.0; (npair + n) * samples];
            let penalised: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
            let mut expected = Vec::new();
            for s in 0..samples {
                let mut normal = Normal::zeros(n, 50.0);
                for _ in 0..if s == 13 { n - 1 } else { 3 * n } {
                    let x: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
                    for a in 0..n {
                        normal.rhs[a] += x[a];
                        (0..=a).for_each(|b| normal.matrix.add(a, b, x[a] * x[b]));
                    }
                }
                for a in 0..n {
                    (0..=a).for_each(|b| rows[(a * (a + 1) / 2 + b) * samples + s] = normal.matrix.get(a, b));
                    rows[(npair + a) * samples + s] = normal.rhs[a];
                }
                let fit = normal.solve(Method::Pca);
                let sum: f64 = fit.coeff.iter().zip(&penalised).map(|(c, p)| c * p).sum();
                expected.push(fit.chi2 + (-sum).max(0.0));
            }
            let found = Equations { n, samples, rows: &rows, null_chi2: 50.0, penalised: &penalised }.chi2();
            assert_eq!(found[13], SINGULAR);
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9 * b.abs()), "{found:?} {expected:?}");
        }
    }
}
