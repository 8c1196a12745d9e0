//! The sky against a simulated truth, on good and on hostile data.

use calibrate::testing::{Instrument, fibermap_of, frame_of};
use datamodel::{ColumnData, Frame, mask::spec};
use numerics::Resolution;
use sky::{Error, Params, run};

const NWAVE: usize = 900;

/// electron/Angstrom before the resolution: a continuum with lines up to 250 times as bright.
fn truth() -> Vec<f64> {
    (0..NWAVE).map(|j| 100.0 + if j % 31 == 7 { 400.0 * (1 + j / 31 * 7 % 60) as f64 } else { 0.0 }).collect()
}

/// `nsky` sky fibres first, then targets of growing brightness. `change` alters what fibre `f` sees.
fn scene(nsky: usize, ntarget: usize, seed: u64, change: impl Fn(usize, Vec<f64>) -> Vec<f64>) -> (Instrument, Frame) {
    let instrument = Instrument::new(nsky + ntarget, NWAVE, 11);
    let spectra: Vec<Vec<f64>> = (0..nsky + ntarget)
        .map(|f| {
            let object = if f < nsky { 0.0 } else { 20.0 * (f - nsky) as f64 };
            change(f, truth()).into_iter().map(|s| s + object).collect()
        })
        .collect();
    let mut frame = frame_of(&instrument, &spectra, 8.0, seed);
    let kinds: Vec<&str> = (0..nsky + ntarget).map(|f| if f < nsky { "SKY" } else { "TGT" }).collect();
    frame.fibermap = fibermap_of(&kinds);
    (instrument, frame)
}

/// Mean and rms of values.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    (values.iter().sum::<f64>() / n, (values.iter().map(|v| v * v).sum::<f64>() / n).sqrt())
}

/// Pulls of the sky-subtracted data of the given fibres, with their own errors and the model's.
fn residual_pulls(frame: &Frame, model: &datamodel::Sky, rows: std::ops::Range<usize>) -> Vec<f64> {
    let mut subtracted = frame.clone();
    calibrate::subtract_sky(&mut subtracted, model);
    rows.flat_map(|f| (6..NWAVE - 6).map(move |j| (f, j)))
        .filter(|&at| subtracted.ivar[at] > 0.0)
        .map(|at| f64::from(subtracted.flux[at]) * f64::from(subtracted.ivar[at]).sqrt())
        .collect()
}

#[test]
fn the_model_is_the_truth_within_its_errors() {
    let (instrument, frame) = scene(20, 20, 1, |_, s| s);
    let model = run(&frame, &Params::default()).unwrap();
    let mut pulls = vec![];
    for f in 0..40 {
        let expected = instrument.resolution_of(f).apply(&truth());
        pulls.extend(
            (6..NWAVE - 6).map(|j| (f64::from(model.sky[(f, j)]) - expected[j]) * f64::from(model.ivar[(f, j)]).sqrt()),
        );
    }
    let (mean, rms) = moments(&pulls);
    // all fibres share the errors of about NWAVE / 3 independent numbers
    let n = NWAVE as f64 / 3.0;
    assert!(mean.abs() < 4.0 / n.sqrt(), "mean pull {mean}");
    assert!(rms > 1.0 - 4.0 / (2.0 * n).sqrt() && rms < 1.0 + 4.0 / (2.0 * n).sqrt(), "rms {rms}");
    let (_, rms) = moments(&residual_pulls(&frame, &model, 0..20));
    // a sky fibre's model comes from the others: its residual is as noisy as that of a target
    assert!((rms - 1.0).abs() < 0.02, "residual pulls {rms}");
}

