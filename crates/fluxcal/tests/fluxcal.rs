//! The calibration against a simulated truth, on good and on hostile data.

use calibrate::testing::{Instrument, frame_of};
use datamodel::{Frame, Header, StdStars, mask::spec};
use fluxcal::{Error, Params, run};
use ndarray::Array2;

const NWAVE: usize = 700;

/// (electron/Angstrom) / (1e-17 erg/s/cm2/Angstrom), with a telluric band as narrow as the resolution.
fn throughput(j: usize) -> f64 {
    let x = j as f64;
    30.0 + 15.0 * (x / 150.0).sin() - 12.0 * (-0.5 * ((x - 450.0) / 2.0f64).powi(2)).exp()
}

/// A star of its own slope with absorption lines; 1e-17 erg/s/cm2/Angstrom.
fn star(k: usize, j: usize) -> f64 {
    let x = j as f64;
    let lines: f64 = [120.0, 350.0, 600.0].iter().map(|l| 0.5 * (-0.5 * ((x - l) / 6.0f64).powi(2)).exp()).sum();
    (60.0 + 15.0 * k as f64) * (1.0 + 0.1 * k as f64 * (x / 700.0 - 0.5)) * (1.0 - lines)
}

/// Stars in the first fibres with these grey factors, and their models; the other fibres are empty.
fn scene(scales: &[f64], nspec: usize, seed: u64) -> (Instrument, Frame, StdStars) {
    let instrument = Instrument::new(nspec, NWAVE, 11);
    let spectra: Vec<Vec<f64>> = (0..nspec)
        .map(|f| {
            let scale = scales.get(f).copied().unwrap_or(0.0);
            (0..NWAVE).map(|j| scale * throughput(j) * star(f, j)).collect()
        })
        .collect();
    let frame = frame_of(&instrument, &spectra, 10.0, seed);
    let n = scales.len();
    let step = 0.8;
    let models = StdStars {
        header: Header::new(),
        wave: (0..NWAVE + 20).map(|j| 4000.0 + step * (j as f64 - 10.0)).collect(),
        flux: Array2::from_shape_fn((n, NWAVE + 20), |(k, j)| star(k, j.saturating_sub(10)) as f32),
        fibers: (0..n as i32).collect(),
        stars: vec![Default::default(); n],
        coeff: Array2::zeros((n, 1)),
        fibermap: None,
        input_frames: vec![],
    };
    (instrument, frame, models)
}

/// Mean and rms of the pulls of the calibration of fibre `f`, in units where the mean grey factor is 1.
fn pulls(instrument: &Instrument, calib: &datamodel::FluxCalib, f: usize, mean_scale: f64) -> (f64, f64) {
    let truth: Vec<f64> = (0..NWAVE).map(|j| mean_scale * throughput(j)).collect();
    let expected = instrument.resolution_of(f).apply(&truth);
    let good = (8..NWAVE - 8).filter(|&j| calib.ivar[(f, j)] > 0.0);
    let values: Vec<f64> =
        good.map(|j| (f64::from(calib.calib[(f, j)]) - expected[j]) * f64::from(calib.ivar[(f, j)]).sqrt()).collect();
    let n = values.len() as f64;
    (values.iter().sum::<f64>() / n, (values.iter().map(|v| v * v).sum::<f64>() / n).sqrt())
}

#[test]
fn the_vector_is_the_truth_within_its_errors() {
    let scales = [1.0, 0.9, 1.1, 1.05, 0.95, 1.0];
    let (instrument, frame, models) = scene(&scales, 12, 1);
    let calib = run(&frame, &models, &Params::default()).unwrap();
    let (mean, rms) = pulls(&instrument, &calib, 6, 1.0);
    // one error for all bins in the normalisation, else about NWAVE / 3 independent numbers
    assert!(mean.abs() < 0.4, "mean {mean}");
    assert!((0.8..1.2).contains(&rms), "rms {rms}");
    assert!(calib.mask.iter().all(|m| *m == 0));
    // the ends are as good as the middle
    for j in [0, 1, NWAVE - 1] {
        let ratio = f64::from(calib.calib[(11, j)]) / throughput(j);
        assert!((ratio - 1.0).abs() < 0.05, "bin {j}: {ratio}");
    }
}

