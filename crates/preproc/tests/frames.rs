//! Bias, gain and noise of known frames are recovered, in sigmas; headers with gaps are survived or refused.

mod common;

use common::{NX, NY, OVER, four, frame, rng, two};
use datamodel::{Band, mask::ccd, raw::RawImage};
use ndarray::Array2;
use preproc::{Calibration, PreprocError, preprocess};
use rand_distr::{Distribution, Poisson};

fn plain(raw: &RawImage) -> Result<datamodel::Image, PreprocError> {
    preprocess(raw, Band::R, &Calibration::default(), None)
}

#[test]
fn level_noise_and_gain_of_each_amplifier_come_out() {
    let amps = four();
    let electrons = Array2::from_elem((NY, NX), 1000.0);
    let image = plain(&frame(&amps, &electrons, |_| 0.0, 1)).unwrap();
    assert_eq!(image.pix.dim(), (NY, NX));
    for amp in &amps {
        let key = |name: &str| image.header.float(&format!("{name}{}", amp.suffix)).unwrap();
        let n = (OVER * NY / 2) as f64;
        // rounding to whole ADU adds 1/12
        let noise = (amp.noise.powi(2) + amp.gain.powi(2) / 12.0).sqrt();
        assert!((key("OVERSCN") - amp.bias).abs() < 4.0 * noise / amp.gain / n.sqrt(), "{}", amp.suffix);
        assert!((key("OBSRDN") - noise).abs() < 4.0 * noise / (2.0 * n).sqrt(), "{}", amp.suffix);
        assert!((key("SATUELE") - amp.gain * (65535.0 - amp.bias)).abs() < 1.0);
        let x = if amp.right { NX / 2..NX } else { 0..NX / 2 };
        let part = image.pix.slice(ndarray::s![amp.rows.0..amp.rows.1, x]);
        let mean = f64::from(part.sum()) / part.len() as f64;
        assert!((mean - 1000.0).abs() < 5.0 * noise / n.sqrt(), "{}: {mean}", amp.suffix);
    }
    assert!(image.mask.iter().all(|m| *m == 0));
}

#[test]
fn the_inverse_variance_is_fair_and_independent_of_the_pixels_own_noise() {
    let mut rng = rng(2);
    let poisson = Poisson::new(25.0).unwrap();
    let electrons = Array2::from_shape_fn((NY, NX), |_| poisson.sample(&mut rng));
    let image = plain(&frame(&four(), &electrons, |_| 0.0, 3)).unwrap();
    let pulls = image.pix.iter().zip(&image.ivar).map(|(p, w)| (f64::from(*p) - 25.0) * f64::from(*w).sqrt());
    let n = image.pix.len() as f64;
    let (sum, square) = pulls.fold((0.0, 0.0), |(s, q), p| (s + p, q + p * p));
    assert!((sum / n).abs() < 4.0 / n.sqrt() + 0.005, "{}", sum / n);
    assert!(((square / n).sqrt() - 1.0).abs() < 0.01, "{}", (square / n).sqrt());
    // a weighted mean is where the variance from the pixel itself would show: it would be a whole electron low
    let (weighted, weights) =
        image.pix.iter().zip(&image.ivar).fold((0.0, 0.0), |(a, b), (p, w)| (a + f64::from(p * w), b + f64::from(*w)));
    assert!((weighted / weights - 25.0).abs() * weights.sqrt() < 4.0, "{}", weighted / weights);
}

#[test]
fn two_amplifiers_of_2016_make_a_whole_image() {
    let mut electrons = Array2::zeros((NY, NX));
    electrons[[300, 100]] = 5000.0;
    let image = plain(&frame(&two(), &electrons, |_| 0.0, 4)).unwrap();
    assert_eq!(image.pix.dim(), (NY, NX));
    assert!((image.pix[[300, 100]] - 5000.0).abs() < 5.0 * 2.6);
    assert!(image.mask.iter().all(|m| *m == 0));
    assert!(image.header.float("OVERSCN2").is_some() && image.header.float("OVERSCNA").is_none());
}

