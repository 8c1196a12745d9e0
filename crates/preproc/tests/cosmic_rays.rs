//! Tracks are found, lines and continua of fibres are not.

mod common;

use common::{normal, rng};
use datamodel::Band;
use ndarray::Array2;
use preproc::cosmics::{self, Params};
use rand::Rng;

/// Fibres 7.26 pixels apart with a sky-like continuum and lines, spots of sigma 1.05 x 1.1 pixels; the expected
/// light.
fn spectra(ny: usize, nx: usize) -> Array2<f64> {
    let profile =
        |d: f64, sigma: f64| (-0.5 * (d / sigma).powi(2)).exp() / (sigma * (2.0 * std::f64::consts::PI).sqrt());
    Array2::from_shape_fn((ny, nx), |(y, x)| {
        let fiber = ((x as f64) / 7.26).round();
        let across = profile(x as f64 - 7.26 * fiber, 1.05);
        let lines: f64 = (0..ny / 40)
            .map(|k| 10f64.powf(2.0 + (k % 4) as f64 * 0.8) * profile(y as f64 - 40.0 * k as f64 - 0.37 * fiber, 1.1))
            .sum();
        across * (120.0 + lines)
    })
}

#[test]
fn tracks_are_found_and_spectra_are_spared() {
    let (ny, nx) = (800, 400);
    let mut rng = rng(11);
    let light = spectra(ny, nx);
    let mut charge = Array2::<f64>::zeros((ny, nx));
    for _ in 0..120 {
        let (mut x, mut y) = (rng.random_range(5.0..nx as f64 - 5.0), rng.random_range(5.0..ny as f64 - 5.0));
        let angle = rng.random_range(0.0..std::f64::consts::TAU);
        for _ in 0..rng.random_range(1..40) {
            if let Some(pixel) = charge.get_mut((
                (y + 0.25 * normal(&mut rng)).round() as usize,
                (x + 0.25 * normal(&mut rng)).round() as usize,
            )) {
                *pixel += 300.0 * rng.random_range(0.5..1.5);
            }
            x += 0.5 * angle.cos();
            y += 0.5 * angle.sin();
        }
    }
    let pix = Array2::from_shape_fn((ny, nx), |at| {
        let mean = light[at] + charge[at];
        (mean + (mean + 9.0).sqrt() * normal(&mut rng)) as f32
    });
    let sigma = pix.mapv(|v| (v.max(0.0) + 9.0).sqrt());
    let hit = cosmics::find(&pix, &sigma, cosmics::sharpness(Band::R), Params::default());

    let struck = |at: &(usize, usize)| charge[*at] > 10.0 * (light[*at] + 9.0).sqrt();
    let inner = |&(y, x): &(usize, usize)| (1..ny - 1).contains(&y) && (1..nx - 1).contains(&x);
    let all: Vec<(usize, usize)> = hit.indexed_iter().map(|(at, _)| at).filter(inner).collect();
    let true_hits = all.iter().filter(|at| struck(at)).count() as f64;
    let found = all.iter().filter(|at| struck(at) && hit[**at]).count() as f64;
    assert!(found / true_hits > 0.95, "recall {}", found / true_hits);

    // false: found where no charge fell within two pixels
    let near = |&(y, x): &(usize, usize)| {
        let rows = y.saturating_sub(2)..(y + 3).min(ny);
        rows.flat_map(|v| (x.saturating_sub(2)..(x + 3).min(nx)).map(move |u| (v, u))).any(|at| charge[at] > 0.0)
    };
    let false_hits = all.iter().filter(|at| hit[**at] && !near(at)).count() as f64;
    let marked = hit.iter().filter(|h| **h).count() as f64;
    assert!(false_hits / marked < 0.01, "{false_hits} of {marked} are false");
}

#[test]
fn without_tracks_nothing_is_marked() {
    let mut rng = rng(12);
    let light = spectra(800, 400);
    for band in Band::ALL {
        let pix = light.mapv(|l| (l + (l + 9.0).sqrt() * normal(&mut rng)) as f32);
        let sigma = pix.mapv(|v| (v.max(0.0) + 9.0).sqrt());
        let hit = cosmics::find(&pix, &sigma, cosmics::sharpness(band), Params::default());
        let marked = hit.iter().filter(|h| **h).count();
        assert!(marked <= 5, "{band}: {marked} pixels");
    }
}
