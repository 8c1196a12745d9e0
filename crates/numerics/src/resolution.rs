//! The resolution matrix of one fibre: how a spectrum at the true wavelengths spreads over output bins.
//!
//! Stored as DESI's files do (scipy's DIA layout with offsets `+n … -n`, `n = (ndiag - 1) / 2`):
//! `data[k, j] = R[j - (n - k), j]`, so that `data[:, j]` is **column** `j` from top to bottom.

use crate::SymmetricBand;
use ndarray::ArrayView2;

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
        for k in 0..ndiag {
            for j in 0..nwave {
                if r.row_of(k, j).is_some() {
                    r.data[k * nwave + j] = f64::from(plane[(k, j)]);
                }
            }
        }
        r
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
        let mut out = vec![0.0; self.nwave];
        self.apply_into(s, &mut out);
        out
    }

    /// [`Resolution::apply`] into a slice of `nwave` values.
    pub fn apply_into(&self, s: &[f64], out: &mut [f64]) {
        let n = self.ndiag / 2;
        out.fill(0.0);
        for k in 0..self.ndiag {
            // i = j + k - n
            let j0 = n.saturating_sub(k);
            let j1 = (self.nwave + n - k.min(self.nwave + n)).min(self.nwave);
            if j0 >= j1 {
                continue;
            }
            let i0 = j0 + k - n;
            let diagonal = &self.data[k * self.nwave + j0..k * self.nwave + j1];
            for ((o, d), x) in out[i0..].iter_mut().zip(diagonal).zip(&s[j0..j1]) {
                *o += d * x;
            }
        }
    }

    /// `Rᵀ v`.
    pub fn apply_transposed(&self, v: &[f64]) -> Vec<f64> {
        (0..self.nwave)
            .map(|j| {
                (0..self.ndiag).filter_map(|k| self.row_of(k, j).map(|i| self.data[k * self.nwave + j] * v[i])).sum()
            })
            .collect()
    }

    /// Sums of the rows: 1 within rounding, less at the ends of the range.
    pub fn row_sums(&self) -> Vec<f64> {
        self.apply(&vec![1.0; self.nwave])
    }

    /// Adds `Rᵀ diag(w) R` to `normal` and `Rᵀ (w y)` to `rhs`: one fibre's part of the normal equations of
    /// the deconvolved spectrum. `normal` needs a half bandwidth of at least `ndiag - 1`.
    pub fn accumulate(&self, w: &[f64], y: &[f64], normal: &mut SymmetricBand, rhs: &mut [f64]) {
        let half = self.ndiag / 2;
        let kd = normal.half_bandwidth();
        let mut row = vec![0.0; self.ndiag];
        for i in 0..self.nwave {
            if w[i] <= 0.0 {
                continue;
            }
            let cols = self.columns(i);
            let first = cols.start;
            let len = cols.len();
            for (r, j) in row.iter_mut().zip(cols) {
                *r = self.data[(i + half - j) * self.nwave + j];
            }
            for a in 0..len {
                let wa = w[i] * row[a];
                let ia = first + a;
                rhs[ia] += wa * y[i];
                let target = &mut normal.row_mut(ia)[kd - a..=kd];
                for (t, r) in target.iter_mut().zip(&row[..=a]) {
                    *t += wa * r;
                }
            }
        }
    }

    /// Multiplies column `j` by `scale[j]`: the matrix of `s -> R (scale s)`.
    pub fn scale_columns(&mut self, scale: &[f64]) {
        for diagonal in self.data.chunks_exact_mut(self.nwave) {
            for (d, s) in diagonal.iter_mut().zip(scale) {
                *d *= s;
            }
        }
    }

    /// Diagonal of `R C Rᵀ` for a symmetric banded `C` (entries beyond its band count as zero).
    pub fn propagate(&self, covariance: &SymmetricBand) -> Vec<f64> {
        let kd = covariance.half_bandwidth();
        let mut row = vec![0.0; self.ndiag];
        (0..self.nwave)
            .map(|i| {
                let cols = self.columns(i);
                row.iter_mut().zip(cols.clone()).for_each(|(r, j)| *r = self.get(i, j));
                let mut sum = 0.0;
                for (a, &ra) in row[..cols.len()].iter().enumerate() {
                    let near = a.min(kd);
                    let below = crate::banded::dot(&row[a - near..a], &covariance.row(cols.start + a)[kd - near..kd]);
                    sum += ra * (2.0 * below + ra * covariance.row(cols.start + a)[kd]);
                }
                sum
            })
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    fn sample() -> (Resolution, Array2<f64>) {
        let (ndiag, nwave) = (5, 12);
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
        let s: Vec<f64> = (0..12).map(|i| (i as f64).cos()).collect();
        let expected = dense.dot(&ndarray::arr1(&s));
        let transposed = dense.t().dot(&ndarray::arr1(&s));
        assert!(r.apply(&s).iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(r.apply_transposed(&s).iter().zip(&transposed).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn normal_equations_are_those_of_the_dense_matrix() {
        let (r, dense) = sample();
        let w: Vec<f64> = (0..12).map(|i| if i == 4 { 0.0 } else { 1.0 + i as f64 }).collect();
        let y: Vec<f64> = (0..12).map(|i| (i as f64).sin()).collect();
        let mut normal = SymmetricBand::zeros(12, 4);
        let mut rhs = vec![0.0; 12];
        r.accumulate(&w, &y, &mut normal, &mut rhs);
        let wd = Array2::from_diag(&ndarray::arr1(&w));
        let expected = dense.t().dot(&wd).dot(&dense);
        let b = dense.t().dot(&wd).dot(&ndarray::arr1(&y));
        for i in 0..12 {
            assert!((rhs[i] - b[i]).abs() < 1e-11);
            for j in 0..12 {
                assert!((normal.get(i, j) - expected[(i, j)]).abs() < 1e-11, "({i}, {j})");
            }
        }
    }

    #[test]
    fn propagation_is_the_diagonal_of_the_dense_product() {
        let (r, dense) = sample();
        let mut c = SymmetricBand::zeros(12, 5);
        for i in 0..12usize {
            for j in i.saturating_sub(5)..=i {
                c.add(i, j, 1.0 / (1.0 + (i - j) as f64));
            }
        }
        let cd = Array2::from_shape_fn((12, 12), |(i, j)| c.get(i, j));
        let expected = dense.dot(&cd).dot(&dense.t());
        for (i, v) in r.propagate(&c).iter().enumerate() {
            assert!((v - expected[(i, i)]).abs() < 1e-10);
        }
    }
}
