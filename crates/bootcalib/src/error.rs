//! Why traces or wavelengths cannot be found.

/// A failure of the bootstrap; the caller adds the file's name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BootError {
    /// The two images are not of one CCD.
    #[error("the flat has {flat:?} pixels (y, x), the arc {arc:?}: both must be of the same camera")]
    Shape {
        /// Rows and columns of the flat.
        flat: (usize, usize),
        /// Rows and columns of the arc.
        arc: (usize, usize),
    },
    /// The flat shows no fibres.
    #[error(
        "no bundle of 25 fibres in the flat: found {found} peaks across the middle rows; check that it is a lit flat"
    )]
    NoFibers {
        /// Peaks in the cut across the middle.
        found: usize,
    },
    /// The fibres cannot be followed along the CCD.
    #[error(
        "the fibres of the flat can be followed over {percent:.0} % of the rows only, at least 40 % needed; check that it is a flat"
    )]
    NotTraced {
        /// Rows with a good centroid, in percent.
        percent: f64,
    },
    /// The arc has too few emission lines.
    #[error(
        "arc without lines: {found} peaks in the best fibre, at least {needed} needed; check that the lamps were lit"
    )]
    NoLines {
        /// Peaks in the fibre that has most.
        found: usize,
        /// Peaks needed.
        needed: usize,
    },
    /// The lines match no wavelengths of the lamps.
    #[error(
        "the arc's lines match no wavelength solution: {matched} of {peaks} peaks identified, at least {needed} needed"
    )]
    NotIdentified {
        /// Peaks that the best solution explains.
        matched: usize,
        /// Peaks that were tried.
        peaks: usize,
        /// Peaks that must be explained.
        needed: usize,
    },
    /// A fit failed.
    #[error(transparent)]
    Numerics(#[from] numerics::NumericsError),
}

impl BootError {
    /// Whether the flat is at fault, else it is the arc.
    pub fn is_flat(&self) -> bool {
        matches!(self, Self::NoFibers { .. } | Self::NotTraced { .. })
    }
}
