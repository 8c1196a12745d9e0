//! Why PSFs cannot be combined.

/// PSFs that do not go together, or none that can be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CombineError {
    /// Nothing to combine.
    #[error("no PSF to combine")]
    Nothing,
    /// An input differs from the first in what must be the same.
    #[error("{item}: expected {expected} as in the first input, found {found}")]
    Incompatible {
        /// Which input, counted from 0.
        input: usize,
        /// The keyword or array.
        item: String,
        /// Its value in the first input.
        expected: String,
        /// Its value in this one.
        found: String,
    },
    /// Every bundle failed in every exposure.
    #[error("no bundle has a valid fit (STATUS 0, RCHI2 above 0) in any of the {inputs} inputs")]
    NothingValid {
        /// Number of inputs.
        inputs: usize,
    },
    /// A series could not be brought to the range of the first input.
    #[error(transparent)]
    Numerics(#[from] numerics::NumericsError),
}
