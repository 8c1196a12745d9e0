//! A bundle of an image simulated with a real PSF, against its truth and against another program.
#![allow(clippy::unwrap_used)]

mod common;

use common::dense::{dense, one_blas_thread};
use datamodel::{GaussHermitePsf, Image, fits::FitsReader};
use extract::{Decorrelation, Extraction, Grid, Params, Pixels, extract};
use ndarray::{Array2, Axis};
use numerics::{Resolution, robust::median};
use psf::Psf;
use std::path::PathBuf;

/// A file of the shared data, or `None` (said on stderr) where it is absent.
fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var("SPECMILL_SHARED")
        .map_or_else(|_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")), PathBuf::from);
    let path = root.join("data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

/// The simulated image `exact`, the PSF that it was made with, and how to extract its bundle, with GH-0-0 as the PSF's file has it (1 and what its
/// writer left over from the row before), as the program that simulated the image evaluates it.
fn exposure() -> Option<(Pixels, Psf, Params)> {
    let image = Image::read(&shared("extract/preproc-r0-exact-bundle0.fits.gz")?).unwrap();
    let mut file = GaussHermitePsf::read(&shared("psf/psf-r0-00051060.fits")?).unwrap();
    let mut stored = file.parameters["GHSIGY"].clone();
    stored.column_mut(0).fill(1.0);
    file.parameters.insert("GH-0-0".to_string(), stored);
    let params = Params {
        grid: Grid::new(5760.0, 7620.0, 0.8)?,
        fibers: 0..25,
        bundlesize: 25,
        nsubbundles: 5,
        regularize: 0.0,
        decorrelation: Decorrelation::Signal,
        psf_error: 0.01,
        model: true,
    };
    Some((Pixels::new(image.pix, image.ivar, &image.mask), Psf::new(file).unwrap(), params))
}

fn extraction() -> Option<(Extraction, Grid)> {
    let (pixels, psf, params) = exposure()?;
    Some((extract(&pixels, &psf, &params, |_| ()).unwrap(), params.grid))
}

#[test]
fn pulls_against_the_truth_are_standard_normal() {
    let (Some((x, grid)), Some(path)) = (extraction(), shared("extract/truth-r0-exact-bundle0.fits")) else {
        return;
    };
    let mut fits = FitsReader::open(&path).unwrap();
    let wave = fits.vector("WAVELENGTH").unwrap();
    let truth = fits.plane_f64("ELECTRON_PER_A").unwrap();
    let first = wave.iter().position(|w| (w - grid.first).abs() < 0.01).unwrap();
    let mut pulls = Array2::<f64>::zeros((25, grid.n - 20));
    for fiber in 0..25 {
        let r = Resolution::from_dia(x.resolution.index_axis(Axis(0), fiber));
        let model = r.apply(&truth.row(fiber).to_vec()[first..first + grid.n]);
        for i in 10..grid.n - 10 {
            let sigma = f64::from(x.ivar[(fiber, i)]).sqrt().recip();
            pulls[(fiber, i - 10)] = (f64::from(x.flux[(fiber, i)]) - model[i]) / sigma;
        }
    }
    let mean = pulls.mean().unwrap();
    let width = pulls.mapv(|p| p * p).mean().unwrap().sqrt();
    let (n, f) = (pulls.ncols(), 25);
    let product = |a: ndarray::ArrayView2<f64>, b: ndarray::ArrayView2<f64>| (&a * &b).mean().unwrap();
    let in_wave = product(pulls.slice(ndarray::s![.., 1..]), pulls.slice(ndarray::s![.., ..n - 1]));
    let in_fiber = product(pulls.slice(ndarray::s![1.., ..]), pulls.slice(ndarray::s![..f - 1, ..]));
    println!("mean {mean:.4} width {width:.4} correlations {in_wave:.4} {in_fiber:.4}");
    assert!(mean.abs() < 0.01 && (width - 1.0).abs() < 0.01);
    assert!(in_wave.abs() < 0.01 && in_fiber.abs() < 0.01);
}

#[test]
fn agrees_with_gpu_specter_away_from_its_patch_edges() {
    let (Some((x, grid)), Some(path)) = (extraction(), shared("extract/frame-gpu_specter-exact.fits")) else {
        return;
    };
    let mut fits = FitsReader::open(&path).unwrap();
    let (flux, ivar) = (fits.plane("FLUX").unwrap(), fits.plane("IVAR").unwrap());
    let resolution = fits.cube("RESOLUTION").unwrap();
    let (mut moved, mut ratio, mut spread) = (Vec::new(), Vec::new(), Vec::new());
    for fiber in 0..25 {
        // patches of 50 bins
        for i in (0..grid.n).filter(|i| (2..48).contains(&(i % 50)) && *i + 2 < grid.n) {
            moved.push(f64::from((x.flux[(fiber, i)] - flux[(fiber, i)]).abs() * ivar[(fiber, i)].sqrt()));
            ratio.push(f64::from((x.ivar[(fiber, i)] / ivar[(fiber, i)] - 1.0).abs()));
            let largest = (0..11).map(|k| (x.resolution[(fiber, k, i)] - resolution[(fiber, k, i)]).abs());
            spread.push(f64::from(largest.fold(0.0, f32::max)));
        }
    }
    let percentile = |v: &[f64], p| numerics::robust::percentile(v, p).unwrap();
    println!(
        "flux: median {:.1e}, 99% {:.1e} sigma; ivar: 99% {:.1e}, max {:.1e}; R: max {:.1e}",
        median(&moved).unwrap(),
        percentile(&moved, 99.0),
        percentile(&ratio, 99.0),
        percentile(&ratio, 100.0),
        percentile(&spread, 100.0)
    );
    assert!(median(&moved).unwrap() < 1e-3 && percentile(&moved, 99.0) < 0.02);
    assert!(percentile(&ratio, 100.0) < 1e-3 && percentile(&spread, 100.0) < 1e-3);
}

/// Bins of a patch of gpu_specter.
const PATCH: usize = 50;

#[test]
fn at_the_edges_of_gpu_specters_patches_the_dense_solution_agrees_with_ours() {
    let (Some((pixels, psf, params)), Some(path)) = (exposure(), shared("extract/frame-gpu_specter-exact.fits")) else {
        return;
    };
    one_blas_thread();
    let x = extract(&pixels, &psf, &params, |_| ()).unwrap();
    let flux = FitsReader::open(&path).unwrap().plane("FLUX").unwrap();
    let (mut ours, mut theirs) = (0.0f64, 0.0f64);
    // the second sub-bundle, fibres 5-9 with a neighbour at each side, around the edges of two patches
    for edge in [8 * PATCH, 30 * PATCH] {
        let window = edge - 40..edge + 40;
        let grid = Grid { first: params.grid.wave(window.start), n: window.len(), ..params.grid };
        let full = dense(&psf, 4..11, &grid, &pixels, Decorrelation::Signal);
        for fiber in 5..10 {
            for i in edge - 2..edge + 2 {
                let u = (fiber - 4) * grid.n + i - window.start;
                let sigma = full.ivar[u].sqrt().recip();
                let off = |f: f32| (f64::from(f) * grid.step - full.flux[u]).abs() / sigma;
                (ours, theirs) = (ours.max(off(x.flux[(fiber, i)])), theirs.max(off(flux[(fiber, i)])));
            }
        }
    }
    println!("largest distance from the dense solution: ours {ours:.1e}, gpu_specter's {theirs:.1e} sigma");
    assert!(ours < 1e-5 && theirs > 20.0 * ours);
}
