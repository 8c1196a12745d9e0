//! From the raw frame of a CCD to an image in electrons with its variance and mask.
//!
//! The order of operations is DESI's of today (algorithms: preproc, "now"): bias, overscan, saturation, gain, dark,
//! pixel flat, variance, cosmic rays. The Poisson variance of a pixel is predicted from its neighbours
//! ([`numerics::shot_noise`]), so that it does not follow the pixel's own noise.

mod amplifier;
mod cosmic;
mod overscan;
mod section;

pub use cosmic::CosmicParams;
pub use section::Section;

use amplifier::{Amplifier, amplifiers};
use datamodel::{Camera, Header, Image, mask::ccd, raw::RawImage};
use ndarray::{Array2, Zip};
use numerics::shot_noise::expected_electrons;
use overscan::Overscan;

/// Below this response a pixel flat is not divided by.
const FLAT_ZERO: f32 = 0.001;
/// Below this response a pixel is marked PIXFLATLOW.
const FLAT_LOW: f32 = 0.1;
/// Read noise in electrons above which a pixel is marked BADREADNOISE.
const HIGH_NOISE: f32 = 15.0;
/// Overscan step in ADU above which an amplifier is marked BADREADNOISE.
const HIGH_STEP: f64 = 5.0;

/// A raw frame that cannot be preprocessed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocError {
    /// A keyword of the camera's header is absent or unusable.
    #[error("keyword {keyword}: expected {expected}, found {found}")]
    Keyword {
        /// The keyword.
        keyword: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A section lies outside the raw image.
    #[error("keyword {keyword}: {section} lies outside the raw image of {} x {} pixels", raw.1, raw.0)]
    Outside {
        /// The keyword.
        keyword: String,
        /// Its section.
        section: String,
        /// Rows and columns of the raw image.
        raw: (usize, usize),
    },
    /// A calibration image of another size.
    #[error("the {what} has {} x {} pixels, expected {} x {}", found.1, found.0, expected.1, expected.0)]
    Shape {
        /// bias, dark, pixel flat or mask.
        what: &'static str,
        /// Rows and columns it should have.
        expected: (usize, usize),
        /// Rows and columns it has.
        found: (usize, usize),
    },
}

/// Calibration images, all optional.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    /// ADU, of the raw image's size.
    pub bias: Option<Array2<f32>>,
    /// Electrons per second, of the trimmed size.
    pub dark: Option<Array2<f32>>,
    /// Relative response, of the trimmed size.
    pub pixflat: Option<Array2<f32>>,
    /// [`ccd`] bits, of the trimmed size.
    pub mask: Option<Array2<u32>>,
}

/// Preprocesses one camera. `cosmics` is `None` to leave cosmic rays alone.
///
/// # Errors
/// [`PreprocError`] for unusable keywords and calibration images of another size.
pub fn run(
    raw: &RawImage,
    camera: Camera,
    calibration: &Calibration,
    cosmics: Option<&CosmicParams>,
) -> Result<Image, PreprocError> {
    let amplifiers = amplifiers(&raw.header, raw.adu.dim())?;
    let mut adu = raw.adu.mapv(f64::from);
    if let Some(bias) = same_shape("bias", &calibration.bias, adu.dim())? {
        adu.zip_mut_with(bias, |a, b| *a -= f64::from(*b));
    }
    let ny = amplifiers.iter().map(|a| a.ccd.y.end).max().unwrap_or(0);
    let nx = amplifiers.iter().map(|a| a.ccd.x.end).max().unwrap_or(0);
    let mask = same_shape("mask", &calibration.mask, (ny, nx))?.cloned().unwrap_or_else(|| Array2::zeros((ny, nx)));
    let mut trimmed =
        Trimmed { header: raw.header.clone(), pix: Array2::zeros((ny, nx)), readnoise: Array2::zeros((ny, nx)), mask };
    // what no amplifier covers stays masked
    let mut covered = Array2::from_elem((ny, nx), false);
    for amplifier in &amplifiers {
        trimmed.read_out(amplifier, raw, &adu);
        covered.slice_mut(amplifier.ccd.slice()).fill(true);
    }
    Zip::from(&mut trimmed.mask).and(&covered).for_each(|m, c| *m |= if *c { 0 } else { ccd::BAD });

    let dark = same_shape("dark", &calibration.dark, (ny, nx))?;
    let flat = same_shape("pixel flat", &calibration.pixflat, (ny, nx))?;
    let light = trimmed.pix.clone();
    if let Some(dark) = dark {
        let seconds = raw.header.float("DARKTIME").or(raw.header.float("EXPTIME")).unwrap_or(0.0) as f32;
        trimmed.pix.zip_mut_with(dark, |p, d| *p -= d * seconds);
    }
    if let Some(flat) = flat {
        trimmed.divide_by(flat);
    }
    if let Some(params) = cosmics {
        // for the search the pixel's own count is its variance: a hit must not hide behind its neighbours
        let ivar = trimmed.ivar(&light, flat);
        let hits = cosmic::find(trimmed.pix.view(), ivar.view(), camera.band, params);
        Zip::from(&mut trimmed.mask).and(&hits).for_each(|m, h| *m |= if *h { ccd::COSMIC } else { 0 });
    }
    let good = trimmed.mask.mapv(|m| m & !ccd::BADREADNOISE == 0);
    let expected = expected_electrons(light.view(), good.view(), trimmed.readnoise.view());
    let ivar = trimmed.ivar(&expected, flat);
    let Trimmed { header, pix, readnoise, mask } = trimmed;
    Ok(Image { header, pix, ivar, mask, readnoise, fibermap: None })
}

