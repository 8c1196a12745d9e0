//! Products of a banded matrix that is stored by its diagonals, a block of columns or rows at a time: what a block needs is
//! gathered once, zeros outside the matrix, and every inner loop runs over the block.
//!
//! Products are rounded before they are added, on every host, so that all give the same bits.

use super::{Diagonals, Entry, View};
use crate::SymmetricBand;

/// A number as `f64`.
pub trait Number: Copy + std::fmt::Debug + Send + Sync + 'static {
    /// Its value, exactly.
    fn value(self) -> f64;
    /// Without its sign.
    fn magnitude(self) -> Self;
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            #[inline(always)]
            fn value(self) -> f64 {
                self.into()
            }

            fn magnitude(self) -> Self {
                self.abs()
            }
        }
    };
}
number!(f32);
number!(f64);

/// Columns or rows of a block.
const BLOCK: usize = 16;

type Block = [f64; BLOCK];

/// What [`normal`] adds to.
pub struct Normal<'a> {
    pub matrix: &'a mut SymmetricBand,
    pub rhs: &'a mut [f64],
}

/// Adds `Rᵀ diag(w) R` to the matrix and `Rᵀ (w y)` to the right-hand side; data with `w <= 0` count as absent.
#[inline(always)]
pub(super) fn normal<T: Entry>(r: &View<T>, w: &[f64], y: &[f64], sums: &mut Normal) {
    let (half, reach) = (r.ndiag / 2, r.ndiag - 1);
    // row i of the matrix at i + half
    let mut weight = vec![0.0; r.nwave + reach + BLOCK];
    let mut weighted = weight.clone();
    for (i, (&w, &y)) in w.iter().zip(y).enumerate().filter(|(_, (w, _))| **w > 0.0 || w.is_nan()) {
        (weight[i + half], weighted[i + half]) = (w, w * y);
    }
    let mut near = vec![0.0; r.ndiag * (reach + BLOCK)];
    let mut scaled: Vec<Block> = vec![[0.0; BLOCK]; r.ndiag];
    let mut products = scaled.clone();
    let stored = sums.matrix.half_bandwidth();
    for first in (0..r.nwave).step_by(BLOCK) {
        let width = gather(&r.data, r.nwave, first as isize - reach as isize, &mut near, r.ndiag);
        let block = |k: usize, back: usize| -> &Block { part(&near, k * width + reach - back) };
        let mut rhs = [0.0; BLOCK];
        for (k, scaled) in scaled.iter_mut().enumerate() {
            // column j of diagonal k is in row j + k - half
            let (own, w, wy): (_, &Block, &Block) = (block(k, 0), part(&weight, first + k), part(&weighted, first + k));
            for c in 0..BLOCK {
                scaled[c] = w[c] * own[c];
                rhs[c] += wy[c] * own[c];
            }
        }
        for (d, product) in products.iter_mut().enumerate().take(stored + 1) {
            let mut sum = [0.0; BLOCK];
            for (k, scaled) in scaled[..r.ndiag - d].iter().enumerate() {
                let other = block(k + d, d);
                for c in 0..BLOCK {
                    sum[c] += scaled[c] * other[c];
                }
            }
            *product = sum;
        }
        for (c, rhs) in rhs.iter().enumerate().take(r.nwave - first) {
            sums.rhs[first + c] += rhs;
            let row = sums.matrix.row_mut(first + c).iter_mut().rev();
            row.zip(&products).for_each(|(sum, product)| *sum += product[c]);
        }
    }
}

/// `R s`.
#[inline(always)]
pub(super) fn apply<T: Entry>(r: &View<T>, s: &[f64], out: &mut [f64]) {
    let (half, ndiag, nwave) = (r.ndiag / 2, r.ndiag, r.nwave);
    let (s, out, data) = (&s[..nwave], &mut out[..nwave], &r.data[..ndiag * nwave]);
    let inner = half..(nwave + 1).saturating_sub(half + BLOCK);
    let mut i = 0;
    while i < nwave {
        if inner.contains(&i) {
            let mut sum = [0.0; BLOCK];
            for k in 0..ndiag {
                let j = i + half - k;
                let (entries, s): (&[T; BLOCK], &Block) = (part(data, k * nwave + j), part(s, j));
                for c in 0..BLOCK {
                    sum[c] += entries[c].value() * s[c];
                }
            }
            out[i..i + BLOCK].copy_from_slice(&sum);
            i += BLOCK;
        } else {
            let inside = |k: &usize| (half..half + nwave).contains(&(i + 2 * half - k));
            let product = |k: usize| data[k * nwave + i + half - k].value() * s[i + half - k];
            out[i] = (0..ndiag).filter(inside).map(product).fold(0.0, |a, b| a + b);
            i += 1;
        }
    }
}

/// Diagonal of `R C Rᵀ`.
#[inline(always)]
pub(super) fn propagate<T: Entry>(r: &View<T>, covariance: &Diagonals, out: &mut [f64]) {
    let (half, reach) = (r.ndiag / 2, r.ndiag - 1);
    let stored = covariance.half_bandwidth();
    let mut near = vec![0.0; r.ndiag * (reach + BLOCK)];
    let mut variances = vec![0.0; (stored + 1) * (reach + BLOCK)];
    for first in (0..r.nwave).step_by(BLOCK) {
        let start = first as isize - half as isize;
        let width = gather(&r.data, r.nwave, start, &mut near, r.ndiag);
        gather(covariance.values(), r.nwave, start, &mut variances, stored + 1);
        // entry of the rows of the block that is `m` columns after their first
        let entry = |m: usize| -> &Block { part(&near, (reach - m) * width + m) };
        let covariance = |d: usize, m: usize| -> &Block { part(&variances, d * width + m) };
        let mut sum = [0.0; BLOCK];
        for m in 0..r.ndiag {
            let mut twice = [0.0; BLOCK];
            for d in 1..=m.min(stored) {
                let (other, covariance) = (entry(m - d), covariance(d, m));
                for c in 0..BLOCK {
                    twice[c] += other[c] * covariance[c];
                }
            }
            let (own, variance) = (entry(m), covariance(0, m));
            for c in 0..BLOCK {
                sum[c] += own[c] * (2.0 * twice[c] + own[c] * variance[c]);
            }
        }
        let out = &mut out[first..];
        let n = out.len().min(BLOCK);
        out[..n].copy_from_slice(&sum[..n]);
    }
}

/// Copies columns from `start` on of the first `rows` rows of a matrix of `ncols` columns into `out`, 0 where it has none;
/// returns how many columns `out` has.
#[inline(always)]
fn gather<T: Number>(data: &[T], ncols: usize, start: isize, out: &mut [f64], rows: usize) -> usize {
    let width = out.len() / rows;
    let skip = (-start).max(0) as usize;
    let from = start.max(0) as usize;
    let n = width.saturating_sub(skip).min(ncols.saturating_sub(from));
    if n < width {
        out.fill(0.0);
    }
    for (row, out) in data.chunks_exact(ncols).zip(out.chunks_exact_mut(width)) {
        let (row, out) = (&row[from..from + n], &mut out[skip..skip + n]);
        for c in 0..n {
            out[c] = row[c].value();
        }
    }
    width
}

/// [`BLOCK`] values from `start` on.
#[inline(always)]
fn part<T>(values: &[T], start: usize) -> &[T; BLOCK] {
    &values[start..].as_chunks().0[0]
}
