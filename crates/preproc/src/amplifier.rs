//! The amplifiers of a raw frame: where their pixels are, their overscan level, noise and gain.

use crate::{PreprocError, section::Section};
use datamodel::Header;
use ndarray::{Array2, Axis};
use numerics::robust;

/// Suffixes of the keywords: today's and those of 2016, lower left, lower right, upper left, upper right.
const SUFFIXES: [char; 8] = ['A', 'B', 'C', 'D', '1', '2', '3', '4'];
/// Saturation level in ADU where SATURLEVx is absent: the top of 16 bits.
const SATURATION: f64 = 65_535.0;
/// Clipping of the overscan, sigma and rounds.
const CLIP_SIGMA: f64 = 5.0;
const CLIP_ROUNDS: usize = 3;
/// The overscan of the rows is smoothed by a median over this many when its range is judged, and rows at both
/// ends are left out.
const STEP_SMOOTHING: usize = 7;
const STEP_MARGIN: usize = 50;
/// Range of the overscan level over the rows, in ADU, from which on each row gets a level of its own, and from
/// which on the amplifier is flagged.
const STEP_PER_ROW: f64 = 2.0;
const STEP_BAD: f64 = 5.0;
/// Ratio of measured to expected read noise outside which it is reported.
const NOISE_RATIO: (f64, f64) = (0.9, 1.2);

/// What the header says of an amplifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Amplifier {
    /// Suffix of its keywords.
    pub suffix: char,
    /// Its pixels of light in the raw frame.
    pub data: Section,
    /// Its overscan columns.
    pub overscan: Section,
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
/// [`PreprocError`] if there is none or one lacks DATASEC or BIASSEC, or a section is malformed or outside the
/// frame.
pub fn amplifiers(header: &Header, shape: (usize, usize)) -> Result<Vec<Amplifier>, PreprocError> {
    let present: Vec<char> = SUFFIXES.into_iter().filter(|s| header.get(&format!("CCDSEC{s}")).is_some()).collect();
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
        for (name, section) in [("DATASEC", data), ("BIASSEC", overscan)] {
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
            ccd,
            gain: gain(header, suffix),
            expected_noise: header.float(&format!("RDNOISE{suffix}")).filter(|n| *n > 0.0),
            saturation: header.float(&format!("SATURLEV{suffix}")).unwrap_or(SATURATION),
        })
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
        log::warn!(
            "keyword {keyword} is {:?}, not a positive number: the amplifier is masked as BADAMP",
            header.get(&keyword)
        );
    }
    gain
}

/// Bias level and noise that an overscan shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Overscan {
    /// Mean level in ADU.
    pub level: f64,
    /// Noise in ADU.
    pub noise: f64,
    /// Range of the level over the rows in ADU.
    pub step: f64,
    /// Level of each row, where the level is not constant.
    pub rows: Option<Vec<f64>>,
}

impl Overscan {
    /// Measures overscan columns, `[rows, columns]` in ADU. `None` if they hold no finite value.
    pub fn measure(adu: &Array2<f64>) -> Option<Self> {
        let all: Vec<f64> = adu.iter().copied().collect();
        let (level, noise) = robust::clipped_mean(&all, CLIP_SIGMA, CLIP_ROUNDS)?;
        let per_row = |row: ndarray::ArrayView1<f64>| {
            robust::clipped_mean(&row.to_vec(), CLIP_SIGMA, CLIP_ROUNDS).map_or(level, |m| m.0)
        };
        let rows: Vec<f64> = adu.axis_iter(Axis(0)).map(per_row).collect();
        let step = range_of(&rows);
        if step < STEP_PER_ROW {
            return Some(Self { level, noise, step, rows: None });
        }
        let flat: Vec<f64> =
            adu.axis_iter(Axis(0)).zip(&rows).flat_map(|(r, l)| r.iter().map(|v| v - l).collect::<Vec<_>>()).collect();
        // a level of each row's own takes one degree of freedom from its columns
        let columns = adu.ncols().max(2) as f64;
        let noise = robust::clipped_mean(&flat, CLIP_SIGMA, CLIP_ROUNDS)
            .map_or(noise, |m| m.1 * (columns / (columns - 1.0)).sqrt());
        Some(Self { level, noise, step, rows: Some(rows) })
    }

    /// Level of a row of the amplifier, ADU.
    pub fn level_of(&self, row: usize) -> f64 {
        self.rows.as_ref().and_then(|rows| rows.get(row).copied()).unwrap_or(self.level)
    }

    /// Whether the level jumps so much that the amplifier is not to be trusted.
    pub fn jumps(&self) -> bool {
        self.step > STEP_BAD
    }

    /// Reports a read noise (electron) that is not the expected one.
    pub fn report(&self, amplifier: &Amplifier, electrons: f64) {
        match amplifier.expected_noise {
            None => log::warn!(
                "keyword RDNOISE{} is missing; the overscan shows {electrons:.2} electrons",
                amplifier.suffix
            ),
            Some(expected) if electrons < NOISE_RATIO.0 * expected || electrons > NOISE_RATIO.1 * expected => {
                log::warn!(
                    "amplifier {}: read noise {electrons:.2} electrons, RDNOISE{0} says {expected:.2}",
                    amplifier.suffix
                );
            }
            Some(_) => {}
        }
    }
}

/// Range of the smoothed levels, ends left out.
fn range_of(rows: &[f64]) -> f64 {
    let smooth = robust::running_median(rows, &vec![true; rows.len()], STEP_SMOOTHING);
    let margin = STEP_MARGIN.min(rows.len() / 4);
    let inner = &smooth[margin..smooth.len() - margin];
    let (min, max) = inner.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    if max >= min { max - min } else { 0.0 }
}
