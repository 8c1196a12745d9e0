//! The entries of the inverse near the diagonal, block column by block column from the right: with
//! `X = L_KJ L_JJ⁻¹` for the rows `K` below block `J`, `Z_IJ = -Z_IK X` and `Z_JJ = L_JJ⁻ᵀ L_JJ⁻¹ - Z_JK X`
//! (Takahashi, Fagan & Chin 1973).

use super::{B, Row, add_product, identity, inverse_of, multiply, multiply_one, part};
use crate::{BandLanes, SymmetricBand};
use std::ops::Range;

/// Adds `scale` times the inverse of `l lᵀ` to `z`, within the band of `z`; `R` rows are multiplied together.
#[inline(always)]
pub(super) fn add<const R: usize>(l: &SymmetricBand, scale: f64, z: &mut SymmetricBand) {
    blocks::<R>(l, z.half_bandwidth(), &mut Band { scale, z });
}

/// Writes the entries of the inverse of `l lᵀ` that a [`Classes`] wants.
#[inline(always)]
pub(super) fn write_classes<const R: usize>(l: &SymmetricBand, classes: &mut Classes) {
    blocks::<R>(l, classes.reach() * classes.period, classes);
}

/// What becomes of the inverse.
trait Sink {
    /// Takes block columns that are complete within the band, from the right to the left.
    fn take(&mut self, window: &Window, columns: Range<usize>);
}

/// A band to which a multiple is added.
struct Band<'a> {
    scale: f64,
    z: &'a mut SymmetricBand,
}

impl Sink for Band<'_> {
    #[inline(always)]
    fn take(&mut self, window: &Window, columns: Range<usize>) {
        let (n, kept) = (self.z.order(), self.z.half_bandwidth());
        for i in columns.start..(columns.end + kept).min(n) {
            let own = columns.start.max(i.saturating_sub(kept))..columns.end.min(i + 1);
            let to = &mut self.z.row_mut(i)[own.start + kept - i..own.end + kept - i];
            for (t, f) in to.iter_mut().zip(window.row(i, own.start, own.len())) {
                *t = self.scale.mul_add(*f, *t);
            }
        }
    }
}

/// Of a matrix whose unknowns are of `period` kinds in turn: the blocks of some kinds, in lanes.
pub(crate) struct Classes<'a> {
    /// Number of kinds.
    pub period: usize,
    /// The kind of each lane.
    pub kinds: &'a [usize],
    /// Lane `k`, entry `(i, j)` becomes entry `(i period + kinds[k], j period + kinds[k])` of the inverse.
    pub blocks: &'a mut BandLanes,
}

impl Classes<'_> {
    fn reach(&self) -> usize {
        self.blocks.half_bandwidth()
    }
}

impl Sink for Classes<'_> {
    #[inline(always)]
    fn take(&mut self, window: &Window, columns: Range<usize>) {
        let (m, reach) = (self.period, self.reach());
        for j in columns {
            for (k, kind) in self.kinds.iter().enumerate() {
                if j % m == *kind {
                    for i in j / m..(j / m + reach + 1).min(self.blocks.order()) {
                        let at = j / m - self.blocks.first(i);
                        self.blocks.row_mut(i)[at][k] = window.row(i * m + kind, j, 1)[0];
                    }
                }
            }
        }
    }
}

/// The recurrence over at least `width` diagonals.
#[inline(always)]
fn blocks<const R: usize>(l: &SymmetricBand, width: usize, sink: &mut impl Sink) {
    let (n, kd) = (l.order(), l.half_bandwidth());
    let width = width.max(kd);
    let mut window = Window::new(width + 2 * B);
    // -X
    let mut x: Vec<Row> = Vec::with_capacity(kd);
    for j0 in (0..n).step_by(B).rev() {
        let j1 = (j0 + B).min(n);
        let below = (j1 + kd).min(n);
        let inverse = inverse_of(&triangle(l, j0..j1)).map(|row| row.map(|v| -v));
        minus_x::<R>(l, j0..j1, j1..below, &inverse, &mut x);
        let end = (j1 + width).min(n);
        let whole = j1 + (end - j1) / R * R;
        for i in (j1..whole).step_by(R) {
            let mut sums = [[0.0; B]; R];
            multiply::<R>(std::array::from_fn(|r| window.row(i + r, j1, below - j1)), &x, &mut sums);
            window.set_rows(i, j0, &sums);
        }
        for i in whole..end {
            let mut sums = [0.0; B];
            multiply_one(window.row(i, j1, below - j1), &x, &mut sums);
            window.set(i, j0..j1, &sums);
        }
        let mut gram = gram(&inverse);
        for i in j0..j1 {
            multiply_one(window.row(i, j1, below - j1), &x, &mut gram[i - j0]);
            window.set(i, j0..i + 1, &gram[i - j0]);
        }
        sink.take(&window, j0..j1);
    }
}

