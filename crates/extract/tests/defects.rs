//! Bad pixels, dead fibres and odd images: masked bins or a clear error, and neighbours unharmed.
#![allow(clippy::unwrap_used)]

mod common;

use datamodel::mask::{ccd, spec};
use extract::{ExtractError, Extraction, Grid, Params, Pixels, extract, size};
use ndarray::{Array2, s};
use psf::Psf;

const FIRST: f64 = 5940.0;
const LAST: f64 = 6060.0;

fn params(n: usize) -> Params {
    Params { nsubbundles: 2, ..common::params(0..n, FIRST, LAST) }
}

fn run(pixels: &Pixels, psf: &Psf) -> Extraction {
    extract(pixels, psf, &params(psf.nfiber()), |_| ()).unwrap()
}

fn assert_sane(x: &Extraction) {
    assert!(x.flux.iter().chain(&x.chi2pix).chain(&x.model).chain(&x.resolution).all(|v| v.is_finite()));
    assert!(x.ivar.iter().all(|v| v.is_finite() && *v >= 0.0));
    assert!(x.ivar.indexed_iter().all(|(at, v)| *v > 0.0 || (x.flux[at] == 0.0 && x.mask[at] != 0)));
}

/// Pulls of one fibre's good bins against the extraction of the noiseless image.
fn pulls(x: &Extraction, truth: &Extraction, fiber: usize) -> Vec<f64> {
    let good = |i: &usize| x.mask[(fiber, *i)] == 0;
    let pull = |i: usize| f64::from((x.flux[(fiber, i)] - truth.flux[(fiber, i)]) * x.ivar[(fiber, i)].sqrt());
    (0..x.flux.ncols()).filter(good).map(pull).collect()
}

/// Extraction of the image without noise.
fn noiseless(psf: &Psf) -> Extraction {
    let expected = common::expectation(psf, &Grid::new(common::RANGE.0, common::RANGE.1, 0.8).unwrap());
    let (_, weight) = common::observe(&expected, 0);
    let no_mask = common::no_mask(&weight);
    run(&Pixels::new(expected.mapv(|v| v as f32), weight, &no_mask), psf)
}

