//! The whole of preproc on raw frames whose truth is known.

use super::*;
use datamodel::Band;

const GAIN: [f64; 4] = [1.1, 0.9, 1.3, 1.0];
const LEVEL: [f64; 4] = [1000.0, 1500.0, 2000.0, 1200.0];
const NOISE: [f64; 4] = [3.0, 2.5, 3.5, 4.0];

/// Standard normal numbers from a small generator (sum of 12 uniforms).
struct Normal(u64);
impl Normal {
    fn next(&mut self) -> f64 {
        (0..12)
            .map(|_| {
                self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (self.0 >> 11) as f64 / (1u64 << 53) as f64
            })
            .sum::<f64>()
            - 6.0
    }
}

/// A 200 x 120 CCD with an overscan of 30 columns to the right of each amplifier, exposed to `electrons`.
fn raw_frame(suffixes: &str, electrons: f64) -> RawImage {
    let (half_x, half_y, over) = (60, 100, 30);
    let two = suffixes.chars().count() == 2;
    let rows = if two { 2 * half_y } else { half_y };
    let mut header = Header::new();
    let mut adu = Array2::zeros((2 * half_y, 2 * (half_x + over)));
    let mut normal = Normal(7);
    for (k, c) in suffixes.chars().enumerate() {
        let (ix, iy) = (k % 2, k / 2);
        let (x0, y0) = (ix * (half_x + over), iy * half_y);
        let section = |a: usize, n: usize| format!("[{}:{},{}:{}]", a + 1, a + n, y0 + 1, y0 + rows);
        header.set(&format!("DATASEC{c}"), section(x0, half_x), "");
        header.set(&format!("BIASSEC{c}"), section(x0 + half_x, over), "");
        header.set(&format!("CCDSEC{c}"), section(ix * half_x, half_x), "");
        header.set(&format!("GAIN{c}"), GAIN[k], "");
        for y in y0..y0 + rows {
            for x in x0..x0 + half_x + over {
                let signal = if x < x0 + half_x { electrons + electrons.sqrt() * normal.next() } else { 0.0 };
                adu[(y, x)] = ((signal + NOISE[k] * normal.next()) / GAIN[k] + LEVEL[k]).round() as i32;
            }
        }
    }
    RawImage { header, adu }
}

fn camera() -> Camera {
    Camera::new(Band::R, 0)
}

#[test]
fn electrons_variance_and_read_noise_come_back_for_every_amplifier() {
    for suffixes in ["ABCD", "1234", "AB"] {
        let electrons = 400.0;
        let image = run(&raw_frame(suffixes, electrons), camera(), &Calibration::default(), None).unwrap();
        assert_eq!(image.pix.dim(), (200, 120));
        for (k, c) in suffixes.chars().enumerate() {
            let rows = if suffixes.len() == 2 { 0..200 } else { k / 2 * 100..k / 2 * 100 + 100 };
            let part = ndarray::s![rows, k % 2 * 60..k % 2 * 60 + 60];
            let (pix, ivar) = (image.pix.slice(part), image.ivar.slice(part));
            let n = pix.len() as f64;
            let pulls: Vec<f64> =
                pix.iter().zip(ivar).map(|(p, w)| (f64::from(*p) - electrons) * f64::from(*w).sqrt()).collect();
            let mean = pulls.iter().sum::<f64>() / n;
            let width = (pulls.iter().map(|p| p * p).sum::<f64>() / n).sqrt();
            // the overscan level is known to NOISE/sqrt(3000), small beside the 20 electrons of a pixel
            assert!(mean.abs() < 4.5 / n.sqrt(), "{suffixes} {c}: mean {mean}");
            assert!((width - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "{suffixes} {c}: width {width}");
            let noise = image.header.float(&format!("OBSRDN{c}")).unwrap();
            let rounding = GAIN[k] / 12f64.sqrt();
            let expected = NOISE[k].hypot(rounding);
            assert!(
                (noise - expected).abs() < 4.0 * expected / (2.0f64 * 3000.0).sqrt(),
                "{c}: {noise} for {expected}"
            );
        }
    }
}

#[test]
fn bias_dark_and_flat_are_taken_out() {
    let mut raw = raw_frame("ABCD", 400.0);
    raw.header.set("EXPTIME", 100.0, "");
    let flat = Array2::from_shape_fn((200, 120), |(y, x)| {
        if (y, x) == (5, 5) {
            0.0
        } else if x < 3 {
            0.05
        } else {
            0.8
        }
    });
    let calibration = Calibration {
        bias: Some(Array2::from_elem(raw.adu.dim(), 10.0)),
        dark: Some(Array2::from_elem((200, 120), 0.5)),
        pixflat: Some(flat),
        mask: None,
    };
    let image = run(&raw, camera(), &calibration, None).unwrap();
    let values: Vec<f64> = image.pix.slice(ndarray::s![10..90, 10..50]).iter().map(|p| f64::from(*p)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    // (400 - 50) / 0.8, each pixel with 20.2/0.8 electrons of noise
    assert!((mean - 437.5).abs() < 4.0 * 25.3 / (values.len() as f64).sqrt(), "{mean}");
    assert_eq!(image.mask[(5, 5)], ccd::PIXFLATZERO);
    assert_eq!(image.mask[(6, 1)], ccd::PIXFLATLOW);
    assert_eq!(image.ivar[(5, 5)], 0.0);
    let sigma2 = 1.0 / f64::from(image.ivar[(20, 30)]);
    assert!((sigma2 / ((400.0 + 9.1) / 0.64) - 1.0).abs() < 0.1, "{sigma2}");
}

#[test]
fn saturation_and_bad_amplifiers_are_masked() {
    let mut raw = raw_frame("ABCD", 100.0);
    raw.header.set("SATURLEVA", 5000, "").set("GAIND", f64::NAN, "");
    raw.adu[(10, 10)] = 5000;
    let image = run(&raw, camera(), &Calibration::default(), None).unwrap();
    assert_eq!(image.mask[(10, 10)], ccd::SATURATED);
    assert_eq!((image.mask[(150, 100)], image.ivar[(150, 100)]), (ccd::BADAMP, 0.0));
    assert!(image.pix.iter().chain(&image.ivar).all(|v| v.is_finite()));
}

#[test]
fn unusable_headers_are_named() {
    let mut raw = raw_frame("ABCD", 100.0);
    raw.header.remove("BIASSECC");
    let error = run(&raw, camera(), &Calibration::default(), None).unwrap_err();
    assert_eq!(error.to_string(), "keyword BIASSECC: expected a section [x1:x2,y1:y2], found nothing");
    let mut raw = raw_frame("ABCD", 100.0);
    raw.header.set("DATASECB", "[91:1150,1:100]", "");
    assert!(matches!(run(&raw, camera(), &Calibration::default(), None), Err(PreprocError::Outside { .. })));
    let calibration = Calibration { dark: Some(Array2::zeros((3, 4))), ..Default::default() };
    let error = run(&raw_frame("ABCD", 100.0), camera(), &calibration, None).unwrap_err();
    assert_eq!(error.to_string(), "the dark has 4 x 3 pixels, expected 120 x 200");
}