#[test]
fn outlying_stars_and_bins_do_not_matter() {
    let scales = [1.0, 0.97, 1.03, 0.4, 1.0, 0.01, 1.01];
    let (instrument, mut frame, models) = scene(&scales, 10, 2);
    frame.flux[(0, 300)] += 2e4;
    frame.mask.row_mut(1).fill(spec::ALLBADPIX);
    for f in 0..10 {
        frame.ivar[(f, 500)] = 0.0;
    }
    let calib = run(&frame, &models, &Params::default()).unwrap();
    assert_eq!(calib.header.int("NSTD"), Some(4));
    let (mean, rms) = pulls(&instrument, &calib, 5, 1.01);
    assert!(mean.abs() < 0.5 && (0.8..1.3).contains(&rms), "{mean} {rms}");
    for j in 499..=501 {
        assert_eq!((calib.calib[(8, j)], calib.ivar[(8, j)], calib.mask[(8, j)]), (0.0, 0.0, spec::NODATA));
    }
}

/// Faint stars: weights that know the bin's own noise would make the calibration low by several percent.
#[test]
fn faint_stars_are_not_biased_by_their_own_noise() {
    let scales = [0.02; 6];
    let (_, mut frame, mut models) = scene(&scales, 8, 3);
    models.flux.mapv_inplace(|m| m * 0.02);
    for (w, f) in frame.ivar.iter_mut().zip(&frame.flux) {
        // variance from the counts, as an extraction has it
        *w = 0.64 / (f.max(0.0) * 0.8 + 100.0 * 0.2);
    }
    let calib = run(&frame, &models, &Params::default()).unwrap();
    let ratio: Vec<f64> = (0..NWAVE).map(|j| f64::from(calib.calib[(7, j)]) / throughput(j)).collect();
    let median = numerics::robust::median(&ratio).unwrap();
    assert!((median - 1.0).abs() < 0.02, "{median}");
}

#[test]
fn one_star_is_enough_and_none_is_an_error() {
    let (_, frame, models) = scene(&[1.0], 3, 4);
    let calib = run(&frame, &models, &Params::default()).unwrap();
    assert!((f64::from(calib.calib[(2, 200)]) / throughput(200) - 1.0).abs() < 0.1);
    let mut elsewhere = models.clone();
    elsewhere.fibers = vec![4321];
    let text = run(&frame, &elsewhere, &Params::default()).unwrap_err().to_string();
    assert_eq!(text, "none of the 1 standard stars (fibres 4321) has usable data in this frame");
    let mut short = models;
    short.wave.iter_mut().for_each(|w| *w += 100.0);
    assert!(matches!(run(&frame, &short, &Params::default()), Err(Error::Coverage { .. })));
}

#[test]
fn threads_do_not_change_a_bit() {
    let (_, frame, models) = scene(&[1.0, 0.9, 1.1, 1.05, 0.95, 1.0], 12, 5);
    let with = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| run(&frame, &models, &Params::default()).unwrap())
    };
    assert_eq!(with(1), with(3));
}

/// A quasar that passed for a standard: its grey factor is that of a star, its colour is not.
#[test]
fn a_star_of_the_wrong_colour_is_outvoted() {
    let scales = [1.0, 0.97, 1.03, 1.0, 0.98, 1.02];
    let (instrument, mut frame, models) = scene(&scales, 10, 6);
    for j in 0..NWAVE {
        frame.flux[(2, j)] *= 1.0 + 0.6 * (j as f32 / NWAVE as f32 - 0.5);
    }
    let calib = run(&frame, &models, &Params::default()).unwrap();
    assert_eq!(calib.header.int("NSTD"), Some(5));
    let (mean, rms) = pulls(&instrument, &calib, 7, 0.994);
    assert!(mean.abs() < 0.5 && (0.8..1.3).contains(&rms), "{mean} {rms}");
}

