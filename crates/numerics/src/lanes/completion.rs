//! The banded matrices whose inverses have given entries in the band: covariances known near the diagonal, completed
//! with maximum entropy.
//!
//! Of all positive-definite matrices that agree with `C` within `b` diagonals, the one of largest determinant
//! is the one whose inverse `S` has half bandwidth `b` (Dempster 1972, Biometrics 28, 157; Grone et al. 1984).
//! `S = L Lᵀ` with column `i` of `L` from the block `C[i..=i+b, i..=i+b]` alone: it is the regression of
//! unknown `i` on the `b` that follow. It inverts the recurrence of the selected inverse.

use super::{BandLanes, LANES, Lane, fused, minus, reciprocal_roots, times};
use crate::{NumericsError, dispatch};
use std::ops::Range;

/// What the band of covariances says of their inverses.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The matrices `S`, each row as wide as was needed, with `S⁻¹ = C` within that band.
    pub inverse: BandLanes,
    /// Largest partial correlation (magnitude, over all lanes) of unknowns at the edge of the band, given those between
    /// them: the completion takes it to be 0 at larger distances, so this small says that `C` was wide enough.
    pub edge: f64,
}

dispatch!(
    /// Completes the covariances `c` beyond their band. Of the unknowns that follow, `narrow` are taken into account, more
    /// (as far as `c` goes) where the last one has a partial correlation above `tolerance`.
    ///
    /// # Errors
    /// [`NumericsError::NotPositiveDefinite`] if a block of `c` is not positive definite; `row` is its first row.
    pub fn complete(c: &BandLanes, narrow: usize, tolerance: f64) -> Result<Completion, NumericsError> = columns | columns
);

#[inline(always)]
fn columns(c: &BandLanes, narrow: usize, tolerance: f64) -> Result<Completion, NumericsError> {
    let (n, widest) = (c.order(), c.half_bandwidth());
    let mut edge = 0.0f64;
    let stride = widest + 1;
    let mut block = vec![[0.0; LANES]; stride * stride];
    let mut columns: Vec<Vec<Lane>> = Vec::with_capacity(n);
    for i in 0..n {
        let most = widest.min(n - 1 - i);
        let (mut known, mut b) = (0, narrow.min(most));
        let column = loop {
            let mut column = vec![[0.0; LANES]; b + 1];
            factor_block(c, i, known..b + 1, &mut block, stride)?;
            known = b + 1;
            let last = regression(&block, stride, &mut column);
            let mut correlation = 0.0f64;
            if i + b + 1 < n && b > 0 {
                for k in 0..LANES {
                    correlation = correlation.max(column[b][k].abs() / (column[0][k].sqrt() * last[k]));
                }
            }
            if correlation <= tolerance || b == most {
                edge = edge.max(correlation);
                break column;
            }
            b = (b + b.div_ceil(2)).min(most);
        };
        columns.push(column);
    }
    Ok(Completion { inverse: gram(&columns), edge })
}

/// `L Lᵀ`, column `i` of `L` being `column / √column[0]`, of which row 0 is row `i` of the matrix.
#[inline(always)]
fn gram(columns: &[Vec<Lane>]) -> BandLanes {
    let n = columns.len();
    let mut first: Vec<usize> = (0..n).collect();
    for (i, column) in columns.iter().enumerate() {
        for f in &mut first[i..i + column.len()] {
            *f = (*f).min(i);
        }
    }
    let mut product = BandLanes::with_reaches(first.iter().enumerate().map(|(i, f)| i - f));
    for (i, column) in columns.iter().enumerate() {
        add_outer_product(column, i, &mut product);
    }
    product
}

