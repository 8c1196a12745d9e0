//! Bias, gain and noise of known frames are recovered, in sigmas; headers with gaps are survived or refused.

mod common;

use common::{NX, NY, OVER, four, frame, rng, two};
use datamodel::{Band, mask::ccd, raw::RawImage};
use ndarray::Array2;
use preproc::{
    Calibration, Options, PreprocError,
    electronics::Electronics,
    overscan::{Columns, Rows},
    preprocess, scattered,
};
use rand_distr::{Distribution, Poisson};

fn with(raw: &RawImage, calibration: &Calibration) -> Result<datamodel::Image, PreprocError> {
    preprocess(raw, Band::R, calibration, &Options::default())
}

fn plain(raw: &RawImage) -> Result<datamodel::Image, PreprocError> {
    with(raw, &Calibration::default())
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
fn the_overscan_is_used_as_told() {
    let drift = |y: usize| 4.0 * (y as f64 / NY as f64);
    let raw = frame(&two(), &Array2::zeros((NY, NX)), drift, 15);
    let top = |columns| {
        let options = Options { columns, ..Default::default() };
        let image = preprocess(&raw, Band::R, &Calibration::default(), &options).unwrap();
        image.pix.slice(ndarray::s![NY - 50.., ..]).mean().unwrap()
    };
    assert!(top(Columns::ByRow).abs() < 0.4);
    // half of the drift less the part within the 50 rows, times the mean gain
    assert!((top(Columns::Constant) - 1.75).abs() < 0.2, "{}", top(Columns::Constant));
}

#[test]
fn overscan_rows_show_what_the_columns_cannot() {
    let (rows, half) = (20, NX / 2);
    let mut raw = frame(&two(), &Array2::zeros((NY + rows, NX)), |_| 0.0, 16);
    for (suffix, first) in [("1", 0), ("2", half + 2 * OVER)] {
        // a level that only the columns of light have, a parabola over them; the last rows are overscan
        for x in 0..half {
            for y in 0..NY + rows {
                raw.adu[[y, first + x]] += (4.0 + 0.006 * (x as f64 - 30.0).powi(2)).round() as i32;
            }
        }
        let section = |x: usize, n: usize, y: (usize, usize)| format!("[{}:{},{}:{}]", x + 1, x + n, y.0 + 1, y.1);
        let over = if suffix == "1" { half } else { half + OVER };
        let ccd = if suffix == "1" { 0 } else { half };
        let mut set = |name: &str, value: String| {
            raw.header.set(&format!("{name}{suffix}"), value, "");
        };
        set("DATASEC", section(first, half, (0, NY)));
        set("BIASSEC", section(over, OVER, (0, NY)));
        set("CCDSEC", section(ccd, half, (0, NY)));
        set("ORSEC", section(first, half, (NY, NY + rows)));
    }
    let column_means = |rows| {
        let options = Options { rows, ..Default::default() };
        let image = preprocess(&raw, Band::R, &Calibration::default(), &options).unwrap();
        image.pix.mean_axis(ndarray::Axis(0)).unwrap()
    };
    let rms = |v: &ndarray::Array1<f32>| (v.mapv(|x| x * x).mean().unwrap()).sqrt();
    assert!(rms(&column_means(Rows::None)) > 5.0);
    let constant = column_means(Rows::Constant);
    assert!(constant.mean().unwrap().abs() < 1.0 && rms(&constant) > 1.0);
    // the mean of 20 rows, smoothed, and rounding to whole ADU: 0.3 electrons
    assert!(rms(&column_means(Rows::Smooth)) < 0.5, "{}", rms(&column_means(Rows::Smooth)));
}

#[test]
fn crosstalk_and_trails_are_undone() {
    let electronics =
        Electronics::parse("crosstalk = { AB = 0.01, AD = 0.002 }\n[dark_trail.B]\namplitude = 0.02\nwidth = 3.0")
            .unwrap();
    let mut electrons = Array2::zeros((NY, NX));
    let truth = [([20, 10], 20_000.0), ([20, NX - 31], 10_000.0)];
    truth.iter().for_each(|&(at, value)| electrons[at] = value);
    // A is read from the lower left, B from the lower right, D from the upper right
    electrons[[20, NX - 1 - 10]] += 0.01 * 20_000.0;
    electrons[[NY - 1 - 20, NX - 1 - 10]] += 0.002 * 20_000.0;
    // in B a pixel is followed, to the left, by what its trail lacks
    for k in 1..12 {
        electrons[[20, NX - 31 - k]] -= 0.02 * 10_000.0 * (-(k as f64) / 3.0).exp();
    }
    let raw = frame(&four(), &electrons, |_| 0.0, 17);
    let image = with(&raw, &Calibration { electronics, ..Default::default() }).unwrap();
    for at in [[20, NX - 11], [NY - 21, NX - 11], [20, NX - 32], [20, NX - 33], [20, NX - 36]] {
        let noise = image.readnoise[at];
        assert!(image.pix[at].abs() < 4.5 * noise, "{at:?}: {} electrons", image.pix[at]);
    }
    assert!((image.pix[truth[1].0] - 10_000.0).abs() < 20.0);
    for bad in [
        "crosstalk = { AB = 2.0 }",
        "[dark_trail.A]\namplitude = 0.1\nwidth = 0.0",
        "cross = 1",
        "crosstalk = { AB = nan }",
    ] {
        assert!(Electronics::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn calibrations_that_are_no_numbers_become_masks() {
    let raw = frame(&four(), &Array2::from_elem((NY, NX), 100.0), |_| 0.0, 18);
    let mut calibration = Calibration {
        bias: Some(Array2::zeros(raw.adu.dim())),
        dark: Some(Array2::zeros((NY, NX))),
        pixflat: Some(Array2::ones((NY, NX))),
        ..Default::default()
    };
    calibration.bias.as_mut().unwrap()[[50, 50]] = f32::NAN;
    // in an overscan column
    calibration.bias.as_mut().unwrap()[[60, NX / 2 + 3]] = f32::NAN;
    calibration.dark.as_mut().unwrap()[[70, 20]] = f32::INFINITY;
    calibration.pixflat.as_mut().unwrap()[[80, 30]] = f32::NAN;
    let image = with(&raw, &calibration).unwrap();
    assert!(image.pix.iter().chain(&image.ivar).chain(&image.readnoise).all(|v| v.is_finite()));
    let bad: Vec<_> = image.mask.indexed_iter().filter(|(_, m)| **m != 0).map(|(at, m)| (at, *m)).collect();
    assert_eq!(bad, [((50, 50), ccd::BAD), ((70, 20), ccd::BAD), ((80, 30), ccd::PIXFLATZERO)]);
}

#[test]
fn dead_and_saturated_amplifiers_are_masked() {
    let raw = || frame(&four(), &Array2::from_elem((NY, NX), 100.0), |_| 0.0, 19);
    let mut dead = raw();
    // amplifier A reads one value everywhere
    dead.adu.slice_mut(ndarray::s![..NY / 2, ..NX / 2 + OVER]).fill(0);
    let image = with(&dead, &Calibration::default()).unwrap();
    assert!(image.mask[[10, 10]] & ccd::BADAMP != 0 && image.ivar[[10, 10]] == 0.0);
    assert_eq!(image.mask[[10, NX - 1]], 0);
    let mut full = raw();
    full.adu.fill(65_535);
    let image = with(&full, &Calibration::default()).unwrap();
    assert!(image.mask.iter().all(|m| m & (ccd::SATURATED | ccd::BADAMP) != 0));
    assert!(image.pix.iter().chain(&image.ivar).all(|v| v.is_finite()));
}

#[test]
fn scattered_light_is_measured_between_the_bundles() {
    // 50 fibres in two bundles with a gap of 20 pixels, straight traces
    let (nx, fibres) = (420, 50);
    let place = |f: usize| 15.0 + 7.26 * f as f64 + if f >= 25 { 12.74 } else { 0.0 };
    let coefficients =
        |n: usize, value: &dyn Fn(usize, usize) -> f64| Array2::from_shape_fn((fibres, n), |(f, k)| value(f, k));
    let rows = |coeff| datamodel::psf::LegendreRows { wavemin: 5000.0, wavemax: 6000.0, coeff };
    let half = 0.5 * (NY as f64 - 1.0);
    let boot = datamodel::PsfBoot {
        header: datamodel::Header::new(),
        x: rows(coefficients(1, &|f, _| place(f))),
        y: rows(coefficients(2, &|_, _| half)),
        xsigma: vec![1.0; fibres],
    };
    let traces = psf::Psf::new(psf::boot::gaussian(&boot, (NY, nx))).unwrap();
    let mut rng = rng(20);
    let background = |x: usize, y: usize| 8.0 + 0.02 * x as f64 + 0.005 * y as f64;
    let pix = Array2::from_shape_fn((NY, nx), |(y, x)| {
        let light: f64 = (0..fibres).map(|f| 300.0 * (-0.5 * (x as f64 - place(f)).powi(2)).exp()).sum();
        (light + background(x, y) + 3.0 * common::normal(&mut rng)) as f32
    });
    let mut mask = Array2::zeros(pix.dim());
    mask[[100, 205]] = ccd::COSMIC;
    let found = scattered::light(&pix, &mask, &scattered::gaps(&traces, pix.dim()));
    for (y, x) in [(50, 20), (200, 100), (200, 205), (350, 390)] {
        // medians over 200 rows and more of 5 columns: 0.2 electrons; towards the ends the window is one-sided
        let slope = if y == 200 { 0.3 } else { 0.9 };
        assert!(
            (f64::from(found[[y, x]]) - background(x, y)).abs() < slope,
            "{y} {x}: {} not {}",
            found[[y, x]],
            background(x, y)
        );
    }
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
        ..Default::default()
    };
    calibration.mask.as_mut().unwrap()[[20, 20]] = ccd::HOT;
    let flat = calibration.pixflat.as_mut().unwrap();
    (flat[[30, 30]], flat[[31, 31]]) = (0.0, 0.05);
    let image = with(&raw, &calibration).unwrap();
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
    let error = with(&raw, &calibration).unwrap_err();
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
    bad.header.remove("CCDSECB");
    assert!(plain(&bad).unwrap_err().to_string().starts_with("keyword CCDSECB: expected a section"));

    let mut bad = raw();
    bad.header.set("DATASECD", "[1:9999,1:10]", "");
    assert!(plain(&bad).unwrap_err().to_string().starts_with("keyword DATASECD reaches beyond the frame"));

    let mut bad = raw();
    for name in ["CCDSEC", "DATASEC", "BIASSEC"] {
        "ABCD".chars().for_each(|s| bad.header.remove(&format!("{name}{s}")));
    }
    assert_eq!(plain(&bad).unwrap_err(), PreprocError::NoAmplifier);
}
