//! Why a bundle, or all of them, cannot be fitted.

/// A bundle's failure; the bundle keeps its first guess and carries [`FitError::status`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// The arc shows too few lines at the places that the first guess gives.
    #[error("arc without lines: {found} of {expected} lines are seen in most fibres, at least {needed} needed")]
    NoLines {
        /// Lines seen.
        found: usize,
        /// Lines that the list has in the camera's range.
        expected: usize,
        /// Lines needed.
        needed: usize,
    },
    /// The light is that of a continuum lamp.
    #[error("arc without lines: the light between the lines is {percent:.0} % of that of the lines; is it a flat?")]
    Continuum {
        /// Median over the spots, percent.
        percent: f64,
    },
    /// Most fibres show no light.
    #[error("{live} of {nfiber} fibres show lines, at least {needed} needed")]
    FewFibers {
        /// Fibres with light.
        live: usize,
        /// Fibres of the bundle.
        nfiber: usize,
        /// Fibres needed.
        needed: usize,
    },
    /// The normal equations cannot be solved.
    #[error("the fit's equations cannot be solved: {0}")]
    Singular(#[from] numerics::NumericsError),
    /// The result makes no sense.
    #[error("the fit went astray: {0}")]
    Astray(String),
}

impl FitError {
    /// Value of the row STATUS in the PSF file.
    pub fn status(&self) -> i32 {
        match self {
            Self::NoLines { .. } | Self::Continuum { .. } => 1,
            Self::FewFibers { .. } => 2,
            Self::Singular(_) => 3,
            Self::Astray(_) => 4,
        }
    }
}
