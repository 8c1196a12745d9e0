//! The Gauss-Hermite PSF of a camera: traces, spot shapes, light integrated over pixels.
//!
//! [`Psf`] evaluates a [`datamodel::GaussHermitePsf`]; [`GaussHermite`] is the shape of one spot; [`lamps`]
//! lists the emission lines of the calibration lamps,
//! [`derivatives`] serves fits.

pub mod derivatives;
mod gauss_hermite;
pub mod lamps;
mod spot;

pub use gauss_hermite::{GaussHermite, Tail};
pub use spot::{Psf, PsfError, Spot};
