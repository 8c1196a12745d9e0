//! The flat against a simulated truth, on good and on hostile data.

use calibrate::testing::{Instrument, frame_of};
use datamodel::{Frame, mask::fiber, mask::spec};
use fiberflat::{
    Error, Params,
    combine::{self, average, nightly},
    run,
};

const NWAVE: usize = 600;

/// A lamp with a feature as narrow as the resolution, which only the deconvolution treats right.
fn lamp(j: usize) -> f64 {
    let x = j as f64;
    4e4 * (1.0 + x / NWAVE as f64) * (1.0 + 0.5 * (-0.5 * ((x - 300.0) / 1.5f64).powi(2)).exp())
}

fn throughput(f: usize, j: usize) -> f64 {
    let phase = f as f64 * 1.7;
    1.0 + 0.1 * phase.sin() + 0.05 * (j as f64 / 90.0 + phase).cos()
}

fn scene(nspec: usize, seed: u64) -> (Instrument, Frame) {
    let instrument = Instrument::new(nspec, NWAVE, 11);
    let spectra: Vec<Vec<f64>> = (0..nspec).map(|f| (0..NWAVE).map(|j| lamp(j) * throughput(f, j)).collect()).collect();
    let frame = frame_of(&instrument, &spectra, 10.0, seed);
    (instrument, frame)
}

/// Pulls of a flat against the truth normalised by its median over the living fibres, with the statistical
/// error alone.
fn pulls(flat: &datamodel::Fiberflat, alive: &[usize], rows: &[usize]) -> Vec<f64> {
    let norm = |j: usize| {
        let t: Vec<f64> = alive.iter().map(|&f| throughput(f, j)).collect();
        numerics::robust::median(&t).unwrap_or(1.0)
    };
    let systematic = Params::default().systematic_error.powi(2);
    let mut out = vec![];
    for j in 8..NWAVE - 8 {
        let n = norm(j);
        for &f in rows {
            if flat.ivar[(f, j)] > 0.0 {
                let variance = 1.0 / f64::from(flat.ivar[(f, j)]) - systematic;
                out.push((f64::from(flat.fiberflat[(f, j)]) - throughput(f, j) / n) / variance.sqrt());
            }
        }
    }
    out
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    (values.iter().sum::<f64>() / n, (values.iter().map(|v| v * v).sum::<f64>() / n).sqrt())
}

#[test]
fn the_flat_is_the_truth_to_the_photon_noise() {
    let (_, frame) = scene(40, 1);
    let flat = run(&frame, &Params::default()).unwrap();
    let all: Vec<usize> = (0..40).collect();
    let (mean, rms) = moments(&pulls(&flat, &all, &all));
    // the median of 40 noisy flats is off by a small part of their noise, in common to all fibres
    assert!(mean.abs() < 0.1, "mean {mean}");
    assert!((0.97..1.05).contains(&rms), "rms {rms}");
    let chi2 = flat.header.float("CHI2PDF").unwrap();
    assert!((chi2 - 1.0).abs() < 0.1, "chi2 {chi2}");
    assert!(flat.mask.iter().filter(|m| **m != 0).count() < 5);
}

#[test]
fn dead_and_damaged_fibres_are_masked_and_their_neighbours_unharmed() {
    let (_, mut frame) = scene(30, 2);
    frame.flux.row_mut(3).fill(0.0);
    for j in 0..NWAVE {
        frame.flux[(7, j)] = if j % 3 == 0 { 1e6 } else { frame.flux[(7, j)] };
    }
    frame.ivar.row_mut(9).fill(0.0);
    let status: Vec<i32> = (0..30).map(|i| if i == 11 { fiber::BROKENFIBER as i32 } else { 0 }).collect();
    frame.fibermap.table.set("FIBERSTATUS", "", datamodel::ColumnData::I32(status));
    frame.flux[(12, 200)] += 1e5;
    frame.mask[(13, 210)] = spec::COSMIC;
    let flat = run(&frame, &Params::default()).unwrap();
    for dead in [3, 7, 9, 11] {
        assert!(flat.mask.row(dead).iter().all(|m| m & spec::BADFIBERFLAT != 0), "fibre {dead}");
        assert!(flat.ivar.row(dead).iter().all(|w| *w == 0.0));
    }
    for at in [(12, 200), (13, 210)] {
        assert_eq!((flat.mask[at], flat.ivar[at]), (spec::BADFIBERFLAT, 0.0));
        assert!((f64::from(flat.fiberflat[at]) - throughput(at.0, at.1)).abs() < 0.1);
    }
    assert!(flat.fiberflat.iter().all(|x| x.is_finite()));
    let alive: Vec<usize> = (0..30).filter(|f| ![3, 7, 9, 11].contains(f)).collect();
    let (mean, rms) = moments(&pulls(&flat, &alive, &alive));
    assert!(mean.abs() < 0.1 && (0.95..1.06).contains(&rms), "{mean} {rms}");
}

