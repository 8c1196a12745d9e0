//! What makes a raw frame unusable.

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
