//! The resolution matrix of one fibre: how a spectrum at the true wavelengths spreads over output bins.
//!
//! Stored as DESI's files do (scipy's DIA layout with offsets `+n … -n`, `n = (ndiag - 1) / 2`):
//! `data[k, j] = R[j - (n - k), j]`, so that `data[:, j]` is **column** `j` from top to bottom.

mod entry;
mod products;

use crate::SymmetricBand;
pub use entry::Entry;
use ndarray::ArrayView2;
use std::borrow::Cow;

/// A banded matrix of `nwave` rows and columns with `ndiag` (odd) diagonals, dimensionless.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    ndiag: usize,
    nwave: usize,
    /// `[ndiag, nwave]`, the fast axis is the wavelength.
    data: Vec<f64>,
}

impl Resolution {
    /// The zero matrix.
    pub fn zeros(ndiag: usize, nwave: usize) -> Self {
        debug_assert!(ndiag % 2 == 1, "an even number of diagonals: {ndiag}");
        Self { ndiag, nwave, data: vec![0.0; ndiag * nwave] }
    }

    /// The identity.
    pub fn identity(nwave: usize) -> Self {
        Self { ndiag: 1, nwave, data: vec![1.0; nwave] }
    }

    /// From one fibre's plane `[ndiag, nwave]` of a file's RESOLUTION; entries outside the matrix are
    /// dropped.
    pub fn from_dia(plane: ArrayView2<f32>) -> Self {
        let (ndiag, nwave) = plane.dim();
        let mut r = Self::zeros(ndiag, nwave);
        for (k, (own, row)) in r.data.chunks_exact_mut(nwave.max(1)).zip(plane.rows()).enumerate() {
            // row j + k - half of column j
            let half = ndiag / 2;
            let inside = half.saturating_sub(k).min(nwave)..(nwave + half).saturating_sub(k).min(nwave);
            let entries = own.iter_mut().zip(row).skip(inside.start).take(inside.len());
            entries.for_each(|(own, entry)| *own = f64::from(*entry));
        }
        r
    }

    /// Where its products are made.
    pub fn view(&self) -> View<'_, f64> {
        View { ndiag: self.ndiag, nwave: self.nwave, data: Cow::Borrowed(&self.data) }
    }

    /// Number of diagonals.
    pub fn ndiag(&self) -> usize {
        self.ndiag
    }

    /// Order of the matrix.
    pub fn nwave(&self) -> usize {
        self.nwave
    }

    /// The diagonals `[ndiag, nwave]` in the file's order.
    pub fn diagonals(&self) -> &[f64] {
        &self.data
    }

    /// Row index of storage cell `(k, j)`, or `None` outside the matrix.
    fn row_of(&self, k: usize, j: usize) -> Option<usize> {
        (j + k).checked_sub(self.ndiag / 2).filter(|&i| i < self.nwave)
    }

    /// `R[i, j]`, zero outside the band.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        let k = i as isize - j as isize + (self.ndiag / 2) as isize;
        if (0..self.ndiag as isize).contains(&k) { self.data[k as usize * self.nwave + j] } else { 0.0 }
    }

    /// Sets `R[i, j]`, which must lie in the band.
    pub fn set(&mut self, i: usize, j: usize, value: f64) {
        let k = i + self.ndiag / 2 - j;
        self.data[k * self.nwave + j] = value;
    }

    /// Columns `j` that row `i` touches.
    pub fn columns(&self, i: usize) -> std::ops::Range<usize> {
        let n = self.ndiag / 2;
        i.saturating_sub(n)..(i + n + 1).min(self.nwave)
    }

    /// `R s`: the spectrum `s` as the extraction reports it.
    pub fn apply(&self, s: &[f64]) -> Vec<f64> {
        self.view().apply(s)
    }

    /// [`Resolution::apply`] into a slice of `nwave` values.
    pub fn apply_into(&self, s: &[f64], out: &mut [f64]) {
        self.view().apply_into(s, out);
    }

    /// `Rᵀ v`.
    pub fn apply_transposed(&self, v: &[f64]) -> Vec<f64> {
        (0..self.nwave)
            .map(|j| {
                (0..self.ndiag).filter_map(|k| self.row_of(k, j).map(|i| self.data[k * self.nwave + j] * v[i])).sum()
            })
            .collect()
    }

    /// See [`View::row_sums`].
    pub fn row_sums(&self) -> Vec<f64> {
        self.view().row_sums()
    }

    /// See [`View::accumulate`].
    pub fn accumulate(&self, w: &[f64], y: &[f64], normal: &mut SymmetricBand, rhs: &mut [f64]) {
        self.view().accumulate(w, y, normal, rhs);
    }

    /// Multiplies column `j` by `scale[j]`: the matrix of `s -> R (scale s)`.
    pub fn scale_columns(&mut self, scale: &[f64]) {
        for diagonal in self.data.chunks_exact_mut(self.nwave) {
            for (d, s) in diagonal.iter_mut().zip(scale) {
                *d *= s;
            }
        }
    }

    /// See [`View::propagate`].
    pub fn propagate(&self, covariance: &Diagonals) -> Vec<f64> {
        self.view().propagate(covariance)
    }

    /// Mean of several matrices of equal shape.
    pub fn mean<'a>(matrices: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut sum: Option<(Self, usize)> = None;
        for r in matrices {
            match &mut sum {
                None => sum = Some((r.clone(), 1)),
                Some((s, n)) => {
                    s.data.iter_mut().zip(&r.data).for_each(|(a, b)| *a += b);
                    *n += 1;
                }
            }
        }
        sum.map(|(mut s, n)| {
            s.data.iter_mut().for_each(|a| *a /= n as f64);
            s
        })
    }
}

