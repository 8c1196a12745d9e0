//! The pixels that the spectra are fitted to: values and weights.

use datamodel::mask::ccd;
use ndarray::{Array2, Zip};

/// A CCD image, arrays `[y, x]`.
#[derive(Debug, Clone)]
pub struct Pixels {
    /// Electrons; 0 where the weight is 0.
    pub value: Array2<f32>,
    /// Inverse variance in electron^-2; 0 for a pixel that is not used.
    pub weight: Array2<f32>,
}

impl Pixels {
    /// Prepares an image: pixels with any mask bit but BADREADNOISE, not finite, or without a positive inverse
    /// variance, get no weight.
    pub fn new(mut value: Array2<f32>, mut weight: Array2<f32>, mask: &Array2<u32>) -> Self {
        Zip::from(&mut value).and(&mut weight).and(mask).for_each(|v, w, m| {
            if m & !ccd::BADREADNOISE != 0 || !v.is_finite() || !w.is_finite() || *w <= 0.0 {
                (*v, *w) = (0.0, 0.0);
            }
        });
        Self { value: in_rows(value), weight: in_rows(weight) }
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        self.value.dim()
    }

    /// Whether no pixel has a weight.
    pub fn is_blind(&self) -> bool {
        self.weight.iter().all(|w| *w == 0.0)
    }
}

/// The same array, one row after another in memory.
fn in_rows(a: Array2<f32>) -> Array2<f32> {
    if a.is_standard_layout() { a } else { a.as_standard_layout().into_owned() }
}

/// The pixels one row after another.
pub(crate) fn flat<T>(a: &Array2<T>) -> &[T] {
    a.as_slice().unwrap_or_default()
}
