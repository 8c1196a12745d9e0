//! Fits of simulated arcs of the mini instrument against the simulator's truth.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use common::{Limits, Scene, one_bundle, run};
use datamodel::{Band, mask::ccd};
use psf::{Psf, lamps, lamps::LampLine};
use specex::{FitError, Params};

const GOOD: Limits = Limits { x: 0.01, y: 0.012, spot: 0.01 };

#[test]
fn the_three_arms_from_a_displaced_guess_with_a_dead_fibre() {
    for (band, shift) in [(Band::B, (0.1, -0.2)), (Band::R, (2.0, 2.0)), (Band::Z, (-0.5, 5.0))] {
        let scene = Scene::new(band, &[7], 11);
        let result = run(&scene.arc(&lamps::builtin()), &scene.guess(shift), &one_bundle());
        scene.check(&result, &[7], &GOOD);
        let fit = result.1[0].1.as_ref().unwrap();
        assert!((0.9..1.1).contains(&fit.rchi2), "{band}: {}", fit.rchi2);
        assert_eq!(fit.alive.iter().filter(|a| !**a).count(), 1);
        // the dead fibre goes where the others go
        let moved = Psf::new(result.0.clone()).unwrap();
        let wave = band.extraction_grid().0 + 800.0;
        assert!((moved.y(7, wave) - scene.model.psf.y(7, wave)).abs() < 0.05, "{band}");
        // bundle 1 was not asked for: its traces are those of the guess, marked as skipped
        assert!(result.0.status[..25].iter().all(|s| *s == 0) && result.0.status[25..].iter().all(|s| *s == -1));
    }
}

#[test]
fn half_of_the_lines_missing_and_a_fifth_of_the_light() {
    for (band, dark, share) in
        [(Band::R, "NeI", 1.0), (Band::Z, "NeI", 1.0), (Band::B, "KrI", 1.0), (Band::R, "", 0.07)]
    {
        let scene = Scene::new(band, &[], 12);
        let mut lit: Vec<LampLine> = lamps::builtin().into_iter().filter(|l| l.ion != dark).collect();
        // the simulator's lamps shine with the power 0.6 of the intensity
        lit.iter_mut().for_each(|l| l.intensity *= share);
        let result = run(&scene.arc(&lit), &scene.guess((0.2, 0.3)), &one_bundle());
        scene.check(&result, &[], &Limits { x: 0.011, y: 0.012, spot: 0.015 });
    }
}

#[test]
fn defects_stay_where_they_are() {
    let scene = Scene::new(Band::R, &[], 13);
    let mut image = scene.arc(&lamps::builtin());
    let truth = &scene.model.psf;
    // a dead column through a trace; a line that is saturated in all fibres, unmasked in half of them
    image.mask.column_mut(truth.x(12, 6700.0).round() as usize).fill(ccd::DEAD);
    for fiber in 0..25 {
        let (x, y) = (truth.x(fiber, 7034.352).round() as usize, truth.y(fiber, 7034.352).round() as usize);
        for (i, j) in (y - 2..=y + 2).flat_map(|i| (x - 2..=x + 2).map(move |j| (i, j))) {
            image.pix[(i, j)] = 60000.0;
            image.mask[(i, j)] |= if fiber % 2 == 0 { ccd::SATURATED } else { 0 };
        }
    }
    // cosmic rays on lines, unmasked
    for (k, wave) in [6404.017, 6508.326, 6219.001, 7247.163, 7505.934].into_iter().enumerate() {
        let (x, y) = (truth.x(3 * k, wave).round() as usize, truth.y(3 * k, wave).round() as usize);
        for step in 0..6 {
            image.pix[(y + step - 2, x + step - 3)] += 9000.0;
        }
    }
    let result = run(&image, &scene.guess((0.1, 0.1)), &one_bundle());
    scene.check(&result, &[], &Limits { x: 0.012, y: 0.015, spot: 0.012 });
}

#[test]
fn a_failed_bundle_keeps_its_guess_and_leaves_the_others_alone() {
    let scene = Scene::new(Band::R, &[], 14);
    let whole = scene.arc(&lamps::builtin());
    let guess = scene.guess((0.1, 0.1));
    let border = (0.5 * (scene.model.psf.x(24, 6700.0) + scene.model.psf.x(25, 6700.0))) as usize;
    let mut image = whole.clone();
    image.pix.slice_mut(ndarray::s![.., border..]).fill(0.0);
    let (psf, outcome) = run(&image, &guess, &Params::default());
    assert!(outcome[0].1.is_ok());
    assert!(matches!(outcome[1].1, Err(FitError::NoLines { .. })), "{:?}", outcome[1].1.as_ref().err());
    assert!(psf.status[..25].iter().all(|s| *s == 0) && psf.status[25..].iter().all(|s| *s == 1));
    assert_eq!(psf.x.coeff.row(30).to_vec()[..6], guess.x.coeff.row(30).to_vec()[..6]);
    assert_eq!(psf.rchi2(1), Some(0.0));
    // the fit of a bundle is the same bits whatever the other one and the number of threads
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (alone, _) = pool.install(|| run(&whole, &guess, &one_bundle()));
    for fiber in 0..25 {
        assert_eq!(alone.x.coeff.row(fiber), psf.x.coeff.row(fiber));
        assert_eq!(alone.parameters["GH-2-2"].row(fiber), psf.parameters["GH-2-2"].row(fiber));
    }
}

#[test]
fn an_arc_without_lines_and_a_flat_are_refused() {
    let scene = Scene::new(Band::B, &[], 15);
    for image in [scene.arc(&[]), scene.image(&scene.model.flat())] {
        let (psf, outcome) = run(&image, &scene.guess((0.0, 0.0)), &Params::default());
        for (_, result) in &outcome {
            let error = result.as_ref().unwrap_err();
            assert!(error.to_string().starts_with("arc without lines"), "{error}");
        }
        assert!(psf.status.iter().all(|s| *s == 1));
    }
}
