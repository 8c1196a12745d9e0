//! `pix-CAMERA-EXPID.fits` (today's name: preproc): a CCD image in electrons.

use crate::{Fibermap, Header, Result};
use ndarray::Array2;
use std::path::Path;

/// A preprocessed CCD image, arrays `[y, x]`, y along the dispersion.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Exposure and camera keywords: CAMERA, EXPID, NIGHT, FLAVOR, EXPTIME ...
    pub header: Header,
    /// Electrons, HDU IMAGE.
    pub pix: Array2<f32>,
    /// Inverse variance in electron^-2, HDU IVAR; 0 carries no information.
    pub ivar: Array2<f32>,
    /// [`crate::mask::ccd`] bits, HDU MASK.
    pub mask: Array2<u32>,
    /// Read noise of each pixel in electrons, HDU READNOISE (from RDNOISE where the HDU is absent).
    pub readnoise: Array2<f32>,
    /// The rows of this spectrograph, HDU FIBERMAP.
    pub fibermap: Option<Fibermap>,
}

impl Image {
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

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.str("CAMERA")?.trim().to_lowercase().parse().ok()
    }
}
