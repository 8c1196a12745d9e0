//! The amplifiers of a CCD as the header of its raw image describes them.

use crate::{PreprocError, section::Section};
use datamodel::Header;

/// Suffixes of an amplifier's keywords: today's letters, and the numbers of 2016.
const SUFFIXES: [char; 8] = ['A', 'B', 'C', 'D', '1', '2', '3', '4'];
/// ADU at which a 16-bit converter saturates, where SATURLEVx is absent.
const SATURATION_ADU: f64 = 65_535.0;

/// One amplifier and the part of the CCD that it reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Amplifier {
    /// Suffix of its keywords.
    pub name: char,
    /// Pixels of the raw image that hold light (DATASEC, or TRIMSEC).
    pub data: Section,
    /// Overscan columns (BIASSEC).
    pub bias: Section,
    /// Where the light goes in the trimmed image (CCDSEC).
    pub ccd: Section,
    /// Electrons per ADU (GAIN).
    pub gain: f64,
    /// Raw ADU at which it saturates (SATURLEV).
    pub saturation: f64,
    /// Expected read noise in electrons (RDNOISE), if the header has it.
    pub expected_noise: Option<f64>,
    /// Whether its gain is usable; else the pixels are masked.
    pub usable: bool,
}

/// The amplifiers that were read (two or four): those with a CCDSECx.
///
/// # Errors
/// [`PreprocError::Keyword`] if there is none, or a section is absent, malformed or of another size than its
/// partner; [`PreprocError::Outside`] if one lies outside the raw image of `(ny, nx)` pixels.
pub fn amplifiers(header: &Header, raw: (usize, usize)) -> Result<Vec<Amplifier>, PreprocError> {
    let present = SUFFIXES.iter().filter(|c| header.get(&format!("CCDSEC{c}")).is_some());
    let amplifiers: Vec<Amplifier> = present.map(|&c| amplifier(header, c, raw)).collect::<Result<_, _>>()?;
    if amplifiers.is_empty() {
        return Err(PreprocError::Keyword {
            keyword: "CCDSECA".into(),
            expected: "a section for each amplifier".into(),
            found: "none".into(),
        });
    }
    Ok(amplifiers)
}

fn amplifier(header: &Header, name: char, raw: (usize, usize)) -> Result<Amplifier, PreprocError> {
    let trimsec = header.get(&format!("DATASEC{name}")).is_none();
    let data = section(header, &format!("{}{name}", if trimsec { "TRIMSEC" } else { "DATASEC" }))?;
    let bias = section(header, &format!("BIASSEC{name}"))?;
    let ccd = section(header, &format!("CCDSEC{name}"))?;
    for (part, keyword) in [(&data, "DATASEC"), (&bias, "BIASSEC")] {
        if !part.fits_in(raw) {
            return Err(PreprocError::Outside { keyword: format!("{keyword}{name}"), section: part.to_string(), raw });
        }
    }
    if data.shape() != ccd.shape() || bias.y.len() != data.y.len() {
        return Err(PreprocError::Keyword {
            keyword: format!("CCDSEC{name}"),
            expected: format!("the size of DATASEC{name} {data} and the rows of BIASSEC{name} {bias}"),
            found: ccd.to_string(),
        });
    }
    let (gain, usable) = gain(header, name);
    Ok(Amplifier {
        name,
        data,
        bias,
        ccd,
        gain,
        saturation: header.float(&format!("SATURLEV{name}")).unwrap_or(SATURATION_ADU),
        expected_noise: header.float(&format!("RDNOISE{name}")).filter(|r| *r > 0.0),
        usable,
    })
}

/// The gain, and whether it can be believed.
fn gain(header: &Header, name: char) -> (f64, bool) {
    match header.float(&format!("GAIN{name}")) {
        Some(gain) if gain > 0.0 && gain.is_finite() => (gain, true),
        Some(gain) => {
            log::warn!("GAIN{name} is {gain}: the amplifier is masked as BADAMP");
            (1.0, false)
        }
        None => {
            log::error!("GAIN{name} is missing: 1 electron per ADU is taken");
            (1.0, true)
        }
    }
}

fn section(header: &Header, keyword: &str) -> Result<Section, PreprocError> {
    let text = header.str(keyword);
    text.and_then(|s| s.parse().ok()).ok_or_else(|| PreprocError::Keyword {
        keyword: keyword.to_string(),
        expected: "a section [x1:x2,y1:y2]".into(),
        found: text.map_or("nothing".into(), |s| format!("'{s}'")),
    })
}
