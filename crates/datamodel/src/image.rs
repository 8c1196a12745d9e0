//! `pix-CAMERA-EXPID.fits` (today's name: preproc): a CCD image in electrons.

use crate::checks::{check_ivar, check_shape, invalid, tidied, tidy};
use crate::fits::{FitsReader, FitsWriter};
use crate::mask::ccd;
use crate::planes;
use crate::{Fibermap, Header, Result, units};
use ndarray::{Array2, Zip};
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
    ///
    /// # Errors
    /// Also [`crate::Error::Invalid`] for a pixel with a weight that is no number.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_unchecked(path)?.checked(path)
    }

    /// [`Image::read`] that takes the weight of pixels whose value or inverse variance is no measurement (not finite,
    /// or negative) and flags them [`ccd::BAD`]; also returns how many these are. Pixels without a weight do not count.
    ///
    /// # Errors
    /// As [`Image::read`] for anything else.
    pub fn read_masking(path: &Path) -> Result<(Self, usize)> {
        let mut image = Self::read_unchecked(path)?;
        let mut broken = 0;
        if image.pix.dim() == image.ivar.dim() && image.pix.dim() == image.mask.dim() {
            Zip::from(&mut image.pix).and(&mut image.ivar).and(&mut image.mask).for_each(|p, w, m| {
                if (*w != 0.0 && !p.is_finite()) || !(w.is_finite() && *w >= 0.0) {
                    (*p, *w, *m) = (0.0, 0.0, *m | ccd::BAD);
                    broken += 1;
                }
            });
        }
        Ok((image.checked(path)?, broken))
    }

    fn read_unchecked(path: &Path) -> Result<Self> {
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
        Ok(Self { header, pix, ivar, mask, readnoise, fibermap })
    }

    fn checked(self, path: &Path) -> Result<Self> {
        self.check(path)?;
        let pix = tidied(path, "IMAGE", self.pix, &self.ivar)?;
        let readnoise = tidied(path, "READNOISE", self.readnoise, &self.ivar)?;
        Ok(Self { pix, readnoise, ..self })
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
