//! Raw CCD frames to images in electrons with inverse variance and mask.
//!
//! [`preprocess`] does it in this order: bias image, overscan, saturation, gain, dark current, pixel flat,
//! cosmic rays, variance (docs/algorithms/preproc.md).

pub mod amplifier;
pub mod cosmics;
pub mod section;

use amplifier::{Amplifier, Overscan, amplifiers};
use datamodel::{Band, Header, Image, mask::ccd, raw::RawImage};
use ndarray::{Array2, Zip};
use numerics::shot_noise;

/// A pixel flat at or below this is no division, one below [`FLAT_LOW`] is flagged.
const FLAT_ZERO: f32 = 0.001;
/// See [`FLAT_ZERO`].
const FLAT_LOW: f32 = 0.1;
/// Read noise in electrons above which a pixel is flagged.
const BAD_NOISE: f32 = 15.0;

/// Calibration images; those absent are not applied.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    /// ADU, of the raw frame's shape.
    pub bias: Option<Array2<f32>>,
    /// Electrons per second, of the trimmed shape.
    pub dark: Option<Array2<f32>>,
    /// Relative response of the pixels, of the trimmed shape.
    pub pixflat: Option<Array2<f32>>,
    /// Known defects as [`ccd`] bits, of the trimmed shape.
    pub mask: Option<Array2<u32>>,
}

/// A raw frame that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PreprocError {
    /// No amplifier is described.
    #[error("no keyword CCDSECA to CCDSECD (or CCDSEC1 to CCDSEC4): the amplifiers are unknown")]
    NoAmplifier,
    /// A section keyword is absent or malformed.
    #[error("keyword {keyword}: expected a section [x1:x2,y1:y2], found {found}")]
    Section {
        /// The keyword.
        keyword: String,
        /// Its value.
        found: String,
    },
    /// A section reaches beyond the frame.
    #[error("keyword {keyword} reaches beyond the frame of {} rows and {} columns", shape.0, shape.1)]
    Outside {
        /// The keyword.
        keyword: String,
        /// Rows and columns of the frame.
        shape: (usize, usize),
    },
    /// DATASEC and CCDSEC of an amplifier differ in size.
    #[error("amplifier {suffix}: DATASEC{suffix} has {data:?} rows and columns, CCDSEC{suffix} {ccd:?}")]
    Sizes {
        /// The amplifier.
        suffix: char,
        /// Of the raw section.
        data: (usize, usize),
        /// Of its place on the CCD.
        ccd: (usize, usize),
    },
    /// A calibration image of another shape.
    #[error("the {what} image has {found:?} rows and columns, the frame {expected:?}")]
    Shape {
        /// bias, dark, pixflat or mask.
        what: &'static str,
        /// Rows and columns needed.
        expected: (usize, usize),
        /// Rows and columns of the image.
        found: (usize, usize),
    },
}

/// An image on its way: the trimmed CCD in electrons.
struct Frame {
    pix: Array2<f32>,
    mask: Array2<u32>,
    readnoise: Array2<f32>,
}

/// Makes an image of a raw frame. `cosmics` are the thresholds of the cosmic-ray rejection, which is left out
/// without them.
///
/// # Errors
/// [`PreprocError`] if the header does not describe the amplifiers or a calibration image has another shape.
pub fn preprocess(
    raw: &RawImage,
    band: Band,
    calibration: &Calibration,
    cosmics: Option<cosmics::Params>,
) -> Result<Image, PreprocError> {
    let amplifiers = amplifiers(&raw.header, raw.adu.dim())?;
    let shape = (extent(&amplifiers, |a| a.ccd.y1), extent(&amplifiers, |a| a.ccd.x1));
    check_shapes(calibration, raw.adu.dim(), shape)?;

    let mut header = raw.header.clone();
    // pixels that no amplifier reads stay masked
    let mut frame = Frame {
        pix: Array2::zeros(shape),
        mask: Array2::from_elem(shape, ccd::BADAMP),
        readnoise: Array2::zeros(shape),
    };
    for amplifier in &amplifiers {
        read_amplifier(&mut frame, raw, amplifier, calibration.bias.as_ref(), &mut header);
    }
    let seconds = header.float("DARKTIME").or(header.float("EXPTIME")).unwrap_or(0.0);
    let dark = subtract_dark(&mut frame, calibration.dark.as_ref(), seconds);
    if let Some(mask) = &calibration.mask {
        frame.mask |= mask;
    }
    frame.mask.zip_mut_with(&frame.readnoise, |m, r| *m |= if *r > BAD_NOISE { ccd::BADREADNOISE } else { 0 });
    if let Some(params) = cosmics {
        mask_cosmics(&mut frame, band, params);
    }
    let poisson = expected_counts(&frame) + &dark;
    Ok(flat_fielded(frame, poisson, calibration.pixflat.as_ref(), header))
}

fn extent(amplifiers: &[Amplifier], end: impl Fn(&Amplifier) -> usize) -> usize {
    amplifiers.iter().map(end).max().unwrap_or(0)
}

fn check_shapes(c: &Calibration, raw: (usize, usize), trimmed: (usize, usize)) -> Result<(), PreprocError> {
    let images = [
        ("bias", c.bias.as_ref().map(Array2::dim), raw),
        ("dark", c.dark.as_ref().map(Array2::dim), trimmed),
        ("pixflat", c.pixflat.as_ref().map(Array2::dim), trimmed),
        ("mask", c.mask.as_ref().map(Array2::dim), trimmed),
    ];
    for (what, found, expected) in images {
        match found {
            Some(found) if found != expected => return Err(PreprocError::Shape { what, expected, found }),
            _ => {}
        }
    }
    Ok(())
}

