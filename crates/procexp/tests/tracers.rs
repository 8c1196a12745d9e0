//! The ensembles behind TSNR2, made anew from the built-in models.

use procexp::tsnr::TRACERS;
use rayon::prelude::*;
use templates::{
    Igm,
    filters::DECAM_R,
    igm,
    models::{Kind, Library},
};

/// Members of an ensemble, evenly spread in redshift.
const MEMBERS: usize = 150;

/// Kind, redshifts, r magnitude, and what of the spectrum counts (the forest of LYA alone).
const SAMPLES: [(&str, Kind, (f64, f64), f64); 5] = [
    ("BGS", Kind::Bgs, (0.05, 0.4), 19.5),
    ("LRG", Kind::Lrg, (0.4, 1.0), 21.5),
    ("ELG", Kind::Elg, (0.6, 1.5), 23.0),
    ("QSO", Kind::Qso, (0.9, 2.1), 22.0),
    ("LYA", Kind::Qso, (2.1, 3.4), 22.0),
];

/// Running mean over a window of bins.
fn boxcar(x: &[f64], half: usize) -> Vec<f64> {
    let mut sums = vec![0.0];
    x.iter().for_each(|v| sums.push(sums[sums.len() - 1] + v));
    let range = |j: usize| (j.saturating_sub(half), (j + half + 1).min(x.len()));
    (0..x.len()).map(range).map(|(a, b)| (sums[b] - sums[a]) / (b - a) as f64).collect()
}

/// Mean square of what is left of the members after a running mean over 100 Angstrom, in boxes of 100 Angstrom from 3600.
fn ensemble(library: &Library, (name, kind, redshifts, mag): (&str, Kind, (f64, f64), f64)) -> Vec<f64> {
    let grid: Vec<f64> = (0..8000).map(|i| 3500.0 + 0.8 * f64::from(i)).collect();
    let member = |k: usize| -> Vec<f64> {
        let mut state = 0.5 + 0.618_033_988_75 * k as f64;
        let mut uniform = || {
            state = (state * 7.31 + 0.377).fract();
            state
        };
        let model = library.draw(kind, &mut uniform);
        let z = redshifts.0 + (redshifts.1 - redshifts.0) * (k as f64 + 0.5) / MEMBERS as f64;
        let wave: Vec<f64> = model.wave.iter().map(|w| w * (1.0 + z)).collect();
        let seen = |(w, f): (&f64, &f64)| f * igm::transmission(Igm::Calura12, z, *w);
        let flux: Vec<f64> = wave.iter().zip(&model.flux).map(seen).collect();
        let mut flux = numerics::resample::resample_flux(&grid, &wave, &flux);
        let scale = 10f64.powf(0.4 * (DECAM_R.ab_magnitude(&grid, &flux).unwrap_or(mag) - mag));
        flux.iter_mut().for_each(|f| *f *= scale);
        // two boxes of 3 bins: the resolution
        let flux = boxcar(&boxcar(&flux, 1), 1);
        let smooth = boxcar(&flux, 62);
        let counts = |w: f64| name != "LYA" || w < 1215.67 * (1.0 + z);
        (0..grid.len()).map(|j| if counts(grid[j]) { (flux[j] - smooth[j]).powi(2) } else { 0.0 }).collect()
    };
    let members: Vec<Vec<f64>> = (0..MEMBERS).into_par_iter().map(member).collect();
    let mean = |j: usize| members.iter().map(|m| m[j]).sum::<f64>() / MEMBERS as f64;
    let boxes = |k: usize| (0..125).map(|i| mean(125 * (k + 1) + i)).sum::<f64>() / 125.0;
    (0..63).map(boxes).collect()
}

#[test]
fn the_ensembles_are_those_of_the_models() {
    let library = Library::builtin();
    for (sample, tracer) in SAMPLES.iter().zip(&TRACERS) {
        let expected = ensemble(&library, *sample);
        assert_eq!(sample.0, tracer.name);
        let text: Vec<String> = expected.iter().map(|e| format!("{e:.2e}")).collect();
        let now = text.join(", ");
        let total = expected.iter().sum::<f64>();
        let ratio = tracer.power.iter().map(|p| f64::from(*p)).sum::<f64>() / total;
        assert!((ratio - 1.0).abs() < 0.25, "{}: {ratio}; now {now}", sample.0);
        let largest = expected.iter().copied().fold(0.0, f64::max);
        for (e, p) in expected.iter().zip(&tracer.power).filter(|(e, _)| **e > 0.2 * largest) {
            let ratio = f64::from(*p) / e;
            assert!((0.5..2.0).contains(&ratio), "{}: {ratio}; now {now}", sample.0);
        }
    }
}
