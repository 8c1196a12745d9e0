//! Symmetric positive-definite matrices stored by their lower band, their Cholesky factor, solves and
//! selected inverse. A dense matrix is a band of full width.
//!
//! Row `i` holds the entries `A[i, i-kd ..= i]`, the diagonal last, so that every inner loop of the
//! factorisation (Golub & Van Loan 2013, section 4.3.5) is a dot product of two contiguous slices.

use crate::{BandLanes, NumericsError, lanes::LANES, panel};

/// A symmetric matrix of order `n` that is zero beyond `kd` diagonals off the main one.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricBand {
    n: usize,
    kd: usize,
    data: Vec<f64>,
}

/// Dot product with four accumulators, so that the compiler can vectorise it; fixed order of summation.
#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a4, a_rest) = a[..n].as_chunks::<8>();
    let (b4, b_rest) = b[..n].as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (x, y) in a4.iter().zip(b4) {
        for k in 0..8 {
            lanes[k] += x[k] * y[k];
        }
    }
    let mut sum = (lanes[0] + lanes[4]) + (lanes[1] + lanes[5]) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
    for (x, y) in a_rest.iter().zip(b_rest) {
        sum += x * y;
    }
    sum
}

impl SymmetricBand {
    /// The zero matrix of order `n` with half bandwidth `kd` (0 is a diagonal matrix).
    pub fn zeros(n: usize, kd: usize) -> Self {
        let kd = kd.min(n.saturating_sub(1));
        Self { n, kd, data: vec![0.0; n * (kd + 1)] }
    }

    /// Order of the matrix.
    pub fn order(&self) -> usize {
        self.n
    }

    /// Half bandwidth: number of stored diagonals below the main one.
    pub fn half_bandwidth(&self) -> usize {
        self.kd
    }

    /// The stored part of row `i`: entries `A[i, i-kd ..= i]`; those left of column 0 are zero.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.data[i * (self.kd + 1)..(i + 1) * (self.kd + 1)]
    }

    /// The same, to be written. Entries left of column 0 must stay zero.
    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.data[i * (self.kd + 1)..(i + 1) * (self.kd + 1)]
    }

    /// `A[i, j]`, zero outside the band.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        let (i, j) = if i >= j { (i, j) } else { (j, i) };
        if i - j > self.kd { 0.0 } else { self.data[i * (self.kd + 1) + self.kd - (i - j)] }
    }

    /// Adds `value` to `A[i, j]` and so to `A[j, i]`; the entry must lie in the band.
    pub fn add(&mut self, i: usize, j: usize, value: f64) {
        let (i, j) = if i >= j { (i, j) } else { (j, i) };
        debug_assert!(i - j <= self.kd, "({i}, {j}) is outside the band {}", self.kd);
        self.data[i * (self.kd + 1) + self.kd - (i - j)] += value;
    }

    /// The main diagonal.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.n).map(|i| self.get(i, i)).collect()
    }

    /// `A x`.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.n];
        for i in 0..self.n {
            let first = i.saturating_sub(self.kd);
            let row = &self.row(i)[self.kd - (i - first)..];
            y[i] += dot(row, &x[first..=i]);
            for (j, &a) in (first..i).zip(row) {
                y[j] += a * x[i];
            }
        }
        y
    }

    /// Largest sum of magnitudes in a row: a bound of the eigenvalues (Gershgorin).
    pub fn largest_row(&self) -> f64 {
        let mut sums = vec![0.0; self.n];
        for i in 0..self.n {
            let first = i.saturating_sub(self.kd);
            for (j, v) in (first..=i).zip(&self.row(i)[self.kd - (i - first)..]) {
                sums[i] += v.abs();
                if j < i {
                    sums[j] += v.abs();
                }
            }
        }
        sums.into_iter().fold(0.0, f64::max)
    }

    /// The Cholesky factor `L` of `A = L Lᵀ`.
    ///
    /// # Errors
    /// [`NumericsError::NotPositiveDefinite`] names the first row whose pivot is not positive and finite.
    pub fn cholesky(mut self) -> Result<BandedCholesky, NumericsError> {
        panel::factor(&mut self)?;
        Ok(BandedCholesky { l: self })
    }
}

/// The lower Cholesky factor of a [`SymmetricBand`].
#[derive(Debug, Clone)]
pub struct BandedCholesky {
    l: SymmetricBand,
}

impl BandedCholesky {
    /// Order of the matrix.
    pub fn order(&self) -> usize {
        self.l.n
    }

    /// The factor's band, lower triangle only: `L[i, j]` is `factor().get(i, j)` for `j <= i`.
    pub fn factor(&self) -> &SymmetricBand {
        &self.l
    }