/// Bias, overscan, saturation and gain of one amplifier; its figures go into the header.
fn read_amplifier(
    frame: &mut Frame,
    raw: &RawImage,
    amplifier: &Amplifier,
    bias: Option<&Array2<f32>>,
    header: &mut Header,
) {
    let adu = |section: section::Section| {
        let mut part = section.of(&raw.adu).mapv(f64::from);
        if let Some(bias) = bias {
            part.zip_mut_with(&section.of(bias), |v, b| *v -= f64::from(*b));
        }
        part
    };
    let (Some(overscan), Some(gain)) = (Overscan::measure(&adu(amplifier.overscan)), amplifier.gain) else {
        // its pixels keep BADAMP, value 0 and no information; NaN is no value of a FITS keyword
        header.remove(&format!("GAIN{}", amplifier.suffix));
        return;
    };
    let noise = overscan.noise * gain;
    overscan.report(amplifier, noise);
    let mut bits = if overscan.jumps() { ccd::BADREADNOISE } else { 0 };
    if !(noise > 0.0 && noise.is_finite()) {
        log::warn!("amplifier {}: the overscan shows no noise: masked as BADAMP", amplifier.suffix);
        bits |= ccd::BADAMP;
    }
    let light = adu(amplifier.data);
    let counts = amplifier.data.of(&raw.adu);
    let mut pix = amplifier.ccd.of_mut(&mut frame.pix);
    for (row, (mut out, values)) in pix.rows_mut().into_iter().zip(light.rows()).enumerate() {
        let level = overscan.level_of(row);
        out.iter_mut().zip(values).for_each(|(o, v)| *o = ((v - level) * gain) as f32);
    }
    let saturated = |adu: &i32| if f64::from(*adu) >= amplifier.saturation { ccd::SATURATED } else { 0 };
    amplifier.ccd.of_mut(&mut frame.mask).zip_mut_with(&counts, |m, adu| *m = bits | saturated(adu));
    amplifier.ccd.of_mut(&mut frame.readnoise).fill(noise as f32);
    record(header, amplifier, &overscan, gain, noise);
}

fn record(header: &mut Header, amplifier: &Amplifier, overscan: &Overscan, gain: f64, noise: f64) {
    let key = |name: &str| format!("{name}{}", amplifier.suffix);
    header.set(&key("OVERSCN"), overscan.level, "[ADU] overscan level");
    header.set(&key("OBSRDN"), noise, "[electron] measured read noise");
    header.set(&key("GAIN"), gain, "[electron/ADU] gain applied");
    header.set(&key("OSTEP"), overscan.step, "[ADU] range of the overscan over the rows");
    header.set(&key("OMETH"), if overscan.rows.is_some() { "PER_ROW" } else { "AVERAGE" }, "overscan level used");
    header.set(&key("SATULEV"), amplifier.saturation, "[ADU] saturation");
    header.set(&key("SATUELE"), gain * (amplifier.saturation - overscan.level), "[electron] saturation");
}

/// Subtracts the dark current of `seconds`; returns what it subtracted, electrons.
fn subtract_dark(frame: &mut Frame, rate: Option<&Array2<f32>>, seconds: f64) -> Array2<f32> {
    let Some(rate) = rate else { return Array2::zeros(frame.pix.dim()) };
    let dark = rate.mapv(|r| if r.is_finite() { r.max(0.0) * seconds as f32 } else { 0.0 });
    frame.pix -= &dark;
    dark
}

/// Marks cosmic rays. The noise of a pixel is its own here: a hit must not raise that of its neighbours.
fn mask_cosmics(frame: &mut Frame, band: Band, params: cosmics::Params) {
    let noise = |value: f32, readnoise: f32, mask: u32| {
        if mask & !ccd::BADREADNOISE == 0 { (value.max(0.0) + readnoise * readnoise).sqrt() } else { f32::INFINITY }
    };
    let sigma = Zip::from(&frame.pix).and(&frame.readnoise).and(&frame.mask).map_collect(|&v, &r, &m| noise(v, r, m));
    let hit = cosmics::find(&frame.pix, &sigma, cosmics::sharpness(band), params);
    frame.mask.zip_mut_with(&hit, |m, h| *m |= if *h { ccd::COSMIC } else { 0 });
}

/// Expected electrons of each pixel, from its good neighbours.
fn expected_counts(frame: &Frame) -> Array2<f32> {
    let good = frame.mask.mapv(|m| m & !ccd::BADREADNOISE == 0);
    shot_noise::expected_electrons(frame.pix.view(), good.view(), frame.readnoise.view())
}

/// Divides by the pixel flat and makes the image; `poisson` is the variance of the light in electron^2.
fn flat_fielded(frame: Frame, poisson: Array2<f32>, flat: Option<&Array2<f32>>, header: Header) -> Image {
    let Frame { mut pix, mut mask, mut readnoise } = frame;
    let mut ivar =
        Zip::from(&poisson).and(&readnoise).map_collect(|p, r| if *r > 0.0 { 1.0 / (p + r * r) } else { 0.0 });
    if let Some(flat) = flat {
        for (at, &f) in flat.indexed_iter() {
            if f.is_finite() && f > FLAT_ZERO {
                pix[at] /= f;
                readnoise[at] /= f;
                ivar[at] *= f * f;
                mask[at] |= if f < FLAT_LOW { ccd::PIXFLATLOW } else { 0 };
            } else {
                mask[at] |= ccd::PIXFLATZERO;
            }
        }
    }
    Image { header, pix, ivar, mask, readnoise, fibermap: None }
}
