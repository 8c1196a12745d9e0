//! Raw CCD frames to images in electrons with inverse variance and mask.
//!
//! [`preprocess`] does it in this order: bias image, overscan, saturation, gain, cross-talk, dark current, trails,
//! cosmic rays, variance, scattered light, pixel flat (docs/algorithms/preproc.md).

pub mod amplifier;
pub mod cosmics;
pub mod electronics;
mod error;
pub mod overscan;
mod readout;
pub mod scattered;
pub mod section;

use amplifier::{Amplifier, amplifiers};
use datamodel::{Band, Image, mask::ccd, raw::RawImage};
pub use error::PreprocError;
use ndarray::{Array2, Axis, Zip};
use numerics::shot_noise;
use psf::Psf;
use rayon::prelude::*;
use readout::{Frame, Raw};

/// A pixel flat at or below this is no division, one below [`FLAT_LOW`] is flagged.
const FLAT_ZERO: f32 = 0.001;
/// See [`FLAT_ZERO`].
const FLAT_LOW: f32 = 0.1;
/// Read noise in electrons above which a pixel is flagged.
const BAD_NOISE: f32 = 15.0;

/// What is known of a camera; what is absent is not applied.
#[derive(Default)]
pub struct Calibration {
    /// ADU, of the raw frame's shape.
    pub bias: Option<Array2<f32>>,
    /// Electrons per second, of the trimmed shape.
    pub dark: Option<Array2<f32>>,
    /// Relative response of the pixels, of the trimmed shape.
    pub pixflat: Option<Array2<f32>>,
    /// Known defects as [`ccd`] bits, of the trimmed shape.
    pub mask: Option<Array2<u32>>,
    /// Cross-talk and trails.
    pub electronics: electronics::Electronics,
    /// Traces, between whose bundles the scattered light is measured; none of it is subtracted without.
    pub traces: Option<Psf>,
}

/// How it is done.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Use of the overscan columns.
    pub columns: overscan::Columns,
    /// Use of the overscan rows.
    pub rows: overscan::Rows,
    /// Thresholds of the cosmic-ray rejection, which is left out without them.
    pub cosmics: Option<cosmics::Params>,
}

/// Makes an image of a raw frame.
///
/// # Errors
/// [`PreprocError`] if the header does not describe the amplifiers or a calibration image has another shape.
pub fn preprocess(
    raw: &RawImage,
    band: Band,
    calibration: &Calibration,
    options: &Options,
) -> Result<Image, PreprocError> {
    let amplifiers = amplifiers(&raw.header, raw.adu.dim())?;
    let shape = trimmed(&amplifiers);
    check_shapes(calibration, raw.adu.dim(), shape)?;

    let mut header = raw.header.clone();
    let raw = Raw { frame: raw, bias: calibration.bias.as_ref(), columns: options.columns, rows: options.rows };
    let mut frame = raw.read(&amplifiers, shape, &mut header);
    electronics::subtract_crosstalk(&mut frame.pix, &amplifiers, &calibration.electronics);
    let dark = Dark::new(calibration.dark.as_ref(), &header);
    dark.subtract(&mut frame);
    electronics::fill_trails(&mut frame.pix, &amplifiers, &calibration.electronics);
    if let Some(mask) = &calibration.mask {
        frame.mask |= mask;
    }
    frame.mask.zip_mut_with(&frame.readnoise, |m, r| *m |= if *r > BAD_NOISE { ccd::BADREADNOISE } else { 0 });
    let hits = options.cosmics.map(|p| cosmics::find(frame.pixels(), cosmics::sharpness(band), p)).unwrap_or_default();
    hits.iter().for_each(|&at| frame.mask[at] |= ccd::COSMIC);
    let expected = expected_electrons(&frame);
    if let Some(params) = options.cosmics {
        let halo = cosmics::halo(frame.pixels(), &hits, &expected, params.halo);
        halo.into_iter().for_each(|at| frame.mask[at] |= ccd::COSMIC);
    }
    let ivar = inverse_variance(expected, &frame, &dark);
    if let Some(traces) = &calibration.traces {
        let light = scattered::light(&frame.pix, &frame.mask, &scattered::gaps(traces, shape));
        frame.pix -= &light;
    }
    let Frame { pix, mask, readnoise } = frame;
    let mut image = Image { header, pix, ivar, mask, readnoise, fibermap: None };
    if let Some(flat) = &calibration.pixflat {
        divide(&mut image, flat);
    }
    Ok(image)
}