/// Some rows of the Cholesky factor of the unknowns from `i` on, `[row, stride]`, given those above; reciprocals of the
/// pivots on its diagonal.
#[inline(always)]
fn factor_block(
    c: &BandLanes,
    i: usize,
    rows: Range<usize>,
    block: &mut [Lane],
    stride: usize,
) -> Result<(), NumericsError> {
    for p in rows {
        let (above, row) = block.split_at_mut(p * stride);
        let covariance = &c.row(i + p)[i - c.first(i + p)..];
        for q in 0..p {
            let (mut v, other) = (covariance[q], &above[q * stride..][..q + 1]);
            for (l, m) in row[..q].iter().zip(other) {
                v = minus(l, m, &v);
            }
            row[q] = times(&v, &other[q]);
        }
        let mut pivot = covariance[p];
        for l in &row[..p] {
            pivot = minus(l, l, &pivot);
        }
        row[p] = reciprocal_roots(&pivot, i, c.order())?;
    }
    Ok(())
}

/// First column of the inverse of a factored block; returns the square root of the inverse's last diagonal element.
#[inline(always)]
fn regression(block: &[Lane], stride: usize, column: &mut [Lane]) -> Lane {
    let size = column.len();
    for p in 0..size {
        let mut v = if p == 0 { [1.0; LANES] } else { [0.0; LANES] };
        for (l, x) in block[p * stride..][..p].iter().zip(&column[..p]) {
            v = minus(l, x, &v);
        }
        column[p] = times(&v, &block[p * stride + p]);
    }
    for p in (0..size).rev() {
        let v = times(&column[p], &block[p * stride + p]);
        column[p] = v;
        for (l, x) in block[p * stride..][..p].iter().zip(&mut column[..p]) {
            *x = minus(l, &v, x);
        }
    }
    block[(size - 1) * stride + size - 1]
}

/// Adds `l lᵀ` with `l = column / √column[0]` at row and column `i`.
#[inline(always)]
fn add_outer_product(column: &[Lane], i: usize, inverse: &mut BandLanes) {
    let mut reciprocal = [0.0; LANES];
    for k in 0..LANES {
        reciprocal[k] = 1.0 / column[0][k];
    }
    for (p, x) in column.iter().enumerate() {
        let x = times(x, &reciprocal);
        let at = i - inverse.first(i + p);
        for (y, s) in column[..=p].iter().zip(&mut inverse.row_mut(i + p)[at..]) {
            *s = fused(&x, y, s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use ndarray_linalg::Inverse;

    #[test]
    fn banded_matrices_are_recovered_from_the_band_of_their_inverses() {
        let n = 30;
        let matrix = |k: usize| {
            Array2::from_shape_fn((n, n), |(i, j)| match i.abs_diff(j) {
                0 => 2.0 + 0.1 * ((i + k) as f64).cos(),
                1 => -0.7,
                2 => 0.2 + 0.001 * (i + j + k) as f64,
                _ => 0.0,
            })
        };
        let mut c = BandLanes::zeros(n, 2);
        for k in 0..LANES {
            let inverse = matrix(k).inv().unwrap();
            for i in 0..n {
                for j in i.saturating_sub(2)..=i {
                    let first = c.first(i);
                    c.row_mut(i)[j - first][k] = inverse[(i, j)];
                }
            }
        }
        let Completion { inverse, edge } = complete(&c, 2, 0.0).unwrap();
        // the partial correlation of bins i and i + 2 is -S[i, i + 2] / sqrt of the diagonal block's determinant
        assert!((0.05..0.5).contains(&edge), "{edge}");
        // a band that begins too narrow is widened to what is needed
        let widened = complete(&c, 1, 1e-3).unwrap();
        assert!(widened.inverse.data.iter().flatten().zip(inverse.data.iter().flatten()).all(|(a, b)| a == b));
        for k in 0..LANES {
            let expected = matrix(k);
            for i in 0..n {
                for j in 0..=i {
                    assert!((inverse.get(i, j)[k] - expected[(i, j)]).abs() < 1e-13, "({i}, {j}) lane {k}");
                }
            }
        }
    }
}
