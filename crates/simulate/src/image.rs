//! The pix form: the image that a perfect calibration of bias, gain, dark current and flat makes of a raw frame.

use crate::detector::{Charge, Detector};
use datamodel::{Header, Image, mask::ccd};
use ndarray::{Array2, Zip};
use numerics::shot_noise;

/// Cosmic rays are masked where they left more than this many sigma of the noise: what a good rejection finds.
const COSMIC_SIGMA: f32 = 5.0;

/// The image of an exposure of `seconds` whose expected light was `light`. Its inverse variance comes from the
/// image itself, as preproc makes it; the mask holds known defects, saturation and cosmic rays.
pub fn pix(
    detector: &Detector,
    light: &Array2<f64>,
    charge: &Charge,
    seconds: f64,
    expid: u32,
    header: Header,
) -> Image {
    let readnoise = detector.read_noise();
    let mut pix = &charge.electrons + &detector.noise(expid);
    let mut mask = detector.mask.clone();
    let struck = detector.struck(charge, light, COSMIC_SIGMA);
    Zip::from(&mut mask).and(&struck).for_each(|m, &hit| *m |= if hit { ccd::COSMIC } else { 0 });
    for ((y, x), value) in pix.indexed_iter_mut() {
        let full = detector.saturation(y, x);
        if *value >= full {
            *value = full;
            mask[[y, x]] |= ccd::SATURATED;
        }
        *value -= detector.dark[[y, x]] * seconds as f32;
    }
    let good = mask.mapv(|m| m == 0);
    let expected = shot_noise::expected_electrons(pix.view(), good.view(), readnoise.view());
    let dark = detector.dark.mapv(|d| d * seconds as f32);
    let ivar = Zip::from(&expected).and(&readnoise).and(&dark).map_collect(|e, r, d| 1.0 / (e + d + r * r));
    Image { header, pix, ivar, mask, readnoise, fibermap: None }
}
