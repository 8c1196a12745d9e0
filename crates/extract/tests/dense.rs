//! The banded extraction against the same equations solved with full matrices and eigen-decompositions.
#![allow(clippy::unwrap_used)]

mod common;

use common::dense::{dense, one_blas_thread};
use extract::{Decorrelation, Grid, Pixels, grid::sub_bundles, normal::Normal, projection::Projection, solve};
use ndarray::s;
use psf::Psf;

const NDIAG: usize = 11;

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
