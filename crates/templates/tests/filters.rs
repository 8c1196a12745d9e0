//! The compact pass bands give the magnitudes of the published curves.

#![allow(clippy::unwrap_used)]

mod common;

use templates::{
    StarGrid,
    filters::{BASS_G, BASS_R, DECAM_G, DECAM_R, DECAM_Z, MZLS_Z},
};

/// Photon-weighted AB magnitude through a tabulated curve, an independent trapezoid rule.
fn magnitude(curve: &[(f64, f64)], flux: impl Fn(f64) -> f64) -> f64 {
    let (mut signal, mut reference) = (0.0, 0.0);
    for p in curve.windows(2) {
        let steps = 8;
        for k in 0..steps {
            let t = (k as f64 + 0.5) / steps as f64;
            let w = p[0].0 + t * (p[1].0 - p[0].0);
            let r = (p[0].1 + t * (p[1].1 - p[0].1)) * (p[1].0 - p[0].0) / steps as f64;
            signal += r * w * flux(w) * 1e-17;
            reference += r * 3.631e-20 * 2.99792458e18 / w;
        }
    }
    -2.5 * (signal / reference).log10()
}

/// A published curve of shared/data/filters, Angstrom, within these limits.
fn published(folder: &std::path::Path, name: &str, unit: f64, range: (f64, f64)) -> Vec<(f64, f64)> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.ecsv"))).unwrap();
    let row = |l: &str| {
        let (w, r) = l.split_once(' ')?;
        Some((unit * w.parse::<f64>().ok()?, r.parse().ok()?))
    };
    let mut curve: Vec<(f64, f64)> = text.lines().filter_map(row).collect();
    curve.retain(|(w, _)| (range.0..range.1).contains(w));
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    curve
}

#[test]
fn magnitudes_agree_with_the_published_curves() {
    let Some(folder) = common::shared("filters") else { return };
    let wave: Vec<f64> = (0..14000).map(|i| 3400.0 + 0.5 * i as f64).collect();
    for (filter, band) in [(DECAM_G, "g"), (DECAM_R, "r"), (DECAM_Z, "z")] {
        let curve = published(&folder, &format!("decam2014-{band}"), 10.0, (3410.0, 10390.0));
        assert!(curve.len() > 300);
        for temperature in [4000.0, 5000.0, 6000.0, 9000.0, 20000.0, 60000.0] {
            let planck = |w: f64| 1e20 / w.powi(5) / (1.43878e8 / (w * temperature)).exp_m1();
            let flux: Vec<f64> = wave.iter().map(|w| planck(*w)).collect();
            let ours = filter.ab_magnitude(&wave, &flux).unwrap();
            let published = magnitude(&curve, planck);
            assert!((ours - published).abs() < 0.02, "{band} at {temperature} K: {ours} {published}");
        }
    }
}

/// Magnitudes of stars in the northern bands, through the whole published curves: every model of the grid, lines and all.
#[test]
fn stars_have_the_magnitudes_of_the_published_northern_curves() {
    let Some(folder) = common::shared("filters") else { return };
    let grid = StarGrid::builtin();
    let last = *grid.wave.last().unwrap();
    for (filter, name) in [(BASS_G, "BASS-g"), (BASS_R, "BASS-r"), (MZLS_Z, "MzLS-z")] {
        let curve = published(&folder, name, 1.0, (3800.0, 10390.0));
        assert!(curve.len() > 100);
        for (k, model) in grid.flux.rows().into_iter().enumerate() {
            let flux: Vec<f64> = model.iter().copied().collect();
            // beyond the models a Rayleigh-Jeans tail
            let at = |w: f64| numerics::interp::linear(w.min(last), &grid.wave, &flux) * (last / w.max(last)).powi(4);
            let (ours, published) = (filter.ab_magnitude(&grid.wave, &flux).unwrap(), magnitude(&curve, at));
            assert!((ours - published).abs() < 0.004, "{name}, model {k}: {ours} {published}");
        }
    }
}