/// The block of the factor at the diagonal; 1 on the diagonal beyond the matrix.
#[inline(always)]
fn triangle(l: &SymmetricBand, rows: Range<usize>) -> [Row; B] {
    let mut corner = identity();
    for i in rows.clone() {
        for j in rows.start..=i {
            corner[i - rows.start][j - rows.start] = l.get(i, j);
        }
    }
    corner
}

/// `-L_KJ L_JJ⁻¹` for the rows `K` below block `J`, from `-L_JJ⁻¹`.
#[inline(always)]
fn minus_x<const R: usize>(
    l: &SymmetricBand,
    columns: Range<usize>,
    rows: Range<usize>,
    inverse: &[Row; B],
    x: &mut Vec<Row>,
) {
    x.clear();
    // the rows that hold all the columns
    let whole = (columns.start + l.half_bandwidth() + 1).clamp(rows.start, rows.end);
    let blocks = rows.start + (whole - rows.start) / R * R;
    for k in (rows.start..blocks).step_by(R) {
        let mut sums = [[0.0; B]; R];
        multiply::<R>(std::array::from_fn(|r| part(l, k + r, columns.clone())), inverse, &mut sums);
        x.extend_from_slice(&sums);
    }
    for k in blocks..rows.end {
        let own = k.saturating_sub(l.half_bandwidth()).max(columns.start)..columns.end;
        let mut sums = [0.0; B];
        multiply_one(part(l, k, own.clone()), &inverse[own.start - columns.start..], &mut sums);
        x.push(sums);
    }
}

/// `L⁻ᵀ L⁻¹` from `±L⁻¹`.
#[inline(always)]
fn gram(inverse: &[Row; B]) -> [Row; B] {
    let mut gram = [[0.0; B]; B];
    for row in inverse {
        for (g, v) in gram.iter_mut().zip(row) {
            add_product(g, *v, row);
        }
    }
    gram
}

/// The part of a symmetric matrix that the recurrence still needs: indices modulo its size, a multiple of `B`; each
/// row is stored twice in a row so that no run of columns wraps.
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

    /// Sets some entries of row `i`.
    #[inline(always)]
    fn write(&mut self, i: usize, j: usize, values: &[f64]) {
        let start = (i % self.size) * 2 * self.size + j % self.size;
        self.data[start..start + values.len()].copy_from_slice(values);
        self.data[start + self.size..start + self.size + values.len()].copy_from_slice(values);
    }

    /// Sets row `i` at `columns`, which do not wrap, and by symmetry column `i`.
    #[inline(always)]
    fn set(&mut self, i: usize, columns: Range<usize>, values: &Row) {
        self.write(i, columns.start, &values[..columns.len()]);
        for (j, v) in columns.zip(values) {
            self.write(j, i, std::slice::from_ref(v));
        }
    }

    /// Sets a block of rows at the columns `j .. j + B`, and by symmetry the transposed block; neither wraps.
    #[inline(always)]
    fn set_rows<const R: usize>(&mut self, i: usize, j: usize, values: &[Row; R]) {
        for (r, row) in values.iter().enumerate() {
            self.write(i + r, j, row);
        }
        let column = |b: usize| std::array::from_fn::<f64, R, _>(|r| values[r][b]);
        (0..B).for_each(|b| self.write(j + b, i, &column(b)));
    }
}
