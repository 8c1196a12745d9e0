//! `pix-CAMERA-EXPID.fits` (today's name: preproc): a CCD image in electrons.

use crate::checks::{check_ivar, check_shape, invalid, tidied, tidy};
use crate::fits::{FitsReader, FitsWriter};
use crate::planes;
use crate::{Fibermap, Header, Result, units};
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
    ///
    /// The mask may be of any integer type, compressed or not; without HDU READNOISE (2016) the read noise is
    /// keyword RDNOISE everywhere.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fits = FitsReader::open(path)?;
        let name = planes::or_primary(&fits, "IMAGE");
        let header = fits.header(&name)?;
        let pix = fits.plane(&name)?;
        let ivar = fits.plane("IVAR")?;
        let mask = fits.mask("MASK")?;
        let readnoise = if fits.has("READNOISE") {
            fits.plane("READNOISE")?
        } else {
            Array2::from_elem(pix.dim(), header.require_float(path, &name, "RDNOISE")? as f32)
        };
        let fibermap = Fibermap::read_optional(&mut fits, "FIBERMAP")?;
        let image = Self { header, pix, ivar, mask, readnoise, fibermap };
        image.check(path)?;
        let pix = tidied(path, &name, image.pix, &image.ivar)?;
        let readnoise = tidied(path, "READNOISE", image.readnoise, &image.ivar)?;
        Ok(Self { pix, readnoise, ..image })
    }

    /// Writes a file atomically.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] without keyword CAMERA, which readers rely on.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.check(path)?;
        if self.camera().is_none() {
            return Err(invalid(path, "IMAGE", "keyword CAMERA", "a camera", "nothing"));
        }
        let mut fits = FitsWriter::create(path)?;
        let pix = tidy(path, "IMAGE", &self.pix, &self.ivar)?;
        fits.image("IMAGE", pix.view(), &planes::with_unit(&self.header, units::ELECTRON))?;
        fits.image("IVAR", self.ivar.view(), &Header::new())?;
        fits.compressed("MASK", self.mask.mapv(|m| m as i32).view(), &Header::new())?;
        let readnoise = tidy(path, "READNOISE", &self.readnoise, &self.ivar)?;
        fits.image("READNOISE", readnoise.view(), &planes::unit(units::ELECTRON))?;
        if let Some(fibermap) = &self.fibermap {
            fibermap.write_to(&mut fits, "FIBERMAP")?;
        }
        fits.finish()
    }

    fn check(&self, path: &Path) -> Result<()> {
        let shape = self.pix.shape();
        check_shape(path, "IVAR", self.ivar.shape(), shape)?;
        check_shape(path, "MASK", self.mask.shape(), shape)?;
        check_shape(path, "READNOISE", self.readnoise.shape(), shape)?;
        check_ivar(path, "IVAR", &self.ivar)
    }

    /// Camera of the header.
    pub fn camera(&self) -> Option<crate::Camera> {
        self.header.camera()
    }
}
