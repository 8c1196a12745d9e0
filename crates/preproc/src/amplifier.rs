//! The amplifiers of a raw frame: where their pixels are and what the header says of them.

use crate::{PreprocError, section::Section};
use datamodel::Header;

/// Suffixes of the keywords: today's and those of 2016, lower left, lower right, upper left, upper right.
const SUFFIXES: [char; 8] = ['A', 'B', 'C', 'D', '1', '2', '3', '4'];
/// Saturation level in ADU where SATURLEVx is absent: the top of 16 bits.
const SATURATION: f64 = 65_535.0;

/// What the header says of an amplifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Amplifier {
    /// Suffix of its keywords.
    pub suffix: char,
    /// Its pixels of light in the raw frame.
    pub data: Section,
    /// Its overscan columns.
    pub overscan: Section,
    /// Its overscan rows, beyond the data; not every camera has some.
    pub overscan_rows: Option<Section>,
    /// Its place on the CCD.
    pub ccd: Section,
    /// Electrons per ADU; `None` if the header's value is no positive number.
    pub gain: Option<f64>,
    /// Expected read noise in electrons.
    pub expected_noise: Option<f64>,
    /// ADU from which on a pixel is saturated.
    pub saturation: f64,
}

/// The amplifiers of a header, any number of them.
///
/// # Errors
/// [`PreprocError`] if there is none or one lacks CCDSEC, DATASEC or BIASSEC, or a section is malformed or outside the
/// frame.
pub fn amplifiers(header: &Header, shape: (usize, usize)) -> Result<Vec<Amplifier>, PreprocError> {
    // an amplifier that lacks one of the three is an error, not one amplifier fewer
    let described = |suffix: &char| {
        ["CCDSEC", "DATASEC", "BIASSEC"].iter().any(|name| header.get(&format!("{name}{suffix}")).is_some())
    };
    let present: Vec<char> = SUFFIXES.into_iter().filter(described).collect();
    if present.is_empty() {
        return Err(PreprocError::NoAmplifier);
    }
    present.into_iter().map(|suffix| Amplifier::new(header, suffix, shape)).collect()
}

impl Amplifier {
    fn new(header: &Header, suffix: char, shape: (usize, usize)) -> Result<Self, PreprocError> {
        let section = |name: &str| {
            let keyword = format!("{name}{suffix}");
            let text = header.str(&keyword).unwrap_or("nothing").to_string();
            text.parse::<Section>().map_err(|()| PreprocError::Section { keyword, found: text })
        };
        let (data, overscan, ccd) = (section("DATASEC")?, section("BIASSEC")?, section("CCDSEC")?);
        let overscan_rows =
            if header.get(&format!("ORSEC{suffix}")).is_some() { Some(section("ORSEC")?) } else { None };
        let of_frame = [("DATASEC", Some(data)), ("BIASSEC", Some(overscan)), ("ORSEC", overscan_rows)];
        for (name, section) in of_frame.into_iter().filter_map(|(name, s)| Some((name, s?))) {
            if !section.fits(shape) {
                return Err(PreprocError::Outside { keyword: format!("{name}{suffix}"), shape });
            }
        }
        if data.shape() != ccd.shape() {
            return Err(PreprocError::Sizes { suffix, data: data.shape(), ccd: ccd.shape() });
        }
        Ok(Self {
            suffix,
            data,
            overscan,
            overscan_rows,
            ccd,
            gain: gain(header, suffix),
            expected_noise: header.float(&format!("RDNOISE{suffix}")).filter(|n| *n > 0.0),
            saturation: header.float(&format!("SATURLEV{suffix}")).unwrap_or(SATURATION),
        })
    }
}

impl Amplifier {
    /// Whether it reads the pixels of its place from the right, and from above: where on the CCD its suffix puts it.
    pub fn corner(&self) -> (bool, bool) {
        (matches!(self.suffix, 'B' | 'D' | '2' | '4'), matches!(self.suffix, 'C' | 'D' | '3' | '4'))
    }
}

fn gain(header: &Header, suffix: char) -> Option<f64> {
    let keyword = format!("GAIN{suffix}");
    if header.get(&keyword).is_none() {
        log::error!("keyword {keyword} is missing: a gain of 1 electron/ADU is assumed");
        return Some(1.0);
    }
    let gain = header.float(&keyword).filter(|g| g.is_finite() && *g > 0.0);
    if gain.is_none() {
        log::warn!("keyword {keyword} is not a positive number: the amplifier is masked as BADAMP");
    }
    gain
}