/// A resolution matrix where it lies, as `f32` in a file's RESOLUTION or as `f64` in a [`Resolution`]: for products that
/// need no copy of it. Its entries are finite; those outside the matrix do not count.
#[derive(Debug, Clone)]
pub struct View<'a, T: Entry> {
    ndiag: usize,
    nwave: usize,
    data: Cow<'a, [T]>,
}

impl<'a, T: Entry> View<'a, T> {
    /// One fibre's plane `[ndiag, nwave]`.
    pub fn of_dia(plane: ArrayView2<'a, T>) -> Self {
        let (ndiag, nwave) = plane.dim();
        let data = plane.to_slice().map_or_else(|| Cow::Owned(plane.iter().copied().collect()), Cow::Borrowed);
        Self { ndiag, nwave, data }
    }

    /// Number of diagonals.
    pub fn ndiag(&self) -> usize {
        self.ndiag
    }

    /// Order of the matrix.
    pub fn nwave(&self) -> usize {
        self.nwave
    }

    /// `R s`.
    pub fn apply(&self, s: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.nwave];
        self.apply_into(s, &mut out);
        out
    }

    /// [`View::apply`] into a slice of `nwave` values.
    pub fn apply_into(&self, s: &[f64], out: &mut [f64]) {
        T::apply(self, s, out);
    }

    /// Sums of the rows: 1 within rounding, less at the ends of the range.
    pub fn row_sums(&self) -> Vec<f64> {
        self.apply(&vec![1.0; self.nwave])
    }

    /// Adds `Rᵀ diag(w) R` to `normal` and `Rᵀ (w y)` to `rhs`: one fibre's part of the normal equations of the
    /// deconvolved spectrum. Data with `w <= 0` count as absent. `normal` needs a half bandwidth of at least `ndiag - 1`.
    pub fn accumulate(&self, w: &[f64], y: &[f64], normal: &mut SymmetricBand, rhs: &mut [f64]) {
        T::accumulate(self, w, y, &mut products::Normal { matrix: normal, rhs });
    }

    /// Diagonal of `R C Rᵀ` for a symmetric banded `C` (entries beyond its band count as zero).
    pub fn propagate(&self, covariance: &Diagonals) -> Vec<f64> {
        let mut out = vec![0.0; self.nwave];
        T::propagate(self, covariance, &mut out);
        out
    }

    /// The matrix of the magnitudes.
    pub fn absolute(&self) -> View<'static, T> {
        View {
            ndiag: self.ndiag,
            nwave: self.nwave,
            data: Cow::Owned(self.data.iter().map(|entry| entry.magnitude()).collect()),
        }
    }
}

/// A symmetric banded matrix by its diagonals: `values[d * n + j] = C[j, j - d]`, 0 where `j < d`.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagonals {
    half_bandwidth: usize,
    values: Vec<f64>,
}

impl Diagonals {
    /// Number of diagonals below the main one.
    pub fn half_bandwidth(&self) -> usize {
        self.half_bandwidth
    }

    /// The diagonals one after the other, the main one first.
    fn values(&self) -> &[f64] {
        &self.values
    }
}