#[test]
fn a_level_that_changes_over_the_rows_is_followed() {
    let drift = |y: usize| 4.0 * (y as f64 / NY as f64);
    let image = plain(&frame(&two(), &Array2::zeros((NY, NX)), drift, 5)).unwrap();
    assert_eq!(image.header.str("OMETH1"), Some("PER_ROW"));
    let top = image.pix.slice(ndarray::s![NY - 50.., ..]).mean().unwrap();
    // 50 rows' levels, each known to 0.5 electrons
    assert!(top.abs() < 0.4, "{top}");
    let jump = |y: usize| if y > NY / 2 { 9.0 } else { 0.0 };
    let image = plain(&frame(&two(), &Array2::zeros((NY, NX)), jump, 5)).unwrap();
    assert!(image.mask.iter().all(|m| *m == ccd::BADREADNOISE));
}

#[test]
fn saturation_dark_flat_and_mask_are_applied() {
    let mut electrons = Array2::from_elem((NY, NX), 200.0);
    electrons[[10, 10]] = 1e6;
    let raw = frame(&four(), &electrons, |_| 0.0, 6);
    let mut calibration = Calibration {
        bias: Some(Array2::zeros(raw.adu.dim())),
        dark: Some(Array2::from_elem((NY, NX), 1.0)),
        pixflat: Some(Array2::from_elem((NY, NX), 0.5)),
        mask: Some(Array2::zeros((NY, NX))),
    };
    calibration.mask.as_mut().unwrap()[[20, 20]] = ccd::HOT;
    let flat = calibration.pixflat.as_mut().unwrap();
    (flat[[30, 30]], flat[[31, 31]]) = (0.0, 0.05);
    let image = preprocess(&raw, Band::R, &calibration, None).unwrap();
    assert_eq!(image.mask[[10, 10]], ccd::SATURATED);
    assert_eq!(image.mask[[20, 20]], ccd::HOT);
    assert_eq!(image.mask[[30, 30]], ccd::PIXFLATZERO);
    assert_eq!(image.mask[[31, 31]], ccd::PIXFLATLOW);
    // 200 electrons less 100 s of 1 electron/s, over a response of one half
    let mean = image.pix.slice(ndarray::s![100..150, 5..55]).mean().unwrap();
    assert!((mean - 200.0).abs() < 1.0, "{mean}");
    // the dark current's own noise stays: light and dark are 200 electrons, seen through the flat
    let variance = 1.0 / image.ivar[[120, 30]];
    let expected = (200.0 + 3.0f32.powi(2)) / 0.25;
    assert!((variance / expected - 1.0).abs() < 0.05, "{variance} {expected}");
    calibration.dark = Some(Array2::zeros((3, 3)));
    let error = preprocess(&raw, Band::R, &calibration, None).unwrap_err();
    assert_eq!(error.to_string(), format!("the dark image has (3, 3) rows and columns, the frame ({NY}, {NX})"));
}

#[test]
fn headers_with_gaps_are_survived_or_refused_with_the_keyword() {
    let raw = || frame(&four(), &Array2::from_elem((NY, NX), 100.0), |_| 0.0, 7);

    let mut bad = raw();
    bad.header.set("GAINB", f64::NAN, "");
    let image = plain(&bad).unwrap();
    assert_eq!(image.mask[[10, NX - 1]], ccd::BADAMP);
    assert_eq!((image.pix[[10, NX - 1]], image.ivar[[10, NX - 1]]), (0.0, 0.0));
    assert_eq!(image.mask[[10, 0]], 0);

    let mut bad = raw();
    bad.header.remove("GAINA");
    assert_eq!(plain(&bad).unwrap().header.float("GAINA"), Some(1.0));

    let mut bad = raw();
    bad.header.remove("BIASSECC");
    assert_eq!(
        plain(&bad).unwrap_err().to_string(),
        "keyword BIASSECC: expected a section [x1:x2,y1:y2], found nothing"
    );

    let mut bad = raw();
    bad.header.set("DATASECD", "[1:9999,1:10]", "");
    assert!(plain(&bad).unwrap_err().to_string().starts_with("keyword DATASECD reaches beyond the frame"));

    let mut bad = raw();
    "ABCD".chars().for_each(|s| bad.header.remove(&format!("CCDSEC{s}")));
    assert_eq!(plain(&bad).unwrap_err(), PreprocError::NoAmplifier);
}
