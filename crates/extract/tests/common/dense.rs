//! The equations of extraction with full matrices and eigen-decompositions.

use extract::{Decorrelation, Grid, Pixels};
use ndarray::{Array1, Array2, s};
use ndarray_linalg::{Eigh, FactorizeC, Solve, SolveC, UPLO};
use psf::{Psf, Spot};
use std::ops::Range;

/// What the full matrices give for some fibres: unknown `f n + i` is bin `i` of fibre `f`.
pub struct Dense {
    /// `f`, electrons per bin.
    pub deconvolved: Array1<f64>,
    /// `R f`.
    pub flux: Array1<f64>,
    pub ivar: Array1<f64>,
    pub resolution: Array2<f64>,
}

/// algorithms: `(AᵀWA + diag α²) f = AᵀWp`, `Q`, `R = Q / s`, `f̃ = R f`, `ivar = s²`.
pub fn dense(psf: &Psf, fibers: Range<usize>, grid: &Grid, pixels: &Pixels, decorrelation: Decorrelation) -> Dense {
    let spots: Vec<Spot> =
        fibers.clone().flat_map(|fiber| (0..grid.n).map(move |i| psf.spot(fiber, grid.wave(i)))).collect();
    // the part of the image that the spots touch
    let range = |first: &dyn Fn(&Spot) -> i64, size: usize, limit: usize| {
        let (low, high) = (spots.iter().map(first).min().unwrap(), spots.iter().map(first).max().unwrap());
        low.max(0) as usize..(high + size as i64).clamp(0, limit as i64) as usize
    };
    let (ny, nx) = pixels.shape();
    let (rows, cols) = (range(&|s| s.y0, spots[0].ny, ny), range(&|s| s.x0, spots[0].nx, nx));
    let n = spots.len();
    let mut a = Array2::<f64>::zeros((rows.len() * cols.len(), n));
    for (j, spot) in spots.iter().enumerate() {
        for (k, v) in spot.values.iter().enumerate() {
            let (y, x) = (spot.y0 + (k / spot.nx) as i64, spot.x0 + (k % spot.nx) as i64);
            if y >= 0 && x >= 0 && rows.contains(&(y as usize)) && cols.contains(&(x as usize)) {
                a[((y as usize - rows.start) * cols.len() + x as usize - cols.start, j)] = *v;
            }
        }
    }
    let part = s![rows.clone(), cols.clone()];
    let w = Array1::from_iter(pixels.weight.slice(part).iter().map(|w| f64::from(*w)));
    let p = Array1::from_iter(pixels.value.slice(part).iter().map(|p| f64::from(*p)));
    let wa = &a * &w.view().insert_axis(ndarray::Axis(1));
    let mut inverse_covariance = a.t().dot(&wa);
    let fluxweight = wa.sum_axis(ndarray::Axis(0));
    let least = 1e-4 * fluxweight.fold(0.0, |m: f64, v| m.max(*v));
    for (j, &weight) in fluxweight.iter().enumerate() {
        inverse_covariance[(j, j)] += if weight < least { (least - weight).powi(2) } else { 0.0 };
    }
    let deconvolved = inverse_covariance.solve(&wa.t().dot(&p)).unwrap();
    let q = match decorrelation {
        Decorrelation::Noise => power(&inverse_covariance, 0.5),
        Decorrelation::Signal => {
            let mut q = Array2::zeros((n, n));
            for f in 0..fibers.len() {
                let own: Vec<usize> = (f * grid.n..(f + 1) * grid.n).collect();
                let root = power(&schur_complement(&inverse_covariance, &own), 0.5);
                q.slice_mut(s![f * grid.n..(f + 1) * grid.n, f * grid.n..(f + 1) * grid.n]).assign(&root);
            }
            q
        }
    };
    let sums = q.sum_axis(ndarray::Axis(1));
    let resolution = &q / &sums.view().insert_axis(ndarray::Axis(1));
    Dense { flux: resolution.dot(&deconvolved), ivar: &sums * &sums, resolution, deconvolved }
}

/// The inverse of the block `own` of the inverse of `a`, `a_oo - a_or a_rr⁻¹ a_ro` with the rest `r`: as the
/// inverse of a covariance block it loses no digits where other unknowns are hardly determined.
fn schur_complement(a: &Array2<f64>, own: &[usize]) -> Array2<f64> {
    let rest: Vec<usize> = (0..a.nrows()).filter(|u| !own.contains(u)).collect();
    let block = |p: &[usize], q: &[usize]| Array2::from_shape_fn((p.len(), q.len()), |(i, j)| a[(p[i], q[j])]);
    let factor = block(&rest, &rest).factorizec(UPLO::Lower).unwrap();
    let mut solved = block(&rest, own);
    for mut column in solved.columns_mut() {
        let x = factor.solvec(&column.to_owned()).unwrap();
        column.assign(&x);
    }
    let complement = block(own, own) - block(own, &rest).dot(&solved);
    0.5 * (&complement + &complement.t())
}

/// A power of a symmetric matrix.
fn power(a: &Array2<f64>, exponent: f64) -> Array2<f64> {
    let (values, vectors) = a.eigh(UPLO::Lower).unwrap();
    (&vectors * &values.mapv(|v| v.powf(exponent))).dot(&vectors.t())
}

unsafe extern "C" {
    fn openblas_set_num_threads(n: i32);
}

/// The threads of Debian's OpenBLAS spoil its eigen-decompositions now and then.
pub fn one_blas_thread() {
    // SAFETY: sets a number inside the library that the tests are linked with.
    unsafe { openblas_set_num_threads(1) }
}
