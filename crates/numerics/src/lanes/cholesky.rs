//! Cholesky factors, their solves and selected inverses, lane by lane.

use super::{BandLanes, LANES, Lane, fused, minus, reciprocal_roots, times};
use crate::NumericsError;

/// Rows of the inverse that are computed together.
const ROWS: usize = 4;

/// Replaces the matrices by their lower factors, with the reciprocals of the pivots on the diagonal.
#[inline(always)]
pub(super) fn factor(a: &mut BandLanes) -> Result<(), NumericsError> {
    for i in 0..a.order() {
        let first = a.first(i);
        let (above, row) = a.data.split_at_mut(a.start[i]);
        for j in first..i {
            let other = &above[a.start[j]..a.start[j + 1]];
            // the columns that both rows have
            let first_of_other = j + 1 - other.len();
            let common = first.max(first_of_other);
            let mut v = row[j - first];
            for (l, m) in row[common - first..j - first].iter().zip(&other[common - first_of_other..]) {
                v = minus(l, m, &v);
            }
            row[j - first] = times(&v, &other[other.len() - 1]);
        }
        let mut pivot = row[i - first];
        for l in &row[..i - first] {
            pivot = minus(l, l, &pivot);
        }
        row[i - first] = reciprocal_roots(&pivot, i, a.start.len() - 1)?;
    }
    Ok(())
}

/// Replaces both columns of `x` by `(L Lᵀ)⁻¹ x`.
#[inline(always)]
pub(super) fn solve(l: &BandLanes, x: &mut [[Lane; 2]]) {
    for i in 0..l.order() {
        let (first, row) = (l.first(i), l.row(i));
        let [mut v, mut w] = x[i];
        for (l, x) in row.iter().zip(&x[first..i]) {
            v = minus(l, &x[0], &v);
            w = minus(l, &x[1], &w);
        }
        x[i] = [times(&v, &row[i - first]), times(&w, &row[i - first])];
    }
    for i in (0..l.order()).rev() {
        let (first, row) = (l.first(i), l.row(i));
        let [v, w] = [times(&x[i][0], &row[i - first]), times(&x[i][1], &row[i - first])];
        x[i] = [v, w];
        for (l, x) in row.iter().zip(&mut x[first..i]) {
            *x = [minus(l, &v, &x[0]), minus(l, &w, &x[1])];
        }
    }
}

/// Adds `scale (L Lᵀ)⁻¹` to `z` within both bands, column by column from the right: with `x = L_kj / L_jj`,
/// `Z_ij = -Σ_k Z_ik x_k` and `Z_jj = 1/L_jj² - Σ_k Z_jk x_k` (Takahashi, Fagan & Chin 1973).
#[inline(always)]
pub(super) fn add_inverse(l: &BandLanes, scale: f64, z: &mut BandLanes) {
    let n = l.order();
    // the part of Z that the recurrence needs: indices modulo `m`, each row twice in a row so that no run wraps
    let m = l.half_bandwidth() + 1;
    let mut window = vec![[0.0; LANES]; 2 * m * m];
    let mut x = vec![[0.0; LANES]; m];
    // row after the last one that has column j
    let mut end = n;
    for j in (0..n).rev() {
        while end > j + 1 && l.first(end - 1) > j {
            end -= 1;
        }
        let (below, own) = (end - j - 1, l.row(j));
        let reciprocal = own[own.len() - 1];
        for (x, k) in x.iter_mut().zip(j + 1..end) {
            *x = times(&l.row(k)[j - l.first(k)], &reciprocal);
        }
        let mut diagonal = times(&reciprocal, &reciprocal);
        let at = |i: usize| (i % m) * 2 * m + (j + 1) % m;
        let fours = j + 1 + below / ROWS * ROWS;
        for i in (j + 1..fours).step_by(ROWS) {
            // several rows at once load `x` once
            let sums = multiply(&window, [at(i), at(i + 1), at(i + 2), at(i + 3)], &x[..below]);
            for (r, sum) in sums.iter().enumerate() {
                diagonal = minus(sum, &x[i + r - j - 1], &diagonal);
                put(&mut window, m, (i + r, j), *sum);
                add_to(z, (i + r, j), scale, sum);
            }
        }
        for i in fours..end {
            let [sum] = multiply(&window, [at(i)], &x[..below]);
            diagonal = minus(&sum, &x[i - j - 1], &diagonal);
            put(&mut window, m, (i, j), sum);
            add_to(z, (i, j), scale, &sum);
        }
        put(&mut window, m, (j, j), diagonal);
        add_to(z, (j, j), scale, &diagonal);
    }
}

/// `-Σ_k Z_ik x_k` for the rows that begin at `starts` in the window.
#[inline(always)]
fn multiply<const R: usize>(window: &[Lane], starts: [usize; R], x: &[Lane]) -> [Lane; R] {
    let mut sums = [[0.0; LANES]; R];
    let mut rows = [&window[..0]; R];
    for r in 0..R {
        rows[r] = &window[starts[r]..][..x.len()];
    }
    for (k, x) in x.iter().enumerate() {
        for r in 0..R {
            sums[r] = minus(&rows[r][k], x, &sums[r]);
        }
    }
    sums
}

/// Sets an entry of the window and its mirror image.
#[inline(always)]
fn put(window: &mut [Lane], m: usize, (i, j): (usize, usize), value: Lane) {
    let (i, j) = (i % m, j % m);
    for at in [i * 2 * m + j, i * 2 * m + j + m, j * 2 * m + i, j * 2 * m + i + m] {
        window[at] = value;
    }
}

#[inline(always)]
fn add_to(z: &mut BandLanes, (i, j): (usize, usize), scale: f64, value: &Lane) {
    let first = z.first(i);
    if j >= first {
        let to = &mut z.row_mut(i)[j - first];
        *to = fused(value, &[scale; LANES], to);
    }
}
