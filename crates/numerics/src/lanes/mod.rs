//! Several banded symmetric matrices of one shape side by side, one in each lane of the processor's vectors: bands of
//! ten diagonals are too narrow to fill vectors by themselves.

mod cholesky;
pub mod completion;

use crate::{NumericsError, dispatch};

/// Number of matrices side by side.
pub const LANES: usize = 8;

/// One number of each matrix.
pub type Lane = [f64; LANES];

/// [`LANES`] symmetric matrices of order `n`, of which row `i` is zero more than some diagonals off the main one, each
/// row its own number (a skyline).
#[derive(Debug, Clone, PartialEq)]
pub struct BandLanes {
    /// Where each row begins in `data`, and the end.
    start: Vec<usize>,
    data: Vec<Lane>,
}

impl BandLanes {
    /// Zero matrices of order `n` with half bandwidth `kd`.
    pub fn zeros(n: usize, kd: usize) -> Self {
        Self::with_reaches((0..n).map(|i| i.min(kd)))
    }

    /// Zero matrices whose row `i` holds the entries `A[i, i - reach[i] ..= i]`.
    fn with_reaches(reaches: impl Iterator<Item = usize>) -> Self {
        let mut start = vec![0];
        let mut end = 0;
        start.extend(reaches.map(|r| {
            end += r + 1;
            end
        }));
        Self { start, data: vec![[0.0; LANES]; end] }
    }

    /// Order of the matrices.
    pub fn order(&self) -> usize {
        self.start.len() - 1
    }

    /// Largest number of entries left of the diagonal.
    pub fn half_bandwidth(&self) -> usize {
        self.start.windows(2).map(|w| w[1] - w[0] - 1).max().unwrap_or(0)
    }

    /// First column of row `i`.
    #[inline(always)]
    pub fn first(&self, i: usize) -> usize {
        i + 1 - (self.start[i + 1] - self.start[i])
    }

    /// The stored part of row `i`, the diagonal last.
    #[inline(always)]
    pub fn row(&self, i: usize) -> &[Lane] {
        &self.data[self.start[i]..self.start[i + 1]]
    }

    /// The same, to be written.
    #[inline(always)]
    pub fn row_mut(&mut self, i: usize) -> &mut [Lane] {
        &mut self.data[self.start[i]..self.start[i + 1]]
    }

    /// The diagonal element of row `i`, to be written.
    pub fn diagonal_mut(&mut self, i: usize) -> &mut Lane {
        &mut self.data[self.start[i + 1] - 1]
    }

    /// The entries `(i, j)`, zero outside the band.
    pub fn get(&self, i: usize, j: usize) -> Lane {
        let (i, j) = if i >= j { (i, j) } else { (j, i) };
        let first = self.first(i);
        if j < first { [0.0; LANES] } else { self.row(i)[j - first] }
    }

    /// Largest sum of magnitudes in a row, over all lanes: a bound of the eigenvalues (Gershgorin).
    pub fn largest_row(&self) -> f64 {
        let mut sums = vec![[0.0; LANES]; self.order()];
        for i in 0..self.order() {
            for (j, v) in (self.first(i)..=i).zip(self.row(i)) {
                for k in 0..LANES {
                    sums[i][k] += v[k].abs();
                    sums[j][k] += if j < i { v[k].abs() } else { 0.0 };
                }
            }
        }
        sums.iter().flatten().fold(0.0, |a, b| a.max(*b))
    }

    /// Replaces the matrices by their lower factors, with the reciprocals of the pivots on the diagonal.
    pub(crate) fn factor(&mut self) -> Result<(), NumericsError> {
        factor(self)
    }

    /// Of the matrices whose factors these are: replaces both columns of `x` by `A⁻¹ x`.
    pub(crate) fn solve(&self, x: &mut [[Lane; 2]]) {
        solve(self, x);
    }

    /// Of the matrices whose factors these are: adds `scale A⁻¹` to the band of `z`, as far as theirs goes. Rows further
    /// down must not reach further left.
    pub(crate) fn add_inverse(&self, scale: f64, z: &mut BandLanes) {
        add_inverse(self, scale, z);
    }
}

dispatch!(fn factor(a: &mut BandLanes) -> Result<(), NumericsError> = cholesky::factor | cholesky::factor);
dispatch!(fn solve(l: &BandLanes, x: &mut [[Lane; 2]]) -> () = cholesky::solve | cholesky::solve);
dispatch!(fn add_inverse(l: &BandLanes, scale: f64, z: &mut BandLanes) -> () = cholesky::add_inverse | cholesky::add_inverse);

