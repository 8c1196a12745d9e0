//! Blocked kernels of the banded Cholesky factor and of the selected inverse: eight columns at a time, so that
//! nearly all the work is the product of four rows with a packed panel of eight columns.
//!
//! The kernels are compiled for several instruction sets and chosen at run time. None contracts a product and
//! a sum into one rounding, so every host gives the same bits.

use crate::{NumericsError, SymmetricBand};
use std::ops::Range;

/// Columns of a panel.
const B: usize = 8;
/// Rows that are multiplied together.
const ROWS: usize = 4;

type Row = [f64; B];

/// Runs a kernel with the widest vectors that the processor has.
macro_rules! dispatch {
    ($name:ident($($arg:ident: $t:ty),*) -> $ret:ty, $body:ident) => {
        pub(crate) fn $name($($arg: $t),*) -> $ret {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn wide($($arg: $t),*) -> $ret {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn middle($($arg: $t),*) -> $ret {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { wide($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has the instructions.
                    return unsafe { middle($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

dispatch!(factor(a: &mut SymmetricBand) -> Result<(), NumericsError>, factor_blocked);
dispatch!(add_inverse(l: &SymmetricBand, scale: f64, z: &mut SymmetricBand) -> (), add_inverse_blocked);

/// `Σ_p rows[r][p] panel[p]` for four rows.
#[inline(always)]
fn multiply(rows: [&[f64]; ROWS], panel: &[Row]) -> [Row; ROWS] {
    let mut sums = [[0.0; B]; ROWS];
    let n = panel.len();
    let [r0, r1, r2, r3] = rows.map(|r| &r[..n]);
    for (p, panel) in panel.iter().enumerate() {
        for b in 0..B {
            sums[0][b] += r0[p] * panel[b];
        }
        for b in 0..B {
            sums[1][b] += r1[p] * panel[b];
        }
        for b in 0..B {
            sums[2][b] += r2[p] * panel[b];
        }
        for b in 0..B {
            sums[3][b] += r3[p] * panel[b];
        }
    }
    sums
}

/// Adds `Σ_p row[p] panel[p]`.
#[inline(always)]
fn multiply_one(row: &[f64], panel: &[Row], sums: &mut Row) {
    for (x, panel) in row.iter().zip(panel) {
        for b in 0..B {
            sums[b] += x * panel[b];
        }
    }
}

/// Replaces a matrix by its lower Cholesky factor, from left to right (Golub & Van Loan 2013, section 4.3.5).
#[inline(always)]
fn factor_blocked(a: &mut SymmetricBand) -> Result<(), NumericsError> {
    let (n, kd) = (a.order(), a.half_bandwidth());
    let mut panel: Vec<Row> = vec![[0.0; B]; kd];
    // the triangle at the diagonal, with the reciprocals of its pivots
    let (mut corner, mut reciprocal) = ([[0.0; B]; B], [0.0; B]);
    for j0 in (0..n).step_by(B) {
        let j1 = (j0 + B).min(n);
        let p0 = j0.saturating_sub(kd);
        let panel = &mut panel[..j0 - p0];
        pack(a, j0..j1, p0, panel);
        for i in j0..j1 {
            let mut sums = [0.0; B];
            multiply_left(a, i, p0..j0, p0, panel, &mut sums);
            corner[i - j0] = eliminate(a, i, j0..i, &sums, (&corner, &reciprocal));
            let x = corner[i - j0];
            let pivot = a.get(i, i) - sums[i - j0] - (0..i - j0).map(|c| x[c] * x[c]).sum::<f64>();
            if !(pivot > 0.0 && pivot.is_finite()) {
                return Err(NumericsError::NotPositiveDefinite { row: i, n, pivot });
            }
            let pivot = pivot.sqrt();
            (corner[i - j0][i - j0], reciprocal[i - j0]) = (pivot, 1.0 / pivot);
            a.row_mut(i)[kd] = pivot;
        }
        let end = (j1 + kd).min(n);
        let whole = j1 + (end - j1) / ROWS * ROWS;
        for i in (j1..whole).step_by(ROWS) {
            for (r, sums) in multiply_rows_left(a, i, p0..j0, panel).iter().enumerate() {
                eliminate(a, i + r, j0..j1, sums, (&corner, &reciprocal));
            }
        }
        for i in whole..end {
            let mut sums = [0.0; B];
            multiply_left(a, i, p0..j0, p0, panel, &mut sums);
            eliminate(a, i, j0..j1, &sums, (&corner, &reciprocal));
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
        for p in p0.max(j.saturating_sub(kd))..rows.start {
            panel[p - p0][b] = a.row(j)[p + kd - j];
        }
    }
}

/// The entries of row `i` in those of `columns` that it has.
#[inline(always)]
fn part(a: &SymmetricBand, i: usize, columns: Range<usize>) -> &[f64] {
    let at = |p: usize| (p + a.half_bandwidth()).saturating_sub(i);
    &a.row(i)[at(columns.start)..at(columns.end)]
}

/// Adds `Σ_p L[i, p] panel[p - p0]` over those of `columns` that row `i` has.
#[inline(always)]
fn multiply_left(a: &SymmetricBand, i: usize, columns: Range<usize>, p0: usize, panel: &[Row], sums: &mut Row) {
    let first = columns.start.max(i.saturating_sub(a.half_bandwidth())).min(columns.end);
    multiply_one(part(a, i, first..columns.end), &panel[first - p0..], sums);
}

/// [`multiply_left`] for the rows `i .. i + 4`.
#[inline(always)]
fn multiply_rows_left(a: &SymmetricBand, i: usize, columns: Range<usize>, panel: &[Row]) -> [Row; ROWS] {
    let p0 = columns.start;
    // columns further left are in the bands of the first rows only
    let common = p0.max((i + ROWS - 1).saturating_sub(a.half_bandwidth())).min(columns.end);
    let mut sums = multiply([0, 1, 2, 3].map(|r| part(a, i + r, common..columns.end)), &panel[common - p0..]);
    for (r, sums) in sums.iter_mut().enumerate() {
        multiply_left(a, i + r, p0..common, p0, panel, sums);
    }
    sums
}

/// Solves for `L[i, columns]`, given the sums over the columns to the left and the triangle at the diagonal.
#[inline(always)]
fn eliminate(
    a: &mut SymmetricBand,
    i: usize,
    columns: Range<usize>,
    sums: &Row,
    (corner, reciprocal): (&[Row; B], &Row),
) -> Row {
    let kd = a.half_bandwidth();
    let (j0, row) = (columns.start, a.row_mut(i));
    let mut x = [0.0; B];
    for j in i.saturating_sub(kd).max(j0)..columns.end {
        let b = j - j0;
        let mut v = row[j + kd - i] - sums[b];
        for c in 0..b {
            v -= x[c] * corner[b][c];
        }
        x[b] = v * reciprocal[b];
        row[j + kd - i] = x[b];
    }
    x
}

/// Adds `scale` times the inverse of `l lᵀ` to `z`, within the band of `z`. Block column by block column from the
/// right: with `X = L_KJ L_JJ⁻¹` for the rows `K` below block `J`, `Z_IJ = -Z_IK X` and
/// `Z_JJ = L_JJ⁻ᵀ L_JJ⁻¹ - Z_JK X` (Takahashi, Fagan & Chin 1973).
#[inline(always)]
fn add_inverse_blocked(l: &SymmetricBand, scale: f64, z: &mut SymmetricBand) {
    let (n, kd) = (l.order(), l.half_bandwidth());
    let (kept, width) = (z.half_bandwidth(), z.half_bandwidth().max(kd));
    let mut window = Window::new(width + 2 * B);
    let mut x: Vec<Row> = Vec::with_capacity(kd);
    for j0 in (0..n).step_by(B).rev() {
        let j1 = (j0 + B).min(n);
        let corner = triangle(l, j0..j1);
        let below = (j1 + kd).min(n);
        let reciprocal: Row = std::array::from_fn(|b| 1.0 / corner[b][b]);
        x.clear();
        for k in j1..below {
            x.push(divide(l, k, j0..j1, &corner, &reciprocal));
        }
        let end = (j1 + width).min(n);
        let whole = j1 + (end - j1) / ROWS * ROWS;
        for i in (j1..whole).step_by(ROWS) {
            let sums = multiply([0, 1, 2, 3].map(|r| window.row(i + r, j1, below - j1)), &x);
            for (r, sums) in sums.iter().enumerate() {
                window.set(i + r, j0..j1, &sums.map(|s| -s));
            }
        }
        for i in whole..end {
            let mut sums = [0.0; B];
            multiply_one(window.row(i, j1, below - j1), &x, &mut sums);
            window.set(i, j0..j1, &sums.map(|s| -s));
        }
        let t = inverse_gram(&corner, &reciprocal);
        for i in j0..j1 {
            let mut sums = [0.0; B];
            multiply_one(window.row(i, j1, below - j1), &x, &mut sums);
            for b in 0..=i - j0 {
                sums[b] = t[i - j0][b] - sums[b];
            }
            window.set(i, j0..i + 1, &sums);
        }
        for i in j0..(j1 + kept).min(n) {
            let columns = j0.max(i.saturating_sub(kept))..j1.min(i + 1);
            if !columns.is_empty() {
                let from = window.row(i, columns.start, columns.len());
                let to = &mut z.row_mut(i)[columns.start + kept - i..columns.end + kept - i];
                to.iter_mut().zip(from).for_each(|(t, f)| *t += scale * f);
            }
        }
    }
}

/// The block of the factor at the diagonal; 1 on the diagonal beyond the matrix.
#[inline(always)]
fn triangle(l: &SymmetricBand, rows: Range<usize>) -> [Row; B] {
    let mut corner: [Row; B] = std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 }));
    for i in rows.clone() {
        for j in rows.start..=i {
            corner[i - rows.start][j - rows.start] = l.get(i, j);
        }
    }
    corner
}

/// Row `k` of `L_KJ L_JJ⁻¹`.
#[inline(always)]
fn divide(l: &SymmetricBand, k: usize, columns: Range<usize>, corner: &[Row; B], reciprocal: &Row) -> Row {
    let own = k.saturating_sub(l.half_bandwidth()).max(columns.start)..columns.end;
    let mut x = [0.0; B];
    x[own.start - columns.start..own.end - columns.start].copy_from_slice(part(l, k, own));
    for c in (0..B).rev() {
        x[c] *= reciprocal[c];
        let last = x[c];
        for b in 0..c {
            x[b] -= last * corner[c][b];
        }
    }
    x
}

/// `L⁻ᵀ L⁻¹` of a triangle.
#[inline(always)]
fn inverse_gram(corner: &[Row; B], reciprocal: &Row) -> [Row; B] {
    // rows of L⁻¹ by forward substitution
    let mut inverse = [[0.0; B]; B];
    for i in 0..B {
        let mut row = [0.0; B];
        row[i] = 1.0;
        for (c, done) in inverse[..i].iter().enumerate() {
            for b in 0..B {
                row[b] -= corner[i][c] * done[b];
            }
        }
        inverse[i] = row.map(|v| v * reciprocal[i]);
    }
    let mut gram = [[0.0; B]; B];
    for row in &inverse {
        for (g, v) in gram.iter_mut().zip(row) {
            for b in 0..B {
                g[b] += v * row[b];
            }
        }
    }
    gram
}

/// The part of a symmetric matrix that the recurrence still needs: indices modulo its size, each row stored
/// twice in a row so that no run of columns wraps.
struct Window {
    size: usize,
    data: Vec<f64>,
}

impl Window {
    fn new(size: usize) -> Self {
        let size = size.next_multiple_of(B);
        Self { size, data: vec![0.0; 2 * size * size] }
    }

    /// Columns `j .. j + count` of row `i`.
    #[inline(always)]
    fn row(&self, i: usize, j: usize, count: usize) -> &[f64] {
        let start = (i % self.size) * 2 * self.size + j % self.size;
        &self.data[start..start + count]
    }

    /// Sets row `i` at `columns`, and by symmetry column `i`.
    #[inline(always)]
    fn set(&mut self, i: usize, columns: Range<usize>, values: &Row) {
        let (n, i) = (self.size, i % self.size);
        for (j, v) in columns.zip(values) {
            let j = j % n;
            for at in [i * 2 * n + j, i * 2 * n + j + n, j * 2 * n + i, j * 2 * n + i + n] {
                self.data[at] = *v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for (n, kd) in [(1, 0), (7, 2), (50, 9), (131, 60)] {
            let mut a = SymmetricBand::zeros(n, kd);
            for i in 0..n {
                for j in i.saturating_sub(kd)..=i {
                    a.add(i, j, if i == j { 3.0 + kd as f64 } else { ((i * 31 + j * 17) as f64).sin() });
                }
            }
            let (mut plain, mut chosen) = (a.clone(), a);
            factor_blocked(&mut plain).unwrap();
            factor(&mut chosen).unwrap();
            assert_eq!(plain, chosen);
            let (mut z, mut chosen_z) = (SymmetricBand::zeros(n, kd + 5), SymmetricBand::zeros(n, kd + 5));
            add_inverse_blocked(&plain, 0.7, &mut z);
            add_inverse(&chosen, 0.7, &mut chosen_z);
            assert_eq!(z, chosen_z);
        }
    }
}
