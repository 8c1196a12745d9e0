//! Sections of a raw image, `[x1:x2,y1:y2]`, 1-based and inclusive in the header.

use std::{fmt, ops::Range, str::FromStr};

/// A rectangle of pixels, 0-based and half open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Columns.
    pub x: Range<usize>,
    /// Rows.
    pub y: Range<usize>,
}

/// A string that is no section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a section [x1:x2,y1:y2]")]
pub struct ParseSectionError(String);

impl Section {
    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.y.len(), self.x.len())
    }

    /// Whether it lies inside an image of `(ny, nx)` pixels.
    pub fn fits_in(&self, (ny, nx): (usize, usize)) -> bool {
        self.x.end <= nx && self.y.end <= ny
    }

    /// For `ndarray`'s `slice`.
    pub fn slice(&self) -> ndarray::SliceInfo<[ndarray::SliceInfoElem; 2], ndarray::Ix2, ndarray::Ix2> {
        ndarray::s![self.y.clone(), self.x.clone()]
    }
}

impl FromStr for Section {
    type Err = ParseSectionError;
    fn from_str(s: &str) -> Result<Self, ParseSectionError> {
        let error = || ParseSectionError(s.to_string());
        let range = |text: &str| -> Option<Range<usize>> {
            let (first, last) = text.trim().split_once(':')?;
            let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (first >= 1 && last >= first).then(|| first - 1..last)
        };
        let inner = s.trim().strip_prefix('[').and_then(|t| t.strip_suffix(']')).ok_or_else(error)?;
        let (x, y) = inner.split_once(',').ok_or_else(error)?;
        Ok(Section { x: range(x).ok_or_else(error)?, y: range(y).ok_or_else(error)? })
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "[{}:{},{}:{}]", self.x.start + 1, self.x.end, self.y.start + 1, self.y.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_count_from_one_and_include_their_ends() {
        let s: Section = "[8:2064, 2:2065]".parse().unwrap();
        assert_eq!(s, Section { x: 7..2064, y: 1..2065 });
        assert_eq!(s.to_string(), "[8:2064,2:2065]");
        assert_eq!(s.shape(), (2064, 2057));
        assert!(s.fits_in((2065, 2064)) && !s.fits_in((2064, 2064)));
        for bad in ["8:2064,2:2065", "[0:5,1:2]", "[5:4,1:2]", "[a:b,1:2]", "[1:2]"] {
            assert!(bad.parse::<Section>().is_err(), "{bad}");
        }
    }
}