/// `a b + c`.
#[inline(always)]
fn fused(a: &Lane, b: &Lane, c: &Lane) -> Lane {
    let mut out = [0.0; LANES];
    for k in 0..LANES {
        out[k] = a[k].mul_add(b[k], c[k]);
    }
    out
}

/// `c - a b`.
#[inline(always)]
fn minus(a: &Lane, b: &Lane, c: &Lane) -> Lane {
    let mut out = [0.0; LANES];
    for k in 0..LANES {
        out[k] = (-a[k]).mul_add(b[k], c[k]);
    }
    out
}

#[inline(always)]
fn times(a: &Lane, b: &Lane) -> Lane {
    let mut out = [0.0; LANES];
    for k in 0..LANES {
        out[k] = a[k] * b[k];
    }
    out
}

/// The reciprocals of the square roots of pivots; the first that is not positive and finite is an error.
#[inline(always)]
fn reciprocal_roots(pivots: &Lane, row: usize, n: usize) -> Result<Lane, NumericsError> {
    let mut out = [0.0; LANES];
    for k in 0..LANES {
        out[k] = 1.0 / pivots[k].sqrt();
    }
    for (pivot, root) in pivots.iter().zip(&out) {
        if !(*pivot > 0.0 && root.is_finite() && *root > 0.0) {
            return Err(NumericsError::NotPositiveDefinite { row, n, pivot: *pivot });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SymmetricBand;

    /// Eight different matrices, side by side and one by one.
    fn sample(n: usize, kd: usize) -> (BandLanes, Vec<SymmetricBand>) {
        let mut lanes = BandLanes::zeros(n, kd);
        let mut single = vec![SymmetricBand::zeros(n, kd); LANES];
        for i in 0..n {
            for j in i.saturating_sub(kd)..=i {
                for (k, one) in single.iter_mut().enumerate() {
                    let v = if i == j { 2.0 + kd as f64 } else { ((i * 31 + j * 17 + 5 * k) as f64).sin() };
                    one.add(i, j, v);
                    let first = lanes.first(i);
                    lanes.row_mut(i)[j - first][k] = v;
                }
            }
        }
        (lanes, single)
    }

    #[test]
    fn lanes_agree_with_matrices_one_by_one() {
        for (n, kd) in [(1, 0), (4, 3), (37, 6)] {
            let (lanes, single) = sample(n, kd);
            let mut factor = lanes.clone();
            factor.factor().unwrap();
            let b: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let mut x: Vec<[Lane; 2]> = b.iter().map(|v| [[*v; LANES], [2.0 * v; LANES]]).collect();
            factor.solve(&mut x);
            let mut z = BandLanes::zeros(n, kd.min(4));
            factor.add_inverse(0.5, &mut z);
            for (k, one) in single.into_iter().enumerate() {
                let rows: f64 = (0..n).map(|i| (0..n).map(|j| one.get(i, j).abs()).sum()).fold(0.0, f64::max);
                assert!(lanes.largest_row() >= rows);
                let one = one.cholesky().unwrap();
                let (expected, inverse) = (one.solve(&b), one.inverse_band(kd));
                for i in 0..n {
                    assert!((x[i][0][k] - expected[i]).abs() < 1e-14);
                    assert!((x[i][1][k] - 2.0 * expected[i]).abs() < 1e-14);
                    for j in i.saturating_sub(z.half_bandwidth())..=i {
                        assert!((z.get(i, j)[k] - 0.5 * inverse.get(i, j)).abs() < 1e-14, "({i}, {j}) lane {k}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let (lanes, _) = sample(50, 7);
        let (mut plain, mut chosen) = (lanes.clone(), lanes);
        cholesky::factor(&mut plain).unwrap();
        chosen.factor().unwrap();
        assert_eq!(plain, chosen);
        let (mut z, mut chosen_z) = (BandLanes::zeros(50, 5), BandLanes::zeros(50, 5));
        cholesky::add_inverse(&plain, 0.7, &mut z);
        chosen.add_inverse(0.7, &mut chosen_z);
        assert_eq!(z, chosen_z);
    }

    #[test]
    fn one_indefinite_matrix_is_an_error() {
        let (mut lanes, _) = sample(9, 2);
        lanes.row_mut(4)[2][3] = -1.0;
        assert!(matches!(lanes.factor(), Err(NumericsError::NotPositiveDefinite { row: 4, n: 9, .. })));
    }
}
