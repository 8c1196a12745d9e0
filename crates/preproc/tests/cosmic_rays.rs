//! Tracks are found, lines and continua of fibres are not.

mod common;

use common::{normal, rng};
use datamodel::Band;
use ndarray::Array2;
use preproc::cosmics::{self, Params, Pixels};
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

/// The image, and which of its pixels are marked in the end.
fn marked(pix: &Array2<f32>, band: Band) -> Array2<bool> {
    let (noise, mask) = (Array2::from_elem(pix.dim(), 3.0), Array2::zeros(pix.dim()));
    let pixels = Pixels { values: pix, readnoise: &noise, mask: &mask };
    let hits = cosmics::find(pixels, cosmics::sharpness(band), Params::default());
    let mut marked = Array2::from_elem(pix.dim(), false);
    hits.iter().for_each(|&at| marked[at] = true);
    let expected = numerics::shot_noise::expected_electrons(pix.view(), marked.mapv(|m| !m).view(), noise.view());
    cosmics::halo(pixels, &hits, &expected, Params::default().halo).into_iter().for_each(|at| marked[at] = true);
    marked
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
    let hit = marked(&pix, Band::R);

    let struck = |at: &(usize, usize)| charge[*at] > 5.0 * (light[*at] + 9.0).sqrt();
    let inner = |&(y, x): &(usize, usize)| (1..ny - 1).contains(&y) && (1..nx - 1).contains(&x);
    let all: Vec<(usize, usize)> = hit.indexed_iter().map(|(at, _)| at).filter(inner).collect();
    let share = |of: &dyn Fn(&(usize, usize)) -> bool, are: &dyn Fn(&(usize, usize)) -> bool| {
        let (sum, n) =
            all.iter().filter(|at| of(at)).fold((0.0, 0.0), |(s, n), at| (s + f64::from(u8::from(are(at))), n + 1.0));
        sum / n
    };
    let recall = share(&struck, &|at| hit[*at]);
    assert!(recall > 0.96, "recall {recall}");
    let precision = share(&|at| hit[*at], &|at| charge[*at] > 0.0);
    assert!(precision > 0.80, "precision {precision}");
    // none is marked where no charge fell within two pixels
    let near = |&(y, x): &(usize, usize)| {
        let rows = y.saturating_sub(2)..(y + 3).min(ny);
        rows.flat_map(|v| (x.saturating_sub(2)..(x + 3).min(nx)).map(move |u| (v, u))).any(|at| charge[at] > 0.0)
    };
    let far = all.iter().filter(|at| hit[**at] && !near(at)).count();
    assert!(far <= 2, "{far} marked far from any track");
}

#[test]
fn without_tracks_nothing_is_marked() {
    let mut rng = rng(12);
    let light = spectra(800, 400);
    for band in Band::ALL {
        let pix = light.mapv(|l| (l + (l + 9.0).sqrt() * normal(&mut rng)) as f32);
        let count = marked(&pix, band).iter().filter(|h| **h).count();
        assert!(count <= 5, "{band}: {count} pixels");
    }
}
