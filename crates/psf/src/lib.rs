//! The Gauss-Hermite PSF of a camera: traces, spot shapes, light integrated over pixels.
//!
//! [`Psf`] evaluates a [`datamodel::GaussHermitePsf`]; [`GaussHermite`] is the shape of one spot; [`lamps`]
//! lists the emission lines of the calibration lamps; [`boot`], [`derivatives`] and [`series`] serve fits.

pub mod boot;
pub mod derivatives;
mod gauss_hermite;
pub mod lamps;
pub mod series;
mod spot;

pub use gauss_hermite::{GaussHermite, Scratch, Tail};
pub use spot::{Psf, PsfError, Spot};
