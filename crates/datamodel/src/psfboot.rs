//! `psfboot-CAMERA.fits`: first traces and wavelengths of the night (also the XTRACE/YTRACE trace files that
//! today's specex starts from).

use crate::{Header, Result, psf::LegendreRows};
use std::path::Path;

/// Traces, wavelengths and widths of every fibre.
#[derive(Debug, Clone, PartialEq)]
pub struct PsfBoot {
    /// PSFTYPE, CAMERA, NPIX_X, NPIX_Y, ARCNIGHT, ARCEXPID, FLANIGHT, FLAEXPID of HDU XCOEFF.
    pub header: Header,
    /// Pixel x of the trace, HDU XCOEFF (or XTRACE).
    pub x: LegendreRows,
    /// Pixel y of the trace, HDU YCOEFF (or YTRACE).
    pub y: LegendreRows,
    /// Gaussian sigma across the dispersion in pixels, one a fibre, HDU XSIGMA.
    pub xsigma: Vec<f64>,
}

impl PsfBoot {
    /// Reads and validates a file.
    pub fn read(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        let _ = path;
        todo!()
    }
}
