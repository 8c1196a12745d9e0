//! The fit of the arc image that specex itself was run on (data README: specex), where it is at hand.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use datamodel::{GaussHermitePsf, Image};
use ndarray::s;
use psf::lamps::LampLine;
use specex::Params;
use std::path::PathBuf;

fn shared(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let path = PathBuf::from(std::env::var("SPECMILL_SHARED").unwrap_or(default.to_string())).join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

/// Rms distance of the traces of bundle 0 in x and y, pixels.
fn distance(a: &GaussHermitePsf, b: &GaussHermitePsf) -> (f64, f64) {
    let (a, b) = (psf::Psf::new(a.clone()).unwrap(), psf::Psf::new(b.clone()).unwrap());
    let waves: Vec<f64> = (0..92).map(|i| 5780.0 + 20.0 * f64::from(i)).collect();
    let all = || (0..25).flat_map(|f| waves.iter().map(move |w| (f, *w)));
    let rms = |d: &dyn Fn(usize, f64) -> f64| {
        (all().map(|(f, w)| d(f, w).powi(2)).sum::<f64>() / all().count() as f64).sqrt()
    };
    (rms(&|f, w| a.x(f, w) - b.x(f, w)), rms(&|f, w| a.y(f, w) - b.y(f, w)))
}

#[test]
fn closer_to_the_truth_than_specex_from_a_guess_displaced_by_a_sixth_of_a_pixel() {
    let names = [
        "data/psf/psf-r0-00051060.fits",
        "data/specex/psf-specex-bundle0.fits",
        "data/specex/preproc-r0-arc-bundle0.fits.gz",
        "data/specex/truth-r0-arc-bundle0.fits",
    ];
    let [Some(truth), Some(theirs), Some(image), Some(lines)] = names.map(shared) else { return };
    let truth = GaussHermitePsf::read(&truth).unwrap();
    let theirs = GaussHermitePsf::read(&theirs).unwrap();
    let image = Image::read(&image).unwrap();
    let waves = datamodel::fits::FitsReader::open(&lines).unwrap().vector("WAVELENGTH").unwrap();
    let lines: Vec<LampLine> =
        waves.iter().map(|w| LampLine { ion: "X".to_string(), wave: *w, score: 1, intensity: 1.0 }).collect();
    let mut first = truth.clone();
    first.x.coeff.slice_mut(s![.., 0]).mapv_inplace(|v| v + 0.15);
    first.y.coeff.slice_mut(s![.., 0]).mapv_inplace(|v| v + 0.15);
    let params = Params { bundles: Some(vec![0]), ..Params::default() };
    let (ours, outcome) = specex::run(&image, &first, &lines, &params).unwrap();
    let fit = outcome[0].1.as_ref().unwrap();
    let (x, y) = distance(&ours, &truth);
    let (their_x, their_y) = distance(&theirs, &truth);
    println!("rms x {x:.4} (specex {their_x:.4}), y {y:.4} (specex {their_y:.4}), chi2 {:.3}", fit.rchi2);
    assert!(x < 0.6 * their_x && y < 0.7 * their_y, "x {x} {their_x}, y {y} {their_y}");
    assert!(fit.rchi2 < theirs.rchi2(0).unwrap());
}
