//! The set that needs no file, computed when it is asked for.

pub mod galaxy;
pub mod nebula;
pub mod pca;
pub mod quasar;
pub mod star;

use crate::Template;
use std::sync::OnceLock;

/// Version of the built-in set.
pub(crate) const VERSION: &str = "1.0";
/// What a built-in template gives as its file.
pub(crate) const SOURCE: &str = "built-in";

/// The templates that need no file: galaxies, quasars (HIZ and LOZ) and stars.
pub fn builtin() -> Vec<Template> {
    static SET: OnceLock<Vec<Template>> = OnceLock::new();
    SET.get_or_init(|| {
        let (galaxy, (quasars, stars)) =
            rayon::join(galaxy::template, || rayon::join(quasar::templates, star::templates));
        std::iter::once(galaxy).chain(quasars).chain(stars).collect()
    })
    .clone()
}

/// Numbers in [0, 1) that fill a cube evenly: Halton's sequence of the first primes. The families that the
/// bases are made of are drawn with it, so that they are the same everywhere.
pub(crate) struct Halton {
    index: u32,
}

impl Halton {
    const PRIMES: [u32; 16] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53];

    pub(crate) fn new() -> Self {
        Self { index: 20 }
    }

    /// The next point: a function that gives its coordinates one after the other.
    pub(crate) fn next_point(&mut self) -> impl FnMut() -> f64 + use<> {
        self.index += 1;
        let (index, mut dimension) = (self.index, 0);
        move || {
            let base = Self::PRIMES[dimension % Self::PRIMES.len()];
            dimension += 1;
            let (mut i, mut fraction, mut value) = (index, 1.0 / f64::from(base), 0.0);
            while i > 0 {
                value += fraction * f64::from(i % base);
                i /= base;
                fraction /= f64::from(base);
            }
            value
        }
    }
}