/// Stars off their fibres in bad seeing: what is calibrated is a centred source, in each fibre its own.
#[test]
fn offsets_of_the_positioners_and_the_seeing_are_corrected() {
    let offset = |f: usize| 6e-3 * (f % 8) as f64;
    let share = |d: f64| (-0.5 * (1000.0 * d).powi(2) / (1.5f64 / 2.354_82 * 70.4).powi(2)).exp();
    // a small fibre sees the density of the image at its centre; a wide one somewhat more of it
    let scales: Vec<f64> = (0..8).map(|f| share(offset(f)).powf(0.72)).collect();
    let (_, mut frame, models) = scene(&scales, 12, 8);
    frame.fibermap.table.set("DELTA_X", "mm", datamodel::ColumnData::F64((0..12).map(offset).collect()));
    frame.fibermap.table.set("DELTA_Y", "mm", datamodel::ColumnData::F64(vec![0.0; 12]));
    let calib = run(&frame, &models, &Params::default()).unwrap();
    assert_eq!(calib.header.int("NSTD"), Some(8));
    let ratio = |f: usize| {
        let values: Vec<f64> = (0..NWAVE).map(|j| f64::from(calib.calib[(f, j)]) / throughput(j)).collect();
        numerics::robust::median(&values).unwrap()
    };
    for (f, scale) in scales.iter().enumerate() {
        assert!((ratio(f) / ratio(0) / (scale / scales[0]) - 1.0).abs() < 0.03, "fibre {f}: {}", ratio(f) / ratio(0));
    }
}

/// Half of the fibres masked, a star without information, one hit by a cosmic ray and a quasar among the four that are left.
#[test]
fn what_goes_wrong_together_is_survived() {
    let scales = [1.0, 0.97, 1.03, 1.0, 0.98, 1.02, 1.0, 0.99, 1.01];
    let (instrument, mut frame, models) = scene(&scales, 20, 9);
    for f in (1..20).step_by(2) {
        frame.mask.row_mut(f).fill(spec::ALLBADPIX);
        frame.flux.row_mut(f).fill(-1e6);
    }
    frame.ivar.row_mut(8).fill(0.0);
    frame.flux.row_mut(8).fill(0.0);
    frame.flux[(0, 300)] += 2e4;
    for j in 0..NWAVE {
        frame.flux[(2, j)] *= 1.0 + 0.6 * (j as f32 / NWAVE as f32 - 0.5);
    }
    let calib = run(&frame, &models, &Params::default()).unwrap();
    assert_eq!(calib.header.int("NSTD"), Some(3), "of fibres 0, 2, 4, 6");
    let (mean, rms) = pulls(&instrument, &calib, 11, (1.0 + 0.98 + 1.0) / 3.0);
    assert!(mean.abs() < 0.6 && (0.8..1.3).contains(&rms), "{mean} {rms}");
    assert!(calib.calib.iter().chain(&calib.ivar).all(|x| x.is_finite()));
}

/// Stars that are not in their fibres at all (the exposure behind a closed dome, a sky taken twice): no calibration.
#[test]
fn stars_without_light_make_no_calibration() {
    let (_, mut frame, models) = scene(&[1.0; 4], 6, 12);
    frame.flux.mapv_inplace(|f| -f);
    assert!(matches!(run(&frame, &models, &Params::default()), Err(Error::NoLight { stars: 4 })));
}

/// A star is calibrated by the others: what is left of it is as noisy as its errors say, as in any other fibre.
#[test]
fn the_stars_themselves_are_as_noisy_as_their_errors() {
    let width = |nstar: usize| {
        let mut pulls = vec![];
        for seed in 20..24 {
            let (_, mut frame, models) = scene(&vec![1.0; nstar], nstar + 2, seed);
            let calib = run(&frame, &models, &Params::default()).unwrap();
            calibrate::divide_by_calibration(&mut frame, &calib);
            for f in 0..nstar {
                let truth: Vec<f64> = (0..NWAVE).map(|j| star(f, j)).collect();
                let expected = frame.resolution_of(f).apply(&truth);
                let pull =
                    |j: usize| (f64::from(frame.flux[(f, j)]) - expected[j]) * f64::from(frame.ivar[(f, j)]).sqrt();
                let values: Vec<f64> = (10..NWAVE - 10).map(pull).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                pulls.extend(values.iter().map(|v| v - mean));
            }
        }
        (pulls.iter().map(|p| p * p).sum::<f64>() / pulls.len() as f64).sqrt()
    };
    for (nstar, tolerance) in [(3, 0.04), (4, 0.04), (8, 0.03)] {
        let width = width(nstar);
        assert!((width - 1.0).abs() < tolerance, "{nstar} stars: {width}");
    }
}