impl From<&SymmetricBand> for Diagonals {
    fn from(band: &SymmetricBand) -> Self {
        let (n, half_bandwidth) = (band.order(), band.half_bandwidth());
        let mut values = vec![0.0; n * (half_bandwidth + 1)];
        for j in 0..n {
            band.row(j).iter().rev().enumerate().for_each(|(d, v)| values[d * n + j] = *v);
        }
        Self { half_bandwidth, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn sample() -> (Resolution, Array2<f64>) {
        // blocks at the ends, in the middle, and one that is not full
        let (ndiag, nwave) = (5, 61);
        let plane = Array2::from_shape_fn((ndiag, nwave), |(k, j)| (1 + k * 13 + j * 7) as f32 % 11.0);
        let r = Resolution::from_dia(plane.view());
        // scipy.sparse.dia_matrix((data, offsets)): M[j - offset_k, j] = data[k, j], offsets 2..-2
        let mut dense = Array2::zeros((nwave, nwave));
        for k in 0..ndiag {
            for j in 0..nwave as isize {
                let i = j - (2 - k as isize);
                if (0..nwave as isize).contains(&i) {
                    dense[(i as usize, j as usize)] = f64::from(plane[(k, j as usize)]);
                }
            }
        }
        (r, dense)
    }

    #[test]
    fn product_follows_scipys_layout() {
        let (r, dense) = sample();
        let s: Vec<f64> = (0..61).map(|i| (i as f64).cos()).collect();
        let expected = dense.dot(&ndarray::arr1(&s));
        let transposed = dense.t().dot(&ndarray::arr1(&s));
        assert!(r.apply(&s).iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(r.apply_transposed(&s).iter().zip(&transposed).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn normal_equations_are_those_of_the_dense_matrix() {
        let (r, dense) = sample();
        let w: Vec<f64> = (0..61).map(|i| if i == 4 { 0.0 } else { 1.0 + i as f64 }).collect();
        let y: Vec<f64> = (0..61).map(|i| (i as f64).sin()).collect();
        let mut normal = SymmetricBand::zeros(61, 4);
        let mut rhs = vec![0.0; 61];
        r.accumulate(&w, &y, &mut normal, &mut rhs);
        let wd = Array2::from_diag(&ndarray::arr1(&w));
        let expected = dense.t().dot(&wd).dot(&dense);
        let b = dense.t().dot(&wd).dot(&ndarray::arr1(&y));
        for i in 0..61 {
            assert!((rhs[i] - b[i]).abs() < 1e-9);
            for j in 0..61 {
                assert!((normal.get(i, j) - expected[(i, j)]).abs() < 1e-9, "({i}, {j})");
            }
        }
    }

    #[test]
    fn propagation_is_the_diagonal_of_the_dense_product() {
        let (r, dense) = sample();
        let mut c = SymmetricBand::zeros(61, 5);
        for i in 0..61usize {
            for j in i.saturating_sub(5)..=i {
                c.add(i, j, 1.0 / (1.0 + (i - j) as f64));
            }
        }
        let cd = Array2::from_shape_fn((61, 61), |(i, j)| c.get(i, j));
        let expected = dense.dot(&cd).dot(&dense.t());
        for (i, v) in r.propagate(&Diagonals::from(&c)).iter().enumerate() {
            assert!((v - expected[(i, i)]).abs() < 1e-9);
        }
    }

    #[test]
    fn a_plane_as_a_file_has_it_gives_the_same_bits() {
        let plane = Array2::from_shape_fn((7, 50), |(k, j)| ((k * 13 + j * 7) % 11) as f32 * 0.1);
        let (r, view) = (Resolution::from_dia(plane.view()), View::of_dia(plane.view()));
        let s: Vec<f64> = (0..50).map(|i| f64::from(i).sin()).collect();
        assert_eq!(r.apply(&s), view.apply(&s));
        let sums = |add: &dyn Fn(&mut SymmetricBand, &mut [f64])| {
            let (mut normal, mut rhs) = (SymmetricBand::zeros(50, 6), vec![0.0; 50]);
            add(&mut normal, &mut rhs);
            (normal, rhs)
        };
        let (a, b) = (sums(&|n, b| r.accumulate(&s, &s, n, b)), sums(&|n, b| view.accumulate(&s, &s, n, b)));
        assert_eq!(a, b);
        let covariance = Diagonals::from(&a.0);
        assert_eq!(r.propagate(&covariance), view.propagate(&covariance));
        assert!(view.absolute().apply(&s).iter().zip(r.apply(&s)).all(|(a, b)| *a == b));
    }
}