/// The trimmed image while it is made.
struct Trimmed {
    header: Header,
    pix: Array2<f32>,
    readnoise: Array2<f32>,
    mask: Array2<u32>,
}

impl Trimmed {
    /// Overscan, saturation and gain of one amplifier.
    fn read_out(&mut self, amplifier: &Amplifier, raw: &RawImage, adu: &Array2<f64>) {
        let overscan = overscan::measure(adu.slice(amplifier.bias.slice()));
        let noise = overscan.noise * amplifier.gain;
        report_noise(amplifier, noise);
        self.record(amplifier, &overscan, noise);
        let data = adu.slice(amplifier.data.slice());
        let counts = raw.adu.slice(amplifier.data.slice());
        let bad = if amplifier.usable { 0 } else { ccd::BADAMP };
        let noisy = if overscan.step > HIGH_STEP || noise as f32 > HIGH_NOISE { ccd::BADREADNOISE } else { 0 };
        let ccd_slice = amplifier.ccd.slice();
        self.readnoise.slice_mut(ccd_slice).fill(noise as f32);
        Zip::indexed(self.pix.slice_mut(ccd_slice)).and(data).for_each(|(y, _), p, v| {
            *p = ((v - overscan.levels[y]) * amplifier.gain) as f32;
        });
        Zip::from(self.mask.slice_mut(ccd_slice)).and(counts).for_each(|m, v| {
            *m |= bad | noisy | if f64::from(*v) >= amplifier.saturation { ccd::SATURATED } else { 0 };
        });
    }

    fn record(&mut self, amplifier: &Amplifier, overscan: &Overscan, noise: f64) {
        let c = amplifier.name;
        let h = &mut self.header;
        h.set(&format!("GAIN{c}"), amplifier.gain, "[electron/ADU] gain");
        h.set(&format!("OVERSCN{c}"), overscan.level, "[ADU] mean overscan level");
        h.set(&format!("OSTEP{c}"), overscan.step, "[ADU] range of the overscan level");
        h.set(&format!("OMETH{c}"), if overscan.per_row { "PER_ROW" } else { "AVERAGE" }, "overscan method");
        h.set(&format!("OBSRDN{c}"), noise, "[electron] read noise of the overscan");
        h.set(&format!("SATULEV{c}"), amplifier.saturation, "[ADU] saturation level");
        h.set(
            &format!("SATUELE{c}"),
            amplifier.gain * (amplifier.saturation - overscan.level),
            "[electron] saturation level",
        );
    }

    /// Divides image and read noise by the pixel flat.
    fn divide_by(&mut self, flat: &Array2<f32>) {
        Zip::from(&mut self.pix).and(&mut self.readnoise).and(&mut self.mask).and(flat).for_each(|p, r, m, &f| {
            if f > FLAT_ZERO {
                *p /= f;
                *r /= f;
                *m |= if f < FLAT_LOW { ccd::PIXFLATLOW } else { 0 };
            } else {
                *m |= ccd::PIXFLATZERO;
            }
        });
    }

    /// Inverse variance from the electrons that made the signal (before dark and flat) and the read noise.
    fn ivar(&self, electrons: &Array2<f32>, flat: Option<&Array2<f32>>) -> Array2<f32> {
        let variance = Zip::from(electrons).and(&self.readnoise).map_collect(|e, r| (e.max(0.0), r * r));
        Array2::from_shape_fn(electrons.dim(), |at| {
            let (poisson, noise) = variance[at];
            let f = flat.map_or(1.0, |f| if f[at] > FLAT_ZERO { f[at] } else { 1.0 });
            let total = poisson / (f * f) + noise;
            let unusable = ccd::BAD | ccd::BADAMP | ccd::DEAD | ccd::PIXFLATZERO | ccd::SATURATED;
            if total > 0.0 && self.mask[at] & unusable == 0 { 1.0 / total } else { 0.0 }
        })
    }
}

fn report_noise(amplifier: &Amplifier, noise: f64) {
    let Some(expected) = amplifier.expected_noise else { return };
    let (c, ratio) = (amplifier.name, noise / expected);
    if !(0.5..=2.0).contains(&ratio) {
        log::error!("amplifier {c}: read noise {noise:.2} electrons, {expected:.2} expected");
    } else if !(0.9..=1.2).contains(&ratio) {
        log::warn!("amplifier {c}: read noise {noise:.2} electrons, {expected:.2} expected");
    }
}

fn same_shape<'a, T>(
    what: &'static str,
    image: &'a Option<Array2<T>>,
    expected: (usize, usize),
) -> Result<Option<&'a Array2<T>>, PreprocError> {
    match image {
        Some(i) if i.dim() != expected => Err(PreprocError::Shape { what, expected, found: i.dim() }),
        other => Ok(other.as_ref()),
    }
}

#[cfg(test)]
mod tests;
