//! Whether an image is the one that a PSF describes.

use crate::{ExtractError, Params, projection};
use psf::Psf;

/// Wavelengths of a fibre at which its spots are looked at.
const SAMPLES: usize = 33;

/// Whether an image of `(rows, columns)` has the size that the PSF says (`Ok(true)`), or is a cut-out of it
/// from pixel (0, 0) on that holds every spot of the wanted fibres (`Ok(false)`).
///
/// # Errors
/// [`ExtractError::WrongSize`] otherwise.
pub fn check(psf: &Psf, image: (usize, usize), params: &Params) -> Result<bool, ExtractError> {
    let expected = psf.file().npix;
    if image == expected {
        return Ok(true);
    }
    let covered = projection::wavelength_range(psf);
    let (first, last) =
        (params.grid.first.max(*covered.start()), params.grid.wave(params.grid.n - 1).min(*covered.end()));
    let hx = psf.file().half_size.0 as f64 + 1.0;
    let inside = |fiber: usize, k: usize| {
        let wave = first + (last - first) * k as f64 / (SAMPLES - 1) as f64;
        let (x, y) = (psf.x(fiber, wave), psf.y(fiber, wave));
        let on_ccd = (0.0..expected.0 as f64).contains(&y);
        !on_ccd || (x - hx >= 0.0 && x + hx <= image.1 as f64 && y < image.0 as f64)
    };
    let smaller = image.0 <= expected.0 && image.1 <= expected.1;
    if smaller && params.fibers.clone().all(|fiber| (0..SAMPLES).all(|k| inside(fiber, k))) {
        return Ok(false);
    }
    Err(ExtractError::WrongSize { image, expected })
}