#[test]
fn shifts_and_throughputs_are_adjusted_on_the_lines() {
    let tweak = |f: usize, s: Vec<f64>| {
        let phase = f as f64 * 2.4;
        let (scale, shift) = (1.0 + 0.03 * phase.sin(), 0.12 * phase.cos());
        // a shift of the deconvolved spectrum by a fraction of a bin
        (0..s.len())
            .map(|j| {
                scale
                    * (s[j] * (1.0 - shift.abs())
                        + shift.abs() * s[if shift > 0.0 { j.saturating_sub(1) } else { (j + 1).min(s.len() - 1) }])
            })
            .collect()
    };
    let (_, frame) = scene(20, 20, 2, tweak);
    let adjusted = run(&frame, &Params::default()).unwrap();
    let plain = run(&frame, &Params::unadjusted()).unwrap();
    let stat = |model: &datamodel::Sky| {
        // residuals in units of the data's own error, in the bins of the lines
        let mut pulls = vec![];
        for f in 0..20 {
            for j in (7..NWAVE - 6).filter(|j| (6..9).contains(&(j % 31))) {
                pulls.push(f64::from(frame.flux[(f, j)] - model.sky[(f, j)]) * f64::from(frame.ivar[(f, j)]).sqrt());
            }
        }
        moments(&pulls).1
    };
    let no_shift = run(&frame, &Params { adjust_wavelength: false, ..Params::default() }).unwrap();
    let no_throughput = run(&frame, &Params { adjust_throughput: false, ..Params::default() }).unwrap();
    let (s, t) = (stat(&no_shift), stat(&no_throughput));
    assert!(s > 1.3 && t > 1.3, "each switch matters: {s} {t}");
    let (with, without) = (stat(&adjusted), stat(&plain));
    assert!(without > 1.5, "the tweak must matter: {without}");
    assert!(with < 1.12, "adjusted {with}, plain {without}");
    let (_, rms) = moments(&residual_pulls(&frame, &adjusted, 0..20));
    assert!((0.96..1.05).contains(&rms), "{rms}");
}

#[test]
fn outliers_do_not_reach_the_sky() {
    let (instrument, mut frame) =
        scene(12, 4, 3, |f, s| if f == 5 { s.iter().map(|s| s + 300.0).collect() } else { s });
    // cosmic rays, one on a line; bad bins; a fibre half masked; a masked value that is no number
    frame.flux[(2, 7 + 31 * 8)] += 9000.0;
    frame.flux[(3, 400)] += 5000.0;
    for j in 0..NWAVE / 2 {
        frame.mask[(4, j)] = spec::ALLBADPIX;
        frame.flux[(4, j)] = 1e6;
    }
    for f in 0..16 {
        frame.ivar[(f, 600)] = 0.0;
        frame.flux[(f, 600)] = 0.0;
    }
    let model = run(&frame, &Params::default()).unwrap();
    let expected = instrument.resolution_of(1).apply(&truth());
    let mut pulls = vec![];
    for (j, expected) in expected.iter().enumerate().take(NWAVE - 6).skip(6) {
        assert!(model.sky[(1, j)].is_finite() && model.ivar[(1, j)] >= 0.0);
        if model.ivar[(1, j)] > 0.0 {
            pulls.push((f64::from(model.sky[(1, j)]) - expected) * f64::from(model.ivar[(1, j)]).sqrt());
        }
    }
    let (mean, rms) = moments(&pulls);
    assert!(mean.abs() < 0.3 && rms < 1.3, "{mean} {rms}");
    assert_eq!(model.header.int("NSKYFIB"), Some(11));
    // what the sky fibre itself holds there is told, and told of it alone
    assert_eq!(model.mask[(2, 7 + 31 * 8)], spec::COSMIC);
    assert_eq!(model.mask[(3, 400)], spec::COSMIC);
    assert_eq!(model.mask[(13, 400)], 0);
}

/// Airglow that is 1% brighter on one side of the field than on the other: nearly invisible in one fibre, not in
/// all. The fit leaves no trace of it; without it the brightest lines do.
#[test]
fn the_gradient_of_the_airglow_is_followed_to_every_fibre() {
    let place = |f: usize| ((f * 7 % 40) as f64 * 10.0 - 200.0, (f * 13 % 40) as f64 * 5.0 - 100.0);
    let (instrument, mut frame) = scene(20, 20, 7, |f, s| {
        let airglow = 1.0 + 5e-5 * place(f).0 - 3e-5 * place(f).1;
        s.iter().map(|s| 100.0 + airglow * (s - 100.0)).collect()
    });
    let column = |value: &dyn Fn(usize) -> f64| ColumnData::F32((0..40).map(|f| value(f) as f32).collect());
    frame.fibermap.table.set("FIBERASSIGN_X", "mm", column(&|f| place(f).0));
    frame.fibermap.table.set("FIBERASSIGN_Y", "mm", column(&|f| place(f).1));
    let error = |model: &datamodel::Sky| {
        let lines = (20..40).flat_map(|f| {
            let airglow = 1.0 + 5e-5 * place(f).0 - 3e-5 * place(f).1;
            let seen: Vec<f64> = truth().iter().map(|s| 100.0 + airglow * (s - 100.0)).collect();
            let expected = instrument.resolution_of(f).apply(&seen);
            let of_line = move |j: usize| (f64::from(model.sky[(f, j)]) - expected[j]) / expected[j];
            (7..NWAVE - 6).step_by(31).filter(|&j| truth()[j] > 1e4).map(of_line).collect::<Vec<_>>()
        });
        moments(&lines.collect::<Vec<_>>()).1
    };
    let with = error(&run(&frame, &Params::default()).unwrap());
    let without = error(&run(&frame, &Params::unadjusted()).unwrap());
    assert!(with < 0.5 * without, "{with} with the gradient, {without} without");
}

