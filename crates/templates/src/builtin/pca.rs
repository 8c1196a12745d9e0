//! Principal components of a family of spectra.

use ndarray::Array2;

/// Samples of all spectra that are worked on together: they stay in the cache.
const BLOCK: usize = 1024;

/// The `n` leading right singular vectors of `family`, a list of spectra, each first divided by its root mean square;
/// unit root mean square, the sign such that the sum is positive. The mean is not subtracted: the first vector
/// is close to it.
pub(crate) fn components(family: &[Vec<f64>], n: usize) -> Array2<f64> {
    let spectra: Vec<Vec<f64>> = family.iter().map(|s| normalised(s.clone())).collect();
    let m = spectra.len();
    let mut gram = Array2::zeros((m, m));
    for start in (0..spectra[0].len()).step_by(BLOCK) {
        let part = start..spectra[0].len().min(start + BLOCK);
        for i in 0..m {
            for j in 0..=i {
                gram[[i, j]] += dot(&spectra[i][part.clone()], &spectra[j][part.clone()]);
            }
        }
    }
    for i in 0..m {
        (0..i).for_each(|j| gram[[j, i]] = gram[[i, j]]);
    }
    let vectors = eigenvectors(gram);
    let mut out = Array2::zeros((n, spectra[0].len()));
    for start in (0..spectra[0].len()).step_by(BLOCK) {
        let part = start..spectra[0].len().min(start + BLOCK);
        for (mut row, vector) in out.rows_mut().into_iter().zip(&vectors) {
            let mut sums = [0.0; BLOCK];
            for (spectrum, weight) in spectra.iter().zip(vector) {
                sums.iter_mut().zip(&spectrum[part.clone()]).for_each(|(o, s)| *o += weight * s);
            }
            row.iter_mut().skip(start).zip(&sums).for_each(|(o, s)| *o = *s);
        }
    }
    for mut row in out.rows_mut() {
        let mut scaled = normalised(row.to_vec());
        if scaled.iter().sum::<f64>() < 0.0 {
            scaled.iter_mut().for_each(|x| *x = -*x);
        }
        row.iter_mut().zip(scaled).for_each(|(o, s)| *o = s);
    }
    out
}

numerics::dispatch! {
    /// Dot product in lanes.
    fn dot(a: &[f64], b: &[f64]) -> f64 = dot_in_lanes | dot_in_lanes
}

#[inline(always)]
fn dot_in_lanes(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 32;
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] = x[i].mul_add(y[i], lanes[i]);
        }
    }
    let mut sum = 0.0;
    for lane in lanes {
        sum += lane;
    }
    for (x, y) in a_rest.iter().zip(b_rest) {
        sum = x.mul_add(*y, sum);
    }
    sum
}

/// A spectrum divided by its root mean square.
pub(crate) fn normalised(mut spectrum: Vec<f64>) -> Vec<f64> {
    let rms = (spectrum.iter().map(|x| x * x).sum::<f64>() / spectrum.len() as f64).sqrt();
    if rms > 0.0 {
        spectrum.iter_mut().for_each(|x| *x /= rms);
    }
    spectrum
}

/// Eigenvectors of a symmetric matrix by descending eigenvalue (cyclic Jacobi; Golub & Van Loan 2013,
/// section 8.5).
fn eigenvectors(mut a: Array2<f64>) -> Vec<Vec<f64>> {
    let n = a.nrows();
    let mut v: Array2<f64> = Array2::eye(n);
    let trace: f64 = a.diag().sum();
    for _sweep in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|ij| a[ij] * a[ij]).sum();
        if off.sqrt() <= 1e-13 * trace {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut v, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a[[*j, *j]].total_cmp(&a[[*i, *i]]));
    order.into_iter().map(|k| v.column(k).to_vec()).collect()
}

/// One Jacobi rotation, which makes `a[p, q]` zero.
fn rotate(a: &mut Array2<f64>, v: &mut Array2<f64>, p: usize, q: usize) {
    if a[[p, q]] == 0.0 {
        return;
    }
    let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..a.nrows() {
        let (x, y) = (a[[k, p]], a[[k, q]]);
        a[[k, p]] = c * x - s * y;
        a[[k, q]] = s * x + c * y;
    }
    for k in 0..a.nrows() {
        let (x, y) = (a[[p, k]], a[[q, k]]);
        a[[p, k]] = c * x - s * y;
        a[[q, k]] = s * x + c * y;
        let (x, y) = (v[[k, p]], v[[k, q]]);
        v[[k, p]] = c * x - s * y;
        v[[k, q]] = s * x + c * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_span_the_family() {
        let base = [|x: f64| x.sin() + 2.0, |x: f64| (0.3 * x).cos(), |x: f64| x * 0.01];
        let spectrum = |c: [f64; 3]| -> Vec<f64> {
            (0..200).map(|i| base.iter().zip(c).map(|(f, w)| w * f(i as f64 * 0.1)).sum()).collect()
        };
        let family: Vec<Vec<f64>> = (0..9).map(|i| spectrum([1.0, 0.1 * i as f64, (i as f64).sin()])).collect();
        let basis = components(&family, 3);
        // a fourth member of the space is a sum of the three, which are orthogonal
        let other = spectrum([0.7, -0.2, 1.5]);
        let mut rest = other.clone();
        for row in basis.rows() {
            let c = row.iter().zip(&other).map(|(a, b)| a * b).sum::<f64>() / 200.0;
            rest.iter_mut().zip(row).for_each(|(r, b)| *r -= c * b);
        }
        assert!(rest.iter().all(|r| r.abs() < 1e-6), "{rest:?}");
    }
}