/// Rows and columns of the CCD whose amplifiers these are.
fn trimmed(amplifiers: &[Amplifier]) -> (usize, usize) {
    let extent = |end: fn(&Amplifier) -> usize| amplifiers.iter().map(end).max().unwrap_or(0);
    (extent(|a| a.ccd.y1), extent(|a| a.ccd.x1))
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

/// The dark current of an exposure.
struct Dark<'a> {
    /// Electrons per second.
    rate: Option<&'a Array2<f32>>,
    seconds: f32,
}

impl<'a> Dark<'a> {
    fn new(rate: Option<&'a Array2<f32>>, header: &datamodel::Header) -> Self {
        let seconds = header.float("DARKTIME").or(header.float("EXPTIME"));
        if rate.is_some() && seconds.is_none() {
            log::warn!("keywords DARKTIME and EXPTIME are missing: no dark current is subtracted");
        }
        Self { rate, seconds: seconds.unwrap_or(0.0) as f32 }
    }

    /// Electrons at a rate; none where it is not known.
    fn electrons(&self, rate: f32) -> f32 {
        rate.max(0.0) * self.seconds
    }

    /// Subtracts it; a pixel without a rate is BAD.
    fn subtract(&self, frame: &mut Frame) {
        let Some(rate) = self.rate else { return };
        Zip::from(&mut frame.pix).and(&mut frame.mask).and(rate).for_each(|pix, mask, &rate| {
            let known = rate.is_finite();
            *pix -= if known { self.electrons(rate) } else { 0.0 };
            *mask |= if known { 0 } else { ccd::BAD };
        });
    }
}

/// Electrons of light predicted from the good neighbours: the weight of a pixel must not know its own noise.
fn expected_electrons(frame: &Frame) -> Array2<f32> {
    let good = frame.mask.mapv(|m| m & !ccd::BADREADNOISE == 0);
    let mut expected = Array2::zeros(frame.pix.dim());
    let bands: Vec<_> = expected.axis_chunks_iter_mut(Axis(0), shot_noise::BAND).enumerate().collect();
    bands.into_par_iter().for_each(|(band, rows)| {
        let (pix, noise) = (frame.pix.view(), frame.readnoise.view());
        shot_noise::expected_rows(pix, good.view(), noise, band * shot_noise::BAND, rows);
    });
    expected
}

/// 1 / (expected electrons + dark current + squared read noise), 0 where an amplifier gave nothing.
fn inverse_variance(expected: Array2<f32>, frame: &Frame, dark: &Dark) -> Array2<f32> {
    let ivar = |variance: f32, noise: f32| if noise > 0.0 { 1.0 / (variance + noise * noise) } else { 0.0 };
    let mut out = expected;
    match dark.rate {
        None => out.zip_mut_with(&frame.readnoise, |v, noise| *v = ivar(*v, *noise)),
        Some(rate) => Zip::from(&mut out)
            .and(&frame.readnoise)
            .and(rate)
            .for_each(|v, noise, rate| *v = ivar(*v + dark.electrons(*rate), *noise)),
    }
    out
}

/// Divides by the pixel flat.
fn divide(image: &mut Image, flat: &Array2<f32>) {
    for (at, &f) in flat.indexed_iter() {
        if f.is_finite() && f > FLAT_ZERO {
            image.pix[at] /= f;
            image.readnoise[at] /= f;
            image.ivar[at] *= f * f;
            image.mask[at] |= if f < FLAT_LOW { ccd::PIXFLATLOW } else { 0 };
        } else {
            image.mask[at] |= ccd::PIXFLATZERO;
        }
    }
}