/// With few sky fibres each is a large part of the common sky: that of the others leaves honest residuals.
#[test]
fn few_sky_fibres_have_residuals_as_noisy_as_their_errors() {
    for n in [2, 4, 8] {
        let (_, frame) = scene(n, 12 - n, 8, |_, s| s);
        let model = run(&frame, &Params::default()).unwrap();
        let (_, rms) = moments(&residual_pulls(&frame, &model, 0..n));
        assert!((rms - 1.0).abs() < 0.06, "{n} fibres: {rms}");
        // a bin that one fibre alone has seen says nothing about that fibre's sky
        let mut alone = frame.clone();
        (1..n).for_each(|f| (300..330).for_each(|j| alone.ivar[(f, j)] = 0.0));
        let model = run(&alone, &Params::default()).unwrap();
        assert_eq!((model.mask[(0, 315)], model.ivar[(0, 315)]), (spec::BADSKY, 0.0));
        assert!(model.ivar[(n, 315)] > 0.0);
    }
}

#[test]
fn two_sky_fibres_are_enough_and_none_is_an_error() {
    let (_, frame) = scene(2, 10, 4, |_, s| s);
    let model = run(&frame, &Params::default()).unwrap();
    let (_, rms) = moments(&residual_pulls(&frame, &model, 0..2));
    assert!((rms - 1.0).abs() < 0.1, "{rms}");
    let mut none = frame.clone();
    none.fibermap = fibermap_of(&["TGT"; 12]);
    assert!(matches!(run(&none, &Params::default()), Err(Error::NoSkyFiber { labelled: 0, total: 12 })));
    none = frame;
    none.ivar.fill(0.0);
    assert!(matches!(run(&none, &Params::default()), Err(Error::NoSkyFiber { labelled: 2, total: 12 })));
}

#[test]
fn threads_do_not_change_a_bit() {
    let (_, frame) = scene(20, 5, 5, |f, s| s.iter().map(|s| s * (1.0 + 0.01 * (f as f64).sin())).collect());
    let with = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| run(&frame, &Params::default()).unwrap())
    };
    assert_eq!(with(1), with(3));
}

/// A different resolution in each fibre is what makes the deconvolution necessary: the plain mean of the
/// fibres is wrong by many sigmas where the model is right.
#[test]
fn the_plain_mean_would_fail_where_the_model_holds() {
    let (instrument, frame) = scene(20, 1, 6, |_, s| s);
    let model = run(&frame, &Params::default()).unwrap();
    let widest: Resolution = instrument.resolution_of(19);
    let expected = widest.apply(&truth());
    let peak = (0..NWAVE).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
    let mean: f64 = (0..20).map(|f| f64::from(frame.flux[(f, peak)])).sum::<f64>() / 20.0;
    let sigma = 1.0 / f64::from(model.ivar[(19, peak)]).sqrt();
    assert!((mean - expected[peak]).abs() > 10.0 * sigma);
    assert!((f64::from(model.sky[(19, peak)]) - expected[peak]).abs() < 4.0 * sigma);
}

