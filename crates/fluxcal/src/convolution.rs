//! A deconvolved spectrum with its covariance as the fibres see it: `R s` and the diagonal of `R C Rᵀ`, for rows of `R`
//! that are brought to a sum of 1. Bins are computed side by side, so that the 66 products of a row of 11 take as many vector
//! instructions.

use ndarray::ArrayView2;
use numerics::SymmetricBand;

const LANES: usize = 8;
/// Numbers of neighbouring bins.
type Wide = [f64; LANES];

/// A spectrum and the diagonals of its covariance, with zeros around.
pub struct Deconvolved {
    nwave: usize,
    /// Zeros before the first bin.
    margin: usize,
    spectrum: Vec<f64>,
    /// `C[a, a - d]` at `d`, then `a`.
    covariance: Vec<Vec<f64>>,
}

impl Deconvolved {
    /// For resolutions of up to `ndiag` diagonals.
    pub fn new(spectrum: &[f64], covariance: &SymmetricBand, ndiag: usize) -> Self {
        let (nwave, margin) = (spectrum.len(), ndiag);
        let padded = |value: &dyn Fn(usize) -> f64| {
            let mut all = vec![0.0; nwave + 2 * margin + LANES];
            (0..nwave).for_each(|j| all[margin + j] = value(j));
            all
        };
        let kd = covariance.half_bandwidth();
        let diagonal = |d: usize| padded(&|a| if d <= kd.min(a) { covariance.row(a)[kd - d] } else { 0.0 });
        Self { nwave, margin, spectrum: padded(&|j| spectrum[j]), covariance: (0..ndiag).map(diagonal).collect() }
    }

    /// `R s` and its variance in one fibre's resolution `[ndiag, nwave]` as files hold it. Rows near the ends are divided by
    /// their sum: they lose what lies beyond, and the spectrum is taken to continue there like the part that is seen.
    pub fn seen_through(&self, resolution: ArrayView2<f32>) -> (Vec<f64>, Vec<f64>) {
        let (ndiag, half) = (resolution.nrows(), resolution.nrows() / 2);
        let planes = resolution.as_standard_layout();
        let planes = planes.as_slice().unwrap_or_default();
        let (mut mean, mut variance) = (vec![0.0; self.nwave], vec![0.0; self.nwave]);
        let mut rows = vec![[0.0; LANES]; ndiag];
        for first in (0..self.nwave).step_by(LANES) {
            let count = LANES.min(self.nwave - first);
            load(planes, self.nwave, first, &mut rows);
            let [m, v, sum] = chunk(&self.covariance, &self.spectrum, self.margin + first, &rows);
            for lane in 0..count {
                let i = first + lane;
                let at_end = i < half || i + half >= self.nwave;
                let norm = if at_end && sum[lane] > 0.0 { sum[lane] } else { 1.0 };
                mean[i] = m[lane] / norm;
                variance[i] = v[lane] / (norm * norm);
            }
        }
        (mean, variance)
    }
}

/// Entries `R[i, i + n - k]` at `k`, for the bins `i` from `first` on; 0 outside the matrix. `planes` is `[ndiag, nwave]`.
fn load(planes: &[f32], nwave: usize, first: usize, rows: &mut [Wide]) {
    let half = rows.len() / 2;
    for ((k, row), plane) in rows.iter_mut().enumerate().zip(planes.chunks_exact(nwave)) {
        let inside = (first + half).checked_sub(k).and_then(|j| plane.get(j..j + LANES));
        match inside.filter(|_| first + LANES <= nwave) {
            Some(values) => row.iter_mut().zip(values).for_each(|(r, v)| *r = f64::from(*v)),
            None => {
                for (lane, r) in row.iter_mut().enumerate() {
                    let entry = (first + lane + half).checked_sub(k).and_then(|j| plane.get(j));
                    *r = entry.filter(|_| first + lane < nwave).map_or(0.0, |v| f64::from(*v));
                }
            }
        }
    }
}

numerics::dispatch! {
    /// Mean, variance and sum of the rows of some bins, the first of which is at `at` of the padded arrays.
    fn chunk(covariance: &[Vec<f64>], spectrum: &[f64], at: usize, rows: &[Wide]) -> [Wide; 3] = sums | sums
}

#[inline(always)]
fn sums(covariance: &[Vec<f64>], spectrum: &[f64], at: usize, rows: &[Wide]) -> [Wide; 3] {
    let half = rows.len() / 2;
    let (mut mean, mut variance, mut sum) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for (k, row) in rows.iter().enumerate() {
        // the bin that this entry takes light from
        let column = at + half - k;
        let from = &spectrum[column..column + LANES];
        let own = &covariance[0][column..column + LANES];
        let mut with: Wide = [0.0; LANES];
        for (d, other) in rows[k..].iter().enumerate().skip(1) {
            let c = &covariance[d][column..column + LANES];
            for lane in 0..LANES {
                with[lane] = other[lane].mul_add(c[lane], with[lane]);
            }
        }
        for lane in 0..LANES {
            sum[lane] += row[lane];
            mean[lane] = row[lane].mul_add(from[lane], mean[lane]);
            variance[lane] = row[lane].mul_add(row[lane].mul_add(own[lane], 2.0 * with[lane]), variance[lane]);
        }
    }
    [mean, variance, sum]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stars::unit_rows;
    use ndarray::Array2;
    use numerics::Resolution;

    #[test]
    fn the_same_as_with_the_matrix() {
        for (ndiag, n) in [(11, 61), (5, 8), (1, 20), (11, 12)] {
            let entry = |k: usize, j: usize| (1.0 + ((k * 31 + j * 17) % 23) as f32) / 100.0;
            let plane = Array2::from_shape_fn((ndiag, n), |(k, j)| entry(k, j));
            let mut covariance = SymmetricBand::zeros(n, ndiag - 1);
            for i in 0..n {
                for j in i.saturating_sub(ndiag - 1)..=i {
                    covariance.add(i, j, if i == j { 3.0 } else { 0.1 * ((i * 7 + j * 3) % 11) as f64 - 0.5 });
                }
            }
            let spectrum: Vec<f64> = (0..n).map(|j| 5.0 + (j % 9) as f64).collect();
            let (mean, variance) = Deconvolved::new(&spectrum, &covariance, ndiag).seen_through(plane.view());
            let matrix = unit_rows(Resolution::from_dia(plane.view()));
            let expected = matrix.apply(&spectrum).into_iter().zip(matrix.propagate(&covariance));
            for (i, (m, v)) in expected.enumerate() {
                assert!((mean[i] - m).abs() < 1e-12 * m.abs(), "{ndiag} {n} {i}: {} {m}", mean[i]);
                assert!((variance[i] - v).abs() < 1e-12, "{ndiag} {n} {i}: {} {v}", variance[i]);
            }
        }
    }
}
