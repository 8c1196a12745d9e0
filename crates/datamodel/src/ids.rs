//! The keys of the survey: night, exposure, camera. Typed, so that none can stand for another.

use std::{fmt, str::FromStr};

/// A string that is not a valid key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what} ({form})")]
pub struct ParseKeyError {
    /// The kind of key.
    pub what: &'static str,
    /// Its form.
    pub form: &'static str,
    /// What was given.
    pub text: String,
}

/// A night `YYYYMMDD`: the date of local sunset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Night(pub u32);

/// An exposure number, `%08d` in file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expid(pub u32);

/// One of the three arms of a spectrograph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Band {
    /// Blue arm, 3600-5800 Angstrom.
    B,
    /// Red arm, 5760-7620 Angstrom.
    R,
    /// Near-infrared arm, 7520-9824 Angstrom.
    Z,
}

/// A CCD: an arm of a spectrograph, `b0` to `z9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Camera {
    /// The arm.
    pub band: Band,
    /// The spectrograph, 0 to 9.
    pub spectrograph: u8,
}

impl Band {
    /// All three, from blue to red.
    pub const ALL: [Band; 3] = [Band::B, Band::R, Band::Z];

    /// Lower-case letter.
    pub fn letter(self) -> char {
        match self {
            Band::B => 'b',
            Band::R => 'r',
            Band::Z => 'z',
        }
    }

    /// First and last wavelength over which SCORES are measured, as DESI does: where the arm is efficient. Angstrom.
    pub fn scored_range(self) -> (f64, f64) {
        match self {
            Band::B => (4000.0, 5800.0),
            Band::R => (5800.0, 7600.0),
            Band::Z => (7600.0, 9800.0),
        }
    }

    /// DESI's extraction grid: first, last wavelength and step in Angstrom (vacuum). The three grids share
    /// one 0.8 Angstrom phase, so that arms can be merged bin by bin.
    pub fn extraction_grid(self) -> (f64, f64, f64) {
        match self {
            Band::B => (3600.0, 5800.0, 0.8),
            Band::R => (5760.0, 7620.0, 0.8),
            Band::Z => (7520.0, 9824.0, 0.8),
        }
    }
}

/// Fibres of a spectrograph in the survey's numbering: FIBER is this times the spectrograph plus the row.
pub const FIBERS_PER_SPECTROGRAPH: usize = 500;

impl Camera {
    /// Camera of an arm and spectrograph.
    pub fn new(band: Band, spectrograph: u8) -> Self {
        Self { band, spectrograph }
    }
}

impl fmt::Display for Night {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}
impl fmt::Display for Expid {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}
impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}
impl fmt::Display for Camera {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}{}", self.band, self.spectrograph)
    }
}

fn parse_error(what: &'static str, form: &'static str, text: &str) -> ParseKeyError {
    ParseKeyError { what, form, text: text.to_string() }
}

impl FromStr for Night {
    type Err = ParseKeyError;
    fn from_str(s: &str) -> Result<Self, ParseKeyError> {
        let error = || parse_error("night", "YYYYMMDD", s);
        let n: u32 = s.parse().map_err(|_| error())?;
        let (month, day) = (n / 100 % 100, n % 100);
        if s.len() == 8 && (1..=12).contains(&month) && (1..=31).contains(&day) { Ok(Night(n)) } else { Err(error()) }
    }
}
impl FromStr for Expid {
    type Err = ParseKeyError;
    fn from_str(s: &str) -> Result<Self, ParseKeyError> {
        s.parse().map(Expid).map_err(|_| parse_error("exposure number", "an integer", s))
    }
}
impl FromStr for Band {
    type Err = ParseKeyError;
    fn from_str(s: &str) -> Result<Self, ParseKeyError> {
        match s {
            "b" | "B" => Ok(Band::B),
            "r" | "R" => Ok(Band::R),
            "z" | "Z" => Ok(Band::Z),
            _ => Err(parse_error("band", "b, r or z", s)),
        }
    }
}
impl FromStr for Camera {
    type Err = ParseKeyError;
    fn from_str(s: &str) -> Result<Self, ParseKeyError> {
        let error = || parse_error("camera", "b0 to z9", s);
        let mut chars = s.chars();
        let (Some(band), Some(digit), None) = (chars.next(), chars.next(), chars.next()) else { return Err(error()) };
        let spectrograph = digit.to_digit(10).ok_or_else(error)? as u8;
        Ok(Camera { band: band.to_string().parse().map_err(|_| error())?, spectrograph })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip_and_reject_nonsense() {
        assert_eq!("r3".parse::<Camera>().unwrap().to_string(), "r3");
        assert_eq!("Z9".parse::<Camera>().unwrap(), Camera::new(Band::Z, 9));
        assert_eq!(Expid(42).to_string(), "00000042");
        assert!("20261301".parse::<Night>().is_err());
        assert!("2026".parse::<Night>().is_err());
        assert_eq!("x1".parse::<Camera>().unwrap_err().to_string(), "'x1' is not a camera (b0 to z9)");
    }
}