/// Two sky fibres, a third that is dead and a fourth that is masked, half of the targets masked, and a hit on a bright line of
/// one of the two: targets get an honest sky.
#[test]
fn what_goes_wrong_together_is_survived() {
    let (instrument, mut frame) = scene(4, 12, 9, |_, s| s);
    frame.ivar.row_mut(2).fill(0.0);
    frame.flux.row_mut(2).fill(0.0);
    for f in [3, 5, 7, 9, 11, 13, 15] {
        frame.mask.row_mut(f).fill(spec::ALLBADPIX);
        frame.flux.row_mut(f).fill(1e6);
    }
    let line = 7 + 31 * 8;
    frame.flux[(1, line)] += 9000.0;
    let model = run(&frame, &Params::default()).unwrap();
    assert_eq!(model.header.int("NSKYFIB"), Some(2));
    assert!(model.sky.iter().chain(&model.ivar).all(|x| x.is_finite()) && model.ivar.iter().all(|w| *w >= 0.0));
    let expected = instrument.resolution_of(4).apply(&truth());
    let pull = |j: usize| (f64::from(model.sky[(4, j)]) - expected[j]) * f64::from(model.ivar[(4, j)]).sqrt();
    let pulls: Vec<f64> = (6..NWAVE - 6).filter(|&j| model.ivar[(4, j)] > 0.0).map(pull).collect();
    assert!(pulls.len() > NWAVE - 30, "{} bins", pulls.len());
    let (mean, rms) = moments(&pulls);
    assert!(mean.abs() < 0.3 && (0.8..1.2).contains(&rms), "{mean} {rms}");
    // one of two is hit and which one cannot be known for sure: the bin is either right or without weight
    assert!(model.ivar[(4, line)] == 0.0 || pull(line).abs() < 5.0, "{}", pull(line));
}

/// Where lines are as the model has them no variance is added: residuals in the lines are 1 wide, not less.
#[test]
fn lines_without_an_error_get_none() {
    let mut pulls = vec![];
    for seed in 10..13 {
        let (_, frame) = scene(40, 2, seed, |_, s| s);
        let model = run(&frame, &Params::default()).unwrap();
        let mut subtracted = frame.clone();
        calibrate::subtract_sky(&mut subtracted, &model);
        let lines = (0..40).flat_map(|f| (7..NWAVE - 7).filter(|j| (5..10).contains(&(j % 31))).map(move |j| (f, j)));
        let good = lines.filter(|&at| subtracted.ivar[at] > 0.0);
        pulls.extend(good.map(|at| f64::from(subtracted.flux[at]) * f64::from(subtracted.ivar[at]).sqrt()));
    }
    let (_, rms) = moments(&pulls);
    assert!((rms - 1.0).abs() < 0.015, "{rms} over {} bins", pulls.len());
}

/// A single line that scatters from fibre to fibre is given the variance for it, the others are not.
#[test]
fn a_line_with_an_error_is_given_it_alone() {
    let odd = 7 + 31 * 8;
    let seed = 14;
    let scattered = |f: usize, mut s: Vec<f64>| {
        s[odd] *= 1.0 + 0.04 * (f as f64 * 2.4).sin();
        s
    };
    let (_, clean) = scene(40, 2, seed, |_, s| s);
    let (_, frame) = scene(40, 2, seed, scattered);
    // without adjustments, which would take the one line for a throughput
    let [clean, model] = [&clean, &frame].map(|f| run(f, &Params::unadjusted()).unwrap());
    let width = |ivar: &datamodel::Sky| {
        let pull = |f: usize, j: usize| {
            let variance = 1.0 / f64::from(frame.ivar[(f, j)]) + 1.0 / f64::from(ivar.ivar[(f, j)]);
            f64::from(frame.flux[(f, j)] - model.sky[(f, j)]) / variance.sqrt()
        };
        moments(&(0..40).flat_map(|f| (odd - 2..odd + 3).map(move |j| pull(f, j))).collect::<Vec<_>>()).1
    };
    let (without, with) = (width(&clean), width(&model));
    assert!(without > 1.5 && with < 1.1, "{without} {with}");
    let ratio = |j: usize| f64::from(model.ivar[(41, j)]) / f64::from(clean.ivar[(41, j)]);
    let elsewhere: Vec<f64> = (6..NWAVE - 6).filter(|j| j.abs_diff(odd) > 15).map(ratio).collect();
    let (mean, _) = moments(&elsewhere);
    assert!((mean - 1.0).abs() < 0.02 && ratio(odd) < 0.5, "{mean} {}", ratio(odd));
}