#[test]
fn half_the_fibres_may_be_dark_or_masked() {
    let (_, mut frame) = scene(20, 3);
    for f in 0..12 {
        if f % 2 == 0 { frame.flux.row_mut(f).fill(1.0) } else { frame.mask.row_mut(f).fill(spec::ALLBADPIX) }
    }
    let flat = run(&frame, &Params::default()).unwrap();
    let alive: Vec<usize> = (12..20).collect();
    let (mean, rms) = moments(&pulls(&flat, &alive, &alive));
    assert!(mean.abs() < 0.2 && (0.8..1.2).contains(&rms), "{mean} {rms}");
    frame.mask.fill(spec::ALLBADPIX);
    assert!(matches!(run(&frame, &Params::default()), Err(Error::NoFiber { total: 20, .. })));
}

#[test]
fn threads_do_not_change_a_bit() {
    let (_, frame) = scene(40, 4);
    let with = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| run(&frame, &Params::default()).unwrap())
    };
    assert_eq!(with(1), with(3));
}

/// Flats of several exposures of one lamp average to the noise of their number; a hit in one of them leaves no
/// trace, and what is bad in all stays masked.
#[test]
fn the_average_of_flats_has_the_noise_of_their_number() {
    let flats: Vec<datamodel::Fiberflat> =
        (0..4).map(|k| run(&scene(40, 30 + k).1, &Params::default()).unwrap()).collect();
    let mut flats = flats;
    flats[1].fiberflat[(3, 100)] = 1.7;
    flats.iter_mut().for_each(|f| (f.ivar[(5, 50)], f.mask[(5, 50)]) = (0.0, spec::BADFIBERFLAT));
    flats[2].mask[(6, 60)] = spec::BADFIBERFLAT;
    let mean = average(&flats.iter().collect::<Vec<_>>(), &Params::default()).unwrap();
    let all: Vec<usize> = (0..40).collect();
    let (bias, rms) = moments(&pulls(&mean, &all, &all));
    assert!(bias.abs() < 0.2 && (rms - 1.0).abs() < 0.05, "{bias} {rms}");
    let error =
        |f: &datamodel::Fiberflat| 1.0 / f64::from(f.ivar[(8, 300)]) - Params::default().systematic_error.powi(2);
    assert!((error(&flats[0]) / error(&mean) - 4.0).abs() < 0.3, "{}", error(&flats[0]) / error(&mean));
    assert!((f64::from(mean.fiberflat[(3, 100)]) / f64::from(flats[0].fiberflat[(3, 100)]) - 1.0).abs() < 0.03);
    assert_eq!((mean.mask[(5, 50)], mean.ivar[(5, 50)]), (spec::BADFIBERFLAT, 0.0));
    assert!(mean.mask[(6, 60)] == 0 && mean.ivar[(6, 60)] > 0.0);
    // two that contradict each other tell nothing
    let two = average(&[&flats[0], &flats[1]], &Params::default()).unwrap();
    assert_eq!((two.mask[(3, 100)], two.ivar[(3, 100)]), (spec::BADFIBERFLAT, 0.0));
    let mut other = flats[0].clone();
    other.header.set("CAMERA", "b1", "");
    let error = average(&[&flats[0], &other], &Params::default()).unwrap_err();
    assert_eq!(error.to_string(), "flats 0 and 1 differ in their camera");
    // flats without a good bin make none
    other = flats[0].clone();
    other.ivar.fill(0.0);
    assert_eq!(average(&[&other, &other], &Params::default()), Err(combine::Error::NoBin));
    assert!(average(&[&flats[0], &other], &Params::default()).is_ok());
}