#[test]
fn noise_is_white_and_of_the_width_that_ivar_says() {
    let psf = common::small_psf(5);
    let truth = noiseless(&psf);
    let (mut all, mut lag) = (Vec::new(), Vec::new());
    for seed in 0..30 {
        let x = run(&common::exposure(&psf, 100 + seed), &psf);
        for fiber in 0..5 {
            let p = pulls(&x, &truth, fiber);
            lag.extend(p.windows(2).map(|w| w[0] * w[1]));
            all.extend(p);
        }
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let width = mean(&all.iter().map(|p| p * p).collect::<Vec<_>>()).sqrt();
    // 22 650 pulls: the mean has an error of 0.0066, the width of 0.0047, the correlation of 0.0066
    assert!(mean(&all).abs() < 0.025, "mean {}", mean(&all));
    assert!((width - 1.0).abs() < 0.02, "width {width}");
    assert!(mean(&lag).abs() < 0.025, "lag-1 correlation {}", mean(&lag));
}

#[test]
fn flux_is_resolution_times_truth() {
    let psf = common::small_psf(5);
    let x = noiseless(&psf);
    let out = params(5).grid;
    for fiber in 0..5 {
        let truth: Vec<f64> = out.waves().iter().map(|&w| common::spectrum(fiber, w) / 0.8).collect();
        let r = numerics::Resolution::from_dia(x.resolution.index_axis(ndarray::Axis(0), fiber));
        for (i, model) in r.apply(&truth).into_iter().enumerate().take(out.n - 15).skip(15) {
            let sigma = f64::from(x.ivar[(fiber, i)]).sqrt().recip();
            // the eleven diagonals that are kept leave out 1e-4 of a line
            let line = truth[i - 10..i + 11].iter().copied().fold(0.0, f64::max);
            let off = (f64::from(x.flux[(fiber, i)]) - model).abs();
            assert!(off < 0.05 * sigma + 2e-4 * line, "fibre {fiber} bin {i}: {off}, {line}");
        }
    }
}

#[test]
fn masked_pixels_spoil_only_their_bins() {
    let psf = common::small_psf(5);
    let clean = common::exposure(&psf, 5);
    let truth = noiseless(&psf);
    let mut pixels = clean.clone();
    // all of fibre 2 for a while, with garbage in the values
    pixels.value.slice_mut(s![160..190, 23..31]).fill(1e7);
    pixels.weight.slice_mut(s![160..190, 23..31]).fill(0.0);
    let x = run(&pixels, &psf);
    assert_sane(&x);
    let dead = (0..x.flux.ncols()).filter(|&i| x.mask[(2, i)] & spec::SOMEBADPIX != 0).count();
    assert!((15..30).contains(&dead), "{dead} bins of the fibre are masked");
    for fiber in [0, 1, 3, 4] {
        assert!(x.mask.row(fiber).iter().all(|m| *m == 0));
        let p = pulls(&x, &truth, fiber);
        let width = (p.iter().map(|p| p * p).sum::<f64>() / p.len() as f64).sqrt();
        // 151 bins: the width has an error of 0.06
        assert!((0.75..1.25).contains(&width), "fibre {fiber}: pulls of width {width}");
        assert!(p.iter().all(|p| p.abs() < 5.0), "fibre {fiber}: {p:?}");
    }
}

#[test]
fn bad_values_get_no_weight() {
    let psf = common::small_psf(5);
    let exposure = common::exposure(&psf, 6);
    let (mut value, mut weight) = (exposure.value, exposure.weight);
    let mut mask = common::no_mask(&value);
    value[(180, 20)] = f32::NAN;
    weight[(181, 20)] = f32::INFINITY;
    weight[(182, 20)] = -1.0;
    value[(183, 20)] = f32::NAN;
    mask[(183, 20)] = ccd::COSMIC;
    mask[(184, 20)] = ccd::BADREADNOISE;
    let pixels = Pixels::new(value, weight, &mask);
    assert_eq!(
        (180..185).map(|y| pixels.weight[(y, 20)] > 0.0).collect::<Vec<_>>(),
        [false, false, false, false, true]
    );
    assert_sane(&run(&pixels, &psf));
}

#[test]
fn a_blind_image_is_all_masked() {
    let psf = common::small_psf(5);
    let exposure = common::exposure(&psf, 7);
    let pixels =
        Pixels::new(exposure.value, Array2::zeros(exposure.weight.dim()), &Array2::zeros(exposure.weight.dim()));
    assert!(pixels.is_blind());
    let x = run(&pixels, &psf);
    assert_sane(&x);
    assert!(x.ivar.iter().all(|v| *v == 0.0));
    assert!(x.mask.iter().all(|m| m & spec::ALLBADPIX != 0));
}

#[test]
fn a_dead_fibre_has_flux_zero_within_its_error() {
    let psf = common::small_psf(5);
    let grid = Grid::new(common::RANGE.0, common::RANGE.1, 0.8).unwrap();
    let light = common::expectation(&psf, &grid);
    let alone = common::small_psf(5);
    let mut dark = light.clone();
    for i in 0..grid.n {
        let spot = alone.spot(2, grid.wave(i));
        for (k, v) in spot.values.iter().enumerate() {
            let (y, x) = (spot.y0 + (k / spot.nx) as i64, spot.x0 + (k % spot.nx) as i64);
            if let Some(pixel) = usize::try_from(y).ok().zip(usize::try_from(x).ok()).and_then(|at| dark.get_mut(at)) {
                *pixel -= v * common::spectrum(2, grid.wave(i));
            }
        }
    }
    let (value, weight) = common::observe(&dark, 8);
    let no_mask = common::no_mask(&value);
    let x = run(&Pixels::new(value, weight, &no_mask), &psf);
    let pulls: Vec<f64> = (0..x.flux.ncols()).map(|i| f64::from(x.flux[(2, i)] * x.ivar[(2, i)].sqrt())).collect();
    let mean = pulls.iter().sum::<f64>() / pulls.len() as f64;
    assert!(mean.abs() < 0.4, "{mean}"); // 151 bins: 0.08
    assert!(x.mask.row(2).iter().all(|m| *m == 0));
}

#[test]
fn bins_off_the_psf_and_off_the_image_are_masked() {
    let psf = common::small_psf(5);
    let pixels = common::exposure(&psf, 9);
    let wide = Params { nsubbundles: 2, ..common::params(0..5, 5880.0, 6120.0) };
    let x = extract(&pixels, &psf, &wide, |_| ()).unwrap();
    assert_sane(&x);
    for (i, wave) in wide.grid.waves().into_iter().enumerate() {
        let covered = (common::RANGE.0..=common::RANGE.1).contains(&wave);
        assert_eq!(x.mask[(0, i)] & spec::NODATA == 0, covered, "{wave}");
    }
    let off = Params { nsubbundles: 2, ..common::params(0..5, 7000.0, 7100.0) };
    assert!(matches!(extract(&pixels, &psf, &off, |_| ()).unwrap_err(), ExtractError::NotCovered { .. }));
    let absent = common::params(3..6, FIRST, LAST);
    assert!(matches!(extract(&pixels, &psf, &absent, |_| ()).unwrap_err(), ExtractError::NoSuchFiber { .. }));
}

#[test]
fn images_of_another_size_are_refused_unless_they_hold_the_fibres() {
    let psf = common::small_psf(5);
    let (ny, nx) = psf.file().npix;
    assert_eq!(size::check(&psf, (ny, nx), &params(5)), Ok(true));
    assert_eq!(size::check(&psf, (ny, nx - 12), &params(4)), Ok(false));
    assert!(matches!(size::check(&psf, (ny, nx - 12), &params(5)), Err(ExtractError::WrongSize { .. })));
    assert!(size::check(&psf, (200, nx), &params(5)).is_err());
    assert!(size::check(&psf, (ny, nx + 1), &params(5)).is_err());
}

#[test]
fn threads_and_the_choice_of_fibres_do_not_change_a_bit() {
    let psf = common::small_psf(7);
    let pixels = common::exposure(&psf, 10);
    let all = Params { bundlesize: 4, nsubbundles: 2, ..common::params(0..7, FIRST, LAST) };
    let on = |threads: usize, params: &Params| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| extract(&pixels, &psf, params, |_| ()).unwrap())
    };
    let (one, three) = (on(1, &all), on(3, &all));
    assert_eq!(
        (&one.flux, &one.ivar, &one.resolution, &one.model),
        (&three.flux, &three.ivar, &three.resolution, &three.model)
    );
    let some = on(2, &Params { fibers: 5..7, ..all });
    assert_eq!(some.flux, one.flux.slice(s![5..7, ..]));
    assert_eq!(some.ivar, one.ivar.slice(s![5..7, ..]));
}

#[test]
fn a_hit_that_no_mask_flags_is_a_bad_fit() {
    let psf = common::small_psf(5);
    let mut pixels = common::exposure(&psf, 11);
    pixels.value[(180, 27)] += 5000.0;
    let x = run(&pixels, &psf);
    let bad: Vec<(usize, usize)> =
        x.mask.indexed_iter().filter(|(_, m)| **m & spec::BAD2DFIT != 0).map(|(at, _)| at).collect();
    assert!(!bad.is_empty() && bad.iter().all(|at| at.0 == 2), "{bad:?}");
}