    /// Solves `A x = b`.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        self.forward(&mut x);
        self.backward(&mut x);
        x
    }

    /// Replaces `x` by `L⁻¹ x`.
    pub fn forward(&self, x: &mut [f64]) {
        let kd = self.l.kd;
        for i in 0..self.l.n {
            let first = i.saturating_sub(kd);
            let row = self.l.row(i);
            x[i] = (x[i] - dot(&row[first + kd - i..kd], &x[first..i])) / row[kd];
        }
    }

    /// Replaces `x` by `L⁻ᵀ x`.
    pub fn backward(&self, x: &mut [f64]) {
        let kd = self.l.kd;
        for i in (0..self.l.n).rev() {
            let first = i.saturating_sub(kd);
            let row = self.l.row(i);
            x[i] /= row[kd];
            let xi = x[i];
            for (xj, &l) in x[first..i].iter_mut().zip(&row[first + kd - i..kd]) {
                *xj -= l * xi;
            }
        }
    }

    /// The entries of `A⁻¹` within `width` diagonals of the main one (at least the factor's own band is
    /// computed), by the recurrence of Takahashi, Fagan & Chin (1973).
    pub fn inverse_band(&self, width: usize) -> SymmetricBand {
        let mut z = SymmetricBand::zeros(self.l.n, width.max(self.l.kd));
        self.add_inverse(1.0, &mut z);
        z
    }

    /// Of a matrix whose unknowns are of `period` kinds in turn: the blocks of `A⁻¹` of some kinds (at most
    /// [`LANES`]) within `reach` unknowns of the kind, side by side; the last kind fills the lanes left. The order must be a
    /// multiple of `period`.
    pub fn inverse_blocks(&self, period: usize, kinds: &[usize], reach: usize) -> BandLanes {
        let mut blocks = BandLanes::zeros(self.l.n / period, reach);
        let kinds: Vec<usize> = kinds.iter().chain(kinds.last().into_iter().cycle()).take(LANES).copied().collect();
        panel::write_classes(&self.l, &mut panel::Classes { period, kinds: &kinds, blocks: &mut blocks });
        blocks
    }

    /// Adds `scale A⁻¹` to `z` within its band.
    pub(crate) fn add_inverse(&self, scale: f64, z: &mut SymmetricBand) {
        panel::add_inverse(&self.l, scale, z);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2};
    use ndarray_linalg::{Inverse, Solve};
    use rand::{Rng, SeedableRng};

    fn random(n: usize, kd: usize) -> (SymmetricBand, Array2<f64>) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut a = SymmetricBand::zeros(n, kd);
        for i in 0..n {
            for j in i.saturating_sub(kd)..i {
                a.add(i, j, rng.random_range(-1.0..1.0));
            }
            a.add(i, i, 2.0 * kd as f64 + 1.0);
        }
        let dense = Array2::from_shape_fn((n, n), |(i, j)| a.get(i, j));
        (a, dense)
    }

    #[test]
    fn solve_and_apply_agree_with_lapack() {
        for (n, kd) in [(1, 0), (5, 4), (40, 7), (60, 59)] {
            let (a, dense) = random(n, kd);
            let b = Array1::from_shape_fn(n, |i| (i as f64).sin());
            let expected = dense.solve(&b).unwrap();
            let x = a.clone().cholesky().unwrap().solve(b.as_slice().unwrap());
            for i in 0..n {
                assert!((x[i] - expected[i]).abs() < 1e-13, "n {n} kd {kd} row {i}");
            }
            let back = a.apply(&x);
            assert!(back.iter().zip(&b).all(|(p, q)| (p - q).abs() < 1e-13));
        }
    }

    #[test]
    fn selected_inverse_agrees_with_lapack_beyond_the_band() {
        let (a, dense) = random(50, 6);
        let expected = dense.inv().unwrap();
        let z = a.cholesky().unwrap().inverse_band(15);
        for i in 0..50usize {
            for j in i.saturating_sub(15)..=i {
                assert!((z.get(i, j) - expected[(i, j)]).abs() < 1e-14, "({i}, {j})");
            }
        }
    }

    #[test]
    fn blocks_of_the_inverse_agree_with_lapack() {
        let (a, dense) = random(48, 7);
        let expected = dense.inv().unwrap();
        let blocks = a.cholesky().unwrap().inverse_blocks(4, &[1, 3], 5);
        for i in 0..12usize {
            for j in i.saturating_sub(5)..=i {
                for (k, kind) in [1, 3, 3, 3, 3, 3, 3, 3].into_iter().enumerate() {
                    assert!((blocks.get(i, j)[k] - expected[(4 * i + kind, 4 * j + kind)]).abs() < 1e-14);
                }
            }
        }
    }

    #[test]
    fn the_largest_row_counts_both_sides_of_the_diagonal() {
        let (a, dense) = random(20, 3);
        let expected = dense.rows().into_iter().map(|r| r.mapv(f64::abs).sum()).fold(0.0, f64::max);
        assert!((a.largest_row() - expected).abs() < 1e-14);
    }

    #[test]
    fn an_indefinite_matrix_is_named() {
        let mut a = SymmetricBand::zeros(3, 1);
        for i in 0..3 {
            a.add(i, i, if i == 1 { -1.0 } else { 1.0 });
        }
        assert_eq!(a.cholesky().unwrap_err(), NumericsError::NotPositiveDefinite { row: 1, n: 3, pivot: -1.0 });
    }
}
