//! The banded Cholesky factor, from left to right (Golub & Van Loan 2013, section 4.3.5).

use super::{B, Row, add_product, identity, inverse_of, multiply, multiply_one, part};
use crate::{NumericsError, SymmetricBand};
use std::ops::Range;

/// Replaces a matrix by its lower factor; `R` rows are multiplied together.
#[inline(always)]
pub(super) fn replace<const R: usize>(a: &mut SymmetricBand) -> Result<(), NumericsError> {
    let (n, kd) = (a.order(), a.half_bandwidth());
    let mut panel: Vec<Row> = vec![[0.0; B]; kd];
    for j0 in (0..n).step_by(B) {
        let j1 = (j0 + B).min(n);
        let p0 = j0.saturating_sub(kd);
        let panel = &mut panel[..j0 - p0];
        pack(a, j0..j1, p0, panel);
        let corner = factor_corner(a, j0..j1, p0, panel)?;
        // L[i, J] = (A[i, J] - sums) L_JJ⁻ᵀ
        let inverse = transposed(&inverse_of(&corner));
        let end = (j1 + kd).min(n);
        // the rows that hold all the columns
        let whole = (j0 + kd + 1).clamp(j1, end);
        let whole = j1 + (whole - j1) / R * R;
        for i in (j1..whole).step_by(R) {
            eliminate_rows::<R>(a, i, p0..j0, panel, &inverse);
        }
        for i in whole..end {
            let mut sums = [0.0; B];
            multiply_left(a, i, p0..j0, p0, panel, &mut sums);
            eliminate(a, i, j0..j1, &sums, &inverse);
        }
    }
    Ok(())
}

/// `panel[p - p0][b] = L[j0 + b, p]` for the columns `p` left of the block of rows.
#[inline(always)]
fn pack(a: &SymmetricBand, rows: Range<usize>, p0: usize, panel: &mut [Row]) {
    let kd = a.half_bandwidth();
    panel.fill([0.0; B]);
    for (b, j) in rows.clone().enumerate() {
        let first = p0.max(j.saturating_sub(kd)).min(rows.start);
        for (packed, v) in panel[first - p0..].iter_mut().zip(part(a, j, first..rows.start)) {
            packed[b] = *v;
        }
    }
}

/// Factors the block at the diagonal; 1 on its diagonal beyond the matrix.
#[inline(always)]
fn factor_corner(
    a: &mut SymmetricBand,
    rows: Range<usize>,
    p0: usize,
    panel: &[Row],
) -> Result<[Row; B], NumericsError> {
    let (n, kd, j0) = (a.order(), a.half_bandwidth(), rows.start);
    let mut corner = identity();
    for i in rows {
        let (mut sums, r) = ([0.0; B], i - j0);
        multiply_left(a, i, p0..j0, p0, panel, &mut sums);
        for b in i.saturating_sub(kd).max(j0) - j0..=r {
            let mut rest = a.get(i, j0 + b) - sums[b];
            for (x, y) in corner[r][..b].iter().zip(&corner[b]) {
                rest = (-x).mul_add(*y, rest);
            }
            if b == r && !(rest > 0.0 && rest.is_finite()) {
                return Err(NumericsError::NotPositiveDefinite { row: i, n, pivot: rest });
            }
            corner[r][b] = if b == r { rest.sqrt() } else { rest / corner[b][b] };
            a.row_mut(i)[j0 + b + kd - i] = corner[r][b];
        }
    }
    Ok(corner)
}

/// Adds `Σ_p L[i, p] panel[p - p0]` over those of `columns` that row `i` has.
#[inline(always)]
fn multiply_left(a: &SymmetricBand, i: usize, columns: Range<usize>, p0: usize, panel: &[Row], sums: &mut Row) {
    let first = columns.start.max(i.saturating_sub(a.half_bandwidth())).min(columns.end);
    multiply_one(part(a, i, first..columns.end), &panel[first - p0..], sums);
}

/// [`eliminate`] for the rows `i .. i + R`, which hold all the `B` columns right of `left`.
#[inline(always)]
fn eliminate_rows<const R: usize>(
    a: &mut SymmetricBand,
    i: usize,
    left: Range<usize>,
    panel: &[Row],
    inverse: &[Row; B],
) {
    let (kd, p0, j0) = (a.half_bandwidth(), left.start, left.end);
    // columns further left are in the bands of the first rows only
    let common = p0.max((i + R - 1).saturating_sub(kd)).min(j0);
    let mut sums = [[0.0; B]; R];
    for (r, sums) in sums.iter_mut().enumerate() {
        multiply_left(a, i + r, p0..common, p0, panel, sums);
    }
    multiply::<R>(std::array::from_fn(|r| part(a, i + r, common..j0)), &panel[common - p0..], &mut sums);
    for (r, sums) in sums.iter_mut().enumerate() {
        for (s, v) in sums.iter_mut().zip(part(a, i + r, j0..j0 + B)) {
            *s = v - *s;
        }
    }
    let mut x = [[0.0; B]; R];
    multiply::<R>(std::array::from_fn(|r| sums[r].as_slice()), inverse, &mut x);
    for (r, x) in x.iter().enumerate() {
        let at = j0 + kd - i - r;
        a.row_mut(i + r)[at..at + B].copy_from_slice(x);
    }
}

/// Writes `L[i, columns]`, given the sums over the columns to the left and the transposed inverse of the triangle
/// at the diagonal.
#[inline(always)]
fn eliminate(a: &mut SymmetricBand, i: usize, columns: Range<usize>, sums: &Row, inverse: &[Row; B]) {
    let kd = a.half_bandwidth();
    let first = i.saturating_sub(kd).max(columns.start);
    let (skipped, row) = (first - columns.start, &mut a.row_mut(i)[first + kd - i..columns.end + kd - i]);
    let mut x = [0.0; B];
    for (b, v) in row.iter().enumerate() {
        add_product(&mut x, v - sums[skipped + b], &inverse[skipped + b]);
    }
    row.copy_from_slice(&x[skipped..columns.end - columns.start]);
}

#[inline(always)]
fn transposed(a: &[Row; B]) -> [Row; B] {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}
