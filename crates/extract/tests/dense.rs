//! The banded extraction against the same equations solved with full matrices and eigen-decompositions.
#![allow(clippy::unwrap_used)]

mod common;

use extract::{Decorrelation, Grid, Pixels, grid::sub_bundles, normal::Normal, projection::Projection, solve};
use ndarray::{Array1, Array2, s};
use ndarray_linalg::{Eigh, Inverse, Solve, UPLO};
use psf::Psf;
use std::ops::Range;

const NDIAG: usize = 11;

/// What the full matrices give for some fibres: unknown `f n + i` is bin `i` of fibre `f`.
struct Dense {
    deconvolved: Array1<f64>,
    flux: Array1<f64>,
    ivar: Array1<f64>,
    resolution: Array2<f64>,
}

/// algorithms: `(AᵀWA + diag α²) f = AᵀWp`, `Q`, `R = Q / s`, `f̃ = R f`, `ivar = s²`.
fn dense(psf: &Psf, fibers: Range<usize>, grid: &Grid, pixels: &Pixels, decorrelation: Decorrelation) -> Dense {
    let (ny, nx) = pixels.shape();
    let n = fibers.len() * grid.n;
    let mut a = Array2::<f64>::zeros((ny * nx, n));
    for (f, fiber) in fibers.clone().enumerate() {
        for i in 0..grid.n {
            let spot = psf.spot(fiber, grid.wave(i));
            for (k, v) in spot.values.iter().enumerate() {
                let (y, x) = (spot.y0 + (k / spot.nx) as i64, spot.x0 + (k % spot.nx) as i64);
                if (0..ny as i64).contains(&y) && (0..nx as i64).contains(&x) {
                    a[(y as usize * nx + x as usize, f * grid.n + i)] = *v;
                }
            }
        }
    }
    let w = Array1::from_iter(pixels.weight.iter().map(|w| f64::from(*w)));
    let p = Array1::from_iter(pixels.value.iter().map(|p| f64::from(*p)));
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
    block(own, own) - block(own, &rest).dot(&block(&rest, &rest).inv().unwrap()).dot(&block(&rest, own))
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
fn one_blas_thread() {
    // SAFETY: sets a number inside the library that the tests are linked with.
    unsafe { openblas_set_num_threads(1) }
}

/// Largest differences in sigma, in relative ivar and in resolution over its maximum, over bins that have light.
fn worst(psf: &Psf, pixels: &Pixels, nsubbundles: usize, decorrelation: Decorrelation) -> [f64; 3] {
    let grid = Grid::new(5968.0, 6032.0, 0.8).unwrap();
    let a = Projection::new(psf, 0..psf.nfiber(), &grid, pixels.shape());
    let normal = Normal::new(&a, pixels);
    let mut worst = [0.0f64; 3];
    for sub in sub_bundles(0..psf.nfiber(), nsubbundles) {
        let expected = dense(psf, sub.extended.clone(), &grid, pixels, decorrelation);
        for spectrum in solve::solve(&normal, &sub, decorrelation, 0.0, NDIAG).unwrap() {
            let start = (spectrum.fiber - sub.extended.start) * grid.n;
            for i in 0..grid.n {
                let u = start + i;
                if normal.covered[spectrum.fiber * grid.n + i] == 0.0 {
                    continue;
                }
                let got = &spectrum.whitened;
                let mut keep = |k: usize, x: f64| worst[k] = worst[k].max(x);
                keep(0, (got.flux[i] - expected.flux[u]).abs() * expected.ivar[u].sqrt());
                keep(1, (got.ivar[i] / expected.ivar[u] - 1.0).abs());
                for k in 0..NDIAG {
                    if let Some(row) = (i + k).checked_sub(NDIAG / 2).filter(|r| *r < grid.n) {
                        let r = expected.resolution[(start + row, u)];
                        keep(2, (got.resolution[k * grid.n + i] - r).abs());
                    }
                }
            }
            assert_eq!(spectrum.deconvolved.len(), grid.n);
            let largest = expected.deconvolved.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            assert!((spectrum.deconvolved[7] - expected.deconvolved[start + 7]).abs() < 1e-9 * largest);
        }
    }
    worst
}

/// The small camera with a bad column, a cosmic ray, a patch without any good pixel and half a dead fibre.
fn masked(mut pixels: Pixels) -> Pixels {
    pixels.weight.slice_mut(s![.., 21]).fill(0.0);
    pixels.weight.slice_mut(s![150..158, 30..35]).fill(0.0);
    pixels.weight.slice_mut(s![190..215, 10..31]).fill(0.0);
    pixels.weight.slice_mut(s![140..170, 36..45]).fill(0.0);
    pixels
}

/// Both decorrelations, whole bundles and sub-bundles, a PSF with and without tails.
fn check(pixels_of: impl Fn(&Psf) -> Pixels) {
    one_blas_thread();
    for psf in [common::small_psf(5), common::small_psf(5).without_tails()] {
        let pixels = pixels_of(&psf);
        for (nsubbundles, decorrelation) in
            [(1, Decorrelation::Signal), (2, Decorrelation::Signal), (1, Decorrelation::Noise)]
        {
            let d = worst(&psf, &pixels, nsubbundles, decorrelation);
            println!("{decorrelation:?}, {nsubbundles} sub-bundles: {d:?}");
            assert!(d.iter().all(|x| *x < 1e-6), "{decorrelation:?}, {nsubbundles} sub-bundles: {d:?}");
        }
    }
}

#[test]
fn clean_pixels_agree_with_full_matrices() {
    check(|psf| common::exposure(psf, 1));
}

#[test]
fn masked_pixels_agree_with_full_matrices() {
    check(|psf| masked(common::exposure(psf, 2)));
}
