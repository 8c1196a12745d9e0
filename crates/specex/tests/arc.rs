//! Fits of simulated arcs of the mini instrument against the simulator's truth.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use datamodel::{Band, Camera, GaussHermitePsf, Image, mask::ccd};
use psf::{Psf, lamps, lamps::LampLine};
use simulate::camera::{CameraModel, Light};
use simulate::{image, instrument::Instrument, optics, project};
use specex::{FitError, Outcome, Params};

struct Scene {
    band: Band,
    model: CameraModel,
}

/// Largest errors that are accepted.
struct Limits {
    x: f64,
    y: f64,
    spot: f64,
}

impl Scene {
    fn new(band: Band, dead: &[usize], seed: u64) -> Self {
        let instrument = Instrument::load("mini").unwrap();
        let camera = Camera::new(band, 0);
        let psf = Psf::new(optics::true_psf(&instrument, camera, seed).unwrap()).unwrap();
        let dead: Vec<bool> = (0..instrument.nfiber()).map(|f| dead.contains(&f)).collect();
        Self { band, model: CameraModel::new(&instrument, camera, psf, &dead, seed) }
    }

    fn arc(&self, lines: &[LampLine]) -> Image {
        self.image(&self.model.arc(lines))
    }

    fn image(&self, light: &Light) -> Image {
        let m = &self.model;
        let expected = project::project(&m.psf, &m.grid, light.density.view(), &light.lines);
        let charge = m.detector.expose(&expected, 5.0, 2);
        image::pix(&m.detector, &expected, &charge, 5.0, 2, Default::default())
    }

    /// The true traces moved by `(dx, dy)` pixels with Gaussian spots: what a bootstrap gives.
    fn guess(&self, (dx, dy): (f64, f64)) -> GaussHermitePsf {
        let truth = self.model.psf.file();
        let mut boot = datamodel::PsfBoot {
            header: Default::default(),
            x: truth.x.clone(),
            y: truth.y.clone(),
            xsigma: vec![1.05; truth.nfiber()],
        };
        boot.x.coeff.column_mut(0).mapv_inplace(|v| v + dx);
        boot.y.coeff.column_mut(0).mapv_inplace(|v| v + dy);
        psf::boot::gaussian(&boot, truth.npix)
    }

    fn check(&self, (psf, outcome): &(GaussHermitePsf, Outcome), but: &[usize], limits: &Limits) {
        let fitted = Psf::new(psf.clone()).unwrap();
        let (first, last, _) = self.band.extraction_grid();
        let waves: Vec<f64> = (0..=46).map(|i| first + (last - first) * f64::from(i) / 46.0).collect();
        let (mut x, mut y, mut spots) = (Vec::new(), Vec::new(), Vec::new());
        for (bundle, result) in outcome {
            assert!(result.is_ok(), "bundle {bundle}: {:?}", result.as_ref().err());
            for fiber in (bundle * 25..bundle * 25 + 25).filter(|f| !but.contains(f)) {
                for wave in &waves {
                    x.push((fitted.x(fiber, *wave) - self.model.psf.x(fiber, *wave)).powi(2));
                    y.push((fitted.y(fiber, *wave) - self.model.psf.y(fiber, *wave)).powi(2));
                }
                spots.extend(waves.iter().step_by(9).map(|w| self.spot_error(&fitted, fiber, *w)));
            }
        }
        let rms = |v: &[f64]| (v.iter().sum::<f64>() / v.len() as f64).sqrt();
        let spot = numerics::robust::median(&spots).unwrap();
        let (x, y) = (rms(&x), rms(&y));
        println!("{}: rms x {x:.4} y {y:.4} pixels, spot {spot:.4} of the peak", self.band);
        assert!(x < limits.x && y < limits.y && spot < limits.spot, "{}: x {x:.4} y {y:.4} spot {spot:.4}", self.band);
    }

    /// Largest difference of a spot, as a fraction of its peak, both at the true place.
    fn spot_error(&self, fitted: &Psf, fiber: usize, wave: f64) -> f64 {
        let truth = self.model.psf.spot(fiber, wave);
        let at = (self.model.psf.x(fiber, wave), self.model.psf.y(fiber, wave));
        let mut values = fitted.shape(fiber, wave).integrate(at, (truth.x0, truth.y0), (truth.nx, truth.ny));
        values.iter_mut().for_each(|v| *v = v.max(0.0));
        let sum: f64 = values.iter().sum();
        let peak = truth.values.iter().copied().fold(0.0, f64::max);
        values.iter().zip(&truth.values).map(|(a, b)| (a / sum - b).abs() / peak).fold(0.0, f64::max)
    }
}

fn one_bundle() -> Params {
    Params { bundles: Some(vec![0]), ..Params::default() }
}

fn run(image: &Image, first: &GaussHermitePsf, params: &Params) -> (GaussHermitePsf, Outcome) {
    specex::run(image, first, &lamps::builtin(), params).unwrap()
}

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
        scene.check(&result, &[], &Limits { x: 0.02, y: 0.05, spot: 0.03 });
    }
}

#[test]
fn defects_stay_where_they_are() {
    let scene = Scene::new(Band::R, &[], 13);
    let mut image = scene.arc(&lamps::builtin());
    let truth = &scene.model.psf;
    // a dead column through a trace; a saturated line with a bleeding trail, unmasked in half of the fibres
    image.mask.column_mut(truth.x(12, 6700.0).round() as usize).fill(ccd::DEAD);
    for fiber in 0..25 {
        let (x, y) = (truth.x(fiber, 7034.352).round() as usize, truth.y(fiber, 7034.352).round() as usize);
        for (i, j) in (y - 1..=y + 1).flat_map(|i| (x - 1..=x + 1).map(move |j| (i, j))) {
            image.pix[(i, j)] = 1500.0;
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
