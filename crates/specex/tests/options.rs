//! Tails and continuum against a truth that has them.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

mod common;

use common::{Limits, Scene, one_bundle, run};
use datamodel::{Band, GaussHermitePsf};
use psf::{Psf, lamps};
use specex::Params;

/// Light of the fitted spots beyond 4.5 pixels from their centres less the true one, as a fraction of the latter.
fn excess_in_the_wings(scene: &Scene, fitted: &GaussHermitePsf) -> f64 {
    let fitted = Psf::new(fitted.clone()).unwrap();
    let truth = &scene.model.psf;
    let (mut ours, mut theirs) = (0.0, 0.0);
    for (fiber, wave) in [(2, 5900.0), (12, 6700.0), (22, 7500.0)] {
        let (x, y) = (truth.x(fiber, wave), truth.y(fiber, wave));
        let (a, b) = (fitted.spot(fiber, wave), truth.spot(fiber, wave));
        for p in 0..a.values.len() {
            let (dx, dy) = ((b.x0 + (p % b.nx) as i64) as f64 - x, (b.y0 + (p / b.nx) as i64) as f64 - y);
            if dx.hypot(dy) > 4.5 {
                ours += a.values[p];
                theirs += b.values[p];
            }
        }
    }
    ours / theirs - 1.0
}

#[test]
fn tails_of_the_spots() {
    let amplitude = 0.004;
    let scene = Scene::changed(Band::R, &[], 21, |psf| {
        psf.parameters.get_mut("TAILAMP").unwrap().column_mut(0).fill(amplitude);
    });
    let arc = scene.arc(&lamps::builtin());
    let with = run(&arc, &scene.guess((0.1, 0.1)), &Params { tails: true, ..one_bundle() });
    let without = run(&arc, &scene.guess((0.1, 0.1)), &one_bundle());
    scene.check(&with, &[], &Limits { x: 0.01, y: 0.01, spot: 0.01 });
    let (a, b) = (excess_in_the_wings(&scene, &with.0), excess_in_the_wings(&scene, &without.0));
    println!(
        "light in the wings: {a:+.3} with tails, {b:+.3} without; TAILAMP {}",
        with.0.parameters["TAILAMP"].row(12)
    );
    assert!(a.abs() < 0.1 && b.abs() > 3.0 * a.abs(), "{a} {b}");
    assert!(with.0.parameters["TAILAMP"].row(12)[0] > 0.5 * amplitude);
    assert!(without.0.parameters["TAILAMP"].row(12).iter().all(|v| *v == 0.0));
}

#[test]
fn light_between_the_lines() {
    let scene = Scene::new(Band::Z, &[7], 22);
    let mut light = scene.model.arc(&lamps::builtin());
    // a thermal lamp: 120 electrons per Angstrom in the middle, rising to the red
    let grid = scene.model.grid;
    let lamp = |wave: f64| 120.0 * (1.0 + 0.5 * (wave - 8700.0) / 1200.0);
    light.density.assign(&scene.model.fibers);
    for (i, mut column) in light.density.columns_mut().into_iter().enumerate() {
        column.mapv_inplace(|throughput| throughput * lamp(grid.wave(i)));
    }
    let image = scene.image(&light);
    let with = run(&image, &scene.guess((0.1, 0.1)), &Params { continuum: true, ..one_bundle() });
    scene.check(&with, &[7], &Limits { x: 0.01, y: 0.01, spot: 0.01 });
    let fit = with.1[0].1.as_ref().unwrap();
    let without = run(&image, &scene.guess((0.1, 0.1)), &one_bundle());
    let worse = without.1[0].1.as_ref().unwrap();
    println!("chi2 {:.3} with continuum, {:.3} without", fit.rchi2, worse.rchi2);
    assert!(fit.rchi2 < 1.0 && worse.rchi2 > 1.1);
    for (fiber, wave) in [(0, 7900.0), (12, 8700.0), (24, 9600.0)] {
        let rows_per_angstrom = scene.model.psf.y(fiber, wave + 0.5) - scene.model.psf.y(fiber, wave - 0.5);
        let truth = light.density[(fiber, ((wave - grid.start) / grid.step).round() as usize)] / rows_per_angstrom;
        let u = numerics::legendre::reduced(wave, with.0.wavemin, with.0.wavemax);
        let found = numerics::legendre::evaluate(&with.0.parameters["CONT"].row(fiber).to_vec(), u);
        assert!(
            (found / truth - 1.0).abs() < 0.03,
            "fibre {fiber}, {wave} A: {found:.1} for {truth:.1} electrons per row"
        );
    }
    assert_eq!(without.0.parameters["CONT"].sum(), 0.0);
}