/// Two spectrographs of different throughput, and lamps that light the field unevenly in opposite ways. Each flat
/// of an exposure is normalised to its own spectrograph; that of the night compares the fibres of both.
#[test]
fn the_flat_of_a_night_compares_the_fibres_of_all_spectrographs() {
    let n = 40;
    let efficiency = |petal: usize| 1.0 - 0.2 * petal as f64;
    let place = |petal: usize, f: usize| {
        let (x, y) = (10.0 * (f % 8) as f64 + 40.0, 30.0 * (f / 8) as f64 - 60.0);
        if petal == 0 { (x, y) } else { (-x, y) }
    };
    let lamps = [(0.02, 0.01), (-0.02, -0.01)];
    let mut flats = vec![];
    for (e, gradient) in lamps.iter().enumerate() {
        for petal in 0..2 {
            let instrument = Instrument::new(n, NWAVE, 11);
            let light = |f: usize, j: usize| {
                let (x, y) = place(petal, f);
                efficiency(petal) * throughput(f, j) * (1.0 + (gradient.0 * x + gradient.1 * y) / 100.0) * lamp(j)
            };
            let spectra: Vec<Vec<f64>> = (0..n).map(|f| (0..NWAVE).map(|j| light(f, j)).collect()).collect();
            let mut frame = frame_of(&instrument, &spectra, 10.0, 50 + (2 * e + petal) as u64);
            frame.header.set("CAMERA", format!("b{petal}"), "").set("EXPID", 100 + e as i64, "");
            let column = |v: &dyn Fn(usize) -> f64| datamodel::ColumnData::F64((0..n).map(v).collect());
            frame.fibermap.table.set("FIBERASSIGN_X", "mm", column(&|f| place(petal, f).0));
            frame.fibermap.table.set("FIBERASSIGN_Y", "mm", column(&|f| place(petal, f).1));
            if petal == 1 {
                frame.ivar.slice_mut(ndarray::s![7, ..300]).fill(0.0);
            }
            flats.push(run(&frame, &Params::default()).unwrap());
        }
    }
    let flats: Vec<&datamodel::Fiberflat> = flats.iter().collect();
    let night = |camera: &str| nightly(&flats, camera.parse().unwrap(), &Params::default()).unwrap();
    let (a, b) = (night("b0"), night("b1"));
    // the ratio of two fibres, each of its own spectrograph, is that of their throughputs
    for (f, g) in [(0, 39), (20, 20), (13, 27)] {
        let ratio: Vec<f64> =
            (10..NWAVE - 10).map(|j| f64::from(b.fiberflat[(g, j)]) / f64::from(a.fiberflat[(f, j)])).collect();
        let expected: Vec<f64> = (10..NWAVE - 10).map(|j| 0.8 * throughput(g, j) / throughput(f, j)).collect();
        let mean: f64 = ratio.iter().zip(&expected).map(|(r, e)| r / e).sum::<f64>() / ratio.len() as f64;
        assert!((mean - 1.0).abs() < 0.004, "fibres {f} and {g}: {mean}");
    }
    let status = |flat: &datamodel::Fiberflat| flat.fibermap.as_ref().unwrap().fiberstatus();
    assert_eq!(status(&b)[7], fiber::BADFLAT);
    assert!(status(&a).iter().all(|s| *s == 0));
    assert!(matches!(nightly(&flats, "b5".parse().unwrap(), &Params::default()), Err(combine::Error::NoCamera(_))));
    assert!(matches!(nightly(&flats, "r0".parse().unwrap(), &Params::default()), Err(combine::Error::Mismatch { .. })));
}
