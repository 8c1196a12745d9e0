//! The Gauss-Hermite PSF of a camera: traces, spot shapes, light integrated over pixels.
//!
//! [`Psf`] evaluates a [`datamodel::GaussHermitePsf`]; [`GaussHermite`] is the shape of one spot.

mod gauss_hermite;
mod spot;

pub use gauss_hermite::{GaussHermite, Tail};
pub use spot::{Psf, PsfError, Spot};
